package doctor

import (
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vrouter/vrouter/internal/config"
	"github.com/vrouter/vrouter/internal/hostroutes"
	"github.com/vrouter/vrouter/internal/verdict"
)

// subnets are what an interface has on its link by its addresses, with the address there.
func subnets(l netlink.Link) (all []subnet, err error) {
	for _, family := range families {
		list, err := netlink.AddrList(l, family)
		if err != nil {
			return all, err
		}
		for _, a := range list {
			on := a.IPNet
			if a.Peer != nil {
				on = a.Peer
			}
			all = append(all, subnet{prefixOf(on, family).Masked(), prefixOf(a.IPNet, family).Addr()})
		}
	}
	return all, nil
}

var families = []int{unix.AF_INET, unix.AF_INET6}

// prefixOf is everything of a family where there is none.
func prefixOf(n *net.IPNet, family int) netip.Prefix {
	if n == nil {
		if family == unix.AF_INET6 {
			return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
		}
		return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	}
	a, _ := netip.AddrFromSlice(n.IP)
	bits, _ := n.Mask.Size()
	return netip.PrefixFrom(a.Unmap(), bits)
}

// speaksIPv6 says whether the configuration has anything of IPv6.
func (h *Host) speaksIPv6() bool {
	for _, w := range h.Config.Workloads {
		for _, a := range w.Addresses {
			if a.Addr().Is6() {
				return true
			}
		}
	}
	for r := range h.Config.Routes.All {
		if r.To.Addr().Is6() || r.Via.Is6() {
			return true
		}
	}
	return false
}

// tunnelsIPv6 says whether all routes of IPv6 go through tunnels of IPv4: the uplink needs nothing of it then.
func (h *Host) tunnelsIPv6() (all bool) {
	for r := range h.Config.Routes.All {
		if r.Via.Is6() {
			return false
		}
		all = all || r.To.Addr().Is6() && r.Via.Is4()
	}
	return all && len(h.Config.Kernel.Import) == 0
}

type subnet struct {
	netip.Prefix
	own netip.Addr
}

// end is the other one of a tunnel: an example of a route by it, and what goes around the packets there.
type end struct {
	to    netip.Prefix
	encap string
}

// words are those of the tunnel, and of the reason for which a host drops what is from a stranger.
func (e end) words() (tunnel, reason string) {
	if e.encap == config.EncapVXLAN {
		return "VXLAN", verdict.VXLANUnknownPeer.String()
	}
	return "IP-in-IP", verdict.IPIPUnknownPeer.String()
}

// hops are the next hops of the configuration's routes that are no workloads, with an example of a
// route by each, and those of them to whom packets go in a tunnel, by each encapsulation.
func (h *Host) hops(on []subnet) (plain map[netip.Addr]netip.Prefix, ends map[netip.Addr][]end) {
	plain, ends = map[netip.Addr]netip.Prefix{}, map[netip.Addr][]end{}
	near := func(a netip.Addr) bool {
		return slices.ContainsFunc(on, func(s subnet) bool { return s.Contains(a) }) || h.onLink(a)
	}
	workloads := map[netip.Addr]bool{}
	for _, w := range h.Config.Workloads {
		for _, a := range w.Addresses {
			workloads[a.Addr()] = true
		}
	}
	for r := range h.Config.Routes.All {
		if !r.Via.IsValid() || workloads[r.Via] {
			continue
		}
		if r.Via.Is6() && r.Via.IsLinkLocalUnicast() {
			continue // on the link, whoever that is
		}
		if encap := h.Config.EncapTo(r.Via, r.Encap, near); encap == config.EncapNone {
			plain[r.Via] = r.To
		} else if !slices.ContainsFunc(ends[r.Via], func(e end) bool { return e.encap == encap }) {
			ends[r.Via] = append(ends[r.Via], end{r.To, encap})
		}
	}
	return plain, ends
}

// way is how the host reaches an address by the uplink, if it does.
func (h *Host) way(a netip.Addr) (w hostroutes.Way, ok bool) {
	w, err := hostroutes.Get(a)
	if err != nil {
		return w, false
	}
	l, err := h.link()
	return w, err == nil && w.Link == l.Attrs().Index
}

func (h *Host) onLink(a netip.Addr) bool {
	w, ok := h.way(a)
	return ok && w.OnLink(a)
}

// nextHops: those that the router cannot reach, so that what goes there is dropped.
func nextHops(h *Host) (found []Finding, err error) {
	l, err := h.link()
	if err != nil {
		return nil, err
	}
	on, err := subnets(l)
	if err != nil || len(on) == 0 { // of an uplink without address its own check speaks
		return nil, err
	}
	name := h.Config.Uplink.Interface
	inSubnet := func(a netip.Addr) bool { return slices.ContainsFunc(on, func(s subnet) bool { return s.Contains(a) }) }
	plain, ends := h.hops(on)
	for _, s := range on {
		list := ends[s.own]
		if to := plain[s.own]; to.IsValid() {
			list = append(list, end{to: to})
		}
		for _, e := range list {
			found = append(found, Finding{
				State: Fail, Means: fmt.Sprintf("%s, the next hop of the route to %s, is this host itself: nobody answers for it", s.own, e.to),
				Mend: "name the other host as `via` of that route",
			})
		}
	}
	for _, a := range slices.SortedFunc(maps.Keys(plain), netip.Addr.Compare) {
		if !inSubnet(a) && !h.onLink(a) {
			found = append(found, Finding{
				State: Fail, Means: fmt.Sprintf("%s, the next hop of the route to %s, is not on the link of %s: the route is not used", a, plain[a], name),
				Mend: fmt.Sprintf("ip route add %s dev %s   # if it is on that link; else give the route another next hop, or an encapsulation", a, name),
			})
		}
	}
	for _, a := range slices.SortedFunc(maps.Keys(ends), netip.Addr.Compare) {
		if _, ok := h.way(a); !inSubnet(a) && !ok {
			found = append(found, Finding{
				State: Fail, Means: fmt.Sprintf("the host has no way by %s to %s, the tunnel's end for the route to %s: what goes there is dropped (no_route)", name, a, ends[a][0].to),
				Mend: fmt.Sprintf("ip route add %s via GATEWAY dev %s", a, name),
			})
		}
	}
	return found, nil
}

// tunnelSource: a host that has several addresses is known to each of the others by one of them, and
// what comes from another one is dropped there (ipip_unknown_peer, vxlan_unknown_peer).
func tunnelSource(h *Host) (found []Finding, err error) {
	l, err := h.link()
	if err != nil {
		return nil, err
	}
	on, err := subnets(l)
	if err != nil || len(on) == 0 {
		return nil, err
	}
	for _, source := range h.Config.IPIP.Source {
		if f, wrong := h.misplaced(source, l); wrong {
			return []Finding{f}, nil
		}
	}
	_, ends := h.hops(on)
	for _, a := range slices.SortedFunc(maps.Keys(ends), netip.Addr.Compare) {
		for _, e := range ends[a] {
			if f, doubtful := h.knownAs(a, e, on); doubtful {
				return []Finding{f}, nil // one is enough to see why
			}
		}
	}
	return nil, nil
}

// misplaced says that ipip.source is not on the uplink.
func (h *Host) misplaced(source netip.Addr, uplink netlink.Link) (Finding, bool) {
	name := uplink.Attrs().Name
	list, err := netlink.AddrList(nil, netlink.FAMILY_ALL)
	at := slices.IndexFunc(list, func(a netlink.Addr) bool { return a.IP.Equal(net.IP(source.AsSlice())) })
	switch {
	case err != nil:
		return Finding{State: Fail, Means: fmt.Sprintf("listing the host's addresses: %v", err)}, true
	case at < 0:
		return Finding{
			State: Fail, Means: fmt.Sprintf("ipip.source %s is no address of this host: the answers do not come here", source),
			Mend: fmt.Sprintf("ip addr add %s/%d dev %s   # or name an address of %s as ipip.source", source, source.BitLen(), name, name),
		}, true
	case list[at].LinkIndex != uplink.Attrs().Index:
		where, err := netlink.LinkByIndex(list[at].LinkIndex)
		if err != nil {
			return Finding{}, false
		}
		return Finding{
			State: Warn, Means: fmt.Sprintf("ipip.source %s is on %s, not on %s: the other hosts need a route to it, and it has to be their next hop, or among their peers", source, where.Attrs().Name, name),
			Mend: "ip route get " + source.String() + "   # on each of the other hosts: it has to lead here",
		}, true
	}
	return Finding{}, false
}

// nearest are the smallest subnets that contain an address; all of its family, if none does.
func nearest(a netip.Addr, on []subnet) (near []subnet) {
	on = slices.DeleteFunc(slices.Clone(on), func(s subnet) bool {
		return s.own.Is4() != a.Is4() || s.own.Is6() && s.own.IsLinkLocalUnicast()
	})
	for _, s := range on {
		switch {
		case !s.Contains(a) || len(near) > 0 && s.Bits() < near[0].Bits():
		case len(near) > 0 && s.Bits() > near[0].Bits():
			near = []subnet{s}
		default:
			near = append(near, s)
		}
	}
	if near == nil {
		return on
	}
	return near
}

// knownAs says that the other end of a tunnel may know this host by another address than its
// packets come from: by that in the same subnet.
func (h *Host) knownAs(a netip.Addr, e end, on []subnet) (Finding, bool) {
	near, source := nearest(a, on), h.Config.IPIP.Source.Of(a)
	tunnel, reason := e.words()
	switch {
	case len(near) == 0: // of an end that there is no way to another check speaks
	case !source.IsValid() && len(near) > 1:
		return Finding{
			State: Warn, Means: fmt.Sprintf("%s to %s comes from %s, and this host is %s as well: if %s knows it by that, it drops it (%s)", tunnel, a, near[0].own, near[1].own, a, reason),
			Mend: fmt.Sprintf("set ipip.source to the address that is the next hop of the other hosts' routes, %s or %s", near[0].own, near[1].own),
		}, true
	case source.IsValid() && near[0].Contains(a) && !slices.ContainsFunc(near, func(s subnet) bool { return s.own == source }):
		return Finding{
			State: Warn, Means: fmt.Sprintf("%s to %s comes from ipip.source %s, and this host is %s in that subnet: if %s knows it by that, it drops it (%s)", tunnel, a, source, near[0].own, a, reason),
			Mend: fmt.Sprintf("let the routes of %s lead via %s, or name that among its peers", a, source),
		}, true
	}
	return Finding{}, false
}
