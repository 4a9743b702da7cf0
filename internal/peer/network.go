package peer

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"github.com/vishvananda/netlink"

	"github.com/vrouter/vrouter/internal/workload"
)

const (
	uplink   = "eth0"
	tunnel   = "tunl0" // ipip.ko makes it: from any host to any host
	vethHost = "cali0"
)

var (
	gateway    = netip.MustParseAddr("169.254.1.1") // of the workload, as Calico has it
	everywhere = netip.MustParsePrefix("0.0.0.0/0")
)

// setHost does what a host's set-up and Calico do:
//
//	ip addr add ADDRESS dev eth0; ip route add default via GATEWAY
//	ip addr add TUNNEL/32 dev tunl0; ip link set tunl0 mtu 1480 up
//	ip route add REMOTE via PEER dev tunl0 onlink
//
// rp_filter stays off, as the kernel has it: a strict one would drop the peer's
// own ICMP errors, which come out of tunl0 from an address beyond eth0.
func setHost(s Setup) error {
	eth, err := netlink.LinkByName("vec0")
	if err != nil {
		return fmt.Errorf("vec0: %w", err)
	}
	if err := netlink.LinkSetName(eth, uplink); err != nil {
		return err
	}
	if err := up(uplink, 1500, s.Address); err != nil {
		return err
	}
	if err := up(tunnel, 1480, netip.PrefixFrom(s.Tunnel, 32)); err != nil {
		return err
	}
	if err := sysctl("ip_forward", "1"); err != nil {
		return err
	}
	if err := route(uplink, everywhere, s.Gateway, 0); err != nil {
		return err
	}
	return route(tunnel, s.Remote, s.Peer, int(netlink.FLAG_ONLINK))
}

func sysctl(name, value string) error {
	return os.WriteFile("/proc/sys/net/ipv4/"+name, []byte(value), 0o644)
}

// setWorkload gives the workload what the tutorial does: a veth whose host end
// answers ARP for the gateway.
func setWorkload(s Setup, n workload.Namespace) error {
	if err := addVeth(n); err != nil {
		return fmt.Errorf("veth: %w", err)
	}
	if err := up(vethHost, 1500, netip.Prefix{}); err != nil {
		return err
	}
	if err := errors.Join(sysctl("conf/cali0/proxy_arp", "1"), sysctl("neigh/cali0/proxy_delay", "0")); err != nil {
		return err
	}
	if err := route(vethHost, netip.PrefixFrom(s.Workload.Addr(), 32), netip.Addr{}, 0); err != nil {
		return err
	}
	return n.Do(func() error {
		if err := up("eth0", 1500, s.Workload); err != nil {
			return err
		}
		if err := route("eth0", netip.PrefixFrom(gateway, 32), netip.Addr{}, 0); err != nil {
			return err
		}
		return route("eth0", everywhere, gateway, 0)
	})
}

func addVeth(n workload.Namespace) error {
	ns, err := os.Open(string(n))
	if err != nil {
		return err
	}
	defer ns.Close()
	return netlink.LinkAdd(&netlink.Veth{
		LinkAttrs: netlink.LinkAttrs{Name: vethHost}, PeerName: "eth0", PeerNamespace: netlink.NsFd(ns.Fd()),
	})
}

// up gives a link an MTU and, where there is one, an address.
func up(name string, mtu int, a netip.Prefix) error {
	l, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if err := netlink.LinkSetMTU(l, mtu); err != nil {
		return fmt.Errorf("%s: mtu %d: %w", name, mtu, err)
	}
	if a.IsValid() {
		if err := netlink.AddrAdd(l, &netlink.Addr{IPNet: ipNet(a)}); err != nil {
			return fmt.Errorf("%s: address %s: %w", name, a, err)
		}
	}
	return netlink.LinkSetUp(l)
}

// route adds one; without a next hop, the destination is on the link.
func route(dev string, to netip.Prefix, via netip.Addr, flags int) error {
	l, err := netlink.LinkByName(dev)
	if err != nil {
		return fmt.Errorf("%s: %w", dev, err)
	}
	r := netlink.Route{LinkIndex: l.Attrs().Index, Dst: ipNet(to), Flags: flags}
	if via.IsValid() {
		r.Gw = via.AsSlice()
	} else {
		r.Scope = netlink.SCOPE_LINK
	}
	if err := netlink.RouteAdd(&r); err != nil {
		return fmt.Errorf("route to %s dev %s: %w", to, dev, err)
	}
	return nil
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
