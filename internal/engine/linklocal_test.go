package engine_test

import (
	"net/netip"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/vrouter/vrouter/forwarder"
	"github.com/vrouter/vrouter/internal/link"
	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/rib"
)

const (
	localIP = "169.254.20.10" // of the host, on an interface of its own
	zeroIP  = "169.254.7.7"   // of nobody
)

var hostMAC = packet.MAC{2, 0, 0, 0, 0, 1}

// withHost gives the bed the host's own port, and the host an address of 169.254/16.
func withHost(b *bed) *link.Memory {
	b.settings.Own = append(b.settings.Own, addr(localIP))
	b.router.Configure(b.settings)
	m := link.NewMemory()
	id := b.add(forwarder.PortConfig{Name: "vrouter0", Kind: forwarder.Host, Interface: "vrouter0", MAC: gatewayMAC, MTU: 1500}, m)
	for _, a := range b.settings.Own {
		b.route(rib.Route{Prefix: netip.PrefixFrom(a, 32), Dev: "vrouter0", Port: id, Protocol: "kernel", Source: rib.Connected})
		b.router.SetNeighbor(id, a, hostMAC)
	}
	return m
}

func question(src packet.MAC, from, to string) *packet.Frame {
	u := &layers.UDP{SrcPort: 1053, DstPort: 53}
	ip := ip4(from, to, layers.IPProtocolUDP)
	_ = u.SetNetworkLayerForChecksum(ip)
	dst := gatewayMAC
	if src == peerMAC {
		dst = uplinkMAC
	}
	return frame(ether(src, dst), ip, u, gopacket.Payload("who"))
}

// An address of 169.254/16 that the host has is the host's, to a workload and back; nothing from or
// to one is forwarded (RFC 3927 7).
func TestLinkLocalOfTheHost(t *testing.T) {
	for _, c := range []struct {
		name, in string
		send     *packet.Frame
		out      string
		reason   string
	}{
		{"H4_workload_to_the_hosts", "ns1", question(ns1MAC, ns1IP, localIP), "vrouter0", ""},
		{"H4_the_hosts_to_a_workload", "vrouter0", question(hostMAC, localIP, ns1IP), "ns1", ""},
		{"H4_workload_to_nobodys", "ns1", question(ns1MAC, ns1IP, zeroIP), "", "link_local"},
		{"H4_the_host_from_nobodys", "vrouter0", question(hostMAC, zeroIP, ns1IP), "", "link_local"},
		{"H4_workload_from_nobodys", "ns1", question(ns1MAC, zeroIP, localIP), "", "link_local"},
		{"H4_the_link_to_the_hosts", "ens160", question(peerMAC, peerIP, localIP), "", "not_for_router"},
		{"H4_nobodys_on_the_link_to_the_host", "ens160", question(peerMAC, zeroIP, hostIP), "", "not_for_router"},
		{"H4_nobodys_on_the_link_to_a_workload", "ens160", question(peerMAC, zeroIP, ns1IP), "", "link_local"},
		{"H4_the_link_claims_the_hosts", "ens160", question(peerMAC, localIP, ns1IP), "", "martian_source"},
		{"H4_a_tunnel_to_the_hosts", "ens160", ipip(peerIP, hostIP, question(peerMAC, farIP, localIP), nil), "", "ipip_bad_inner"},
		{"H4_a_tunnel_from_nobodys", "ens160", ipip(peerIP, hostIP, question(peerMAC, zeroIP, hostIP), nil), "", "ipip_bad_inner"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBed(t)
			host := withHost(b)
			ports := map[string]*link.Memory{"ns1": b.ns1, "ns2": b.ns2, "ens160": b.uplink, "vrouter0": host}
			ports[c.in].Send(c.send)
			for name, m := range ports {
				if name != c.out {
					silent(t, m)
				} else if f := one(t, m); packet.IPv4(f.Payload()).Dst() != packet.IPv4(c.send.Payload()).Dst() {
					t.Errorf("%s has %s", name, decode(f))
				}
			}
			b.dropsAre(c.in, c.reason, 1)
		})
	}
}

// What the host sends from such an address and is too big is told about: it would wait for ever else.
func TestLinkLocalOfTheHostIsTold(t *testing.T) {
	b := newBed(t)
	host := withHost(b)
	in := withDF(sized(hostMAC, localIP, ns1IP, 1501))
	host.Send(in)
	if f := one(t, host); packet.IPv4(f.Payload()).Dst() != addr(localIP) || f.Payload()[20] != 3 || f.Payload()[21] != 4 {
		t.Errorf("it is told %s", decode(f))
	}
}

// Without the host's own port a ping is answered, as for any address of the host.
func TestLinkLocalOfTheHostIsAnswered(t *testing.T) {
	b := newBed(t)
	b.settings.Own = append(b.settings.Own, addr(localIP))
	b.router.Configure(b.settings)
	b.ns1.Send(ping(localIP))
	if f := one(t, b.ns1); packet.IPv4(f.Payload()).Src() != addr(localIP) {
		t.Errorf("the answer is %s", decode(f))
	}
}
