package node

import (
	"fmt"
	"iter"
	"net/netip"
	"slices"
	"strconv"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vrouter/vrouter/internal/config"
	"github.com/vrouter/vrouter/rib"
)

// protocols are the names of /etc/iproute2/rt_protos that matter here. What
// `ip route add` enters without a word about it is "boot", which people mean by
// static too.
var protocols = map[netlink.RouteProtocol]string{
	unix.RTPROT_REDIRECT: "redirect", unix.RTPROT_KERNEL: "kernel", unix.RTPROT_BOOT: "boot", unix.RTPROT_STATIC: "static",
	unix.RTPROT_RA: "ra", unix.RTPROT_ZEBRA: "zebra", unix.RTPROT_BIRD: "bird", unix.RTPROT_DHCP: "dhcp",
	unix.RTPROT_BGP: "bgp", unix.RTPROT_ISIS: "isis", unix.RTPROT_OSPF: "ospf", unix.RTPROT_RIP: "rip", unix.RTPROT_EIGRP: "eigrp",
}

func protocolName(p netlink.RouteProtocol) string {
	if name, ok := protocols[p]; ok {
		return name
	}
	return strconv.Itoa(int(p))
}

// checkImport refuses a name in kernel.import that no protocol has.
func (n *Node) checkImport() error {
	for _, name := range n.config.Kernel.Import {
		if _, err := protocolNumber(name); err != nil {
			return fmt.Errorf("kernel.import: %w", err)
		}
	}
	return nil
}

// imports says whether kernel.import names a protocol.
func (n *Node) imports(p netlink.RouteProtocol) bool {
	names := n.config.Kernel.Import
	return slices.Contains(names, protocolName(p)) || slices.Contains(names, strconv.Itoa(int(p))) ||
		p == unix.RTPROT_BOOT && slices.Contains(names, "static")
}

// mirror is the host's routes of the protocols in kernel.import, as the router
// has them.
type mirror struct {
	host    hostTable
	entered map[hostKey]*rib.Route
	hops    map[netip.Addr]int // next hops, with the number of routes by them
	ends    map[netip.Addr]int // of them, those to whom packets go in IP-in-IP
}

func newMirror() mirror {
	return mirror{hostTable{}, map[hostKey]*rib.Route{}, map[netip.Addr]int{}, map[netip.Addr]int{}}
}

// importAll lists the host's routes and mirrors them.
func (n *Node) importAll() (err error) {
	if len(n.config.Kernel.Import) > 0 {
		if n.mirror.host, err = listHostTable(); err != nil {
			return fmt.Errorf("listing the host's routes: %w", err)
		}
	} else {
		n.mirror.host = hostTable{}
	}
	all := map[hostKey]bool{}
	for key := range n.mirror.host {
		all[key] = true
	}
	for key := range n.mirror.entered {
		all[key] = true
	}
	return n.importKeys(all)
}

// importChanges follows a few changes; what did not change costs nothing.
func (n *Node) importChanges(changes []hostChange) error {
	if len(changes) == 0 || len(n.config.Kernel.Import) == 0 {
		return nil
	}
	keys := map[hostKey]bool{}
	for _, c := range changes {
		n.mirror.host.apply(c)
		keys[c.key] = true
	}
	return n.importKeys(keys)
}

// steps are what the table is to do so that each key gets its route; nil: none.
func steps(routes map[hostKey]*rib.Route) iter.Seq[rib.Change] {
	return func(yield func(rib.Change) bool) {
		for k, r := range routes {
			c := rib.Change{Route: rib.Route{Prefix: k.prefix, Metric: k.metric}, Gone: r == nil}
			if r != nil {
				c.Route = *r
			}
			if !yield(c) {
				return
			}
		}
	}
}

// importKeys brings the router's routes with these keys to what the host has.
func (n *Node) importKeys(keys map[hostKey]bool) error {
	routes := make(map[hostKey]*rib.Route, len(keys))
	for key := range keys {
		if r := n.imported(key); r != nil || n.mirror.entered[key] != nil {
			routes[key] = r
		}
	}
	if err := n.RIB.Apply(rib.Kernel, steps(routes)); err != nil {
		return fmt.Errorf("the host's routes: %w", err)
	}
	changed := false
	for key, r := range routes {
		was := n.mirror.entered[key]
		if r != nil { // first in, then out: a next hop that stays is never gone
			changed = n.mirror.count(r, +1) || changed
			n.mirror.entered[key] = r
		} else {
			delete(n.mirror.entered, key)
		}
		if was != nil {
			changed = n.mirror.count(was, -1) || changed
		}
	}
	if changed {
		return n.applyUplink() // peers and tunnels are the next hops of these routes too
	}
	return nil
}

// count enters or takes back the next hops of a route, and says whether there are
// others now.
func (m *mirror) count(r *rib.Route, by int) (changed bool) {
	paths := r.Multipath.Paths()
	if paths == nil {
		paths = []rib.Route{*r}
	}
	for _, p := range paths {
		if !p.Via.IsValid() {
			continue
		}
		changed = tally(m.hops, p.Via, by) || changed
		if p.Encap == rib.IPIP {
			changed = tally(m.ends, p.Via, by) || changed
		}
	}
	return changed
}

// tally counts, and says whether there is one now or none any more.
func tally(m map[netip.Addr]int, a netip.Addr, by int) bool {
	was := m[a]
	if m[a] += by; m[a] == 0 {
		delete(m, a)
	}
	return (was == 0) != (m[a] == 0)
}

// imported is the host's route with that key, if the router shall and can go that
// way: by the uplink, or nowhere. Of several the kernel uses the first.
func (n *Node) imported(key hostKey) *rib.Route {
	for i := range n.mirror.host[key] {
		h := &n.mirror.host[key][i]
		if !n.imports(h.protocol) {
			continue
		}
		r := rib.Route{Prefix: key.prefix, Port: rib.NoPort, Protocol: protocolName(h.protocol), Metric: key.metric, Type: hostTypes[h.kind], Source: rib.Kernel}
		if r.Type != rib.Unicast {
			return &r
		}
		if hops := n.importedHops(h); len(hops) > 0 {
			r = r.Over(hops)
			return &r
		}
	}
	return nil
}

var hostTypes = map[int]rib.Type{
	unix.RTN_UNICAST: rib.Unicast, unix.RTN_BLACKHOLE: rib.Blackhole, unix.RTN_UNREACHABLE: rib.Unreachable, unix.RTN_PROHIBIT: rib.Prohibit,
}

// importedHops are those next hops of a route that are reached by the uplink.
func (n *Node) importedHops(h *hostRoute) []rib.Hop {
	var hops []rib.Hop
	for _, hop := range h.hops {
		if n.uplink.index == 0 || hop.link != n.uplink.index || len(hops) == rib.MaxPaths {
			continue
		}
		r := rib.Route{Via: hop.via, Dev: n.config.Uplink.Interface, Port: n.uplink.port}
		if !hop.onlink || n.config.IPIP.Mode != config.IPIPCrossSubnet { // who is on the link is in no other subnet
			r.Encap = n.encap(&config.Route{Via: hop.via})
		}
		hops = append(hops, rib.Hop{Route: r, Weight: hop.weight})
	}
	return hops
}
