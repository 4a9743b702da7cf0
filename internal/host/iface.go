package host

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vrouter/vrouter/internal/link"
	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/workload"
)

// Interface is a port's network end: a TAP whose other end the router reads. A workload's has the set-up of the
// tutorial: addresses; with IPv4 the link route to the gateway and the default route by way of it, with IPv6 the
// default route by way of the gateway's link-local address.
type Interface struct {
	Namespace workload.Namespace // "": the host's own
	Name      string
	Addresses []netip.Prefix // none: it has none of the router's
	Gateway   netip.Addr
	Gateway6  netip.Addr
	IPv6      bool // the host's own speaks it; a workload's does if it has an address
	MTU       int  // bytes
	Offload   bool
	Workload  string
	Command   bool
	Container *Container // that it is of; its namespace is then the only one that it is ever in
	Netns     uint64     // by its cookie
}

// ID implements Object.
func (i *Interface) ID() ID { return ID{Kind: KindInterface, Name: i.Name, Namespace: i.Namespace} }

// For implements Object.
func (i *Interface) For() (string, bool) { return i.Workload, i.Command }

func (i *Interface) grows(from Object) bool {
	was := *from.(*Interface)
	was.MTU, was.Command = i.MTU, i.Command
	return same(&was, i)
}

func in(ns workload.Namespace, f func() error) error {
	if ns == "" {
		return f()
	}
	return ns.Do(f)
}

// has says whether it is to have addresses of a family.
func (i *Interface) has(family uint8) bool {
	return slices.ContainsFunc(i.Addresses, func(a netip.Prefix) bool { return familyOf(a.Addr()) == family })
}

// inode is zero for the host's own namespace, which no router outlives.
func inodeOf(ns workload.Namespace) (workload.Inode, error) {
	if ns == "" {
		return workload.Inode{}, nil
	}
	return ns.Inode()
}

func (i *Interface) look(it *Item) (d *deeds, err error) {
	inode, err := inodeOf(i.Namespace)
	if err != nil || it.Stands && inode != it.inode {
		it.lose("its namespace was removed; it is attached again as soon as there is one")
	}
	if err != nil {
		return nil, &Waits{err}
	}
	s := setup{Interface: i, item: it, deeds: &deeds{}}
	s.do = func() error {
		if it.Stands && len(s.steps) == 0 {
			it.MAC, it.Device, it.LinkLocal = s.mac, s.device, s.linkLocal
			return nil
		}
		err := s.in(s.carryOut)
		if s.fresh != nil { // nobody has come to keep it
			s.fresh.Drop()
		}
		return err
	}
	if err := it.host.in(i.Namespace, func(nl *netlink.Handle) error {
		s.nl = nl
		return s.examine()
	}); err != nil {
		return nil, err
	}
	s.inode = inode
	return s.deeds, nil
}

// setup is what an interface has, and what is to be done with it. Its methods run in the namespace.
type setup struct {
	*Interface
	*deeds
	item  *Item
	nl    *netlink.Handle // of the namespace
	inode workload.Inode
	steps []func(netlink.Link) error
	fresh *link.Draft
	// As it was found.
	mac       packet.MAC
	device    string
	linkLocal []netip.Addr
}

// in does it in the namespace that was looked at, not in another one that has its name by now.
func (s *setup) in(f func() error) error {
	return s.item.host.in(s.Namespace, func(nl *netlink.Handle) error {
		s.nl = nl
		cookie, err := workload.Cookie()
		if err == nil && cookie != s.entry.Netns {
			err = fmt.Errorf("%s: another namespace has that name now", s.Namespace)
		}
		if err != nil {
			return err
		}
		return f()
	})
}

func (s *setup) step(f func(netlink.Link) error, format string, args ...any) {
	s.say(format, args...)
	s.steps = append(s.steps, f)
}

func (s *setup) examine() error {
	cookie, err := workload.Cookie()
	if err != nil {
		return err
	}
	if s.Container != nil && cookie != s.Netns {
		return &Waits{fmt.Errorf("%s: the container's namespace is gone, and another one has its name", s.Namespace)}
	}
	l, err := s.find(cookie)
	if err != nil {
		return err
	}
	it := s.item
	if l != nil && s.Container != nil && it.entry == nil {
		return fmt.Errorf("%s exists in %s: remove it, or give the container's interface another name", s.Name, s.Namespace)
	}
	switch entry := it.entry; {
	case l == nil:
		s.entry = &Entry{Netns: cookie}
		s.say("make interface %s in %s", s.Name, place(s.Namespace))
		s.draft = func() error { return s.in(s.makeTAP) }
		s.drop = func() { s.fresh.Drop() }
	case entry != nil && entry.Netns == cookie && entry.Index == l.Attrs().Index:
		copied := *entry
		s.entry = &copied
	default:
		s.entry = &Entry{Netns: cookie, Index: l.Attrs().Index}
		s.entry.Found = !s.ours(l)
	}
	if entry := it.entry; entry != nil && entry.Netns == cookie && entry.Index != s.entry.Index { // its interface was deleted
		s.entry.Replaced = slices.Clone(entry.Replaced)
	}
	s.entry.Container = s.Container
	s.entry.Addresses, s.entry.Routes = slices.Clone(s.entry.Addresses), slices.Clone(s.entry.Routes)
	if l == nil {
		return s.want(nil)
	}
	attrs := l.Attrs()
	if !it.Stands && it.TAP == nil && attrs.RawFlags&unix.IFF_LOWER_UP != 0 {
		return fmt.Errorf("TAP %s is in use: another router, or another program, reads it; stop that one first: %w", attrs.Name, unix.EBUSY)
	}
	if attrs.Name != s.Name {
		s.rename(attrs.Name)
	}
	s.mac, s.device = packet.MAC(attrs.HardwareAddr), attrs.Name
	return s.want(l)
}

func place(ns workload.Namespace) string {
	if ns == "" {
		return "the host's namespace"
	}
	return string(ns)
}

// find is the interface that stands or, if none does, the TAP of that name or the recorded one under another
// name; nil if there is none.
func (s *setup) find(cookie uint64) (netlink.Link, error) {
	it := s.item
	if it.Stands {
		l, err := s.nl.LinkByIndex(it.Index)
		if err == nil {
			return l, nil
		}
		if !errors.As(err, &netlink.LinkNotFoundError{}) {
			return nil, err
		}
		if it.TAP != nil && !it.entry.Found {
			it.TAP.Forget() // it may have been moved to another namespace
		}
		const why = "its interface was removed, or moved to another namespace; it is made again"
		it.lose(why)
		return nil, &Waits{errors.New(why)} // at its next turn: somebody may be at it
	}
	l, err := s.nl.LinkByName(s.Name)
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		if e := it.entry; e != nil && e.Netns == cookie {
			if l, err := s.nl.LinkByIndex(e.Index); err == nil && isTAP(l) {
				return l, nil
			}
		}
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if !isTAP(l) {
		return nil, fmt.Errorf("%s exists and is no TAP; remove it (ip link del %s) or configure another interface name", s.Name, s.Name)
	}
	return l, nil
}

func isTAP(l netlink.Link) bool {
	t, ok := l.(*netlink.Tuntap)
	return ok && t.Mode == netlink.TUNTAP_MODE_TAP
}

// ours says whether a TAP that no record tells of can only be a router's, of a version that wrote none: nobody
// reads it, it stays by itself, and it has all that a router gives to a workload.
func (s *setup) ours(l netlink.Link) bool {
	if t := l.(*netlink.Tuntap); t.NonPersist || l.Attrs().RawFlags&unix.IFF_LOWER_UP != 0 || len(s.Addresses) == 0 {
		return false
	}
	has := s.there(l)
	return len(has.missing) == 0 && len(has.routes) == 0
}

// removeInterface removes what the router made, takes its set-up back from what it found, and puts back
// what it replaced.
func removeInterface(e *Entry) error {
	if e.Namespace != "" {
		cookie, err := e.Namespace.Cookie()
		if errors.Is(err, workload.ErrNone) || err == nil && cookie != e.Netns {
			return nil // it went with its namespace
		}
		if err != nil {
			return err
		}
	}
	return in(e.Namespace, func() error {
		err := e.takeBack()
		written()
		return errors.Join(err, e.putBackAll())
	})
}

func (e *Entry) takeBack() error {
	l, err := netlink.LinkByIndex(e.Index)
	if errors.As(err, &netlink.LinkNotFoundError{}) || err == nil && !isTAP(l) {
		return nil
	}
	if err != nil {
		return err
	}
	if l.Attrs().RawFlags&unix.IFF_LOWER_UP != 0 {
		return fmt.Errorf("%s: somebody reads it; not removed", e.ID)
	}
	if !e.Found {
		return netlink.LinkDel(l)
	}
	nl, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer nl.Close()
	s := setup{Interface: &Interface{Name: l.Attrs().Name}, nl: nl}
	var errs []error
	for _, to := range e.Routes {
		r := routeOf(to, e.gateway(to.Addr()))
		r.LinkIndex = e.Index
		if err := netlink.RouteDel(r); err != nil && !errors.Is(err, unix.ESRCH) {
			errs = append(errs, err)
		}
	}
	for _, a := range e.Addresses {
		errs = append(errs, s.delAddress(l, a))
	}
	written()
	for _, a := range e.Former {
		errs = append(errs, s.addAddress(l, a))
	}
	e.putBackSettings(l.Attrs().Name)
	return errors.Join(errs...)
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
