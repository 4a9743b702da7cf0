package host

import (
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vrouter/vrouter/internal/workload"
)

// rooms are threads in namespaces, with a socket each, for as long as some objects are settled: all that is done in a
// namespace is done by one.
type rooms map[workload.Namespace]*room

type room struct {
	*workload.Room // nil: here
	nl             *netlink.Handle
}

// in does it in a namespace; "" is the host's own.
func (h *Host) in(ns workload.Namespace, f func(*netlink.Handle) error) error {
	r, all := h.rooms[ns], h.rooms
	if all == nil { // for this alone
		all = rooms{}
		defer all.leave()
	}
	if r == nil {
		var err error
		if r, err = enter(ns); err != nil {
			return err
		}
		all[ns] = r
	}
	return r.do(func() error { return f(r.nl) })
}

func enter(ns workload.Namespace) (r *room, err error) {
	r = &room{}
	if ns != "" {
		if r.Room, err = ns.Enter(); err != nil {
			return nil, err
		}
	}
	err = r.do(func() (err error) {
		r.nl, err = netlink.NewHandle(unix.NETLINK_ROUTE)
		return err
	})
	if err != nil && r.Room != nil {
		r.Leave()
	}
	return r, err
}

func (r *room) do(f func() error) error {
	if r.Room == nil {
		return f()
	}
	return r.Room.Do(f)
}

func (all rooms) leave() {
	for _, r := range all {
		r.nl.Close()
		if r.Room != nil {
			r.Leave()
		}
	}
}
