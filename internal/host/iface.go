package host

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vrouter/vrouter/internal/link"
	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/workload"
)

// Interface is a port's network end: a TAP whose other end the router reads. A workload's has the set-up of the
// tutorial: an address, the link route to the gateway and the default route by way of it.
type Interface struct {
	Namespace workload.Namespace // "": the host's own
	Name      string
	Address   netip.Prefix // invalid: it has none of the router's
	Gateway   netip.Addr
	MTU       int // bytes
	Offload   bool
	Workload  string
	Command   bool
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
			it.MAC, it.Device = s.mac, s.device
			return nil
		}
		return s.in(s.carryOut)
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
	item   *Item
	nl     *netlink.Handle // of the namespace
	inode  workload.Inode
	steps  []func(netlink.Link) error
	fresh  *link.Draft
	mac    packet.MAC // as it was found
	device string
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
	l, err := s.find(cookie)
	if err != nil {
		return err
	}
	it := s.item
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
	if t := l.(*netlink.Tuntap); t.NonPersist || l.Attrs().RawFlags&unix.IFF_LOWER_UP != 0 || !s.Address.IsValid() {
		return false
	}
	has := s.has(l)
	return has.address && has.link && has.def
}

// state is what there is of a workload's set-up.
type state struct {
	address, link, def bool
	old                []netip.Prefix // addresses that the router gave it, and that it is not to have any more
	others             []netip.Prefix // addresses that somebody else gave it
	replaced           []Route        // by its routes
}

func (s *setup) has(l netlink.Link) (st state) {
	index := 0
	if l != nil {
		index = l.Attrs().Index
		_ = addresses(index, func(a netip.Prefix) bool {
			switch {
			case a == s.Address:
				st.address = true
			case s.entry != nil && slices.Contains(s.entry.Addresses, a):
				st.old = append(st.old, a)
			default:
				st.others = append(st.others, a)
			}
			return true
		})
	}
	gateway := netip.PrefixFrom(s.Gateway, 32)
	_ = routes(func(r Route) bool {
		switch {
		case r.metric != 0:
		case r.prefix == gateway:
			if st.link = s.leadsHere(r.index, index) && !r.gateway.IsValid(); !st.link {
				st.replaced = append(st.replaced, r)
			}
		case r.prefix.Bits() == 0:
			if st.def = s.leadsHere(r.index, index) && r.gateway == s.Gateway; !st.def {
				st.replaced = append(st.replaced, r)
			}
		}
		return r.prefix.Addr().Compare(s.Gateway) <= 0
	})
	return st
}

// leadsHere says whether a route leads out of the interface with this index or, where a namespace has several workloads,
// by another one's: the first has the routes.
func (s *setup) leadsHere(out, index int) bool {
	if out == index && index != 0 {
		return true
	}
	for id, it := range s.item.host.items {
		if it.Stands && it.Index == out && id.Kind == KindInterface && id.Namespace == s.Namespace {
			return true
		}
	}
	return false
}

// want compares what there is with what is to be: nil if there is no interface yet.
func (s *setup) want(l netlink.Link) error {
	it := s.item
	if !it.Stands || it.mtu != s.MTU {
		if l == nil || l.Attrs().MTU != s.MTU {
			s.step(s.setMTU, "set mtu %d of %s", s.MTU, s.Name)
		}
	}
	if it.Note = ""; l != nil && l.Attrs().MasterIndex != 0 {
		it.Note = fmt.Sprintf("%s is a port of a bridge, or the like, of the workload's own, which has its address and its routes", s.Name)
		return nil
	}
	if !s.Address.IsValid() {
		if !it.Stands && (l == nil || l.Attrs().Flags&net.FlagUp == 0) {
			s.step(s.setUp, "set %s up", s.Name)
		}
		return nil
	}
	st := s.has(l)
	if bare := it.Stands && !st.address; bare != it.bare {
		it.bare = bare
		if bare { // at its next turn: somebody may be about to give it to another interface
			it.dirty = true
			return nil
		}
	}
	s.entry.Addresses = slices.DeleteFunc(s.entry.Addresses, func(a netip.Prefix) bool { return a != s.Address && !slices.Contains(st.old, a) })
	if !st.address {
		if !slices.Contains(s.entry.Addresses, s.Address) {
			s.entry.Addresses = append(s.entry.Addresses, s.Address)
		}
		s.step(s.addAddress, "give %s to %s", s.Address, s.Name)
	}
	// The new one first: with the last address of an interface the kernel takes its routes.
	for _, a := range st.old {
		s.step(func(l netlink.Link) error { return s.delAddress(l, a) }, "take address %s from %s", a, s.Name)
	}
	if l != nil && s.entry.Found && !it.Stands { // what the workload adds to its own later is its affair
		for _, a := range st.others {
			s.step(func(l netlink.Link) error { return s.delAddress(l, a) }, "replace address %s of %s", a, s.Name)
			if !slices.Contains(s.entry.Former, a) {
				s.entry.Former = append(slices.Clone(s.entry.Former), a)
			}
		}
	}
	up := l != nil && l.Attrs().Flags&net.FlagUp != 0
	if !up && it.Stands {
		return nil // somebody has set it down; its routes are for when it is up again
	}
	if !up {
		s.step(s.setUp, "set %s up", s.Name)
	}
	for _, r := range st.replaced {
		s.say("replace the route %s", r.Text)
		s.entry.replace(r)
	}
	s.entry.Gateway = s.Gateway
	s.route(st.link, netip.PrefixFrom(s.Gateway, 32), &netlink.Route{Scope: netlink.SCOPE_LINK})
	s.route(st.def, netip.PrefixFrom(netip.IPv4Unspecified(), 0), &netlink.Route{Gw: s.Gateway.AsSlice()})
	return nil
}

func (s *setup) route(there bool, to netip.Prefix, r *netlink.Route) {
	if there {
		return
	}
	if !slices.Contains(s.entry.Routes, to) {
		s.entry.Routes = append(s.entry.Routes, to)
	}
	s.step(func(l netlink.Link) error {
		r.LinkIndex, r.Dst = l.Attrs().Index, ipNet(to)
		if err := s.nl.RouteReplace(r); err != nil {
			return fmt.Errorf("%s: adding route %s: %w", s.Name, to, err)
		}
		return nil
	}, "route %s by %s", to, s.Name)
}

func (s *setup) rename(from string) {
	s.step(func(l netlink.Link) error {
		err := s.nl.LinkSetName(l, s.Name)
		if errors.Is(err, unix.EBUSY) { // before Linux 6.2 only while it is down
			err = errors.Join(s.nl.LinkSetDown(l), s.nl.LinkSetName(l, s.Name), s.nl.LinkSetUp(l))
		}
		if err != nil {
			s.item.Note = fmt.Sprintf("%s was renamed to %s, and cannot be renamed back: %v", s.Name, from, err)
		}
		return nil
	}, "rename %s to %s, as it was", from, s.Name)
}

func (s *setup) makeTAP() (err error) {
	if s.fresh, err = link.NewTAP(s.Name); err == nil {
		s.entry.Index = s.fresh.Index
	}
	return err
}

// carryOut does what is to be done; the TAP first, so that nobody else's is touched.
func (s *setup) carryOut() error {
	if s.fresh != nil {
		if err := s.fresh.Keep(); err != nil {
			return err
		}
		written()
	}
	it := s.item
	if !it.Stands {
		s.quiet()
		l, err := s.nl.LinkByIndex(s.entry.Index)
		if err != nil {
			return err
		}
		if it.TAP, err = link.OpenTAP(l.Attrs().Name, s.entry.Index, s.Offload); err != nil {
			it.TAP = nil
			return err
		}
		defer it.host.watch.add(it)
	}
	l, err := s.nl.LinkByIndex(s.entry.Index)
	for _, step := range s.steps {
		if err == nil {
			err = step(l)
			written()
		}
	}
	if err == nil {
		l, err = s.nl.LinkByIndex(s.entry.Index) // as it is now
	}
	if err != nil {
		it.closeUnlessStands()
		return err
	}
	if e := it.entry; len(e.Addresses) > 1 { // the one that it is not to have any more is gone
		e.Addresses = slices.DeleteFunc(e.Addresses, func(a netip.Prefix) bool { return a != s.Address })
		e.line = nil
	}
	it.Index, it.MAC, it.Device, it.mtu, it.inode = s.entry.Index, packet.MAC(l.Attrs().HardwareAddr), l.Attrs().Name, s.MTU, s.inode
	return nil
}

// quiet keeps the host's own port from announcing what nobody asked for; where that can't be set, the
// router drops it.
func (s *setup) quiet() {
	if s.Namespace == "" {
		_ = os.WriteFile("/proc/sys/net/ipv6/conf/"+s.Name+"/disable_ipv6", []byte("1"), 0o644)
	}
}

func (s *setup) setMTU(l netlink.Link) error {
	if err := s.nl.LinkSetMTU(l, s.MTU); err != nil {
		return fmt.Errorf("%s: setting mtu %d: %w", s.Name, s.MTU, err)
	}
	return nil
}

func (s *setup) setUp(l netlink.Link) error {
	if err := s.nl.LinkSetUp(l); err != nil {
		return fmt.Errorf("%s: setting it up: %w", l.Attrs().Name, err)
	}
	return nil
}

func (s *setup) addAddress(l netlink.Link) error {
	if err := s.nl.AddrAdd(l, &netlink.Addr{IPNet: ipNet(s.Address)}); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("%s: adding address %s: %w", s.Name, s.Address, err)
	}
	return nil
}

// delAddress leaves the workload those that it has beside it in one subnet, which the kernel would else take too.
func (s *setup) delAddress(l netlink.Link, a netip.Prefix) error {
	_ = os.WriteFile("/proc/sys/net/ipv4/conf/"+l.Attrs().Name+"/promote_secondaries", []byte("1"), 0o644)
	if err := s.nl.AddrDel(l, &netlink.Addr{IPNet: ipNet(a)}); err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) {
		return fmt.Errorf("%s: removing the old address %s: %w", s.Name, a, err)
	}
	return nil
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
		r := netlink.Route{LinkIndex: e.Index, Dst: ipNet(to), Scope: netlink.SCOPE_LINK}
		if to.Bits() == 0 {
			r.Scope, r.Gw = netlink.SCOPE_UNIVERSE, e.Gateway.AsSlice()
		}
		if err := netlink.RouteDel(&r); err != nil && !errors.Is(err, unix.ESRCH) {
			errs = append(errs, err)
		}
	}
	for _, a := range e.Addresses {
		errs = append(errs, s.delAddress(l, a))
	}
	written()
	for _, a := range e.Former {
		s.Address = a
		errs = append(errs, s.addAddress(l))
	}
	return errors.Join(errs...)
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
