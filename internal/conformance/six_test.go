package conformance

import (
	"errors"
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vrouter/vrouter/internal/workload"
)

// quiet6 turns IPv6 off, or off what a kernel would say by itself.
func (b *Bench) quiet6() error {
	if !b.options.six {
		return errors.Join(sysctl("ipv6/conf/all/disable_ipv6", "1"), sysctl("ipv6/conf/default/disable_ipv6", "1"))
	}
	errs := []error{sysctl("ipv6/icmp/ratelimit", "0")} // row V9 sets it back
	for _, name := range []string{"accept_ra", "accept_dad", "dad_transmits", "autoconf", "router_solicitations"} {
		errs = append(errs, sysctl("ipv6/conf/default/"+name, "0"))
	}
	return errors.Join(errs...)
}

// disable6 takes IPv6 from an interface at which the test speaks itself.
func disable6(name string) error { return sysctl("ipv6/conf/"+name+"/disable_ipv6", "1") }

// proxies lets the host's kernel speak for an address at a workload's port.
func (b *Bench) proxies(name, address string) {
	if !b.linux {
		return
	}
	b.must(b.host.Do(func() error {
		l, err := netlink.LinkByName(name)
		if err != nil {
			return err
		}
		return errors.Join(
			sysctl("ipv6/conf/"+name+"/proxy_ndp", "1"), sysctl("ipv6/neigh/"+name+"/proxy_delay", "0"),
			netlink.NeighSet(&netlink.Neigh{LinkIndex: l.Attrs().Index, Family: unix.AF_INET6, Flags: netlink.NTF_PROXY, IP: netip.MustParseAddr(address).AsSlice()}),
		)
	}))
}

// passedOver says whether a frame is no business of the rows: multicast listener reports of a
// host's stack; and it answers for the stations that are on the wire.
func (p *port) passedOver(f []byte) bool {
	if isICMP6(f, 131, 132, 143) {
		return true
	}
	if p.answers == nil || !isICMP6(f, ndSolicitation) || len(f) < 78 {
		return false
	}
	target, asker := netip.AddrFrom16([16]byte(f[62:78])).String(), netip.AddrFrom16([16]byte(f[22:38])).String()
	m, known := p.answers[target]
	if !known {
		return false
	}
	answer := ndMessage{typ: ndAdvertisement, src: target, dst: asker, target: target, flags: 0x60, option: ndTarget, mac: m}
	_ = p.send(eth(mac(f[6:12]), m, typeIPv6, answer.bytes()))
	return true
}

// silenced silences a workload's own stack. In both families it keeps its addresses, by which the
// router knows it, and nothing of what it says leaves it; the test's own socket is below that.
func (b *Bench) silenced(ns workload.Namespace) error {
	if !b.options.six {
		return ns.Do(silence)
	}
	return ns.Do(func() error {
		c, err := nftables.New()
		if err != nil {
			return err
		}
		drop := nftables.ChainPolicyDrop
		table := c.AddTable(&nftables.Table{Family: nftables.TableFamilyINet, Name: "silence"})
		c.AddChain(&nftables.Chain{
			Name: "output", Table: table, Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookOutput, Priority: nftables.ChainPriorityFilter, Policy: &drop,
		})
		if err := c.Flush(); err != nil {
			return err
		}
		l, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		return netlink.LinkSetARPOff(l)
	})
}

// announce6 lets the stations be known to the router.
func (b *Bench) announce6() {
	if !b.options.six {
		return
	}
	b.announcePeer6()
	for _, p := range b.workloads() {
		near := p.station6()
		b.must(p.send(p.to6(ip6Packet{src: near, dst: gatewayIP6, next: protoICMP6, data: echo6(near, gatewayIP6, 1, 1, nil)}.bytes())))
	}
}

func (b *Bench) announcePeer6() {
	ask := ndMessage{typ: ndSolicitation, src: peerIP6, dst: solicitedNode(hostIP6), target: hostIP6, option: ndSource, mac: peerMAC}
	b.must(b.up.send(b.ndFrame(b.up, ask)))
}

// knows6 lets a station on the wire answer when it is asked for.
func (b *Bench) knows6(address string, m mac) {
	b.up.answers[address] = m
}

// uplinkLocal is the link-local address of the host's uplink.
func (b *Bench) uplinkLocal() string { return linkLocal(b.up.router) }

// workloads are the ports of both.
func (b *Bench) workloads() []*port { return slices.Clone(b.ports()[:2]) }
