package peer

import (
	"errors"
	"fmt"
	"net/netip"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Setup6 is what the guest has of IPv6, beside Setup: a tunnel by IPv4 and one by IPv6.
type Setup6 struct {
	Address  netip.Prefix   // of eth0
	Local4   netip.Addr     // the ends of the tunnel by IPv4
	Peer4    netip.Addr     //
	Peer6    netip.Addr     // the other end of the one by IPv6
	In4, In6 []netip.Prefix // the other host's workloads, by tunnel
	Workload []netip.Prefix
}

const (
	tunnelIn4 = "sit1"
	tunnelIn6 = "ip6tnl1"
)

// Setup6 adds IPv6 to a guest that is set up:
//
//	ip link add sit1 type sit local LOCAL4 remote PEER4 ttl 64
//	ip link add ip6tnl1 type ip6tnl mode any local ADDRESS remote PEER6
//	ip -6 route add IN4 dev sit1; ip route add IN6 dev ip6tnl1
func (a *Agent) Setup6(s Setup6, _ *struct{}) error {
	for _, m := range []string{"sit", "ip6_tunnel"} {
		if err := loadModule(m); err != nil {
			return err
		}
	}
	if err := errors.Join(sysctl6("all/forwarding", "1"), sysctl6("all/accept_dad", "0"), sysctl6("default/accept_dad", "0"), sysctl6("eth0/accept_dad", "0")); err != nil {
		return err
	}
	if err := address6(uplink, s.Address); err != nil {
		return err
	}
	for _, t := range []netlink.Link{
		&netlink.Sittun{LinkAttrs: netlink.LinkAttrs{Name: tunnelIn4}, Local: s.Local4.AsSlice(), Remote: s.Peer4.AsSlice(), Ttl: 64, PMtuDisc: 1},
		&netlink.Ip6tnl{LinkAttrs: netlink.LinkAttrs{Name: tunnelIn6}, Local: s.Address.Addr().AsSlice(), Remote: s.Peer6.AsSlice(), Ttl: 64},
	} {
		if err := errors.Join(netlink.LinkAdd(t), netlink.LinkSetUp(t)); err != nil {
			return fmt.Errorf("%s: %w", t.Attrs().Name, err)
		}
	}
	for dev, list := range map[string][]netip.Prefix{tunnelIn4: s.In4, tunnelIn6: s.In6} {
		for _, to := range list {
			if err := route(dev, to, netip.Addr{}, 0); err != nil {
				return err
			}
		}
	}
	return a.setWorkload6(s)
}

// setWorkload6 gives the workload what Calico does: host addresses, and the way to the host by
// the link-local address of its end.
func (a *Agent) setWorkload6(s Setup6) error {
	gateway, err := linkLocalOf(vethHost)
	if err != nil {
		return err
	}
	for _, w := range s.Workload {
		if err := route(vethHost, netip.PrefixFrom(w.Addr(), w.Addr().BitLen()), netip.Addr{}, 0); err != nil {
			return err
		}
	}
	return a.workload.Do(func() error {
		for _, w := range s.Workload {
			if err := address6("eth0", w); err != nil {
				return err
			}
		}
		if err := route("eth0", netip.MustParsePrefix("::/0"), gateway, 0); err != nil {
			return err
		}
		_, err := Serve6()
		return err
	})
}

func sysctl6(name, value string) error {
	return os.WriteFile("/proc/sys/net/ipv6/conf/"+name, []byte(value), 0o644)
}

// address6 adds one of either family, that is good at once.
func address6(name string, p netip.Prefix) error {
	l, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	a := &netlink.Addr{IPNet: ipNet(p)}
	if p.Addr().Is6() {
		a.Flags = unix.IFA_F_NODAD
	}
	return netlink.AddrAdd(l, a)
}

func linkLocalOf(name string) (netip.Addr, error) {
	l, err := netlink.LinkByName(name)
	if err != nil {
		return netip.Addr{}, err
	}
	list, err := netlink.AddrList(l, unix.AF_INET6)
	for _, a := range list {
		if ip, ok := netip.AddrFromSlice(a.IP); ok && ip.IsLinkLocalUnicast() {
			return ip, nil
		}
	}
	return netip.Addr{}, errors.Join(err, fmt.Errorf("%s has no link-local address", name))
}
