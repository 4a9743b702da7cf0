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
				st.replaced = append(st.replaced, r.inWords())
			}
		case r.prefix.Bits() == 0:
			if st.def = s.leadsHere(r.index, index) && r.gateway == s.Gateway; !st.def {
				st.replaced = append(st.replaced, r.inWords())
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
	if it.theirs = it.following && s.letBe(&st); it.theirs {
		return nil
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

// letBe says whether somebody in the namespace has chosen another set-up while the interface stands: without its
// address, or with another route in the place of one of the router's. What the kernel took, as it does with the routes
// of an interface that is set down, nobody has chosen.
func (s *setup) letBe(st *state) bool {
	const mend = "; `vrouter reload` makes it as it was"
	switch {
	case !s.item.Stands:
		return false
	case !st.address:
		s.item.Note = fmt.Sprintf("%s has no longer %s", s.Name, s.Address) + mend
	case len(st.replaced) > 0:
		s.item.Note = "the namespace has the route " + st.replaced[0].Text + " in the place of the router's" + mend
	default:
		return false
	}
	return true
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
		err := s.fresh.Keep()
		if s.fresh = nil; err != nil {
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
