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

// gateway of the workload, as Calico has it.
var gateway = netip.MustParseAddr("169.254.1.1")

// Setup is the guest as a host of the cluster.
type Setup struct {
	Address  netip.Prefix // of eth0
	Gateway  netip.Addr   // of the host
	Peer     netip.Addr   // the other host
	Remote   netip.Prefix // the other host's workloads
	Tunnel   netip.Addr   // of tunl0: from this host's workloads, as Calico chooses it
	Workload netip.Prefix
}

// MTU is for a link of the guest.
type MTU struct {
	Link  string
	Bytes int
}

// Agent is what the guest serves. The methods have the form that net/rpc wants.
type Agent struct{ workload workload.Namespace }

// Setup sets the guest's network up. Nothing in it knows that vrouter is the peer.
func (a *Agent) Setup(s Setup, _ *struct{}) (err error) {
	if err := setHost(s); err != nil {
		return err
	}
	if a.workload, err = workload.Create("ns1"); err != nil {
		return err
	}
	if err := setWorkload(s, a.workload); err != nil {
		return err
	}
	return a.workload.Do(func() error {
		_, err := Serve()
		return err
	})
}

// Probe sends one from the workload.
func (a *Agent) Probe(p Probe, answer *Answer) error {
	return a.workload.Do(func() (err error) {
		*answer, err = p.Send()
		return err
	})
}

// Transfer sends one from the workload.
func (a *Agent) Transfer(t Transfer, _ *struct{}) error { return a.workload.Do(t.Send) }

// SetMTU changes a link of the guest.
func (a *Agent) SetMTU(m MTU, _ *struct{}) error {
	l, err := netlink.LinkByName(m.Link)
	if err != nil {
		return err
	}
	return netlink.LinkSetMTU(l, m.Bytes)
}

// ReadFile reads a file of the guest, such as /proc/net/snmp.
func (a *Agent) ReadFile(path string, text *string) error {
	b, err := os.ReadFile(path)
	*text = string(b)
	return err
}

// setHost does what a host's set-up and Calico do:
//
//	ip addr add ADDRESS dev eth0; ip route add default via GATEWAY
//	ip addr add TUNNEL/32 dev tunl0; ip link set tunl0 mtu 1480 up
//	ip route add REMOTE via PEER dev tunl0 onlink
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
	if err := setForwarding(); err != nil {
		return err
	}
	if err := route(uplink, netip.MustParsePrefix("0.0.0.0/0"), s.Gateway, 0); err != nil {
		return err
	}
	return route(tunnel, s.Remote, s.Peer, int(netlink.FLAG_ONLINK))
}

func setForwarding() error {
	var errs []error
	for name, value := range map[string]string{"ip_forward": "1"} {
		errs = append(errs, os.WriteFile("/proc/sys/net/ipv4/"+name, []byte(value), 0o644))
	}
	return errors.Join(errs...)
}

// setWorkload gives the workload a veth whose host end answers ARP for the gateway.
func setWorkload(s Setup, n workload.Namespace) error {
	ns, err := os.Open(string(n))
	if err != nil {
		return err
	}
	defer ns.Close()
	veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: vethHost}, PeerName: "eth0", PeerNamespace: netlink.NsFd(ns.Fd())}
	if err := netlink.LinkAdd(veth); err != nil {
		return fmt.Errorf("veth: %w", err)
	}
	if err := up(vethHost, 1500, netip.Prefix{}); err != nil {
		return err
	}
	for name, value := range map[string]string{"conf/cali0/proxy_arp": "1", "neigh/cali0/proxy_delay": "0"} {
		if err := os.WriteFile("/proc/sys/net/ipv4/"+name, []byte(value), 0o644); err != nil {
			return err
		}
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
		return route("eth0", netip.MustParsePrefix("0.0.0.0/0"), gateway, 0)
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
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), 32)}
}
