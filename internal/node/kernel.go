package node

import (
	"fmt"
	"strconv"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vrouter/vrouter/internal/guard"
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
		if n.config.Kernel.Export && guard.Needed() {
			n.complain("guard", complaint{"kernel.export gives the host routes to the workloads, and ip_forward is on: without the guard it forwards a second copy of what comes in for them", nil})
		}
		return nil
	}
	err := guard.Set(n.config.Uplink.Interface, n.uplink.name, n.uplink.own)
	if err == nil {
		n.guarded = true
		return nil
	}
	if guard.Needed() {
		return fmt.Errorf("%w; ip_forward is on, so the host would forward a second copy of each packet: turn it off, or set `kernel.guard: false` to accept that", err)
	}
	n.complain("guard", complaint{"no guard over the host's own stack; it does not forward at present, so none is needed", []any{"error", err}})
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
		if _, err := protocolNumber(name); err != nil {
			return fmt.Errorf("kernel.import: %w", err)
		}
	}
	return nil
}
