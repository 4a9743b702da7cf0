package engine_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/gopacket/layers"

	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/rib"
)

const tunnelIP = "10.70.3.1" // a workload beyond a tunnel to the other host

// tunnel has the way to tunnelIP go through IP-in-IP.
func tunnel(b *bed) { b.via("10.70.3.0/24", peerIP, rib.IPIP) }

// ipip puts an outer header around the packet in a frame.
func ipip(src, dst string, inner *packet.Frame, change func(ip *layers.IPv4)) *packet.Frame {
	ip := ip4(src, dst, layers.IPProtocolIPv4)
	if change != nil {
		change(ip)
	}
	return frame(ether(peerMAC, uplinkMAC), ip, payload(inner.Payload()))
}

func TestTunnel(t *testing.T) {
	run(t, encapRows())
	run(t, decapRows())
	run(t, ecnRows())
}

func encapRows() []row {
	df := func(f *packet.Frame) *packet.Frame { return edited(f, func(ip packet.IPv4) { ip[6] |= 0x40 }) }
	full := func(n int) *packet.Frame { return sized(ns1MAC, ns1IP, tunnelIP, n) }
	in := ping(tunnelIP)
	loop := func(b *bed) { b.via(peerIP+"/32", peerIP, rib.IPIP) }
	beyond := func(b *bed) { b.via("10.70.3.0/24", "10.9.9.9", rib.IPIP); b.via("10.9.9.9/32", peerIP, rib.None) }
	lost := func(b *bed) { b.via("10.70.3.0/24", "10.9.9.9", rib.IPIP) }
	nested := func(b *bed) { b.via("10.70.3.0/24", "10.9.9.9", rib.IPIP); b.via("10.9.9.0/24", peerIP, rib.IPIP) }
	noRPF := func(b *bed) { tunnel(b); b.settings.RPF = false; b.router.Configure(b.settings) }
	return []row{
		{name: "T1_outer_header", from: "ns1", setup: tunnel, send: in, out: "ens160", check: wrapped(peerIP)},
		{name: "T1_df_is_copied", from: "ns1", setup: tunnel, send: df(in), out: "ens160", check: wrapped(peerIP)},
		{name: "T1_inner_options_stay_inside", from: "ns1", setup: tunnel, send: withOptions(in, 148, 4, 0, 0), out: "ens160", check: wrapped(peerIP)},
		{name: "T1_beyond_the_subnet", from: "ns1", setup: beyond, send: in, out: "ens160", check: wrapped("10.9.9.9")},
		{name: "T2_dscp_and_ecn_are_copied", from: "ns1", setup: tunnel, send: edited(in, func(ip packet.IPv4) { ip[1] = 0xbb }), out: "ens160", check: wrapped(peerIP)},
		{name: "T3_ttl_2", from: "ns1", setup: tunnel, send: withTTL(in, 2), out: "ens160", check: wrapped(peerIP)},
		{name: "T3_ttl_1", from: "ns1", setup: tunnel, send: withTTL(in, 1), out: "ns1", check: tellsOf(11, 0), reason: "ttl_exceeded"},
		{name: "T4_what_just_fits", from: "ns1", setup: tunnel, send: df(full(1480)), out: "ens160", check: wrapped(peerIP)},
		{name: "T4_df_too_big", from: "ns1", setup: tunnel, send: df(full(1481)), out: "ns1", check: tooBig(1480), reason: "mtu_exceeded"},
		{name: "T9_to_the_tunnels_end", from: "ns1", setup: loop, send: ping(peerIP), reason: "ipip_loop"},
		{name: "T9_from_the_tunnels_end", from: "ens160", setup: tunnel, send: withSrc(withDst(fromPeer(), tunnelIP), peerIP), reason: "ipip_loop"},
		{name: "T9_from_this_host", from: "ns1", setup: noRPF, send: withSrc(in, hostIP), reason: "ipip_loop"},
		{name: "T9_through_another_tunnel", from: "ns1", setup: nested, send: in, reason: "ipip_loop"},
		{name: "T9_no_way_to_the_end", from: "ns1", setup: lost, send: in, out: "ns1", check: tellsOf(3, 0), reason: "no_route"},
	}
}

// wrapped checks what a tunnel makes of a packet (RFC 2003 3.1).
func wrapped(end string) func(testing.TB, *packet.Frame, *packet.Frame) {
	return func(t testing.TB, in, out *packet.Frame) {
		t.Helper()
		outer, was := packet.IPv4(out.Payload()), packet.IPv4(in.Payload())
		if outer.Protocol() != 4 || outer.HeaderLen() != 20 || outer.TTL() != 64 || outer.Src() != addr(hostIP) || outer.Dst() != addr(end) ||
			outer.TotalLen() != was.TotalLen()+20 || outer.IsFragment() || packet.Checksum(outer[:20]) != 0 {
			t.Errorf("outer header % x", []byte(outer[:20]))
		}
		if outer.DF() != was.DF() || outer.TOS() != was.TOS() {
			t.Errorf("outer df %v, tos %02x; the inner has %v, %02x", outer.DF(), outer.TOS(), was.DF(), was.TOS())
		}
		if out.DstMAC() != peerMAC || out.SrcMAC() != uplinkMAC || out.EtherType() != packet.EtherTypeIPv4 {
			t.Errorf("sent %s > %s", out.SrcMAC(), out.DstMAC())
		}
		want := withTTL(in, was.TTL()-1).Payload()[:was.TotalLen()]
		if d := cmp.Diff(want, outer.Payload()); d != "" {
			t.Errorf("the inner packet changed (-want +got):\n%s", d)
		}
	}
}

func decapRows() []row {
	inner := fromPeer()
	good := ipip(peerIP, hostIP, inner, nil)
	bad := func(change func(ip packet.IPv4)) *packet.Frame {
		return broken(good, func(f *packet.Frame) { change(f.Payload()[20:]) })
	}
	of := func(f *packet.Frame) *packet.Frame { return ipip(peerIP, hostIP, f, nil) }
	// The inner packet is the one that counts: what comes out is it, one hop on.
	unpacked := func(in *packet.Frame) func(testing.TB, *packet.Frame, *packet.Frame) {
		return func(t testing.TB, _, out *packet.Frame) { t.Helper(); toNS1(t, in, out) }
	}
	told := func(in *packet.Frame, typ, code uint8) func(testing.TB, *packet.Frame, *packet.Frame) {
		return func(t testing.TB, _, out *packet.Frame) { t.Helper(); tellsOf(typ, code)(t, in, out) }
	}
	from := func(src string) *packet.Frame { return withSrc(inner, src) }
	return []row{
		{name: "T7_from_a_peer", from: "ens160", send: good, out: "ns1", check: unpacked(inner)},
		{name: "T7_outer_options", from: "ens160", send: withOptions(good, 148, 4, 0, 0), out: "ns1", check: unpacked(inner)},
		{name: "T7_padded", from: "ens160", send: packet.FrameOf(append(good.Bytes(), 1, 2, 3, 4)), out: "ns1", check: unpacked(inner)},
		{name: "T7_outer_ttl_1", from: "ens160", send: withTTL(good, 1), out: "ns1", check: unpacked(inner)},
		{name: "T7_unknown_peer", from: "ens160", send: ipip("192.168.0.13", hostIP, inner, nil), reason: "ipip_unknown_peer"},
		{name: "T7_not_to_this_host", from: "ens160", send: ipip("10.5.5.5", peerIP, inner, nil), out: "ens160", check: toPeer},
		{name: "T7_from_a_workload", from: "ns1", send: broken(withSrc(good, ns1IP), func(f *packet.Frame) { f.SetEthernet(gatewayMAC, ns1MAC, 0x0800) }),
			out: "ns1", check: tellsOf(3, 2), reason: "local_unsupported"},
		{name: "T7_inner_empty", from: "ens160", send: frame(ether(peerMAC, uplinkMAC), ip4(peerIP, hostIP, 4)), reason: "ipip_bad_inner"},
		{name: "T7_inner_version", from: "ens160", send: bad(func(ip packet.IPv4) { ip[0] = 0x65 }), reason: "ipip_bad_inner"},
		{name: "T7_inner_header_length", from: "ens160", send: bad(func(ip packet.IPv4) { ip[0] = 0x44 }), reason: "ipip_bad_inner"},
		{name: "T7_inner_length", from: "ens160", send: bad(func(ip packet.IPv4) { ip[2] = 1 }), reason: "ipip_bad_inner"},
		{name: "T7_inner_checksum", from: "ens160", send: bad(func(ip packet.IPv4) { ip[10] ^= 1 }), reason: "ipip_bad_inner"},
		{name: "T7_inner_source_loopback", from: "ens160", send: of(from("127.0.0.1")), reason: "ipip_bad_inner"},
		{name: "T7_inner_link_local", from: "ens160", send: of(withDst(inner, gateway)), reason: "ipip_bad_inner"},
		{name: "T7_inner_for_the_host", from: "ens160", send: of(withDst(inner, hostIP)), reason: "not_for_router"},
		{name: "T7_inner_ttl_0", from: "ens160", send: of(withTTL(inner, 0)), reason: "ipip_inner_ttl_zero"},
		{name: "T3_inner_ttl_1", from: "ens160", send: of(withTTL(from(peerIP), 1)), out: "ens160", check: told(withTTL(from(peerIP), 1), 11, 0), reason: "ttl_exceeded"},
		{name: "T3_inner_ttl_2", from: "ens160", send: of(withTTL(inner, 2)), out: "ns1", check: unpacked(withTTL(inner, 2))},
		{name: "T2_the_inner_dscp_stays", from: "ens160", send: ipip(peerIP, hostIP, inner, func(ip *layers.IPv4) { ip.TOS = 0xb8 }), out: "ns1", check: unpacked(inner)},
		{name: "T7_back_into_a_tunnel", from: "ens160", setup: func(b *bed) { tunnel(b); b.settings.Peers[0] = addr("192.168.0.13"); b.router.Configure(b.settings) },
			send: ipip("192.168.0.13", hostIP, withDst(inner, tunnelIP), nil), out: "ens160",
			check: func(t testing.TB, _, out *packet.Frame) {
				t.Helper()
				wrapped(peerIP)(t, withDst(inner, tunnelIP), out)
			}},
	}
}

// RFC 6040 4.2, figure 4: what leaves the tunnel, by inner (row) and outer
// (column) codepoint: Not-ECT, ECT(1), ECT(0), CE as they are numbered. -1: dropped.
var ecnOut = [4][4]int{
	{0, 0, 0, -1},
	{1, 1, 1, 3},
	{2, 1, 2, 3},
	{3, 3, 3, 3},
}

func ecnRows() (rows []row) {
	for inner, outs := range ecnOut {
		for outer, want := range outs {
			in := edited(fromPeer(), func(ip packet.IPv4) { ip[1] = 0x28 | byte(inner) })
			r := row{name: fmt.Sprintf("T2_ecn_inner_%d_outer_%d", inner, outer), from: "ens160",
				send: ipip(peerIP, hostIP, in, func(ip *layers.IPv4) { ip.TOS = 0xb8 | byte(outer) })}
			if want < 0 {
				r.reason = "ipip_ecn"
			} else {
				r.out = "ns1"
				r.check = func(t testing.TB, _, out *packet.Frame) {
					t.Helper()
					toNS1(t, edited(in, func(ip packet.IPv4) { ip[1] = 0x28 | byte(want) }), out)
				}
			}
			rows = append(rows, r)
		}
	}
	return rows
}

// T4: without DF the inner packet is fragmented, and each part wrapped.
func TestTunnelFragments(t *testing.T) {
	b := newBed(t)
	b.resolve()
	tunnel(b)
	in := sized(ns1MAC, ns1IP, tunnelIP, 1500)
	b.ns1.Send(in)
	var inner []*packet.Frame
	ids := map[uint16]bool{}
	for _, f := range b.uplink.Sent() {
		outer := packet.IPv4(f.Payload())
		if outer.TotalLen() > 1500 || outer.Protocol() != 4 || outer.IsFragment() || packet.Checksum(outer[:20]) != 0 {
			t.Errorf("outer header % x", []byte(outer[:20]))
		}
		ids[outer.ID()] = true
		f.Strip(20)
		inner = append(inner, f)
	}
	checkFragments(t, in, inner, []int{1476, 44}, []int{0, 0})
	if len(ids) != 2 {
		t.Error("two outer packets have one identification (RFC 6864)")
	}
	b.dropsAre("ns1", "", 0)
}
