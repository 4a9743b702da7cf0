package node

import (
	"fmt"
	"iter"
	"maps"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"

	"github.com/vrouter/vrouter/internal/config"
	"github.com/vrouter/vrouter/rib"
)

var routeTypes = map[string]rib.Type{
	config.RouteUnicast: rib.Unicast, config.RouteBlackhole: rib.Blackhole,
	config.RouteUnreachable: rib.Unreachable, config.RouteProhibit: rib.Prohibit,
}

// checkNextHops refuses routes whose next hop can't be reached. While the uplink
// has no address of its family nothing can be said about it.
func (n *Node) checkNextHops(s *statics) error {
	for h := range s.hops {
		linkLocal := h.addr().Is6() && h.addr().IsLinkLocalUnicast() // known as soon as the uplink has such an address itself
		if n.way(h).lost && n.uplink.settled(h.addr().Is4()) && !linkLocal {
			return fmt.Errorf("route to %s: next hop %s", s.example(h), n.noNeighbor(h))
		}
	}
	return nil
}

func (n *Node) noNeighbor(h hop) string {
	return fmt.Sprintf("%s is no neighbour: %s has %v; use a next hop in its subnet, or `encap: ipip` or `vxlan`, or let the host have it on the link: ip route add %s dev %s",
		h.addr(), n.config.Uplink.Interface, n.uplink.addresses, h.addr(), n.uplink.name)
}

func (n *Node) isWorkload(a netip.Addr) bool {
	return slices.ContainsFunc(n.config.Workloads, func(w config.Workload) bool { return w.Has(a) })
}

// way is how a hop leaves at present.
type way struct {
	dev   string
	port  int
	encap rib.Encap
	lost  bool // the next hop can't be reached
}

// way finds the port to a next hop: it is a workload here, on the uplink, or the
// end of a tunnel, which may lie beyond a gateway. A workload that is not attached
// has no port, nor has an uplink that is gone.
func (n *Node) way(h hop) way {
	via := h.addr()
	if !via.IsValid() {
		return way{port: rib.NoPort}
	}
	for _, c := range n.config.Workloads {
		if !c.Has(via) {
			continue
		}
		if w := n.workloads[c.Name]; w != nil {
			return way{dev: c.Name, port: w.port}
		}
		return way{dev: c.Name, port: rib.NoPort}
	}
	port, e := n.uplink.port, n.encap(&config.Route{Via: via, Encap: encapWords[h.encap]})
	if n.uplink.index == 0 {
		port = rib.NoPort
	}
	return way{n.config.Uplink.Interface, port, e, e == rib.None && !n.onUplink(via)}
}

// ways remembers, for as long as nothing changes.
type ways struct {
	node  *Node
	known map[hop]way
}

func (w *ways) of(h hop) way {
	known, ok := w.known[h]
	if !ok {
		known = w.node.way(h)
		w.known[h] = known
	}
	return known
}

// setStaticRoutes enters all static routes, those whose next hop can be reached at
// present.
func (n *Node) setStaticRoutes() error {
	var unused []complaint
	for _, h := range slices.SortedFunc(maps.Keys(n.statics.hops), hop.compare) {
		if n.way(h).lost {
			routes := varying(func() any { return n.statics.hops[h] })
			unused = append(unused, complaint{"routes are not used: their next hop is in no subnet of the uplink", []any{"via", h.addr(), "routes", routes}})
		}
	}
	n.complain("static routes", unused...)
	return n.enter(n.statics.keys)
}

// enter brings the table to what is to be with these keys.
func (n *Node) enter(keys iter.Seq[routeKey]) error {
	w := ways{n, map[hop]way{}}
	return n.RIB.Apply(rib.Static, func(yield func(rib.Change) bool) {
		for k := range keys {
			s, ok := n.statics.find(k)
			if !yield(entry(k, s, ok, w.of(s.hop))) {
				return
			}
		}
	})
}

// entry is a static route in the table's terms; Gone if there is none, or no way.
func entry(k routeKey, s static, ok bool, w way) rib.Change {
	r := rib.Route{
		Prefix: k.prefix(), Type: s.kind, Via: s.addr(), Dev: w.dev, Port: w.port, Encap: w.encap,
		Protocol: protocolName(netlink.RouteProtocol(s.proto)), Metric: k.metric, Source: rib.Static,
	}
	return rib.Change{Route: r, Gone: !ok || w.lost || s.kind == rib.Unicast && w.port == rib.NoPort || mismatched(k.prefix(), s.addr(), w.encap)}
}

// mismatched says whether a next hop does not know packets of that family: one that speaks IPv4 takes IPv6 in a tunnel alone. The other
// way round it is no matter which address a neighbour's MAC is asked for by (RFC 8950).
func mismatched(to netip.Prefix, via netip.Addr, e rib.Encap) bool {
	return to.Addr().Is6() && via.Is4() && e == rib.None
}

// encap is what the route says, or else what the mode of ipip or vxlan makes of it.
func (n *Node) encap(c *config.Route) rib.Encap {
	if n.isWorkload(c.Via) || !c.Via.IsValid() || c.Via.Is6() && c.Via.IsLinkLocalUnicast() {
		return rib.None
	}
	e, _ := rib.EncapNamed(n.config.EncapTo(c.Via, c.Encap, n.onUplink))
	return e
}

// WhyEncap says in a few words why a route's packets are encapsulated, or why not.
func (n *Node) WhyEncap(r *rib.Route) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	encap, mode := n.config.Mode()
	if r.Source == rib.Static {
		if s, _ := n.statics.find(routeKey{destinationOf(r.Prefix), r.Metric}); s.encap != 0 {
			return fmt.Sprintf("encap %s: the route says so", r.Encap)
		}
	}
	switch {
	case !r.Via.IsValid() || n.isWorkload(r.Via):
		return fmt.Sprintf("encap %s: it is on this link", r.Encap)
	case mode != config.ModeCrossSubnet:
		return fmt.Sprintf("encap %s: %s.mode is %s", r.Encap, encap, mode)
	case r.Encap == rib.None && !n.onUplink(r.Via):
		return "encap none: the route says that the next hop is on the link"
	case r.Encap != rib.None:
		return fmt.Sprintf("encap %s: %s.mode is cross-subnet, and %s is in no subnet of %s", r.Encap, encap, r.Via, r.Dev)
	}
	if !n.inSubnet(r.Via) {
		return fmt.Sprintf("encap none: %s.mode is cross-subnet, and the host has %s on the link of %s", encap, r.Via, r.Dev)
	}
	return fmt.Sprintf("encap none: %s.mode is cross-subnet, and %s is in a subnet of %s", encap, r.Via, r.Dev)
}

// hops are the next hops of all routes, configured and imported, and of them the
// ends: those to whom packets go in IP-in-IP, and in VXLAN.
func (n *Node) hops() (all, ipip, vxlan []netip.Addr) {
	a, ends := map[netip.Addr]bool{}, [...]map[netip.Addr]bool{rib.IPIP: {}, rib.VXLAN: {}}
	maps.Copy(a, n.mirror.hops)
	for end, e := range n.mirror.ends {
		ends[e][end] = true
	}
	for h := range n.statics.hops {
		via := h.addr()
		if !via.IsValid() {
			continue
		}
		a[via] = true
		if e := n.encap(&config.Route{Via: via, Encap: encapWords[h.encap]}); e != rib.None {
			ends[e][via] = true
		}
	}
	return sorted(a), sorted(ends[rib.IPIP]), sorted(ends[rib.VXLAN])
}

func sorted(all map[netip.Addr]bool) []netip.Addr {
	return slices.SortedFunc(maps.Keys(all), netip.Addr.Compare)
}
