package node

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/vrouter/vrouter/internal/config"
	"github.com/vrouter/vrouter/rib"
)

var routeTypes = map[string]rib.Type{
	config.RouteUnicast: rib.Unicast, config.RouteBlackhole: rib.Blackhole,
	config.RouteUnreachable: rib.Unreachable, config.RouteProhibit: rib.Prohibit,
}

// setStaticRoutes enters the configuration's routes.
func (n *Node) setStaticRoutes() error {
	routes := make([]rib.Route, 0, len(n.Config.Routes))
	for i := range n.Config.Routes {
		r, err := n.static(&n.Config.Routes[i])
		if err != nil {
			return err
		}
		routes = append(routes, r)
	}
	return n.RIB.SetSource(rib.Static, routes)
}

// static is a configured route with its port and its encapsulation.
func (n *Node) static(c *config.Route) (rib.Route, error) {
	r := rib.Route{Prefix: c.To, Type: routeTypes[c.Type], Via: c.Via, Port: rib.NoPort, Protocol: "static", Metric: c.Metric, Source: rib.Static}
	if r.Type != rib.Unicast {
		return r, nil
	}
	for name, w := range n.workloads {
		if w.Address.Addr() == c.Via {
			r.Dev, r.Port = name, w.port
			return r, nil
		}
	}
	r.Dev, r.Port = n.Config.Uplink.Interface, n.uplink.port
	r.Encap = n.encap(c)
	if r.Encap == rib.None && !n.onUplink(c.Via) {
		return r, fmt.Errorf("route to %s: next hop %s is no neighbour: %s has %v; use a next hop in its subnet, or `encap: ipip`",
			c.To, c.Via, n.Config.Uplink.Interface, n.uplink.addresses)
	}
	return r, nil
}

// encap is what the route says, or else what ipip.mode makes of it.
func (n *Node) encap(c *config.Route) rib.Encap {
	switch {
	case c.Encap == config.EncapIPIP,
		c.Encap == "" && n.Config.IPIP.Mode == config.IPIPAlways,
		c.Encap == "" && n.Config.IPIP.Mode == config.IPIPCrossSubnet && !n.onUplink(c.Via):
		return rib.IPIP
	}
	return rib.None
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
	if n.Config.IPIP.Peers != nil {
		return n.Config.IPIP.Peers
	}
	var peers []netip.Addr
	for _, r := range n.Config.Routes {
		if r.Via.IsValid() {
			peers = append(peers, r.Via)
		}
	}
	return peers
}

// ends are the hosts to whom IP-in-IP is sent.
func (n *Node) ends() []netip.Addr {
	var ends []netip.Addr
	for i := range n.Config.Routes {
		r := &n.Config.Routes[i]
		if r.Via.IsValid() && n.encap(r) == rib.IPIP && !slices.Contains(ends, r.Via) {
			ends = append(ends, r.Via)
		}
	}
	return ends
}
