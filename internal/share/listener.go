package share

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// takeMost connections are taken from the kernel at a time.
const takeMost = 16

// sweepEvery is how often is looked whether one who waits may have a place; where many do, seldomer.
const sweepEvery = 2 * time.Millisecond

// Listener is one whose connections have places. Who has said nothing needs none, and who gets none
// waits for a while: so he does not come again at once.
type Listener struct {
	net.Listener
	file *os.File // a second descriptor of it
	raw  syscall.RawConn
	Options

	root, others line
	ready        chan accepted
	closed       chan struct{}
	once         sync.Once
}

// line is those who wait: root in one of his own, as the others' may be full, and long.
type line struct {
	of   *Listener
	most int

	mu      sync.Mutex
	waiting []*waits // the longest first
}

// Options of a listener.
type Options struct {
	// Peer is who is at the other end of a connection by a unix socket; nil: it is the address.
	Peer func(fd int) net.Addr
	// Who is which party that is, and Where its connections have their places.
	Who   func(net.Addr) Party
	Where func(Party) *Conns
	// Refuse says what one is told who has waited in vain; nil: nothing.
	Refuse func(error) string
}

type accepted struct {
	conn net.Conn
	err  error
}

// waits is a connection without a place: its descriptor, as there may be thousands.
type waits struct {
	fd    int
	file  *os.File // of it, once it is to be a connection
	from  net.Addr
	who   Party
	conns *Conns
	until time.Time
	spoke bool // there is something to read
	why   error
}

// Listen gives the connections of a listener places.
func Listen(l net.Listener, o Options) (*Listener, error) {
	f, ok := l.(interface{ File() (*os.File, error) })
	if !ok {
		return nil, fmt.Errorf("a %T has no descriptor", l)
	}
	file, err := f.File()
	if err != nil {
		return nil, err
	}
	raw, err := file.SyscallConn()
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	s := &Listener{Listener: l, file: file, raw: raw, Options: o, ready: make(chan accepted), closed: make(chan struct{})}
	s.root, s.others = line{of: s, most: maxWaiting()}, line{of: s, most: maxWaiting()}
	go s.run()
	return s, nil
}

// maxWaiting leaves most descriptors to the ports.
func maxWaiting() int {
	var files unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &files) != nil {
		return 0
	}
	return int(min(MaxWaiting, files.Cur/4))
}

// take takes the next connection from the kernel, and no more trouble with it than to find out whose it is.
func (l *Listener) take() (w *waits, err error) {
	var fd int
	var from unix.Sockaddr
	e := l.raw.Read(func(s uintptr) bool {
		fd, from, err = unix.Accept4(int(s), unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		return err != unix.EAGAIN
	})
	switch {
	case e != nil:
		return nil, e
	case err != nil:
		return nil, os.NewSyscallError("accept4", err)
	}
	w = &waits{fd: fd}
	switch a := from.(type) {
	case *unix.SockaddrInet4:
		w.from = &net.TCPAddr{IP: a.Addr[:], Port: a.Port}
	case *unix.SockaddrInet6:
		w.from = &net.TCPAddr{IP: a.Addr[:], Port: a.Port}
	default:
		w.from = l.Peer(fd)
	}
	w.who = l.Who(w.from)
	w.conns = l.Where(w.who)
	return w, nil
}

// conn makes a connection of it, if there is a descriptor for that.
func (w *waits) conn() (net.Conn, error) {
	if w.file == nil {
		w.file = os.NewFile(uintptr(w.fd), "")
	}
	c, err := net.FileConn(w.file)
	if err != nil {
		return nil, err
	}
	w.file.Close()
	if c, ok := c.(*net.TCPConn); ok {
		_ = c.SetWriteBuffer(writeBuffer)
	}
	return known{c, w.from}, nil
}

func (w *waits) close() {
	if w.file != nil {
		w.file.Close()
		return
	}
	unix.Close(w.fd)
}

// known is a connection of which is known who is at the other end.
type known struct {
	net.Conn
	from net.Addr
}

func (k known) RemoteAddr() net.Addr { return k.from }

func (k known) NetConn() net.Conn { return k.Conn }

// Accept returns the next connection that has a place.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case a := <-l.ready:
		return a.conn, a.err
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *Listener) give(a accepted) {
	select {
	case l.ready <- a:
	case <-l.closed:
		if a.conn != nil {
			a.conn.Close()
		}
	}
}

// run takes connections from the kernel, so that nobody stands in another's way there.
func (l *Listener) run() {
	for n := 1; ; n++ {
		w, err := l.take()
		if err == nil {
			l.admitOrWait(w)
			if n%takeMost == 0 {
				time.Sleep(takeMost * time.Second / TakeRate)
			}
			continue
		}
		select {
		case <-l.closed:
			return
		default: // it passes: there is no descriptor left, perhaps
			l.give(accepted{err: temporary{err}})
		}
	}
}

// temporary is an error after which a server tries again.
type temporary struct{ error }

func (temporary) Temporary() bool { return true }
func (temporary) Timeout() bool   { return false }

func (l *Listener) admitOrWait(w *waits) {
	now := time.Now()
	in := &l.others
	w.until = now.Add(WaitTime)
	if w.who == Root {
		in = &l.root
		w.until = now.Add(rootWaitTime)
	}
	if !w.hear() {
		w.close()
		return
	}
	if w.spoke {
		k, err := w.conns.Admit(w.conn, w.who, now)
		if err == nil {
			l.give(accepted{conn: k})
			return
		}
		w.why = err
	}
	for !in.add(w) {
		if w.who != Root { // who is never refused: the others wait for him to be taken
			w.conns.refused.Add(1)
			w.close()
			return
		}
		select {
		case <-time.After(sweepEvery):
		case <-l.closed:
			w.close()
			return
		}
	}
}

// hear notes whether the other end has said something; false if it is gone.
func (w *waits) hear() bool {
	var b [1]byte
	n, _, err := unix.Recvfrom(w.fd, b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
	w.spoke = n > 0
	return w.spoke || err == unix.EAGAIN
}

// add has a connection wait, if there are not too many that do.
func (l *line) add(w *waits) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.waiting) >= l.most {
		return false
	}
	l.waiting = append(l.waiting, w)
	w.conns.waiting.Add(1)
	if len(l.waiting) == 1 {
		go l.sweep()
	}
	return true
}

// sweep gives places to those who wait, in their order, and tells who has waited long enough. It ends
// when nobody waits.
func (l *line) sweep() {
	for n := 1; n > 0; {
		time.Sleep(sweepEvery * time.Duration(1+n/100))
		var admitted []*Conn
		admitted, n = l.admit(time.Now())
		for _, k := range admitted {
			l.of.give(accepted{conn: k})
		}
	}
}

func (l *line) admit(now time.Time) (admitted []*Conn, left int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.listen()
	none := map[Party]error{} // why
	l.waiting = slices.DeleteFunc(l.waiting, func(w *waits) bool {
		k := w.try(none, now)
		switch {
		case k != nil:
			admitted = append(admitted, k)
		case w.fd < 0: // gone
		case now.Before(w.until), w.who == Root && w.spoke:
			return false
		default:
			w.conns.refused.Add(1)
			go l.of.tell(w)
		}
		w.conns.waiting.Add(-1)
		return true
	})
	return admitted, len(l.waiting)
}

// try finds a place for who has said something, unless one of his party has found none.
func (w *waits) try(none map[Party]error, now time.Time) (k *Conn) {
	if !w.spoke || w.fd < 0 {
		return nil
	}
	if none[w.who] == nil {
		k, none[w.who] = w.conns.Admit(w.conn, w.who, now)
	}
	w.why = none[w.who]
	return k
}

// listen finds out who has spoken meanwhile, or is gone.
func (l *line) listen() {
	var silent []unix.PollFd
	var who []*waits
	for _, w := range l.waiting {
		if !w.spoke {
			silent, who = append(silent, unix.PollFd{Fd: int32(w.fd), Events: unix.POLLIN}), append(who, w)
		}
	}
	if n, _ := unix.Poll(silent, 0); n <= 0 {
		return
	}
	for i, p := range silent {
		if p.Revents != 0 && !who[i].hear() {
			who[i].close()
			who[i].fd = -1
		}
	}
}

// tell says why somebody gets no place, and hangs up.
func (l *Listener) tell(w *waits) {
	if l.Refuse == nil || !w.spoke {
		w.close()
		return
	}
	c, err := w.conn()
	if err != nil {
		w.close()
		return
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(time.Second))
	_, _ = c.Read(make([]byte, 4096)) // what was asked, as who hangs up before he has read it takes his answer back
	_, _ = io.WriteString(c, l.Refuse(w.why))
}

// Close implements net.Listener.
func (l *Listener) Close() error {
	l.once.Do(func() {
		close(l.closed)
		l.root.close()
		l.others.close()
	})
	return errors.Join(l.file.Close(), l.Listener.Close())
}

func (l *line) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, w := range l.waiting {
		w.close()
	}
	l.waiting = nil
}
