package node

import (
	"errors"
	"fmt"
	"iter"
	"maps"
	"net/netip"
	"slices"
	"strconv"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vrouter/vrouter/internal/config"
	"github.com/vrouter/vrouter/internal/hostroutes"
	"github.com/vrouter/vrouter/rib"
)

// imports says whether kernel.import names a protocol.
func (n *Node) imports(p netlink.RouteProtocol) bool {
	names := n.config.Kernel.Import
	return slices.Contains(names, protocolName(p)) || slices.Contains(names, strconv.Itoa(int(p))) ||
		hostroutes.IsStatic(uint8(p)) && slices.Contains(names, "static")
}

// expectProtocols has the routes counted of each protocol that there may be some of: the router's
// own, and those of kernel.import.
func (n *Node) expectProtocols() {
	names := []string{"workload", "kernel", "static"}
	for _, name := range n.config.Kernel.Import {
		if number, err := protocolNumber(name); err == nil {
			name = protocolName(netlink.RouteProtocol(number))
		}
		if names = append(names, name); name == "static" {
			names = append(names, "boot", "196")
		}
	}
	n.RIB.Expect(names...)
}

// Ports are the names of those that the configuration has, though one may be gone at present.
func (n *Node) Ports() []string {
	c := n.Config()
	names := []string{c.Uplink.Interface}
	for _, w := range c.Workloads {
		names = append(names, w.Name)
	}
	if c.Kernel.Export {
		names = append(names, config.HostInterface)
	}
	return names
}

// mirror is the host's routes of the protocols in kernel.import, as the router
// has them.
type mirror struct {
	host  *hostroutes.Table
	kinds map[hostroutes.Shared]*kind // what has become of the host's routes; equal ones are one
	under string                      // the circumstances in which that was decided
	hops  map[netip.Addr]bool         // next hops
	ends  map[netip.Addr]rib.Encap    // of them, those to whom packets go by a tunnel
}

func newMirror() mirror {
	return mirror{host: hostroutes.NewTable(), kinds: map[hostroutes.Shared]*kind{}}
}

// kind is what the router makes of equal routes of the host.
type kind struct {
	route rib.Route // without prefix and metric, and without next hops
	hops  []rib.Hop
	used  bool
	why   string // why it is not used, or some of its next hops are not
}

var hostTypes = map[int]rib.Type{
	unix.RTN_UNICAST: rib.Unicast, unix.RTN_BLACKHOLE: rib.Blackhole, unix.RTN_UNREACHABLE: rib.Unreachable, unix.RTN_PROHIBIT: rib.Prohibit,
}

func (n *Node) kind(r hostroutes.Shared) *kind {
	k := n.mirror.kinds[r]
	if k == nil {
		k = n.newKind(r.Value())
		n.mirror.kinds[r] = k
	}
	return k
}

// newKind has the route used if the router shall and can go that way: by the uplink, or nowhere.
func (n *Node) newKind(h hostroutes.Route) *kind {
	p := netlink.RouteProtocol(h.Protocol)
	if !n.imports(p) {
		return &kind{}
	}
	k := &kind{route: rib.Route{Port: rib.NoPort, Protocol: protocolName(p), MTU: h.MTU, Source: rib.Kernel}}
	hops, why := n.mirror.host.Usable(&h, n.uplink.index)
	if n.uplink.index == 0 && len(hops) == 0 && len(n.mirror.host.Hops(&h)) > 0 {
		return k // the uplink is gone, and it has been said
	}
	k.why, k.route.Type = why, hostTypes[n.mirror.host.Type(&h)]
	if len(hops) > rib.MaxPaths {
		hops, k.why = hops[:rib.MaxPaths], fmt.Sprintf("has more than %d next hops", rib.MaxPaths)
	}
	for _, hop := range hops {
		r := rib.Route{Via: hop.Via, Dev: n.config.Uplink.Interface, Port: n.uplink.port}
		if h.Six && hop.Via.Is4() { // no kernel has that
			k.why = "has an IPv4 next hop"
			continue
		}
		if _, mode := n.config.Mode(); !hop.OnLink || mode != config.ModeCrossSubnet { // who is on the link is in no other subnet
			r.Encap = n.encap(&config.Route{Via: hop.Via})
		}
		k.hops = append(k.hops, rib.Hop{Route: r, Weight: uint16(min(hop.Weight, 1<<16-1))})
	}
	k.used = len(k.hops) > 0 || why == "" && k.route.Type != rib.Unicast
	return k
}

// imported is the router's route for those of the host with that key: of several the kernel uses
// the first.
func (n *Node) imported(key hostroutes.Key) (r rib.Route, ok bool) {
	for _, h := range n.mirror.host.At(key) {
		if k := n.kind(h); k.used {
			r = k.route
			r.Prefix, r.Metric = key.Prefix(), key.Metric
			if r.Type == rib.Unicast {
				r = r.Over(k.hops)
			}
			return r, true
		}
	}
	return r, false
}

// importAll lists the host's routes and mirrors them. Those that are as they were are not
// looked at, unless something else decides about them now.
func (n *Node) importAll() error { return n.relist(hostroutes.Touched{}) }

func (n *Node) relist(touched hostroutes.Touched) error {
	m := &n.mirror
	now := fmt.Sprint(n.config.Kernel.Import, n.config.IPIP.Mode, n.config.VXLAN.Mode, n.uplink.index, n.uplink.port, n.uplink.subnets, n.reach.turns, n.routesIPv6())
	m.host.IPv6 = n.routesIPv6()
	if now != m.under {
		n.expectProtocols()
		m.kinds = nil
		touchAll(touched, m.host.Keys)
	}
	if m.under == "" { // the first time, or after a failure
		for r := range n.RIB.All {
			if r.Source == rib.Kernel {
				touched[hostroutes.KeyOf(r.Prefix, r.Metric)] = struct{}{}
			}
		}
	}
	switch {
	case len(n.config.Kernel.Import) > 0:
		others, err := m.host.List()
		if err != nil {
			m.under = ""
			return err
		}
		touchAll(touched, maps.Keys(others))
	case m.host.Len() > 0:
		m.host = hostroutes.NewTable()
		m.host.IPv6 = n.routesIPv6()
	}
	m.under = now
	return n.importKeys(touched)
}

func touchAll(touched hostroutes.Touched, keys iter.Seq[hostroutes.Key]) {
	for k := range keys {
		touched[k] = struct{}{}
	}
}

// followIPv6 has the host's routes listed anew if those of IPv6 have come to be of interest, or are no more.
func (n *Node) followIPv6() error {
	if m := &n.mirror; m.under == "" || m.host.IPv6 == n.routesIPv6() {
		return nil
	}
	return n.importAll()
}

// importChanges follows a few changes; what did not change costs nothing.
func (n *Node) importChanges(changes []hostroutes.Change) error {
	if len(changes) == 0 || len(n.config.Kernel.Import) == 0 {
		return nil
	}
	touched, sure := n.mirror.host.Apply(changes)
	if !sure {
		return n.relist(touched)
	}
	return n.importKeys(touched)
}

// steps are what the table is to do so that each key gets its route, or none.
func (n *Node) steps(keys hostroutes.Touched) iter.Seq[rib.Change] {
	return func(yield func(rib.Change) bool) {
		for k := range keys {
			c := rib.Change{Route: rib.Route{Prefix: k.Prefix(), Metric: k.Metric}, Gone: true}
			if r, ok := n.imported(k); ok {
				c = rib.Change{Route: r}
			}
			if !yield(c) {
				return
			}
		}
	}
}

// importKeys brings the router's routes with these keys to what the host has.
func (n *Node) importKeys(keys hostroutes.Touched) error {
	m := &n.mirror
	turned := m.host.Turned() || m.kinds == nil
	if turned {
		m.kinds = map[hostroutes.Shared]*kind{}
	}
	if err := n.RIB.Apply(rib.Kernel, n.steps(keys)); err != nil {
		m.under = "" // some of the keys may have routes that the host has no more
		return fmt.Errorf("the host's routes: %w", err)
	}
	n.churn(len(keys))
	if !turned {
		return nil
	}
	n.complainOfRoutes()
	hops, ends := map[netip.Addr]bool{}, map[netip.Addr]rib.Encap{}
	for r := range m.host.Each {
		for _, h := range n.kind(r).hops {
			if h.Via.IsValid() {
				hops[h.Via] = true
			}
			if h.Encap != rib.None {
				ends[h.Via] = h.Encap
			}
		}
	}
	if maps.Equal(hops, m.hops) && maps.Equal(ends, m.ends) {
		return nil
	}
	m.hops, m.ends = hops, ends
	return errors.Join(n.applyUplink(), n.followFit()) // peers and tunnels are the next hops of these routes too
}

// complainOfRoutes says which of the host's routes are left out, and why.
func (n *Node) complainOfRoutes() {
	type left struct {
		protocol, why string
		partly        bool
	}
	routes, examples := map[left]int{}, map[left]hostroutes.Shared{}
	for r, count := range n.mirror.host.Each {
		if k := n.kind(r); k.why != "" {
			l := left{k.route.Protocol, k.why, k.used}
			routes[l] += count
			examples[l] = r
		}
	}
	var all []complaint
	for l, count := range routes {
		text := "a route of the host is not used, and others like it"
		if l.partly {
			text = "a next hop of a route of the host is not used, and others like it"
		}
		all = append(all, complaint{text, []any{"protocol", l.protocol, "reason", l.why,
			"routes", varying(func() any { return count }),
			"example", varying(func() any { k, _ := n.mirror.host.Example(examples[l]); return k.Prefix() })}})
	}
	n.complain("imported routes", all...)
}
