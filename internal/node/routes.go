package node

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/vrouter/vrouter/internal/config"
	"github.com/vrouter/vrouter/rib"
)

var routeTypes = map[string]rib.Type{
	config.RouteUnicast: rib.Unicast, config.RouteBlackhole: rib.Blackhole,
	config.RouteUnreachable: rib.Unreachable, config.RouteProhibit: rib.Prohibit,
}

// checkNextHops refuses a route whose next hop can't be reached. While the uplink
// has no address nothing can be said about it.
func (n *Node) checkNextHops() error {
	for i := range n.config.Routes {
		if c := &n.config.Routes[i]; len(n.uplink.addresses) > 0 && !n.reachable(c) {
			return fmt.Errorf("route to %s: next hop %s is no neighbour: %s has %v; use a next hop in its subnet, or `encap: ipip`",
				c.To, c.Via, n.config.Uplink.Interface, n.uplink.addresses)
		}
	}
	return nil
}

// reachable says whether a route's next hop is on the uplink, is a workload here,
// or is the end of a tunnel, which may lie beyond a gateway.
func (n *Node) reachable(c *config.Route) bool {
	return c.Type != config.RouteUnicast || n.isWorkload(c.Via) || n.onUplink(c.Via) || n.encap(c) == rib.IPIP
}

func (n *Node) isWorkload(a netip.Addr) bool {
	return slices.ContainsFunc(n.config.Workloads, func(w config.Workload) bool { return w.Address.Addr() == a })
}

// setStaticRoutes enters the configuration's routes, those whose next hop can be
// reached at present.
func (n *Node) setStaticRoutes() error {
	routes := make([]rib.Route, 0, len(n.config.Routes))
	var unused []complaint
	for i := range n.config.Routes {
		c := &n.config.Routes[i]
		if !n.reachable(c) {
			unused = append(unused, complaint{"a route is not used: its next hop is in no subnet of the uplink", []any{"to", c.To, "via", c.Via}})
			continue
		}
		if r, ok := n.static(c); ok {
			routes = append(routes, r)
		}
	}
	n.complain("static routes", unused...)
	return n.RIB.SetSource(rib.Static, routes)
}

// static is a configured route with its port and its encapsulation, unless it
// leads to a workload that is not attached, or by an uplink that is gone.
func (n *Node) static(c *config.Route) (r rib.Route, ok bool) {
	r = rib.Route{Prefix: c.To, Type: routeTypes[c.Type], Via: c.Via, Port: rib.NoPort, Protocol: "static", Metric: c.Metric, Source: rib.Static}
	if r.Type != rib.Unicast {
		return r, true
	}
	for name, w := range n.workloads {
		if w.Address.Addr() == c.Via {
			r.Dev, r.Port = name, w.port
			return r, true
		}
	}
	r.Dev, r.Port = n.config.Uplink.Interface, n.uplink.port
	r.Encap = n.encap(c)
	return r, !n.isWorkload(c.Via) && n.uplink.index != 0
}

// encap is what the route says, or else what ipip.mode makes of it.
func (n *Node) encap(c *config.Route) rib.Encap {
	switch {
	case n.isWorkload(c.Via), !c.Via.IsValid():
		return rib.None
	case c.Encap == config.EncapIPIP,
		c.Encap == "" && n.config.IPIP.Mode == config.IPIPAlways,
		c.Encap == "" && n.config.IPIP.Mode == config.IPIPCrossSubnet && !n.onUplink(c.Via):
		return rib.IPIP
	}
	return rib.None
}

// WhyEncap says in a few words why a route's packets are encapsulated, or why not.
func (n *Node) WhyEncap(r *rib.Route) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	mode := n.config.IPIP.Mode
	for i := range n.config.Routes {
		if c := &n.config.Routes[i]; c.To == r.Prefix && c.Via == r.Via && c.Metric == r.Metric && c.Encap != "" && r.Source == rib.Static {
			return fmt.Sprintf("encap %s: the route says so", r.Encap)
		}
	}
	switch {
	case !r.Via.IsValid() || n.isWorkload(r.Via):
		return fmt.Sprintf("encap %s: it is on this link", r.Encap)
	case mode != config.IPIPCrossSubnet:
		return fmt.Sprintf("encap %s: ipip.mode is %s", r.Encap, mode)
	case r.Encap == rib.None && !n.onUplink(r.Via):
		return "encap none: the route says that the next hop is on the link"
	case r.Encap == rib.IPIP:
		return fmt.Sprintf("encap ipip: ipip.mode is cross-subnet, and %s is in no subnet of %s", r.Via, r.Dev)
	}
	return fmt.Sprintf("encap none: ipip.mode is cross-subnet, and %s is in a subnet of %s", r.Via, r.Dev)
}

func (n *Node) onUplink(a netip.Addr) bool {
	for _, p := range n.uplink.addresses {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// peers are the hosts whose IP-in-IP is believed: those configured, or the next
// hops of the routes.
func (n *Node) peers() []netip.Addr {
	if n.config.IPIP.Peers != nil {
		return n.config.IPIP.Peers
	}
	return n.hops().all
}

// ends are the hosts to whom IP-in-IP is sent.
func (n *Node) ends() []netip.Addr { return n.hops().ends }

// hops are the next hops of all routes, configured and imported.
func (n *Node) hops() hops {
	byAddress := netip.Addr.Compare
	h := hops{slices.SortedFunc(maps.Keys(n.mirror.hops), byAddress), slices.SortedFunc(maps.Keys(n.mirror.ends), byAddress)}
	for i := range n.config.Routes {
		c := &n.config.Routes[i]
		h.add(&rib.Route{Via: c.Via, Encap: n.encap(c)})
	}
	return h
}
