package engine_test

import (
	"fmt"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/rib"
)

func TestForwarding(t *testing.T) {
	run(t, ttlRows())
	run(t, checksumRows())
	run(t, unchangedRows())
	run(t, routeRows())
	run(t, []row{
		{name: "F8_workload_to_workload", from: "ns1", send: ping(ns2IP), out: "ns2", check: toNS2},
		{name: "F8_workload_to_host", from: "ns1", send: ping(farIP), out: "ens160", check: toPeer},
		{name: "F8_workload_to_the_uplinks_subnet", from: "ns1", send: ping(peerIP), out: "ens160", check: toPeer},
		{name: "F8_host_to_workload", from: "ens160", send: fromPeer(), out: "ns1", check: toNS1},
		{name: "F8_host_to_host", from: "ens160", send: withDst(fromPeer(), peerIP), out: "ens160", check: toPeer},
		{name: "F8_workload_to_itself", from: "ns1", send: ping(ns1IP), out: "ns1", check: toNS1},
	})
}

func ttlRows() []row {
	return []row{
		{name: "F1_ttl_2", from: "ns1", send: withTTL(ping(farIP), 2), out: "ens160", check: toPeer},
		{name: "F1_ttl_255", from: "ns1", send: withTTL(ping(farIP), 255), out: "ens160", check: toPeer},
		{name: "F2_ttl_1", from: "ns1", send: withTTL(ping(farIP), 1), out: "ns1", check: tellsOf(11, 0), reason: "ttl_exceeded"},
		{name: "F2_ttl_0", from: "ns1", send: withTTL(ping(farIP), 0), out: "ns1", check: tellsOf(11, 0), reason: "ttl_exceeded"},
		{name: "F2_ttl_1_from_the_uplink", from: "ens160", send: withTTL(fromPeer(), 1), out: "ens160", check: tellsOf(11, 0), reason: "ttl_exceeded"},
		{name: "F2_ttl_1_for_the_router", from: "ns1", send: withTTL(ping(gateway), 1), out: "ns1"},
		{name: "F2_ttl_1_without_a_route", from: "ns1", send: withTTL(ping("10.99.0.1"), 1), out: "ns1", check: tellsOf(3, 0), reason: "no_route"},
	}
}

// F3: the identification is chosen so that the checksum is near a corner before
// or after the TTL is lowered, which adds 0x0100 to it.
func checksumRows() (rows []row) {
	for _, sum := range []uint16{0x0000, 0x0001, 0x00ff, 0x0100, 0xfefe, 0xfeff, 0xff00, 0xfffe} {
		in := edited(ping(farIP), func(ip packet.IPv4) {
			for id := 0; ip.HeaderChecksum() != sum && id <= 0xffff; id++ {
				ip[4], ip[5] = byte(id>>8), byte(id)
				ip.SetChecksum()
			}
		})
		rows = append(rows, row{name: fmt.Sprintf("F3_checksum_%04x", sum), from: "ns1", send: in, out: "ens160", check: verifies(sum)})
	}
	// A header that sums up to 0xffff with a checksum of 0xffff, which nobody who
	// computes it afresh would send, is right too.
	odd := broken(rows[0].send, func(f *packet.Frame) { copy(f.Payload()[10:], "\xff\xff") })
	return append(rows, row{name: "F3_checksum_ffff", from: "ns1", send: odd, out: "ens160", check: verifies(0xffff)})
}

func verifies(came uint16) func(testing.TB, *packet.Frame, *packet.Frame) {
	return func(t testing.TB, in, out *packet.Frame) {
		if got := packet.IPv4(in.Payload()).HeaderChecksum(); got != came {
			t.Fatalf("sent with checksum %04x", got)
		}
		if ip := packet.IPv4(out.Payload()); packet.Checksum(ip[:20]) != 0 {
			t.Errorf("checksum %04x became %04x, which does not verify", came, ip.HeaderChecksum())
		}
	}
}

func unchangedRows() []row {
	tcp := &layers.TCP{SrcPort: 40000, DstPort: 80, SYN: true, Seq: 77, Window: 1000}
	ip := ip4(ns1IP, farIP, layers.IPProtocolTCP)
	_ = tcp.SetNetworkLayerForChecksum(ip)
	syn := frame(ether(ns1MAC, gatewayMAC), ip, tcp)
	padded := packet.FrameOf(append(ping(farIP).Bytes(), make([]byte, 20)...))
	part := func(field byte) *packet.Frame {
		return edited(ping(farIP), func(ip packet.IPv4) { ip[6], ip[7] = field, 9 })
	}
	return []row{
		{name: "F4_tcp", from: "ns1", send: syn, out: "ens160", check: toPeer},
		{name: "F4_tos_and_df", from: "ns1", send: edited(syn, func(ip packet.IPv4) { ip[1], ip[6] = 0xbb, 0x40 }), out: "ens160", check: toPeer},
		{name: "F4_first_fragment", from: "ns1", send: edited(ping(farIP), func(ip packet.IPv4) { ip[6] = 0x20 }), out: "ens160", check: toPeer},
		{name: "F4_later_fragment", from: "ns1", send: part(0x20), out: "ens160", check: toPeer},
		{name: "F4_last_fragment", from: "ns1", send: part(0), out: "ens160", check: toPeer},
		{name: "F4_bad_transport_checksum", from: "ns1", send: broken(syn, func(f *packet.Frame) { f.Bytes()[14+36] ^= 1 }), out: "ens160", check: toPeer},
		{name: "F4_unknown_protocol", from: "ns1", send: edited(ping(farIP), func(ip packet.IPv4) { ip[9] = 253 }), out: "ens160", check: toPeer},
		{name: "F4_no_payload", from: "ns1", send: frame(ether(ns1MAC, gatewayMAC), ip4(ns1IP, farIP, 253), gopacket.Payload{}), out: "ens160", check: toPeer},
		{name: "F4_without_the_padding", from: "ns1", send: padded, out: "ens160", check: toPeer},
		{name: "F4_the_largest", from: "ns1", send: sized(ns1MAC, ns1IP, farIP, 1500), out: "ens160", check: toPeer},
	}
}

// sized is a UDP datagram of so many bytes of IP, without a UDP checksum.
func sized(src packet.MAC, from, to string, n int) *packet.Frame {
	data := make([]byte, n-packet.IPv4MinLen)
	for i := range data {
		data[i] = byte(i)
	}
	return frame(ether(src, gatewayMAC), ip4(from, to, layers.IPProtocolUDP), gopacket.Payload(data))
}

func routeRows() []row {
	special := func(typ rib.Type) func(*bed) {
		return func(b *bed) {
			b.route(rib.Route{Prefix: prefix("10.70.2.0/24"), Type: typ, Port: rib.NoPort, Protocol: "static", Source: rib.Static})
		}
	}
	to := func(p, dev string, source rib.Source, metric uint32) func(*bed) {
		return func(b *bed) {
			r := rib.Route{Prefix: prefix(p), Via: addr(peerIP), Dev: dev, Port: b.uplinkID, Source: source, Metric: metric}
			if dev == "" {
				r = rib.Route{Prefix: prefix(p), Type: rib.Blackhole, Port: rib.NoPort, Source: source, Metric: metric}
			}
			b.route(r)
		}
	}
	both := func(fs ...func(*bed)) func(*bed) {
		return func(b *bed) {
			for _, f := range fs {
				f(b)
			}
		}
	}
	const other = "10.70.2.9"
	return []row{
		{name: "F5_longest_prefix", from: "ns1", setup: special(rib.Blackhole), send: ping(farIP), out: "ens160", check: toPeer},
		{name: "F5_longest_prefix_is_silent", from: "ns1", setup: both(defaultRoute, special(rib.Blackhole)), send: ping(other), reason: "blackhole"},
		{name: "F5_in_any_order", from: "ns1", setup: both(special(rib.Blackhole), defaultRoute), send: ping(other), reason: "blackhole"},
		{name: "F5_static_before_kernel", from: "ns1", setup: both(to(other+"/32", "", rib.Kernel, 0), to(other+"/32", "ens160", rib.Static, 9)), send: ping(other), out: "ens160", check: toPeer},
		{name: "F5_lower_metric", from: "ns1", setup: both(to(other+"/32", "", rib.Static, 9), to(other+"/32", "ens160", rib.Static, 8)), send: ping(other), out: "ens160", check: toPeer},
		{name: "F6_no_route", from: "ns1", send: ping(other), out: "ns1", check: tellsOf(3, 0), reason: "no_route"},
		{name: "F6_no_route_from_the_uplink", from: "ens160", send: withDst(fromPeer(), "10.99.0.1"), out: "ens160", check: tellsOf(3, 0), reason: "no_route"},
		{name: "F6_blackhole", from: "ns1", setup: special(rib.Blackhole), send: ping(other), reason: "blackhole"},
		{name: "F6_unreachable", from: "ns1", setup: special(rib.Unreachable), send: ping(other), out: "ns1", check: tellsOf(3, 1), reason: "unreachable"},
		{name: "F6_prohibit", from: "ns1", setup: special(rib.Prohibit), send: ping(other), out: "ns1", check: tellsOf(3, 13), reason: "prohibit"},
	}
}
