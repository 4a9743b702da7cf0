package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"github.com/vrouter/vrouter/internal/workload"
)

const (
	uplink       = "ens160"
	gateway      = "169.254.1.1"
	gateway6     = "fe80::ecee:eeff:feee:eeee" // of gatewayMAC
	readyTimeout = 10 * time.Second
)

var gatewayMAC = net.HardwareAddr{0xee, 0xee, 0xee, 0xee, 0xee, 0xee}

// side is one of the tutorial's two hosts, with its workload.
type side struct {
	name        string
	host, guest workload.Namespace
	uplink      netip.Prefix
	address     netip.Prefix // of the workload
	uplink6     netip.Prefix // of IPv6, if the bed has it, as the next one
	address6    netip.Prefix
	uplinkMAC   net.HardwareAddr
	peer        *side
}

// bed is the tutorial's network without its routers.
type bed struct {
	sides   [2]*side
	six     bool       // it has IPv6 beside IPv4
	routers []*process // what is charged for the forwarding
	undo    []func()
}

// newBed makes the namespaces and the cable between the hosts, with IPv6 if six.
func newBed(six bool) (*bed, error) {
	b := &bed{six: six, sides: [2]*side{
		{
			name: "a", uplink: netip.MustParsePrefix("192.168.0.11/24"), address: netip.MustParsePrefix("10.70.1.1/24"),
			uplink6: netip.MustParsePrefix("fd00:192::11/64"), address6: netip.MustParsePrefix("fd00:70:1::1/128"),
		},
		{
			name: "b", uplink: netip.MustParsePrefix("192.168.0.12/24"), address: netip.MustParsePrefix("10.70.2.1/24"),
			uplink6: netip.MustParsePrefix("fd00:192::12/64"), address6: netip.MustParsePrefix("fd00:70:2::1/128"),
		},
	}}
	for i, s := range b.sides {
		s.peer = b.sides[1-i]
		var err error
		if s.host, err = b.namespace("bench-" + s.name); err != nil {
			return b, err
		}
		if s.guest, err = b.namespace("bench-" + s.name + "-ns1"); err != nil {
			return b, err
		}
	}
	if err := addVeth(b.sides[0].host, uplink, b.sides[1].host, uplink, nil); err != nil {
		return b, err
	}
	for _, s := range b.sides {
		if err := s.host.Do(func() error { return s.setUplink(six) }); err != nil {
			return b, err
		}
	}
	return b, nil
}

// namespace makes one without IPv6, whose announcements would be traffic too, unless the bed has it.
func (b *bed) namespace(name string) (workload.Namespace, error) {
	n, err := workload.Create(name)
	if err != nil {
		return n, err
	}
	b.undo = append(b.undo, func() { _ = n.Delete() })
	return n, n.Do(func() error {
		for _, conf := range []string{"all", "default"} {
			_ = sysctl("ipv6/conf/"+conf+"/disable_ipv6", map[bool]string{false: "1", true: "0"}[b.six])
			_ = sysctl("ipv6/conf/"+conf+"/accept_dad", "0") // an address is of use at once
		}
		_ = sysctl("ipv4/tcp_no_metrics_save", "1") // else what one measurement has lost slows the next one down
		return sysctl("ipv4/ip_forward", "0")
	})
}

// start runs a process of the contender's, until the bed is closed.
func (b *bed) start(ns workload.Namespace, env []string, args ...string) (*process, error) {
	p, err := start(ns, env, args...)
	if err == nil {
		b.undo = append(b.undo, p.stop)
	}
	return p, err
}

// close undoes all, the last thing first.
func (b *bed) close() {
	for len(b.undo) > 0 {
		last := len(b.undo) - 1
		b.undo[last]()
		b.undo = b.undo[:last]
	}
}

// ready waits until the workloads reach each other.
func (b *bed) ready() error {
	for deadline := time.Now().Add(readyTimeout); ; {
		_, err := roundTrips(b.sides[0], false, 1, 100*time.Millisecond)
		if err == nil && b.six {
			_, err = roundTrips(b.sides[0], true, 1, 100*time.Millisecond)
		}
		if err == nil {
			return nil
		}
		for _, p := range b.routers {
			if ended := p.hasEnded(); ended != nil {
				return ended
			}
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the workloads do not reach each other: %w", err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func (s *side) setUplink(six bool) error {
	l, err := netlink.LinkByName(uplink)
	if err != nil {
		return err
	}
	s.uplinkMAC = l.Attrs().HardwareAddr
	if six {
		return up(l, s.uplink, s.uplink6)
	}
	return up(l, s.uplink)
}

// of is the workload's address of a family.
func (s *side) of(six bool) netip.Addr {
	if six {
		return s.address6.Addr()
	}
	return s.address.Addr()
}

// plug gives the workload a veth instead of the router's TAP, with the
// tutorial's addresses and routes. The host's end is called veth1.
func (s *side) plug(six bool) error {
	if err := addVeth(s.guest, "eth0", s.host, "veth1", gatewayMAC); err != nil {
		return err
	}
	if err := s.host.Do(func() error { return upByName("veth1") }); err != nil {
		return err
	}
	return s.guest.Do(func() error {
		l, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		if err := up(l, s.address); err != nil {
			return err
		}
		if err := addRoute("eth0", gateway+"/32", ""); err != nil {
			return err
		}
		if err := addRoute("eth0", "0.0.0.0/0", gateway); err != nil || !six {
			return err
		}
		return errors.Join(up(l, s.address6), addRoute("eth0", "::/0", gateway6))
	})
}

// addVeth joins two namespaces; the far end may get a hardware address.
func addVeth(near workload.Namespace, name string, far workload.Namespace, peer string, mac net.HardwareAddr) error {
	return near.Do(func() error {
		h, err := netns.GetFromPath(string(far))
		if err != nil {
			return err
		}
		defer h.Close()
		return netlink.LinkAdd(&netlink.Veth{
			LinkAttrs: netlink.LinkAttrs{Name: name},
			PeerName:  peer, PeerNamespace: netlink.NsFd(h), PeerHardwareAddr: mac,
		})
	})
}

func upByName(name string) error {
	l, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	return netlink.LinkSetUp(l)
}

func up(l netlink.Link, addresses ...netip.Prefix) error {
	for _, a := range addresses {
		ip := &net.IPNet{IP: a.Addr().AsSlice(), Mask: net.CIDRMask(a.Bits(), a.Addr().BitLen())}
		if err := netlink.AddrAdd(l, &netlink.Addr{IPNet: ip}); err != nil {
			return err
		}
	}
	return netlink.LinkSetUp(l)
}

// addRoute is `ip route add TO [via VIA] dev DEV`.
func addRoute(dev, to, via string) error {
	l, err := netlink.LinkByName(dev)
	if err != nil {
		return err
	}
	_, dst, err := net.ParseCIDR(to)
	if err != nil {
		return err
	}
	r := &netlink.Route{LinkIndex: l.Attrs().Index, Dst: dst, Scope: netlink.SCOPE_LINK}
	if via != "" {
		r.Gw, r.Scope = net.ParseIP(via), netlink.SCOPE_UNIVERSE
	}
	if err := netlink.RouteAdd(r); err != nil {
		return fmt.Errorf("route to %s dev %s: %w", to, dev, err)
	}
	return nil
}

func sysctl(name, value string) error {
	return os.WriteFile("/proc/sys/net/"+name, []byte(value), 0o644)
}
