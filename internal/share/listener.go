package share

import (
	"io"
	"net"
	"sync"
	"time"
)

// Listener is one whose connections have places.
type Listener struct {
	net.Listener
	Conns *Conns
	Who   func(net.Conn) Party
	// Refuse is what one is told who gets no place; nil: nothing.
	Refuse func(error) string

	root   chan struct{} // a place of each connection of root's
	held   chan struct{}
	closed chan struct{}
	once   sync.Once
}

// maxRoot is how many connections root has at once: others wait, so that the router never runs out of
// descriptors for its ports.
const maxRoot = 512

// NewListener makes one.
func NewListener(l net.Listener, conns *Conns, who func(net.Conn) Party, refuse func(error) string) *Listener {
	return &Listener{
		Listener: l, Conns: conns, Who: who, Refuse: refuse,
		root: make(chan struct{}, maxRoot), held: make(chan struct{}, MaxHeld), closed: make(chan struct{}),
	}
}

// Accept returns the next connection that has a place.
func (l *Listener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		who := l.Who(c)
		if who == Root {
			return l.admitRoot(c)
		}
		k, err := l.Conns.Admit(c, who)
		if err == nil {
			return k, nil
		}
		l.refuse(c, err)
	}
}

// admitRoot waits until root has one connection less, if he has very many.
func (l *Listener) admitRoot(c net.Conn) (net.Conn, error) {
	select {
	case l.root <- struct{}{}:
		return &rootConn{Conn: Conn{Conn: c, Party: Root}, places: l.root}, nil
	case <-l.closed:
		c.Close()
		return nil, net.ErrClosed
	}
}

// rootConn is a connection of root's.
type rootConn struct {
	Conn
	places chan struct{}
	once   sync.Once
}

func (k *rootConn) Close() error {
	k.once.Do(func() { <-k.places })
	return k.Conn.Close()
}

// refuse holds a connection for a while before it says why it is closed.
func (l *Listener) refuse(c net.Conn, why error) {
	select {
	case l.held <- struct{}{}:
	default:
		c.Close()
		return
	}
	go func() {
		defer func() { <-l.held }()
		defer c.Close()
		until := time.Now().Add(heldTime)
		_ = c.SetDeadline(until)
		_, _ = c.Read(make([]byte, 4096)) // what was asked, so that the answer is one
		time.Sleep(time.Until(until))
		if l.Refuse != nil {
			_ = c.SetDeadline(time.Now().Add(heldTime))
			_, _ = io.WriteString(c, l.Refuse(why))
		}
	}()
}

// Close implements net.Listener.
func (l *Listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}
