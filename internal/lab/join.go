package lab

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/vrouter/vrouter/internal/config"
	"github.com/vrouter/vrouter/internal/workload"
)

// join gives each host its uplink: two hosts are joined by one veth, as by a
// cable; more of them, or more than one subnet, by bridges in a namespace of
// their own, which routes between the subnets and knows nothing of the workloads.
func (l *Lab) join(c *config.Lab, hosts []*Host, fabric string) error {
	if fabric == "" {
		if err := cable(hosts[0], hosts[1]); err != nil {
			return fmt.Errorf("joining the hosts: %w", err)
		}
	} else if err := l.bridges(c, hosts, fabric); err != nil {
		return fmt.Errorf("joining the hosts: %w", err)
	}
	for _, h := range hosts {
		gateway := netip.Addr{}
		if link := linkOf(c, h.config.Uplink.Addresses[0]); link != nil {
			gateway = link.Gateway
		}
		if err := workload.Named(h.Namespace).Do(func() error { return h.setUplink(gateway) }); err != nil {
			return fmt.Errorf("%s: %w", h.Name, err)
		}
	}
	return nil
}

// cable makes a veth from one host to the other; both ends have the
// uplink's name.
func cable(a, b *Host) error {
	return workload.Named(a.Namespace).Do(func() error { return addVeth(a.Uplink, b.Uplink, b.Namespace) })
}

// addVeth makes a veth in the calling thread's namespace, its other end in another.
func addVeth(name, peer, peerNamespace string) error {
	ns, err := netns.GetFromName(peerNamespace)
	if err != nil {
		return err
	}
	defer ns.Close()
	return netlink.LinkAdd(&netlink.Veth{
		LinkAttrs: netlink.LinkAttrs{Name: name}, PeerName: peer, PeerNamespace: netlink.NsFd(ns),
	})
}

// bridges makes one for each link, with a port for each host in it.
func (l *Lab) bridges(c *config.Lab, hosts []*Host, fabric string) error {
	n, err := l.makeNamespace(fabric)
	if err != nil {
		return err
	}
	return n.Do(func() error {
		if err := quiet(); err != nil {
			return err
		}
		links := c.Links
		if len(links) == 0 {
			links = []config.Link{{Subnet: c.Hosts[0].Uplink.Addresses[0].Masked()}}
		}
		for i, link := range links {
			name, join := fmt.Sprintf("link%d", i), bridge
			if link.Impair != nil && fabric == l.Fabric { // the twins' are good
				join = l.loose
			}
			if err := join(name, link, hosts); err != nil {
				return err
			}
		}
		if len(links) > 1 {
			_ = os.WriteFile("/proc/sys/net/ipv6/conf/all/forwarding", []byte("1"), 0o644) // where there is IPv6
			return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o644)
		}
		return nil
	})
}

func bridge(name string, link config.Link, hosts []*Host) error {
	br := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: name}}
	if err := netlink.LinkAdd(br); err != nil {
		return fmt.Errorf("bridge %s: %w", name, err)
	}
	if link.Gateway.IsValid() {
		if err := addAddress(br, netip.PrefixFrom(link.Gateway, link.Subnet.Bits())); err != nil {
			return err
		}
	}
	cables, err := cables(link, hosts)
	if err != nil {
		return err
	}
	for _, p := range cables {
		if err := netlink.LinkSetMaster(p, br); err != nil {
			return err
		}
	}
	return netlink.LinkSetUp(br)
}

// cables makes a veth to each host of a link, and returns the ends that are here.
func cables(link config.Link, hosts []*Host) (ends []netlink.Link, err error) {
	for i, h := range hosts {
		if !link.Subnet.Contains(h.config.Uplink.Addresses[0].Addr()) {
			continue
		}
		port := fmt.Sprintf("host%d", i)
		if err := addVeth(port, h.Uplink, h.Namespace); err != nil {
			return nil, err
		}
		p, err := netlink.LinkByName(port)
		if err != nil {
			return nil, err
		}
		if err := netlink.LinkSetUp(p); err != nil {
			return nil, err
		}
		ends = append(ends, p)
	}
	return ends, nil
}

// loose makes the cables of a link that is impaired: what comes by one is carried to the
// others by a process (carry). The gateway, if there is one, has a cable too.
func (l *Lab) loose(name string, link config.Link, hosts []*Host) error {
	// Else the kernel would answer ARP for the gateway on every cable.
	if err := os.WriteFile("/proc/sys/net/ipv4/conf/all/arp_ignore", []byte("1"), 0o644); err != nil {
		return err
	}
	cables, err := cables(link, hosts)
	if err != nil {
		return err
	}
	if link.Gateway.IsValid() {
		gateway := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name}, PeerName: name + "gw"}
		if err := netlink.LinkAdd(gateway); err != nil {
			return err
		}
		if err := addAddress(gateway, netip.PrefixFrom(link.Gateway, link.Subnet.Bits())); err != nil {
			return err
		}
		end, err := netlink.LinkByName(gateway.PeerName)
		if err != nil {
			return err
		}
		for _, v := range []netlink.Link{gateway, end} {
			if err := netlink.LinkSetUp(v); err != nil {
				return err
			}
		}
		cables = append(cables, end)
	}
	made := &Link{Subnet: link.Subnet.String(), Plan: filepath.Join(Directory, name+".json"),
		Counts: filepath.Join(Directory, name+".counts"), Log: filepath.Join(Directory, name+".log")}
	p := plan{Impair: *link.Impair}
	for _, c := range cables {
		p.Ports = append(p.Ports, c.Attrs().Name)
	}
	l.Links = append(l.Links, made)
	return p.write(made.Plan)
}

// setUplink gives the uplink its addresses, and the host its default route.
func (h *Host) setUplink(gateway netip.Addr) error {
	link, err := netlink.LinkByName(h.Uplink)
	if err != nil {
		return err
	}
	for _, a := range h.config.Uplink.Addresses {
		if err := addAddress(link, a); err != nil {
			return err
		}
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return err
	}
	if !gateway.IsValid() {
		return nil
	}
	_, all, _ := net.ParseCIDR("0.0.0.0/0")
	if gateway.Is6() {
		_, all, _ = net.ParseCIDR("::/0")
	}
	return netlink.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Dst: all, Gw: gateway.AsSlice()})
}

func addAddress(l netlink.Link, a netip.Prefix) error {
	x := &netlink.Addr{IPNet: &net.IPNet{IP: a.Addr().AsSlice(), Mask: net.CIDRMask(a.Bits(), a.Addr().BitLen())}}
	if a.Addr().Is6() {
		x.Flags = unix.IFA_F_NODAD
		for _, setting := range []string{"accept_ra", "accept_dad", "disable_ipv6"} { // without waiting, and without asking for routers
			if err := os.WriteFile("/proc/sys/net/ipv6/conf/"+l.Attrs().Name+"/"+setting, []byte("0"), 0o644); err != nil {
				return fmt.Errorf("%s: IPv6: %w", l.Attrs().Name, err)
			}
		}
	}
	return netlink.AddrAdd(l, x)
}

func linkOf(c *config.Lab, a netip.Prefix) *config.Link {
	for i := range c.Links {
		if c.Links[i].Subnet.Contains(a.Addr()) {
			return &c.Links[i]
		}
	}
	return nil
}
