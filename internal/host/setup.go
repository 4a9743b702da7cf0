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
)

// state is what there is of a workload's set-up.
type state struct {
	missing   []netip.Prefix // of its addresses
	routes    []netip.Prefix // those of its routes that are not there
	old       []netip.Prefix // addresses that the router gave it, and that it is not to have any more
	others    []netip.Prefix // addresses that somebody else gave it
	replaced  []Route        // by its routes
	linkLocal []netip.Addr
}

// routesOf are the destinations of a workload's routes, in the order in which they are entered.
func (i *Interface) routesOf(family uint8) []netip.Prefix {
	switch {
	case !i.has(family):
		return nil
	case family == unix.AF_INET:
		return []netip.Prefix{netip.PrefixFrom(i.Gateway, 32), netip.PrefixFrom(netip.IPv4Unspecified(), 0)}
	}
	return []netip.Prefix{netip.PrefixFrom(netip.IPv6Unspecified(), 0)} // the gateway is on every link
}

func (i *Interface) wantsRoute(to netip.Prefix) bool {
	return slices.Contains(i.routesOf(familyOf(to.Addr())), to)
}

// routeOf is one of them: on the link, or the default by way of the gateway.
func routeOf(to netip.Prefix, gateway netip.Addr) *netlink.Route {
	r := &netlink.Route{Dst: ipNet(to), Scope: netlink.SCOPE_LINK, Priority: int(usualMetric(to.Addr()))}
	if to.Bits() == 0 {
		r.Scope, r.Gw = netlink.SCOPE_UNIVERSE, gateway.AsSlice()
	}
	return r
}

func (i *Interface) gateway(family netip.Addr) netip.Addr {
	if family.Is4() {
		return i.Gateway
	}
	return i.Gateway6
}

func (s *setup) there(l netlink.Link) (st state) {
	st.missing = slices.Clone(s.Addresses)
	for _, family := range families {
		s.readFamily(family, l, &st)
	}
	return st
}

// readFamily finds what there is of a family: where nothing of it is wanted, what the router has put there.
func (s *setup) readFamily(family uint8, l netlink.Link, st *state) {
	index := 0
	if l != nil {
		index = l.Attrs().Index
		_ = addresses(family, index, func(a netip.Prefix) bool {
			i := slices.Index(st.missing, a)
			switch {
			case i >= 0:
				st.missing = slices.Delete(st.missing, i, i+1)
			case family == unix.AF_INET6 && a.Addr().IsLinkLocalUnicast():
				st.linkLocal = append(st.linkLocal, a.Addr())
			case s.entry != nil && slices.Contains(s.entry.Addresses, a):
				st.old = append(st.old, a)
			case s.has(family):
				st.others = append(st.others, a)
			}
			return true
		})
	}
	missing, seen := s.routesOf(family), 0
	if len(missing) == 0 {
		return
	}
	_ = routes(family, func(r Route) bool {
		seen++
		i := slices.Index(missing, r.prefix)
		if i < 0 || r.metric != usualMetric(r.prefix.Addr()) {
			return family == unix.AF_INET6 || r.prefix.Addr().Compare(s.Gateway) <= 0
		}
		want := netip.Addr{}
		if r.prefix.Bits() == 0 {
			want = s.gateway(r.prefix.Addr())
		}
		if s.leadsHere(r.index, index) && r.gateway == want {
			missing = slices.Delete(missing, i, i+1)
		} else {
			st.replaced = append(st.replaced, r.inWords())
		}
		return true
	})
	if seen >= dumpLimit && family == unix.AF_INET6 { // the default route comes last: who has so many others sees to it himself
		missing = nil
	}
	st.routes = append(st.routes, missing...)
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
	if len(s.Addresses) == 0 {
		if s.IPv6 {
			s.speak(l)
		}
		if !it.Stands && (l == nil || l.Attrs().Flags&net.FlagUp == 0) {
			s.step(s.setUp, "set %s up", s.Name)
		}
		return nil
	}
	st := s.there(l)
	s.linkLocal = st.linkLocal
	if it.theirs = it.following && s.letBe(&st); it.theirs {
		return nil
	}
	s.entry.Addresses = slices.DeleteFunc(s.entry.Addresses, func(a netip.Prefix) bool { return !slices.Contains(s.Addresses, a) && !slices.Contains(st.old, a) })
	if s.has(unix.AF_INET6) {
		s.speak(l)
	}
	for _, a := range st.missing {
		if !slices.Contains(s.entry.Addresses, a) {
			s.entry.Addresses = append(s.entry.Addresses, a)
		}
		s.step(func(l netlink.Link) error { return s.addAddress(l, a) }, "give %s to %s", a, s.Name)
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
	for _, to := range s.entry.Routes {
		if !s.wantsRoute(to) {
			s.withdraw(to)
		}
	}
	for _, r := range s.entry.Replaced { // by a route that went with its interface
		if was, ok := parseRoute(r.Raw); ok && !s.wantsRoute(was.prefix) && !slices.Contains(s.entry.Routes, was.prefix) {
			s.step(func(netlink.Link) error { return s.item.entry.putBack(was.prefix) }, "put back the route %s", r.Text)
		}
	}
	s.entry.Gateway, s.entry.Gateway6 = s.Gateway, s.Gateway6
	for _, to := range st.routes {
		s.route(to)
	}
	return nil
}

// letBe says whether somebody in the namespace has chosen another set-up while the interface stands: without its
// address, or with another route in the place of one of the router's. What the kernel took, as it does with the routes
// of an interface that is set down, nobody has chosen.
func (s *setup) letBe(st *state) bool {
	const mend = "; `vrouter reload` makes it as it was"
	switch {
	case !s.item.Stands:
		return false
	case len(st.missing) > 0:
		s.item.Note = fmt.Sprintf("%s has no longer %s", s.Name, st.missing[0]) + mend
	case len(st.replaced) > 0:
		s.item.Note = "the namespace has the route " + st.replaced[0].Text + " in the place of the router's" + mend
	default:
		return false
	}
	return true
}

func (s *setup) route(to netip.Prefix) {
	if !slices.Contains(s.entry.Routes, to) {
		s.entry.Routes = append(s.entry.Routes, to)
	}
	s.step(func(l netlink.Link) error {
		r := routeOf(to, s.gateway(to.Addr()))
		r.LinkIndex = l.Attrs().Index
		if err := s.nl.RouteReplace(r); err != nil {
			return fmt.Errorf("%s: adding route %s: %w", s.Name, to, err)
		}
		return nil
	}, "route %s by %s", to, s.Name)
}

// withdraw takes a route back of a family of which the workload has no address any more.
func (s *setup) withdraw(to netip.Prefix) {
	r := routeOf(to, s.entry.gateway(to.Addr()))
	s.step(func(l netlink.Link) error {
		r.LinkIndex = l.Attrs().Index
		if err := s.nl.RouteDel(r); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("%s: taking back route %s: %w", s.Name, to, err)
		}
		e := s.item.entry
		e.Routes, e.line = slices.DeleteFunc(e.Routes, func(p netip.Prefix) bool { return p == to }), nil
		return e.putBack(to)
	}, "take back route %s by %s", to, s.Name)
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
		err := s.fresh.Keep()
		if s.fresh = nil; err != nil {
			return err
		}
		written()
	}
	it := s.item
	if !it.Stands {
		if s.Namespace == "" && !s.IPv6 {
			_ = mute.set(s.Name)
		}
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
	if e, kept := it.entry, func(a netip.Prefix) bool { return !slices.Contains(s.Addresses, a) }; slices.ContainsFunc(e.Addresses, kept) { // those that it is not to have any more are gone
		e.Addresses = slices.DeleteFunc(e.Addresses, kept)
		e.line = nil
	}
	it.LinkLocal = s.linkLocalOf(l)
	it.Index, it.MAC, it.Device, it.mtu, it.inode = s.entry.Index, packet.MAC(l.Attrs().HardwareAddr), l.Attrs().Name, s.MTU, s.inode
	return nil
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

func (s *setup) addAddress(l netlink.Link, a netip.Prefix) error {
	x := &netlink.Addr{IPNet: ipNet(a)}
	if a.Addr().Is6() {
		x.Flags = unix.IFA_F_NODAD // it can be used at once
	}
	if err := s.nl.AddrAdd(l, x); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("%s: adding address %s: %w", s.Name, a, err)
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
