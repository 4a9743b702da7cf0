package node

import (
	"fmt"
	"strconv"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
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
