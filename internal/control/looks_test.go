package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vrouter/vrouter/internal/share"
)

// as is a request of somebody.
func as(who net.Addr, method, path string, body io.Reader) *http.Request {
	return httptest.NewRequestWithContext(context.WithValue(context.Background(), peerKey{}, who), method, path, body)
}

// Who may only look has his turn at the lowest priority, and root at once, but for what is endless.
func TestWhoTakesTurns(t *testing.T) {
	s := &Server{looks: share.New()}
	inTurn := false
	h := s.inTurn(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { inTurn = share.InTurn(r.Context()) }))
	for _, c := range []struct {
		who  net.Addr
		path string
		want bool
	}{
		{peer{1000}, "/v1/ports", true}, {peer{1000}, "/v1/no/such", true}, {nobody{}, "/v1/ports", true},
		{&net.TCPAddr{IP: net.IPv4(10, 0, 0, 1)}, "/v1/version", true},
		{peer{0}, "/v1/ports", false}, {peer{0}, "/v1/routes", false}, {ownPeer(), "/v1/ports", false},
		{peer{0}, "/v1/trace", true}, {peer{0}, "/v1/top", true}, {peer{0}, "/v1/replay", true},
	} {
		inTurn = !c.want
		h.ServeHTTP(httptest.NewRecorder(), as(c.who, "GET", c.path, nil))
		if inTurn != c.want {
			t.Errorf("%s by %v takes turns: %v", c.path, c.who, inTurn)
		}
	}
}

// A party has so many streams, and is told; root has as many as he likes.
func TestStreamsAreBounded(t *testing.T) {
	s := &Server{looks: share.New()}
	running, end := make(chan struct{}), make(chan struct{})
	h := s.inTurn(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		share.Wait(r.Context(), func() {
			running <- struct{}{}
			<-end
		})
	}))
	var all sync.WaitGroup
	start := func(uid uint32) {
		all.Go(func() { h.ServeHTTP(httptest.NewRecorder(), as(peer{uid}, "GET", "/v1/trace", nil)) })
		<-running
	}
	refused := func(uid uint32, why string) {
		t.Helper()
		w := recorder{httptest.NewRecorder()}
		h.ServeHTTP(w, as(peer{uid}, "GET", "/v1/top", nil))
		var f Failure
		if err := json.Unmarshal(w.Body.Bytes(), &f); err != nil || w.Code != http.StatusServiceUnavailable || !strings.Contains(f.Message, why) {
			t.Errorf("%d, %q (%v)", w.Code, f.Message, err)
		}
	}
	for range share.EachStreams {
		start(1000)
	}
	refused(1000, fmt.Sprintf("user 1000 has %d traces, tops, replays, plans and long lists at once", share.EachStreams))
	for i := range share.AllStreams - share.EachStreams {
		start(uint32(2000 + i))
	}
	refused(3000, fmt.Sprintf("there are %d traces, tops, replays, plans and long lists at once", share.AllStreams))
	for range 2 * share.AllStreams {
		start(0)
	}
	close(end)
	all.Wait()
	if n := s.looks.Streams.Taken(); n != 0 {
		t.Errorf("%d are left", n)
	}
}

// stuck is a client who neither sends nor reads.
type stuck struct {
	httptest.ResponseRecorder
	began, end chan struct{}
}

func (s *stuck) wait() {
	s.began <- struct{}{}
	<-s.end
}

func (s *stuck) Read([]byte) (int, error) {
	s.wait()
	return 0, io.EOF
}

func (s *stuck) Write(b []byte) (int, error) {
	s.wait()
	return len(b), nil
}

func (s *stuck) FlushError() error {
	s.wait()
	return nil
}

// Who is waited for has no turn meanwhile.
func TestSlowClientsHoldNobodyUp(t *testing.T) {
	s := &Server{looks: share.New()}
	h := s.inTurn(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/read":
			_, _ = io.Copy(io.Discard, r.Body)
		case "/write":
			_, _ = w.Write([]byte("x"))
		case "/flush":
			_ = http.NewResponseController(w).Flush()
		}
	}))
	var all sync.WaitGroup
	c := &stuck{*httptest.NewRecorder(), make(chan struct{}), make(chan struct{})}
	for i := range 3 * 16 { // more than there are turns anywhere
		path := []string{"/read", "/write", "/flush"}[i%3]
		all.Go(func() { h.ServeHTTP(c, as(peer{uint32(1000 + i)}, "POST", path, c)) })
		<-c.began
	}
	h.ServeHTTP(httptest.NewRecorder(), as(peer{5000}, "GET", "/v1/ports", nil))
	close(c.end)
	all.Wait()
}

// The router asks itself by a way of its own, whoever has all places of the socket.
func TestSelf(t *testing.T) {
	looks := share.New()
	l, err := Listen(filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	s := NewServer(nil, nil, l, Version{Node: "h"}, looks, slog.New(slog.DiscardHandler))
	looks.Root.All = 0
	ended := make(chan error)
	go func() { ended <- s.Serve() }()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	c := s.Self()
	var answer *Failure
	if err := c.Get(ctx, "/v1/no/such", &struct{}{}); !errors.As(err, &answer) || !strings.Contains(answer.Message, "404") {
		t.Errorf("the answer is %v", err)
	}
	c.Close()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// What was written to a socket and is not read is this program's memory: its connection keeps the place.
func TestUnreadKeepsItsPlace(t *testing.T) {
	l, err := Listen(filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	conns := &share.Conns{What: "connections", Each: 1, All: 8, Idle: time.Millisecond}
	places, err := share.Listen(l, share.Options{
		Peer: func(int) net.Addr { return peer{1000} }, Who: partyAt, Where: func(share.Party) *share.Conns { return conns }, Refuse: refusal,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer places.Close()
	dial := func() net.Conn {
		c, err := net.Dial("unix", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(c, "G")
		return c
	}
	first := dial()
	c, err := places.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write(make([]byte, 10_000)); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	second := dial()
	defer second.Close()
	b, err := io.ReadAll(second)
	if err != nil || !strings.Contains(string(b), "user 1000 has 1 connections at once") {
		t.Errorf("the next one is told %q (%v)", b, err)
	}
	if b, err := io.ReadAll(first); err != nil || len(b) != 10_000 {
		t.Errorf("%d bytes are read, %v", len(b), err)
	}
	first.Close()
	third := dial()
	defer third.Close()
	if c, err = places.Accept(); err != nil {
		t.Fatal(err)
	}
	_, _ = c.Write(make([]byte, 10_000))
	third.Close() // who goes without having read has his place back, too
	c.Close()
	for deadline := time.Now().Add(10 * time.Second); conns.Taken() > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the place is still taken")
		}
	}
}
