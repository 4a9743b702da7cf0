package hostroutes

import (
	"errors"
	"net/netip"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// News is what the kernel told, since somebody last took it.
type News struct {
	Changes []Change // of routes and nexthop objects
	// Links are the indices of interfaces that changed, or whose addresses did; true: routes go
	// without a word, as it went down, or away, or lost an address.
	Links map[int]bool
	Gone  []netip.Addr // IPv4 addresses that an interface lost
}

func (n *News) touch(link int, lost bool) {
	if n.Links == nil {
		n.Links = map[int]bool{}
	}
	n.Links[link] = n.Links[link] || lost
}

const (
	// socketBuffer in bytes is what the kernel keeps of notifications while nobody reads. It counts
	// some 800 for a route, and takes twice what is asked for.
	socketBuffer = 32 << 20
	// readAtOnce is how many notifications are handed over together.
	readAtOnce = 4096
)

// Subscription is to changes of routes, nexthop objects, interfaces and their addresses: by one socket,
// so that they come in their order.
type Subscription struct {
	file *os.File
	conn syscall.RawConn
	buf  []byte
}

// ErrOverrun says that the kernel had no room for a notification. What came before the next call is
// unknown.
var ErrOverrun = errors.New("the kernel had more news than fit into the socket")

// Subscribe begins one, in the network namespace of the calling thread.
func Subscribe() (*Subscription, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	s := &Subscription{file: os.NewFile(uintptr(fd), "rtnetlink"), buf: make([]byte, 1<<16)}
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, socketBuffer) != nil { // without CAP_NET_ADMIN, up to the system's limit
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, socketBuffer)
	}
	groups := uint32(0)
	for _, g := range []int{unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_IFADDR, unix.RTNLGRP_IPV6_ROUTE, unix.RTNLGRP_NEXTHOP} {
		groups |= 1 << (g - 1)
	}
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: groups})
	}
	if err == nil {
		s.conn, err = s.file.SyscallConn()
	}
	if err != nil {
		s.file.Close()
		return nil, err
	}
	return s, nil
}

// Close ends it, and a Read that waits.
func (s *Subscription) Close() error { return s.file.Close() }

// Read waits for news, and returns what there is. An overrun is ErrOverrun; with any other error
// the subscription has ended.
func (s *Subscription) Read() (n News, err error) {
	var failed error
	if err := s.conn.Read(func(fd uintptr) bool {
		for range readAtOnce {
			if failed = s.receive(int(fd), &n); failed != nil && failed != unix.EINTR {
				break
			}
		}
		return failed != unix.EAGAIN || n.Changes != nil || n.Links != nil
	}); err != nil {
		return News{}, err
	}
	switch failed {
	case nil, unix.EAGAIN, unix.EINTR:
		return n, nil
	case unix.ENOBUFS, unix.EMSGSIZE:
		return News{}, s.drain()
	}
	return News{}, os.NewSyscallError("read", failed)
}

// receive reads one datagram.
func (s *Subscription) receive(fd int, n *News) error {
	size, err := unix.Read(fd, s.buf)
	if err != nil {
		return err
	}
	all, whole := messages(s.buf[:size])
	for m := range all {
		n.read(&m)
	}
	if !whole() {
		return unix.EMSGSIZE
	}
	return nil
}

// drain reads until there is nothing: before that the kernel adds no more, once it had no
// room.
func (s *Subscription) drain() error {
	err := s.conn.Read(func(fd uintptr) bool {
		for err := error(nil); err == nil || err == unix.ENOBUFS || err == unix.EINTR; {
			_, err = unix.Read(int(fd), s.buf)
		}
		return true
	})
	if err != nil {
		return err
	}
	return ErrOverrun
}

func (n *News) read(m *message) {
	switch m.kind {
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		if len(m.body) < unix.SizeofIfInfomsg || m.body[0] == unix.AF_BRIDGE { // of a bridge's port: it left the bridge
			return
		}
		up := m.kind == unix.RTM_NEWLINK && native.Uint32(m.body[8:])&unix.IFF_UP != 0
		n.touch(int(native.Uint32(m.body[4:])), !up)
	case unix.RTM_NEWADDR, unix.RTM_DELADDR:
		if len(m.body) < unix.SizeofIfAddrmsg {
			return
		}
		gone := m.kind == unix.RTM_DELADDR
		n.touch(int(native.Uint32(m.body[4:])), gone)
		for kind, v := range attributes(m.body[unix.SizeofIfAddrmsg:]) {
			if a := address(v); gone && kind == unix.IFA_LOCAL && a.Is4() {
				n.Gone = append(n.Gone, a)
			}
		}
	default:
		if c, ok := readChange(m); ok {
			n.Changes = append(n.Changes, c)
		}
	}
}
