package lab

import (
	"fmt"
	"net/netip"
	"slices"

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

// Middle is what is between the hosts of a link.
type Middle struct {
	Subnet string
	Hosts  []string
	MTU    int // the least of what is there; 0: the hosts have one cable, and nothing is between them
}

// Middles are all links of the lab.
func (l *Lab) Middles() (list []Middle, err error) {
	if l.Fabric == "" {
		m := Middle{Subnet: l.subnet(l.Hosts[0])}
		for _, h := range l.Hosts {
			m.Hosts = append(m.Hosts, h.Name)
		}
		return []Middle{m}, nil
	}
	err = workload.Named(l.Fabric).Do(func() error {
		for i, h := range l.Hosts {
			port, err := netlink.LinkByName(fmt.Sprintf("host%d", i))
			if err != nil {
				return err
			}
			mtu := port.Attrs().MTU
			if bridge, err := netlink.LinkByIndex(port.Attrs().MasterIndex); err == nil && port.Attrs().MasterIndex != 0 {
				mtu = min(mtu, bridge.Attrs().MTU)
			}
			at := slices.IndexFunc(list, func(m Middle) bool { return m.Subnet == l.subnet(h) })
			if at < 0 {
				at, list = len(list), append(list, Middle{Subnet: l.subnet(h), MTU: mtu})
			}
			list[at].Hosts, list[at].MTU = append(list[at].Hosts, h.Name), min(list[at].MTU, mtu)
		}
		return nil
	})
	return list, err
}

// subnet is that of a host's uplink.
func (l *Lab) subnet(h *Host) string {
	p, err := netip.ParsePrefix(h.Address)
	if err != nil {
		return ""
	}
	return p.Masked().String()
}
