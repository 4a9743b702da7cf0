package share

import (
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func tell(why error) string { return "no: " + why.Error() }

// socket is a listener whose connections are one party's, and how one connects to it.
func socket(t *testing.T, conns *Conns, who Party, refuse func(error) string) (l *Listener, dial func() net.Conn) {
	t.Helper()
	l, silent := silentSocket(t, conns, who, refuse)
	return l, func() net.Conn {
		t.Helper()
		c := silent()
		_, _ = io.WriteString(c, "hello") // it may have been hung up on
		return c
	}
}

func silentSocket(t *testing.T, conns *Conns, who Party, refuse func(error) string) (l *Listener, dial func() net.Conn) {
	t.Helper()
	give, dial := plainSocket(t)
	return give(conns, who, refuse), dial
}

// plainSocket is a socket where one can connect to, and gives its connections places when asked to.
func plainSocket(t *testing.T) (give func(*Conns, Party, func(error) string) *Listener, dial func() net.Conn) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	plain, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	give = func(conns *Conns, who Party, refuse func(error) string) *Listener {
		t.Helper()
		l, err := Listen(plain, Options{
			Peer:  func(int) net.Addr { return &net.UnixAddr{Name: string(who)} },
			Who:   func(a net.Addr) Party { return Party(a.String()) },
			Where: func(Party) *Conns { return conns }, Refuse: refuse,
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		return l
	}
	return give, func() net.Conn {
		t.Helper()
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
}

// accept wants a connection, and what it says.
func accept(t *testing.T, l *Listener) *Conn {
	t.Helper()
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 5)
	if _, err := io.ReadFull(c, b); err != nil || string(b) != "hello" {
		t.Fatalf("it says %q (%v)", b, err)
	}
	k := c.(*Conn)
	k.SetBusy(true)
	return k
}

// Who gets no place waits for one.
func TestWaitsForAPlace(t *testing.T) {
	for who, each := range map[Party]int{"user 1": 3, Root: 3} {
		l, dial := socket(t, &Conns{What: "connections", Each: each, All: 8, Idle: time.Second / 2}, who, tell)
		var held []*Conn
		for range each {
			dial()
			held = append(held, accept(t, l))
		}
		if at := held[0].RemoteAddr().String(); at != string(who) {
			t.Errorf("the other end is %s", at)
		}
		dial()
		held[1].Close()
		accept(t, l)
	}
}

// Who says nothing takes no place, whoever it is, and is hung up on; who is gone does not even wait.
func TestSilence(t *testing.T) {
	for _, who := range []Party{"user 1", Root} {
		conns := &Conns{What: "connections", Each: 1, All: 1}
		l, dial := silentSocket(t, conns, who, tell)
		began := time.Now()
		var all []net.Conn
		for range 100 {
			all = append(all, dial())
		}
		_, _ = io.WriteString(all[50], "hello")
		defer accept(t, l).Close()
		for _, c := range all[60:] {
			c.Close()
		}
		within(t, "those who are gone wait no more", func() bool { return conns.Waiting() == 59 })
		if who == Root {
			continue // for whom it takes longer
		}
		for i, c := range all[:60] {
			_ = c.SetReadDeadline(began.Add(2 * WaitTime))
			if n, err := c.Read(make([]byte, 1)); i != 50 && (n > 0 || err != io.EOF) {
				t.Errorf("who says nothing gets %d bytes, %v", n, err)
			}
			if i == 49 {
				break
			}
		}
		if waited := time.Since(began); waited < WaitTime {
			t.Errorf("they are hung up on after %v", waited)
		}
	}
}

// Who comes faster than connections are taken stands in line in the kernel.
func TestTakenAtARate(t *testing.T) {
	const n = 20 * takeMost
	conns := &Conns{What: "connections", Each: 1, All: 1}
	give, dial := plainSocket(t)
	for range n {
		dial()
	}
	began := time.Now()
	give(conns, "user 1", tell)
	within(t, "all are taken", func() bool { return conns.Waiting() == n })
	if took, least := time.Since(began), (n-takeMost)*time.Second/TakeRate; took < least {
		t.Errorf("%d were taken within %v, not %v", n, took, least)
	}
}

func within(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("not in time: " + what)
		}
	}
}

// Who waits in vain is told why; root waits as long as it takes.
func TestToldAfterWaiting(t *testing.T) {
	conns := &Conns{What: "connections", Each: 1, All: 8}
	l, dial := socket(t, conns, "user 1", tell)
	_, rootDial := socket(t, &Conns{What: "connections", All: 8}, Root, tell)
	silent, silentDial := socket(t, &Conns{What: "connections", Each: 1, All: 8}, "user 1", nil)
	dial()
	defer accept(t, l).Close()
	silentDial()
	defer accept(t, silent).Close()
	untold, root, began := silentDial(), rootDial(), time.Now()
	told, err := io.ReadAll(dial())
	if want := "no: user 1 has 1 connections at once, and may have no more: close one of them"; err != nil || string(told) != want {
		t.Errorf("he is told %q (%v)", told, err)
	}
	if waited := time.Since(began); waited < WaitTime || conns.Refused() != 1 {
		t.Errorf("after %v; %d are counted", waited, conns.Refused())
	}
	_ = untold.SetReadDeadline(time.Now().Add(time.Second))
	if n, err := io.Copy(io.Discard, untold); n > 0 || err != nil && strings.Contains(err.Error(), "timeout") {
		t.Errorf("where nothing is to be told: %d bytes, %v", n, err)
	}
	_ = root.SetReadDeadline(time.Now().Add(time.Second / 2))
	if _, err := root.Read(make([]byte, 1)); err == nil || !strings.Contains(err.Error(), "timeout") {
		t.Errorf("root: %v", err)
	}
}

// All who wait in vain are told, those too who have said something only while they waited.
func TestAllAreTold(t *testing.T) {
	l, dial := silentSocket(t, &Conns{What: "connections", Each: 1, All: 8}, "user 1", tell)
	first := dial()
	_, _ = io.WriteString(first, "hello")
	defer accept(t, l).Close()
	var all []net.Conn
	for range 20 {
		all = append(all, dial())
	}
	within(t, "they wait", func() bool { return l.Where("user 1").Waiting() == 20 })
	for _, c := range all {
		_, _ = io.WriteString(c, "hello")
	}
	for i, c := range all {
		if told, err := io.ReadAll(c); err != nil || !strings.HasPrefix(string(told), "no: user 1 has 1 connections") {
			t.Errorf("%d is told %q (%v)", i, told, err)
		}
	}
}

// So many wait and no more, and one who is refused makes no way free for others of his party.
func TestWaitingIsBounded(t *testing.T) {
	conns := &Conns{What: "connections", Each: 1, All: 8}
	l, dial := socket(t, conns, "user 1", tell)
	l.others.shorten(5)
	dial()
	defer accept(t, l).Close()
	var all []net.Conn
	for range 10 {
		all = append(all, dial())
	}
	ended := 0
	for _, c := range all {
		_ = c.SetReadDeadline(time.Now().Add(WaitTime / 5))
		if _, err := c.Read(make([]byte, 1)); err != nil && !strings.Contains(err.Error(), "timeout") {
			ended++
		}
	}
	if ended != 5 {
		t.Errorf("%d of 10 are hung up on at once, want 5", ended)
	}
}

func (l *line) shorten(most int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.most = most
}

// Root, who has said nothing yet either, does not stand behind others that wait, however many.
func TestRootWaitsBehindNobody(t *testing.T) {
	var who atomic.Value
	who.Store("user 1")
	plain, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	conns := &Conns{What: "connections", Each: 1, All: 8}
	l, err := Listen(plain, Options{
		Peer: func(int) net.Addr { return &net.UnixAddr{Name: who.Load().(string)} },
		Who:  func(a net.Addr) Party { return Party(a.String()) }, Where: func(Party) *Conns { return conns },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dial := func() net.Conn {
		t.Helper()
		c, err := net.Dial("unix", plain.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	const others = 5
	l.others.shorten(others)
	for range others {
		dial()
	}
	within(t, "the others wait", func() bool { return conns.Waiting() == others })
	who.Store(string(Root))
	root := dial()
	within(t, "root waits", func() bool { return conns.Waiting() == others+1 })
	_, _ = io.WriteString(root, "hello")
	accept(t, l).Close()
	if n := conns.Waiting(); n != others {
		t.Errorf("while root waited the others became %d, want %d", n, others)
	}
}

// Root is never hung up on for want of room to wait.
func TestRootIsNotRefused(t *testing.T) {
	conns := &Conns{What: "connections", Each: 8, All: 8}
	l, dial := silentSocket(t, conns, Root, tell)
	l.root.shorten(2)
	var all []net.Conn
	for range 5 {
		all = append(all, dial())
	}
	within(t, "as many wait as may", func() bool { return conns.Waiting() == 2 })
	for i, c := range all {
		_ = c.SetReadDeadline(time.Now().Add(WaitTime / 50))
		if _, err := c.Read(make([]byte, 1)); err == nil || !strings.Contains(err.Error(), "timeout") {
			t.Fatalf("number %d: %v", i, err)
		}
		_, _ = io.WriteString(c, "hello")
	}
	for range all {
		accept(t, l).Close()
	}
}

// A listener that is closed lets go of all that wait.
func TestListenerCloses(t *testing.T) {
	conns := &Conns{What: "connections", Each: 1, All: 8}
	l, dial := socket(t, conns, "user 1", tell)
	dial()
	defer accept(t, l).Close()
	waits := dial()
	within(t, "it waits", func() bool { return conns.Waiting() == 1 })
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if _, err := l.Accept(); err == nil {
		t.Error("it accepts")
	}
	_ = waits.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := waits.Read(make([]byte, 1)); err == nil || strings.Contains(err.Error(), "timeout") {
		t.Errorf("who waits: %v", err)
	}
}
