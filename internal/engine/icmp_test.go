package engine_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/vrouter/vrouter/forwarder"
	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/verdict"
)

// icmpOf is an ICMP message of a type from ns1.
func icmpOf(dst string, typ, code uint8, data []byte) *packet.Frame {
	return frame(ether(ns1MAC, gatewayMAC), ip4(ns1IP, dst, layers.IPProtocolICMPv4),
		&layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(typ, code), Id: 41, Seq: 1}, gopacket.Payload(data))
}

func TestICMP(t *testing.T) {
	run(t, aboutRows())
	run(t, quoteRows())
	run(t, localRows())
}

// I1: no error about an error, nor about a fragment but the first (RFC 1812 4.3.2.7).
func aboutRows() (rows []row) {
	for _, typ := range []uint8{3, 4, 5, 11, 12, 40} {
		rows = append(rows, row{name: fmt.Sprintf("I1_about_type_%d", typ), from: "ns1", send: withTTL(icmpOf(farIP, typ, 0, nil), 1), reason: "ttl_exceeded"})
	}
	for _, typ := range []uint8{0, 8, 13, 17} {
		rows = append(rows, row{name: fmt.Sprintf("I1_about_query_%d", typ), from: "ns1", send: withTTL(icmpOf(farIP, typ, 0, nil), 1),
			out: "ns1", check: tellsOf(11, 0), reason: "ttl_exceeded"})
	}
	first := edited(withTTL(ping(farIP), 1), func(ip packet.IPv4) { ip[6] = 0x20 })
	later := edited(withTTL(ping(farIP), 1), func(ip packet.IPv4) { ip[7] = 1 })
	cut := edited(withTTL(ping(farIP), 1), func(ip packet.IPv4) { ip[3] = 20 })
	return append(rows,
		row{name: "I1_about_the_first_fragment", from: "ns1", send: first, out: "ns1", check: tellsOf(11, 0), reason: "ttl_exceeded"},
		row{name: "I1_about_a_later_fragment", from: "ns1", send: later, reason: "ttl_exceeded"},
		row{name: "I1_about_icmp_without_a_type", from: "ns1", send: cut, reason: "ttl_exceeded"},
		row{name: "I1_about_a_broadcast_frame", from: "ns1", reason: "l2_broadcast",
			send: broken(withTTL(ping(farIP), 1), func(f *packet.Frame) { copy(f.Bytes(), packet.Broadcast[:]) })},
		row{name: "I1_about_a_source_that_is_nobody", from: "ens160", send: withTTL(withSrc(fromPeer(), "224.0.0.1"), 1), reason: "martian_source"},
	)
}

// I2: an error quotes as much as fits in 576 bytes (RFC 1812 4.3.2.3).
func quoteRows() (rows []row) {
	for _, n := range []int{20, 28, 547, 548, 549, 1500} {
		rows = append(rows, row{name: fmt.Sprintf("I2_about_%d_bytes", n), from: "ns1", send: withTTL(sized(ns1MAC, ns1IP, farIP, n), 1),
			out: "ns1", check: tellsOf(11, 0), reason: "ttl_exceeded"})
	}
	options := withTTL(withOptions(sized(ns1MAC, ns1IP, farIP, 100), 7, 7, 4, 0, 0, 0, 0), 1)
	padded := packet.FrameOf(append(withTTL(ping(farIP), 1).Bytes(), make([]byte, 20)...))
	return append(rows,
		row{name: "I2_about_options", from: "ns1", send: options, out: "ns1", check: tellsOf(11, 0), reason: "ttl_exceeded"},
		row{name: "I2_not_the_padding", from: "ns1", send: padded, out: "ns1", check: tellsOf(11, 0), reason: "ttl_exceeded"},
		row{name: "I2_to_another_host", from: "ens160", send: withTTL(withSrc(fromPeer(), peerIP), 1), out: "ens160", check: tellsOf(11, 0), reason: "ttl_exceeded"},
	)
}

// I4 and what else is for the router itself.
func localRows() []row {
	udp := &layers.UDP{SrcPort: 40000, DstPort: 33434}
	ip := ip4(ns1IP, gateway, layers.IPProtocolUDP)
	_ = udp.SetNetworkLayerForChecksum(ip)
	closed := frame(ether(ns1MAC, gatewayMAC), ip, udp)
	proto := func(n byte) *packet.Frame { return edited(ping(gateway), func(ip packet.IPv4) { ip[9] = n }) }
	corrupt := broken(ping(gateway), func(f *packet.Frame) { f.Bytes()[f.Len-1] ^= 1 })
	odd := icmpOf(gateway, 8, 0, []byte("odd"))
	return []row{
		{name: "I4_gateway", from: "ns1", send: ping(gateway), out: "ns1", check: echoes},
		{name: "I4_the_hosts_uplink_address", from: "ns1", send: ping(hostIP), out: "ns1", check: echoes},
		{name: "I4_no_data", from: "ns1", send: icmpOf(gateway, 8, 0, nil), out: "ns1", check: echoes},
		{name: "I4_odd_length", from: "ns1", send: odd, out: "ns1", check: echoes},
		{name: "I4_the_largest", from: "ns1", send: icmpOf(gateway, 8, 0, make([]byte, 1472)), out: "ns1", check: echoes},
		{name: "I4_options_are_not_sent_back", from: "ns1", send: withOptions(ping(gateway), 148, 4, 0, 0), out: "ns1", check: echoes},
		{name: "I4_corrupt", from: "ns1", send: corrupt, reason: "local_unsupported"},
		{name: "I4_code_1", from: "ns1", send: icmpOf(gateway, 8, 1, nil), reason: "local_unsupported"},
		{name: "I4_reply", from: "ns1", send: icmpOf(gateway, 0, 0, nil), reason: "local_unsupported"},
		{name: "I4_cut_before_its_id", from: "ns1", reason: "local_unsupported",
			send: edited(ping(gateway), func(ip packet.IPv4) { ip[3] = 27 })},
		{name: "I4_udp_port_unreachable", from: "ns1", send: closed, out: "ns1", check: tellsOf(3, 3), reason: "local_unsupported"},
		{name: "I4_tcp_protocol_unreachable", from: "ns1", send: proto(6), out: "ns1", check: tellsOf(3, 2), reason: "local_unsupported"},
		{name: "I4_ipip_protocol_unreachable", from: "ns1", send: proto(4), out: "ns1", check: tellsOf(3, 2), reason: "local_unsupported"},
		{name: "I4_from_the_uplink_the_host_answers", from: "ens160", reason: "not_for_router",
			send: frame(ether(peerMAC, uplinkMAC), ip4(peerIP, hostIP, layers.IPProtocolICMPv4), echo(1))},
	}
}

// echoes checks an echo reply: the request's data, id and sequence, from the
// address that was asked (RFC 1812 4.3.3.6).
func echoes(t testing.TB, in, out *packet.Frame) {
	t.Helper()
	req, rep := packet.IPv4(in.Payload()), packet.IPv4(out.Payload())
	if rep.Src() != req.Dst() || rep.Dst() != req.Src() || rep.TTL() != 64 || rep.HeaderLen() != 20 || packet.Checksum(rep[:20]) != 0 {
		t.Errorf("reply header % x", []byte(rep[:20]))
	}
	data := rep.Payload()
	if data[0] != 0 || data[1] != 0 || packet.Checksum(data) != 0 {
		t.Errorf("reply % x", data[:8])
	}
	if d := cmp.Diff(req.Payload()[4:], data[4:]); d != "" {
		t.Errorf("the reply differs (-request +reply):\n%s", d)
	}
}

// I3: a burst, then a rate a second; what is held back is counted (RFC 1812 4.3.2.8).
func TestICMPLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		b.resolve()
		expired := withTTL(ping(farIP), 1)
		flood := func(n int) int {
			for range n {
				b.ns1.Send(expired)
			}
			return len(b.ns1.Sent())
		}
		if n := flood(300); n != 200 {
			t.Errorf("%d errors at once, want 200", n)
		}
		<-time.After(100 * time.Millisecond)
		if n := flood(300); n != 100 {
			t.Errorf("%d errors after a tenth of a second, want 100", n)
		}
		<-time.After(time.Hour)
		if n := flood(300); n != 200 {
			t.Errorf("%d errors after an hour, want 200", n)
		}
		b.uplink.Send(withTTL(fromPeer(), 1))
		one(t, b.uplink) // another port has its own measure
		s := b.router.Stats()
		if n := s.Withheld["rate_limit"]; n != 400 {
			t.Errorf("%d errors are counted as held back, want 400", n)
		}
		if n := s.Told[forwarder.FamilyIPv4][verdict.MeansTTLExceeded]; n != 501 {
			t.Errorf("%d errors are counted as sent, want 501", n)
		}
		b.dropsAre("ns1", "ttl_exceeded", 900)
	})
}

func TestICMPWithheldIsCounted(t *testing.T) {
	b := newBed(t)
	b.resolve()
	b.ns1.Send(
		withTTL(icmpOf(farIP, 3, 1, nil), 1),
		edited(withTTL(ping(farIP), 1), func(ip packet.IPv4) { ip[7] = 1 }),
		edited(withTTL(ping(farIP), 1), func(ip packet.IPv4) { ip[7] = 2 }),
	)
	want := map[string]uint64{"icmp_error": 1, "fragment": 2, "broadcast": 0, "source": 0, "rate_limit": 0}
	if d := cmp.Diff(want, b.router.Stats().Withheld); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// What the router makes itself may be too big for the way back, too.
func TestICMPReplyIsFragmented(t *testing.T) {
	b := newBed(t)
	b.setMTU("ns1", 1000)
	b.ns1.Send(icmpOf(gateway, 8, 0, make([]byte, 1472)))
	if n := len(b.ns1.Sent()); n != 2 {
		t.Errorf("%d frames, want 2 fragments", n)
	}
}
