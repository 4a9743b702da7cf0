package host

import (
	"errors"
	"sync"

	"golang.org/x/sys/unix"
)

// watch hears of changes in namespaces: a socket a namespace that has an interface, and one for nftables. What was
// said is not read; that something was said has somebody look. A socket that has told is silent until then,
// so that whoever makes changes all the time costs nothing but his own turn.
type watch struct {
	arrived chan struct{}

	epoll, wake int
	done        sync.WaitGroup

	mu      sync.Mutex
	sockets map[ID]int
	owners  map[int32]ID
	told    map[ID]bool
}

func newWatch() (w *watch, err error) {
	w = &watch{arrived: make(chan struct{}, 1), epoll: -1, sockets: map[ID]int{}, owners: map[int32]ID{}, told: map[ID]bool{}}
	if w.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return nil, err
	}
	if w.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err == nil {
		err = unix.EpollCtl(w.epoll, unix.EPOLL_CTL_ADD, w.wake, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(w.wake)})
	}
	if err != nil {
		w.free()
		return nil, err
	}
	w.done.Go(w.run)
	return w, nil
}

func (w *watch) run() {
	events := make([]unix.EpollEvent, 64)
	for {
		n, err := unix.EpollWait(w.epoll, events, -1)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return
		}
		w.mu.Lock()
		for _, e := range events[:max(n, 0)] {
			if e.Fd == int32(w.wake) {
				w.mu.Unlock()
				return
			}
			if id, ok := w.owners[e.Fd]; ok {
				w.told[id] = true
			}
		}
		w.mu.Unlock()
		select {
		case w.arrived <- struct{}{}:
		default:
		}
	}
}

// take hands over who has told something.
func (w *watch) take() (ids []ID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for id := range w.told {
		ids = append(ids, id)
	}
	clear(w.told)
	return ids
}

// groups are the notifications that are about an object's kind; 0: none. The host's own interfaces and routes
// are followed by whoever follows the host.
func groups(id ID) (protocol int, mask uint32) {
	switch {
	case id.Kind == KindInterface && id.Namespace != "":
		return unix.NETLINK_ROUTE, unix.RTMGRP_LINK | unix.RTMGRP_IPV4_IFADDR | unix.RTMGRP_IPV4_ROUTE | unix.RTMGRP_IPV6_IFADDR | unix.RTMGRP_IPV6_ROUTE
	case id.Kind == KindGuard:
		return unix.NETLINK_NETFILTER, 1 << (unix.NFNLGRP_NFTABLES - 1)
	}
	return 0, 0
}

// add begins to watch, from within the namespace. Where that cannot be had, for want of a descriptor, it is tried
// whenever the object is looked at.
func (w *watch) add(it *Item) {
	id := it.id()
	protocol, mask := groups(id)
	w.mu.Lock()
	_, there := w.sockets[id]
	w.mu.Unlock()
	if mask == 0 || there {
		return
	}
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, protocol)
	if err == nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 1) // the least there is: nobody reads it
		err = unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: mask})
	}
	if err == nil {
		err = unix.EpollCtl(w.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLONESHOT, Fd: int32(fd)})
	}
	it.dirty = true // something may have changed before, and who told it then is not known yet
	if err != nil {
		if fd >= 0 {
			unix.Close(fd)
		}
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sockets[id], w.owners[int32(fd)] = fd, id
}

// rearm has it tell again; what it has told so far is about to be looked at.
func (w *watch) rearm(it *Item) {
	w.mu.Lock()
	fd, ok := w.sockets[it.id()]
	w.mu.Unlock()
	if !ok {
		if it.Stands {
			_ = in(it.id().Namespace, func() error { w.add(it); return nil })
			it.dirty = false
		}
		return
	}
	buf := make([]byte, 1<<13)
	for range 64 { // it holds less
		if _, err := unix.Read(fd, buf); errors.Is(err, unix.EAGAIN) {
			break
		}
	}
	_ = unix.EpollCtl(w.epoll, unix.EPOLL_CTL_MOD, fd, &unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLONESHOT, Fd: int32(fd)})
}

func (w *watch) remove(it *Item) {
	if w == nil {
		return // nobody watches while things are taken back
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if fd, ok := w.sockets[it.id()]; ok {
		delete(w.sockets, it.id())
		delete(w.owners, int32(fd))
		unix.Close(fd)
	}
}

func (w *watch) close() {
	_, _ = unix.Write(w.wake, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	w.done.Wait()
	w.free()
}

func (w *watch) free() {
	for _, fd := range w.sockets {
		unix.Close(fd)
	}
	for _, fd := range []int{w.epoll, w.wake} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
}
