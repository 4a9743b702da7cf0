package share

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// silent is a connection that notes when it is closed.
type silent struct {
	net.Conn
	closed bool
}

func (s *silent) Close() error {
	s.closed = true
	return nil
}

func (s *Conns) try(who Party) (*Conn, *silent, error) {
	c := &silent{}
	k, err := s.Admit(func() (net.Conn, error) { return c, nil }, who, time.Now())
	return k, c, err
}

// many admits connections that must have a place.
func (s *Conns) many(t *testing.T, n int, who Party, busy bool) (all []*Conn) {
	t.Helper()
	for range n {
		k, _, err := s.try(who)
		if err != nil {
			t.Fatal(err)
		}
		k.SetBusy(busy)
		all = append(all, k)
	}
	return all
}

// A party has so many places and no more, while it keeps them busy; another party has its own.
func TestPlacesOfAParty(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Conns{What: "connections", Each: 3, All: 8, Idle: time.Second}
		mine := s.many(t, 3, "user 1", true)
		time.Sleep(time.Hour)
		if _, _, err := s.try("user 1"); err == nil || err.Error() != "user 1 has 3 connections at once, and may have no more: close one of them" {
			t.Errorf("the fourth: %v", err)
		}
		s.many(t, 3, "user 2", true)
		mine[0].Close()
		mine[0].Close() // twice does no harm
		s.many(t, 1, "user 1", true)
		s.many(t, 2, "user 3", true)
		if _, _, err := s.try("user 4"); err != nil { // of those who have three, one goes
			t.Errorf("of another party: %v", err)
		}
		if n := s.Taken(); n != 8 {
			t.Errorf("%d places are taken", n)
		}
	})
}

// What was idle for longest makes room, of a party that is full or of the one that has most; what was
// idle for a moment alone does not, as a request may be on its way.
func TestIdleMakesRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Conns{What: "connections", Each: 3, All: 5, Idle: time.Second, Busy: time.Minute}
		first := s.many(t, 3, "user 1", false)
		if _, _, err := s.try("user 1"); err == nil {
			t.Error("one that has just come makes room")
		}
		time.Sleep(2 * time.Second)
		first[0].SetBusy(true)
		first[0].SetBusy(false) // it is the youngest now
		s.many(t, 1, "user 1", false)
		synctest.Wait()
		gone := func(k *Conn) bool { return k.Conn.(*silent).closed }
		if gone(first[0]) || !gone(first[1]) || gone(first[2]) {
			t.Errorf("gone are %v, %v, %v", gone(first[0]), gone(first[1]), gone(first[2]))
		}
		if s.Refused() != 1 || s.Taken() != 3 {
			t.Errorf("%d have made room, %d are left", s.Refused(), s.Taken())
		}
		other := s.many(t, 2, "user 2", false)
		time.Sleep(2 * time.Second)
		s.many(t, 1, "user 3", false)
		synctest.Wait()
		if !gone(first[2]) || gone(other[0]) || gone(other[1]) {
			t.Error("it was not the party that has most that made room")
		}
		if first[2].Leave() {
			t.Error("one that is gone had a place")
		}
		first[0].SetBusy(true)
		time.Sleep(2 * time.Minute)
		for range 3 {
			if _, _, err := s.try("user 1"); err != nil {
				t.Errorf("what was busy too long makes no room: %v", err)
			}
			time.Sleep(2 * time.Second)
		}
	})
}

// Where all is full of busy ones, who has one place less than the others gets none.
func TestAllPlacesTaken(t *testing.T) {
	s := &Conns{What: "connections", Each: 3, All: 4}
	for i := range 4 {
		s.many(t, 1, Party(fmt.Sprint(i)), true)
	}
	if _, _, err := s.try("user 9"); err == nil || !strings.Contains(err.Error(), "there are 4 connections at once, and no more") {
		t.Errorf("the fifth: %v", err)
	}
}

// A party opens so many connections a second.
func TestRateOfConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Conns{What: "connections", Each: 3, All: 8, Rate: 50}
		admitted := 0
		for range 10_000 {
			if k, _, err := s.try("user 1"); err == nil {
				admitted++
				k.Close()
			} else if !strings.Contains(err.Error(), "more than 50 connections a second") {
				t.Fatal(err)
			}
			time.Sleep(time.Millisecond)
		}
		if admitted < 500 || admitted > 550 {
			t.Errorf("%d in 10 s", admitted)
		}
		for i := range 1000 {
			if k, _, err := s.try(Party(fmt.Sprint(i))); err == nil {
				k.Close()
			}
			time.Sleep(time.Second)
		}
		if len(s.rates) > 2 {
			t.Errorf("%d parties are remembered", len(s.rates))
		}
	})
}

// A connection that cannot be made takes no place.
func TestNoDescriptor(t *testing.T) {
	s := &Conns{What: "connections", Each: 3, All: 8}
	if _, err := s.Admit(func() (net.Conn, error) { return nil, errors.New("too many open files") }, "user 1", time.Now()); err == nil || s.Taken() != 0 {
		t.Errorf("%d places, %v", s.Taken(), err)
	}
}

// Streams: so many a party, and so many for all who may only look. Root needs no place.
func TestPlaces(t *testing.T) {
	p := &Places{What: "streams", Each: 2, All: 3}
	for i, c := range []struct {
		who Party
		err string
	}{
		{"user 1", ""}, {"user 1", ""}, {"user 1", "user 1 has 2 streams at once"}, {"user 2", ""}, {"user 3", "there are 3 streams at once"}, {Root, ""},
	} {
		err := p.Take(c.who)
		if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%d: %s: %v, want %q", i, c.who, err, c.err)
		}
	}
	p.Leave(Root)
	p.Leave("user 1")
	if err := p.Take("user 3"); err != nil || p.Taken() != 3 || p.Refused() != 2 {
		t.Errorf("%v; %d taken, %d refused", err, p.Taken(), p.Refused())
	}
}

func TestParties(t *testing.T) {
	for address, want := range map[string]Party{
		"192.168.0.12:4000": "192.168.0.12", "127.0.0.1:1": "loopback", "127.8.9.1:1": "loopback", "[::1]:1": "loopback",
		"[fd00:1:2:3:4:5:6:7]:80": "fd00:1:2:3::/64", "[fe80::1%eth0]:80": "fe80::/64", "[::ffff:192.168.0.12]:80": "192.168.0.12",
	} {
		a, err := net.ResolveTCPAddr("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		if got := AtAddress(a); got != want {
			t.Errorf("%s is %s, want %s", address, got, want)
		}
	}
}
