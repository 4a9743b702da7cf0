package conformance

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"

	"github.com/vishvananda/netlink"

	"github.com/vrouter/vrouter/internal/workload"
)

// startLinux makes the host's kernel the router, as the tutorial and Calico do: a
// veth pair for each workload, proxy ARP on it, a host route to it, and a default
// route, without which proxy ARP has nothing to say about 169.254.1.1.
func (b *Bench) startLinux() error {
	return b.host.Do(func() error {
		routes := append([]route{{to: "0.0.0.0/0", via: defaultIP}}, baseRoutes...)
		if b.options.six {
			routes = append(routes, baseRoutes6...)
			if err := b.forward6(); err != nil {
				return err
			}
		}
		for i, address := range []string{ns1IP, ns2IP} {
			mtu := orDefault([]int{b.options.ns1MTU, b.options.ns2MTU}[i])
			name := fmt.Sprintf("veth%d", i+1)
			if err := addVeth(name, mtu, b.ns[i], address); err != nil {
				return err
			}
			if b.options.six {
				if err := b.addVeth6(name, b.ns[i], []string{ns1IP6, ns2IP6}[i]); err != nil {
					return err
				}
			}
		}
		return errors.Join(
			sysctl("ipv4/ip_forward", "1"),
			addRoutes(slices.Concat(routes, b.options.routes, b.options.kernelRoutes)),
			addNeighbor("ens160", peerIP, peerMAC), addNeighbor("ens160", defaultIP, peerMAC),
		)
	})
}

// addVeth attaches a workload to the host's kernel.
func addVeth(name string, mtu int, ns workload.Namespace, address string) error {
	v := &netlink.Veth{
		LinkAttrs: netlink.LinkAttrs{Name: name, MTU: mtu, HardwareAddr: gatewayMAC[:], TxQLen: 1000},
		PeerName:  "eth0-" + name, PeerMTU: uint32(mtu),
	}
	if err := netlink.LinkAdd(v); err != nil {
		return err
	}
	peer, err := netlink.LinkByName(v.PeerName)
	if err != nil {
		return err
	}
	if err := movePeer(peer, ns); err != nil {
		return err
	}
	host := netip.PrefixFrom(netip.MustParseAddr(address), 32)
	if err := errors.Join(
		up(name),
		sysctl("ipv4/conf/"+name+"/proxy_arp", "1"), sysctl("ipv4/conf/"+name+"/rp_filter", "1"),
		sysctl("ipv4/neigh/"+name+"/proxy_delay", "0"), // else it waits up to 0.8 s
	); err != nil {
		return err
	}
	l, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	if err := netlink.RouteAdd(&netlink.Route{
		LinkIndex: l.Attrs().Index, Scope: netlink.SCOPE_LINK,
		Dst: &net.IPNet{IP: host.Addr().AsSlice(), Mask: net.CIDRMask(32, 32)},
	}); err != nil {
		return err
	}
	return addNeighbor(name, address, mac(peer.Attrs().HardwareAddr))
}

func movePeer(peer netlink.Link, ns workload.Namespace) error {
	old := peer.Attrs().Name
	h, err := os.Open(string(ns))
	if err != nil {
		return err
	}
	defer h.Close()
	if err := netlink.LinkSetNsFd(peer, int(h.Fd())); err != nil {
		return err
	}
	return ns.Do(func() error {
		l, err := netlink.LinkByName(old)
		if err != nil {
			return err
		}
		if err := netlink.LinkSetName(l, "eth0"); err != nil {
			return err
		}
		return up("eth0")
	})
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
