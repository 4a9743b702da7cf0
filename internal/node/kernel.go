package node

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vrouter/vrouter/internal/config"
	"github.com/vrouter/vrouter/internal/guard"
	"github.com/vrouter/vrouter/rib"
)

// setGuard keeps the host's own stack away from what the router handles, if the
// configuration says so. Where that can't be done it is an error only if the host
// would forward.
func (n *Node) setGuard() error {
	if !n.config.Kernel.Guard {
		if n.guarded {
			return n.removeGuard()
		}
		_ = guard.Remove(n.config.Uplink.Interface) // one that a killed router left, if any
		return nil
	}
	err := guard.Set(n.config.Uplink.Interface, n.uplink.own)
	if err == nil {
		n.guarded = true
		return nil
	}
	if guard.Needed() {
		return fmt.Errorf("%w; ip_forward is on, so the host would forward a second copy of each packet: turn it off, or set `kernel.guard: false` to accept that", err)
	}
	n.log.Warn("no guard over the host's own stack; it does not forward at present, so none is needed", "error", err)
	return nil
}

// removeGuard leaves the host's stack as it was found.
func (n *Node) removeGuard() error {
	if !n.guarded {
		return nil
	}
	n.guarded = false
	return guard.Remove(n.config.Uplink.Interface)
}

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
		_, err := strconv.ParseUint(name, 10, 8)
		known := slices.Contains(slices.Collect(maps.Values(protocols)), name)
		if err != nil && !known {
			return fmt.Errorf("kernel.import: no routing protocol is known as %q; give its number (/etc/iproute2/rt_protos lists them)", name)
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

// importRoutes mirrors the host's routes of the protocols in kernel.import.
func (n *Node) importRoutes() error {
	if len(n.config.Kernel.Import) == 0 {
		return nil
	}
	var imported hops
	list, err := netlink.RouteListFiltered(unix.AF_INET, &netlink.Route{Table: unix.RT_TABLE_MAIN}, netlink.RT_FILTER_TABLE)
	if err != nil {
		return fmt.Errorf("listing the host's routes: %w", err)
	}
	var routes []rib.Route
	for i := range list {
		if !n.imports(list[i].Protocol) {
			continue
		}
		if r, ok := n.importedRoute(&list[i]); ok {
			routes = append(routes, r)
			imported.add(&r)
		}
	}
	if err := n.RIB.SetSource(rib.Kernel, routes); err != nil {
		return err
	}
	if !slices.Equal(imported.all, n.imported.all) || !slices.Equal(imported.ends, n.imported.ends) {
		n.imported = imported
		return n.applyUplink() // peers and tunnels are the next hops of these routes too
	}
	return nil
}

// hops are the next hops of routes, each once: all of them, and those to whom
// packets go in IP-in-IP.
type hops struct{ all, ends []netip.Addr }

func (h *hops) add(r *rib.Route) {
	if r.Via.IsValid() && !slices.Contains(h.all, r.Via) {
		h.all = append(h.all, r.Via)
	}
	if r.Encap == rib.IPIP && !slices.Contains(h.ends, r.Via) {
		h.ends = append(h.ends, r.Via)
	}
}

// importedRoute is a route of the host's, if the router can go that way: by the uplink,
// or nowhere.
func (n *Node) importedRoute(k *netlink.Route) (rib.Route, bool) {
	r := rib.Route{Prefix: netip.MustParsePrefix("0.0.0.0/0"), Port: rib.NoPort, Protocol: protocolName(k.Protocol), Metric: k.Priority, Source: rib.Kernel}
	if k.Dst != nil {
		a, ok := netip.AddrFromSlice(k.Dst.IP.To4())
		bits, _ := k.Dst.Mask.Size()
		if !ok {
			return r, false
		}
		r.Prefix = netip.PrefixFrom(a, bits)
	}
	switch k.Type {
	case unix.RTN_UNICAST:
	case unix.RTN_BLACKHOLE, unix.RTN_UNREACHABLE, unix.RTN_PROHIBIT:
		r.Type = map[int]rib.Type{unix.RTN_BLACKHOLE: rib.Blackhole, unix.RTN_UNREACHABLE: rib.Unreachable, unix.RTN_PROHIBIT: rib.Prohibit}[k.Type]
		return r, true
	default:
		return r, false
	}
	index, gw := k.LinkIndex, k.Gw
	if len(k.MultiPath) > 0 {
		index, gw = k.MultiPath[0].LinkIndex, k.MultiPath[0].Gw
		n.log.Warn("a route of the host's has several next hops; the first is used", "route", r.Prefix)
	}
	if index != n.uplink.index {
		return r, false
	}
	r.Dev, r.Port = n.config.Uplink.Interface, n.uplink.port
	if via, ok := netip.AddrFromSlice(gw.To4()); ok {
		r.Via = via
		r.Encap = n.encap(&config.Route{Via: via})
	}
	return r, true
}
