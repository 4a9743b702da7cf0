package lab

import (
	"net/netip"

	"github.com/vishvananda/netlink"

	"github.com/vrouter/vrouter/internal/workload"
)

// Gateways are the addresses of what routes between the lab's subnets, and is no vrouter.
func (l *Lab) Gateways() (list []netip.Addr, err error) {
	if l.Fabric == "" {
		return nil, nil
	}
	err = workload.Named(l.Fabric).Do(func() error {
		all, err := netlink.AddrList(nil, netlink.FAMILY_ALL)
		for _, a := range all {
			if ip, ok := netip.AddrFromSlice(a.IP); ok && a.Scope == int(netlink.SCOPE_UNIVERSE) {
				list = append(list, ip.Unmap())
			}
		}
		return err
	})
	return list, err
}
