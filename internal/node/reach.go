package node

import (
	"maps"
	"net/netip"
	"slices"

	"github.com/vrouter/vrouter/forwarder"
	"github.com/vrouter/vrouter/internal/hostroutes"
	"github.com/vrouter/vrouter/rib"
)

// reach is how the host itself reaches next hops that are in no subnet of the uplink: those of a
// host with a /32, say, whose gateway is on the link by a route of its own.
type reach struct {
	ask   func(netip.Addr) (hostroutes.Way, error) // nil: hostroutes.Get
	known map[netip.Addr]hostroutes.Way            // Link is 0 where the host has no way
	addrs []netip.Addr                             // of known, sorted; nil: to be made
	turns int                                      // how often an answer has become another one
}

func (r *reach) way(a netip.Addr) hostroutes.Way {
	w, ok := r.known[a]
	if !ok {
		w = r.get(a)
		if r.known == nil {
			r.known = map[netip.Addr]hostroutes.Way{}
		}
		r.known[a], r.addrs = w, nil
	}
	return w
}

func (r *reach) get(a netip.Addr) hostroutes.Way {
	get := r.ask
	if get == nil {
		get = hostroutes.Get
	}
	w, err := get(a)
	if err != nil {
		return hostroutes.Way{}
	}
	return w
}

// keep forgets all but some.
func (r *reach) keep(wanted map[netip.Addr]bool) {
	for a := range r.known {
		if !wanted[a] {
			delete(r.known, a)
			r.addrs = nil
		}
	}
}

// uses says whether the host reaches one of them by an interface.
func (r *reach) uses(link int) bool {
	for _, w := range r.known {
		if w.Link == link {
			return true
		}
	}
	return false
}

// turned asks again about what some changes of the host's routes, or of anything, may have to do
// with, and says whether an answer is another one.
func (r *reach) turned(changes []hostroutes.Change, anything bool) (turned bool) {
	for a := range r.touched(changes, anything) {
		w := r.get(a)
		turned = turned || w != r.known[a]
		r.known[a] = w
	}
	if turned {
		r.turns++
	}
	return turned
}

func (r *reach) touched(changes []hostroutes.Change, anything bool) map[netip.Addr]bool {
	touched := map[netip.Addr]bool{}
	if len(r.known) == 0 {
		return touched
	}
	if r.addrs == nil {
		r.addrs = slices.SortedFunc(maps.Keys(r.known), netip.Addr.Compare)
	}
	within := func(p netip.Prefix) {
		at, _ := slices.BinarySearchFunc(r.addrs, p.Addr(), netip.Addr.Compare)
		for ; at < len(r.addrs) && p.Contains(r.addrs[at]); at++ {
			touched[r.addrs[at]] = true
		}
	}
	for i := range changes {
		to, anywhere := changes[i].Of()
		if anything = anything || anywhere; anything {
			break
		}
		within(to)
	}
	if anything {
		for a := range r.known {
			touched[a] = true
		}
	}
	return touched
}

// onUplink says whether an address is on the uplink's link: in a subnet of it, or else because the host
// itself asks for it there.
func (n *Node) onUplink(a netip.Addr) bool {
	if a.Is6() && a.IsLinkLocalUnicast() {
		return n.uplink.linkLocal.IsValid()
	}
	if n.inSubnet(a) {
		return true
	}
	w := n.reach.way(a)
	return w.Link == n.uplink.index && w.Link != 0 && w.OnLink(a)
}

func (n *Node) inSubnet(a netip.Addr) bool {
	return slices.ContainsFunc(n.uplink.subnets, func(s forwarder.Subnet) bool { return s.Contains(a) })
}

// hopRoutes lead to next hops that are in no subnet of the uplink: on its link or, to the ends of
// tunnels, by whichever gateway the host itself would use.
func (n *Node) hopRoutes() (routes []rib.Route) {
	var lost []complaint
	all, ipip, vxlan := n.hops()
	ends := slices.SortedFunc(slices.Values(slices.Concat(ipip, vxlan)), netip.Addr.Compare)
	static, wanted := map[netip.Addr]bool{}, map[netip.Addr]bool{}
	for h := range n.statics.hops {
		static[h.addr()] = true
	}
	for _, a := range all {
		if n.isWorkload(a) || n.inSubnet(a) || a.Is6() && a.IsLinkLocalUnicast() {
			continue
		}
		wanted[a] = true
		_, end := slices.BinarySearchFunc(ends, a, netip.Addr.Compare)
		if !end && !static[a] {
			continue // of an imported route, whose next hop the kernel itself has looked for
		}
		w := n.reach.way(a)
		r := rib.Route{Prefix: single(a), Dev: n.config.Uplink.Interface, Port: n.uplink.port, Protocol: "kernel", MTU: uint32(w.MTU)}
		switch {
		case w.Link == 0 || w.Link != n.uplink.index:
			if end {
				lost = append(lost, complaint{"the host has no route by the uplink to a tunnel's end", []any{"end", a}})
			}
			continue
		case !w.OnLink(a) && !end:
			continue
		case !w.OnLink(a):
			r.Via = w.Via
		}
		routes = append(routes, r)
	}
	n.reach.keep(wanted)
	n.complain("tunnel ends", lost...)
	return routes
}
