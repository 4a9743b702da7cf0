package engine_test

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vrouter/vrouter/forwarder"
	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/rib"
)

// The same hosts in IPv6.
const (
	gateway6 = "fe80::ecee:eeff:feee:eeee"
	ns1IP6   = "fd00:70:1::1"
	ns2IP6   = "fd00:70:1::2"
	ns1Link  = "fe80::1:1" // the address that ns1 has given itself
	hostIP6  = "fd00:192::11"
	hostLink = "fe80::11"
	peerIP6  = "fd00:192::12"
	peerLink = "fe80::12"
	farIP6   = "fd00:70:2::1"
)

// dual gives the bed the second family, with the other host resolved.
func dual(b *bed) {
	b.settings.Gateway6 = addr(gateway6)
	b.settings.Uplink = append(b.settings.Uplink, forwarder.Subnet{Prefix: prefix("fd00:192::/64"), Address: addr(hostIP6)},
		forwarder.Subnet{Prefix: prefix("fe80::/64"), Address: addr(hostLink)})
	b.settings.Own = append(b.settings.Own, addr(hostIP6), addr(hostLink))
	b.settings.Peers = append(b.settings.Peers, addr(peerIP6))
	b.router.Configure(b.settings)
	for _, p := range b.router.Stats().Ports {
		c := p.PortConfig
		switch c.Name {
		case "ns1":
			b.workload6(p.ID, c, ns1IP6, ns1MAC)
		case "ns2":
			b.workload6(p.ID, c, ns2IP6, ns2MAC)
		default:
			c.LinkLocal = addr(hostLink)
			b.router.UpdatePort(p.ID, c)
		}
	}
	b.route(rib.Route{Prefix: prefix("fd00:192::/64"), Dev: "ens160", Port: b.uplinkID, Protocol: "kernel", Source: rib.Connected})
	b.via(farIP6+"/128", peerIP6, rib.None)
	b.resolve6()
}

func (b *bed) workload6(id int, c forwarder.PortConfig, ip string, mac packet.MAC) {
	c.Addresses, c.LinkLocal = append(c.Addresses, addr(ip)), addr(gateway6)
	b.router.UpdatePort(id, c)
	b.router.SetNeighbor(id, addr(ip), mac)
	b.router.SetNeighbor(id, addr(ns1Link), ns1MAC)
	b.route(rib.Route{Prefix: prefix(ip + "/128"), Dev: c.Name, Port: id, Protocol: "workload", Source: rib.Workload})
}

// resolve6 makes the other host reachable.
func (b *bed) resolve6() { b.reachable6(peerMAC, peerIP6) }

// reachable6 has a neighbour solicit this host and confirm itself: one that has only solicited is stale, and the first packet
// by it is followed by a probe.
func (b *bed) reachable6(mac packet.MAC, a string) {
	b.uplink.Send(solicits(mac, a, hostIP6, uplinkMAC))
	b.uplink.Send(advertises(mac, a, hostIP6, uplinkMAC, true, true))
	b.uplink.Sent()
}

// run6 runs rows on a bed with both families.
func run6(t *testing.T, rows []row) { run(t, onBoth(rows)) }

// onBoth has rows played on such a bed.
func onBoth(rows []row) []row {
	for i := range rows {
		setup := rows[i].setup
		rows[i].setup = func(b *bed) {
			dual(b)
			if setup != nil {
				setup(b)
			}
		}
	}
	return rows
}

// packet6 is an IPv6 packet in a frame: to the router, if it is from ns1 or the other host.
func packet6(src, dst string, next, hops byte, data []byte) *packet.Frame {
	from, to := peerMAC, uplinkMAC
	if src != peerIP6 && src != farIP6 && src != peerLink {
		from, to = ns1MAC, gatewayMAC
	}
	f := &packet.Frame{}
	f.Reset(packet.EthernetLen + packet.IPv6MinLen + len(data))
	f.SetEthernet(to, from, packet.EtherTypeIPv6)
	packet.PutIPv6(f.Payload(), &packet.Header6{
		TrafficClass: 0xb8, FlowLabel: 0x12345, PayloadLen: len(data), NextHeader: next, HopLimit: hops, Src: addr(src), Dst: addr(dst),
	})
	copy(f.Payload()[packet.IPv6MinLen:], data)
	return f
}

// icmp6 is an ICMPv6 message, of which data is what follows the checksum.
func icmp6(src, dst string, typ, code byte, data ...byte) *packet.Frame {
	f := packet6(src, dst, packet.ProtocolICMPv6, 64, append([]byte{typ, code, 0, 0}, data...))
	packet.SetICMPv6Checksum(f.Payload(), packet.IPv6MinLen)
	return f
}

// ping6 is an echo request.
func ping6(src, dst string) *packet.Frame {
	return icmp6(src, dst, 128, 0, append([]byte{0, 41, 0, 1}, "0123456789"...)...)
}

// fromFar is an echo reply of the other host's workload to ns1.
func fromFar() *packet.Frame { return icmp6(farIP6, ns1IP6, 129, 0, 0, 41, 0, 1) }

// datagram6 is an IPv6 packet of n bytes.
func datagram6(src, dst string, n int) *packet.Frame {
	return packet6(src, dst, 253, 64, make([]byte, n-packet.IPv6MinLen))
}

// edited6 is a copy of a frame with its IPv6 packet changed, whose length is made right.
func edited6(f *packet.Frame, change func(ip packet.IPv6)) *packet.Frame {
	return broken(f, func(f *packet.Frame) { change(f.Payload()) })
}

func withHops(f *packet.Frame, n byte) *packet.Frame {
	return edited6(f, func(ip packet.IPv6) { ip[7] = n })
}

func withSrc6(f *packet.Frame, a string) *packet.Frame {
	return edited6(f, func(ip packet.IPv6) { copy(ip[8:], addr(a).AsSlice()) })
}

func withDst6(f *packet.Frame, a string) *packet.Frame {
	return edited6(f, func(ip packet.IPv6) { copy(ip[24:], addr(a).AsSlice()) })
}

// behind puts an extension header in front of what a packet carries.
func behind(f *packet.Frame, header byte, rest ...byte) *packet.Frame {
	ip := packet.IPv6(f.Payload())
	ext := append([]byte{ip.NextHeader()}, rest...)
	b := append(append(append([]byte{}, f.Bytes()[:packet.EthernetLen+packet.IPv6MinLen]...), ext...), ip.Payload()...)
	g := packet.FrameOf(b)
	out := g.Payload()
	out[6] = header
	binary.BigEndian.PutUint16(out[4:], uint16(len(out)-packet.IPv6MinLen))
	return g
}

// forwarded6 checks that a packet came out as it came in, for one hop further.
func forwarded6(src, dst packet.MAC) func(testing.TB, *packet.Frame, *packet.Frame) {
	return func(t testing.TB, in, out *packet.Frame) {
		t.Helper()
		if out.SrcMAC() != src || out.DstMAC() != dst || out.EtherType() != packet.EtherTypeIPv6 {
			t.Errorf("sent %s > %s, type %04x, want %s > %s", out.SrcMAC(), out.DstMAC(), out.EtherType(), src, dst)
		}
		ip := packet.IP(in.Payload())
		want := withHops(in, ip.HopLimit()-1).Payload()[:ip.Len()]
		if d := cmp.Diff(want, out.Payload()); d != "" {
			t.Errorf("the packet changed (-want +got):\n%s", d)
		}
	}
}

var (
	toPeer6 = forwarded6(uplinkMAC, peerMAC)
	toNS16  = forwarded6(gatewayMAC, ns1MAC)
	toNS26  = forwarded6(gatewayMAC, ns2MAC)
)

// tells6 checks an ICMPv6 error: from the host, by its global address, to the source of
// the packet that it quotes as it came (RFC 4443 2.2, 2.4).
func tells6(typ, code byte, rest uint32) func(testing.TB, *packet.Frame, *packet.Frame) {
	return func(t testing.TB, in, out *packet.Frame) {
		t.Helper()
		was, ip := packet.IPv6(in.Payload()), packet.IPv6(out.Payload())
		if len(ip) < packet.IPv6MinLen+packet.ICMPHeaderLen || out.EtherType() != packet.EtherTypeIPv6 {
			t.Fatalf("% x", out.Bytes())
		}
		if ip.Src() != addr(hostIP6) || ip.Dst() != was.Src() || ip.HopLimit() != 64 || ip.NextHeader() != packet.ProtocolICMPv6 || ip.PayloadLen() != len(ip)-40 {
			t.Errorf("%s > %s, next header %d, hop limit %d", ip.Src(), ip.Dst(), ip.NextHeader(), ip.HopLimit())
		}
		if packet.ICMPv6Sum(ip, packet.IPv6MinLen) != 0xffff {
			t.Error("the checksum is wrong")
		}
		icmp := ip.Payload()
		if got := binary.BigEndian.Uint32(icmp[4:]); icmp[0] != typ || icmp[1] != code || got != rest {
			t.Errorf("%d/%d with %d, want %d/%d with %d", icmp[0], icmp[1], got, typ, code, rest)
		}
		want := was[:min(packet.IP(was).Len(), len(was), 1280-48)]
		if d := cmp.Diff([]byte(want), []byte(icmp[8:])); d != "" {
			t.Errorf("the quote is not the packet as it came (-want +got):\n%s", d)
		}
	}
}

// solicits is a neighbour solicitation for a target, to one station or, if that is zero,
// to the target's group.
func solicits(from packet.MAC, src, target string, to packet.MAC) *packet.Frame {
	m := packet.ND{Type: packet.ICMPv6NeighborSolicitation, Src: addr(src), Dst: addr(target), Target: addr(target), MAC: from}
	if to == (packet.MAC{}) {
		m.Dst = packet.SolicitedNode(m.Target)
	}
	if m.Src.IsUnspecified() {
		m.MAC = packet.MAC{}
	}
	return nd(&m, from, to)
}

// advertises is a neighbour advertisement.
func advertises(from packet.MAC, target, dst string, to packet.MAC, solicited, override bool) *packet.Frame {
	return nd(&packet.ND{
		Type: packet.ICMPv6NeighborAdvertisement, Src: addr(target), Dst: addr(dst), Target: addr(target), MAC: from,
		Solicited: solicited, Override: override,
	}, from, to)
}

func nd(m *packet.ND, from, to packet.MAC) *packet.Frame {
	f := &packet.Frame{}
	packet.PutND(f, m, from, to)
	return f
}

// neighbor6 is what is known of an address on the uplink.
func (b *bed) mac6(port int, a netip.Addr) (mac packet.MAC) {
	for _, n := range b.router.Neighbors() {
		if n.Port == port && n.Addr == a {
			mac = n.MAC
		}
	}
	return mac
}
