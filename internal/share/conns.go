package share

import (
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Conns are connections that have a place: so many of each party, and so many of all.
type Conns struct {
	What      string // they are, for who is refused
	Each, All int
	Rate      float64 // how many a party may open in a second; 0: as many as it likes
	// Idle is how long one may be idle before it makes room for another one, and Busy how long it may be
	// busy; 0: as long as it likes.
	Idle, Busy time.Duration

	mu      sync.Mutex
	list    []*Conn
	rates   map[Party]*bucket
	refused atomic.Uint64
	waiting atomic.Int64
}

// Conn is one of them.
type Conn struct {
	net.Conn
	Party Party
	among *Conns
	busy  bool
	since time.Time // it is so
	once  sync.Once // it is closed
}

// Admit gives a connection a place. Where there is none, that which was idle for longest loses its own. A connection that fails to be made takes none.
func (s *Conns) Admit(conn func() (net.Conn, error), who Party, now time.Time) (*Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.inRate(who, now) {
		return nil, fmt.Errorf("%s opens more than %v connections a second: keep one open", who, s.Rate)
	}
	other, err := s.room(who, now)
	if err != nil {
		return nil, err
	}
	c, err := conn()
	if err != nil {
		return nil, err
	}
	if other != nil {
		s.refused.Add(1)
		s.drop(other)
		other.forget()
		go other.Close() // TLS says goodbye
	}
	if s.Rate > 0 {
		s.rates[who].left--
	}
	k := &Conn{Conn: c, Party: who, among: s, since: now}
	s.list = append(s.list, k)
	return k, nil
}

// inRate says whether a party may open one more.
func (s *Conns) inRate(who Party, now time.Time) bool {
	if s.Rate == 0 {
		return true
	}
	b := s.rates[who]
	if b == nil {
		for p, o := range s.rates {
			if o.fill(now, s.Rate, s.Rate) == s.Rate {
				delete(s.rates, p)
			}
		}
		if s.rates == nil {
			s.rates = map[Party]*bucket{}
		}
		b = &bucket{}
		s.rates[who] = b
	}
	return b.fill(now, s.Rate, s.Rate) >= 1
}

// room finds out who has to go for one more of a party: nobody, if there is a place.
func (s *Conns) room(who Party, now time.Time) (*Conn, error) {
	of := map[Party]int{}
	most := who
	for _, k := range s.list {
		if of[k.Party]++; of[k.Party] > of[most] {
			most = k.Party
		}
	}
	full := of[who] >= s.Each
	if !full && len(s.list) < s.All {
		return nil, nil
	}
	var found *Conn
	for _, k := range s.list { // of those who have most, the one that is idle for longest
		switch {
		case full && k.Party != who, !s.replaceable(k, now):
		case found == nil, of[k.Party] > of[found.Party], of[k.Party] == of[found.Party] && k.since.Before(found.since):
			found = k
		}
	}
	switch {
	case found != nil:
		return found, nil
	case full:
		return nil, fmt.Errorf("%s has %d %s at once, and may have no more: close one of them", who, s.Each, s.What)
	case of[most] > of[who]+1:
		return s.list[slices.IndexFunc(s.list, func(k *Conn) bool { return k.Party == most })], nil
	}
	return nil, fmt.Errorf("there are %d %s at once, and no more: try again later", s.All, s.What)
}

func (s *Conns) replaceable(k *Conn, now time.Time) bool {
	may := s.Idle
	if k.busy {
		may = s.Busy
	}
	return may > 0 && now.Sub(k.since) > may && !k.unread()
}

// drop takes a connection's place away.
func (s *Conns) drop(k *Conn) bool {
	i := slices.Index(s.list, k)
	if i < 0 {
		return false
	}
	s.list = slices.Delete(s.list, i, i+1)
	return true
}

// Taken is how many there are.
func (s *Conns) Taken() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.list)
}

// Refused is how many were refused so far, or had to make room.
func (s *Conns) Refused() uint64 { return s.refused.Load() }

// Waiting is how many wait for a place now, or have said nothing yet.
func (s *Conns) Waiting() int { return int(s.waiting.Load()) }

// SetBusy says whether there is something to be done for a connection.
func (k *Conn) SetBusy(busy bool) {
	k.among.mu.Lock()
	defer k.among.mu.Unlock()
	k.busy, k.since = busy, time.Now()
}

// Leave gives the place up, and keeps the connection. It says whether there still was one.
func (k *Conn) Leave() bool {
	k.among.mu.Lock()
	defer k.among.mu.Unlock()
	return k.among.drop(k)
}

// Close implements net.Conn. What was written to a unix socket is this program's memory until it is read:
// so long the connection keeps its place.
func (k *Conn) Close() (err error) {
	k.once.Do(func() {
		if k.unread() {
			k.SetBusy(true)
			go k.outlive()
			return
		}
		k.Leave()
		err = k.Conn.Close()
	})
	return err
}

// outlive closes the connection when all is read, or the other end is gone.
func (k *Conn) outlive() {
	_ = k.SetDeadline(time.Unix(1, 0))
	_ = socketOf(k.Conn).(*net.UnixConn).CloseWrite()
	for k.unread() {
		time.Sleep(outliveEvery)
	}
	k.Leave()
	k.Conn.Close()
}

// Write implements net.Conn. What the other end does not read in time is taken back.
func (k *Conn) Write(b []byte) (int, error) {
	n, err := k.Conn.Write(b)
	if err != nil {
		k.forget()
	}
	return n, err
}

// forget has the kernel throw away what is not sent, when the connection is closed.
func (k *Conn) forget() {
	if c, ok := socketOf(k.Conn).(*net.TCPConn); ok {
		_ = c.SetLinger(0)
	}
}

// NetConn is the connection below.
func (k *Conn) NetConn() net.Conn { return k.Conn }

// socketOf is the socket at the bottom of a connection.
func socketOf(c net.Conn) net.Conn {
	for {
		above, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			return c
		}
		c = above.NetConn()
	}
}

// unread says whether something that was written to a unix socket has not been read yet.
func (k *Conn) unread() bool {
	c, ok := socketOf(k.Conn).(*net.UnixConn)
	if !ok || k.Party == Root {
		return false
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return false
	}
	n := 0
	if raw.Control(func(fd uintptr) { n, _ = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ) }) != nil {
		return false
	}
	return n > 0
}

// State is the hook by which an HTTP server says what its connections do.
func State(c net.Conn, state http.ConnState) {
	if k, ok := c.(*Conn); ok && (state == http.StateActive || state == http.StateIdle) {
		k.SetBusy(state == http.StateActive)
	}
}
