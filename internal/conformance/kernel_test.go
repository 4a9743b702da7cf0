package conformance

import (
	"errors"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"

	"github.com/vrouter/vrouter/internal/twin"
)

// startLinux makes the host's kernel the router by the commands of package twin, with neighbours that need no asking, as vrouter
// has for its workloads, and with a default route, without which proxy ARP has nothing to say about 169.254.1.1.
func (b *Bench) startLinux() error {
	routes := append([]route{{to: "0.0.0.0/0", via: defaultIP}}, baseRoutes...)
	h := twin.Host{Namespace: b.host, Uplink: "ens160", MAC: net.HardwareAddr(gatewayMAC[:]).String(), Strict: true}
	for i, addresses := range [][]string{{ns1IP, ns1IP6}, {ns2IP, ns2IP6}} {
		if !b.options.six {
			addresses = addresses[:1]
		}
		w := twin.Workload{Namespace: b.ns[i], Interface: "eth0", Veth: twin.Veth(i), MTU: orDefault([]int{b.options.ns1MTU, b.options.ns2MTU}[i])}
		for _, text := range addresses {
			a := netip.MustParseAddr(text)
			w.Addresses = append(w.Addresses, netip.PrefixFrom(a, a.BitLen()))
		}
		h.Workloads = append(h.Workloads, w)
	}
	if err := twin.Run(h.Commands()); err != nil {
		return err
	}
	if b.options.six {
		routes = append(routes, baseRoutes6...)
	}
	return b.host.Do(func() error {
		errs := []error{
			addRoutes(slices.Concat(routes, b.options.routes, b.options.kernelRoutes)),
			addNeighbor("ens160", peerIP, peerMAC), addNeighbor("ens160", defaultIP, peerMAC),
		}
		if b.options.six {
			errs = append(errs, addNeighbor("ens160", peerIP6, peerMAC))
		}
		for i := range h.Workloads {
			errs = append(errs, b.knowsWorkload(&h.Workloads[i]))
		}
		return errors.Join(errs...)
	})
}

// knowsWorkload enters a workload's addresses, and its link-local one, as neighbours of the host's kernel.
func (b *Bench) knowsWorkload(w *twin.Workload) error {
	var m mac
	err := w.Namespace.Do(func() error {
		eth0, err := netlink.LinkByName(w.Interface)
		if err == nil {
			m = mac(eth0.Attrs().HardwareAddr)
		}
		return err
	})
	if b.options.six {
		err = errors.Join(err, addNeighbor(w.Veth, linkLocal(m), m))
	}
	for _, a := range w.Addresses {
		err = errors.Join(err, addNeighbor(w.Veth, a.Addr().String(), m))
	}
	return err
}

// addNeighbor enters one that needs no asking, as vrouter has for its workloads.
func addNeighbor(ifname, address string, m mac) error {
	l, err := netlink.LinkByName(ifname)
	if err != nil {
		return err
	}
	return netlink.NeighSet(&netlink.Neigh{
		LinkIndex: l.Attrs().Index, State: netlink.NUD_PERMANENT,
		IP: netip.MustParseAddr(address).AsSlice(), HardwareAddr: net.HardwareAddr(m[:]),
	})
}

// linuxNeighbors are those with a hardware address, by address.
func (b *Bench) linuxNeighbors() map[string]string {
	known := map[string]string{}
	b.must(b.host.Do(func() error {
		list, err := netlink.NeighList(0, netlink.FAMILY_ALL)
		for _, n := range list {
			if len(n.HardwareAddr) == 6 && n.State&(netlink.NUD_NOARP|netlink.NUD_FAILED|netlink.NUD_INCOMPLETE) == 0 {
				known[n.IP.String()] = mac(n.HardwareAddr).String()
			}
		}
		return err
	}))
	return known
}
