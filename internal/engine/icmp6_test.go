package engine_test

import (
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/vrouter/vrouter/forwarder"
	"github.com/vrouter/vrouter/internal/link"
	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/verdict"
	"github.com/vrouter/vrouter/rib"
)

func TestICMP6(t *testing.T) {
	run6(t, route6Rows())
	run6(t, about6Rows())
	run6(t, local6Rows())
}

// V7, V8: what cannot go on is told of.
func route6Rows() []row {
	special := func(kind rib.Type) func(b *bed) {
		return func(b *bed) {
			b.route(rib.Route{Prefix: prefix("fd00:99::/64"), Type: kind, Port: rib.NoPort, Source: rib.Static})
		}
	}
	narrow := func(mtu int) func(b *bed) { return func(b *bed) { b.setMTU("ens160", mtu) } }
	part := behind(datagram6(ns1IP6, farIP6, 1392), 44, 0, 0, 1, 0, 0, 0, 7)
	return []row{
		{name: "V8_no_route", from: "ns1", send: ping6(ns1IP6, "fd00:99::1"), out: "ns1", check: tells6(1, 0, 0), reason: "no_route"},
		{name: "V8_prohibit", from: "ns1", setup: special(rib.Prohibit), send: ping6(ns1IP6, "fd00:99::1"), out: "ns1", check: tells6(1, 1, 0), reason: "prohibit"},
		{name: "V8_unreachable", from: "ns1", setup: special(rib.Unreachable), send: ping6(ns1IP6, "fd00:99::1"), out: "ns1", check: tells6(1, 3, 0), reason: "unreachable"},
		{name: "V8_blackhole", from: "ns1", setup: special(rib.Blackhole), send: ping6(ns1IP6, "fd00:99::1"), reason: "blackhole"},
		{name: "V7_fits", from: "ns1", send: datagram6(ns1IP6, farIP6, 1500), out: "ens160", check: toPeer6},
		{name: "V7_too_big", from: "ns1", setup: narrow(1400), send: datagram6(ns1IP6, farIP6, 1401), out: "ns1", check: tells6(2, 0, 1400), reason: "mtu_exceeded"},
		{name: "V7_a_fragment_too_big", from: "ns1", setup: narrow(1396), send: part, out: "ns1", check: tells6(2, 0, 1396), reason: "mtu_exceeded"},
		{name: "V7_a_fragment_fits", from: "ns1", setup: narrow(1400), send: part, out: "ens160", check: toPeer6},
		{name: "V7_never_less_than_1280", from: "ns1", setup: narrow(1000), send: datagram6(ns1IP6, farIP6, 1300), out: "ns1", check: tells6(2, 0, 1280), reason: "mtu_exceeded"},
		{name: "V9_back_to_the_other_host", from: "ens160", send: withHops(fromFar(), 1), out: "ens160", check: tells6(3, 0, 0), reason: "ttl_exceeded"},
	}
}

// V9: RFC 4443 2.4.
func about6Rows() (rows []row) {
	late := func(f *packet.Frame) *packet.Frame { return withHops(f, 1) }
	for _, typ := range []byte{1, 2, 3, 4, 100, 127} {
		rows = append(rows, row{name: "V9_about_an_error", from: "ns1", send: late(icmp6(ns1IP6, farIP6, typ, 0, make([]byte, 44)...)), reason: "ttl_exceeded"})
	}
	error6 := icmp6(ns1IP6, farIP6, 1, 0, make([]byte, 44)...)
	return append(rows,
		row{name: "V9_about_an_error_behind_options", from: "ns1", send: late(behind(error6, 60, 0, 1, 4, 0, 0, 0, 0)), reason: "ttl_exceeded"},
		row{name: "V9_about_a_query", from: "ns1", send: late(icmp6(ns1IP6, farIP6, 200, 0, 0, 0, 0, 0)), out: "ns1", check: tells6(3, 0, 0), reason: "ttl_exceeded"},
		row{name: "V9_about_a_later_fragment", from: "ns1", send: late(behind(datagram6(ns1IP6, farIP6, 100), 44, 0, 0, 0x58, 0, 0, 0, 7)),
			out: "ns1", check: tells6(3, 0, 0), reason: "ttl_exceeded"},
		row{name: "V9_about_a_group_frame", from: "ns1", send: broken(late(ping6(ns1IP6, farIP6)), func(f *packet.Frame) { f.Bytes()[0] |= 1 }), reason: "l2_broadcast"},
		row{name: "V9_1280_bytes_at_most", from: "ns1", send: late(datagram6(ns1IP6, farIP6, 1500)), out: "ns1", check: tells6(3, 0, 0), reason: "ttl_exceeded"},
		row{name: "V9_quotes_1232_bytes", from: "ns1", send: late(datagram6(ns1IP6, farIP6, 1232)), out: "ns1", check: tells6(3, 0, 0), reason: "ttl_exceeded"},
	)
}

// V6, V10: what is for the router itself.
func local6Rows() []row {
	corrupt := broken(ping6(ns1IP6, gateway6), func(f *packet.Frame) { f.Bytes()[f.Len-1] ^= 1 })
	rh := func(typ, left byte) *packet.Frame {
		return behind(ping6(ns1IP6, gateway6), 43, append([]byte{2, typ, left, 0, 0, 0, 0}, addr(ns2IP6).AsSlice()...)...)
	}
	option := func(kind byte) *packet.Frame { return behind(ping6(ns1IP6, gateway6), 60, 0, kind, 4, 1, 2, 3, 4) }
	udp := packet6(ns1IP6, gateway6, 17, 64, make([]byte, 12))
	hostPort := func(b *bed) { // the host's own stack is behind a port, on another link than the workload
		id := b.add(forwarder.PortConfig{Name: "vrouter0", Kind: forwarder.Host, Interface: "vrouter0", MAC: gatewayMAC, MTU: 1500}, link.NewMemory())
		b.route(rib.Route{Prefix: prefix(hostIP6 + "/128"), Dev: "vrouter0", Port: id, Protocol: "kernel", Source: rib.Connected})
		b.router.SetNeighbor(id, addr(hostIP6), hostMAC)
	}
	return []row{
		{name: "V3_link_local_to_the_host_behind_its_port", from: "ns1", setup: hostPort, send: ping6(ns1Link, hostIP6), out: "ns1", check: echoes6},
		{name: "V10_gateway", from: "ns1", send: ping6(ns1IP6, gateway6), out: "ns1", check: echoes6},
		{name: "V10_host", from: "ns1", send: ping6(ns1IP6, hostIP6), out: "ns1", check: echoes6},
		{name: "V10_no_data", from: "ns1", send: icmp6(ns1IP6, hostIP6, 128, 0, 0, 0, 0, 0), out: "ns1", check: echoes6},
		{name: "V10_alone_and_whole", from: "ns1", send: behind(ping6(ns1IP6, gateway6), 44, 0, 0, 0, 0, 0, 0, 7), out: "ns1", check: echoes6},
		{name: "V10_behind_options", from: "ns1", send: behind(ping6(ns1IP6, gateway6), 0, 0, 5, 2, 0, 0, 1, 0), out: "ns1", check: echoes6},
		{name: "V10_corrupt", from: "ns1", send: corrupt, reason: "local_unsupported"},
		{name: "V10_code_1", from: "ns1", send: icmp6(ns1IP6, gateway6, 128, 1, 0, 0, 0, 0), reason: "local_unsupported"},
		{name: "V10_a_reply", from: "ns1", send: icmp6(ns1IP6, gateway6, 129, 0, 0, 0, 0, 0), reason: "local_unsupported"},
		{name: "V10_udp", from: "ns1", send: udp, out: "ns1", check: tells6(1, 4, 0), reason: "local_unsupported"},
		{name: "V10_tcp", from: "ns1", send: packet6(ns1IP6, hostIP6, 6, 64, make([]byte, 20)), out: "ns1", check: tells6(4, 1, 6), reason: "local_unsupported"},
		{name: "V10_unknown_behind_options", from: "ns1", send: behind(packet6(ns1IP6, hostIP6, 253, 64, nil), 60, 0, 1, 4, 0, 0, 0, 0),
			out: "ns1", check: tells6(4, 1, 40), reason: "local_unsupported"},
		{name: "V10_nothing_follows", from: "ns1", send: packet6(ns1IP6, hostIP6, 59, 64, nil), reason: "local_unsupported"},
		{name: "V10_hop_by_hop_later", from: "ns1", send: behind(behind(ping6(ns1IP6, gateway6), 0, 0, 1, 4, 0, 0, 0, 0), 60, 0, 1, 4, 0, 0, 0, 0),
			out: "ns1", check: tells6(4, 1, 40), reason: "local_unsupported"},
		{name: "V10_authentication", from: "ns1", send: behind(ping6(ns1IP6, gateway6), 51, append([]byte{1}, make([]byte, 10)...)...),
			out: "ns1", check: tells6(4, 1, 6), reason: "local_unsupported"},
		{name: "V10_a_fragment_of_odd_length", from: "ns1", send: behind(packet6(ns1IP6, gateway6, 17, 64, make([]byte, 1231)), 44, 0, 0, 1, 0, 0, 0, 7),
			out: "ns1", check: tells6(4, 0, 4), reason: "ip6_bad_header"},
		{name: "V10_a_fragment_that_reaches_too_far", from: "ns1", send: behind(packet6(ns1IP6, gateway6, 17, 64, make([]byte, 16)), 44, 0, 0xff, 0xf8, 0, 0, 0, 7),
			out: "ns1", check: tells6(4, 0, 42), reason: "ip6_bad_header"},
		{name: "V6_type_0", from: "ns1", send: rh(0, 1), out: "ns1", check: tells6(4, 0, 42), reason: "ip6_bad_header"},
		{name: "V6_another_type", from: "ns1", send: rh(9, 2), out: "ns1", check: tells6(4, 0, 42), reason: "ip6_bad_header"},
		{name: "V6_at_its_end", from: "ns1", send: rh(0, 0), out: "ns1", check: echoes6},
		{name: "V6_behind_options", from: "ns1", send: behind(rh(0, 1), 0, 0, 1, 4, 0, 0, 0, 0), out: "ns1", check: tells6(4, 0, 50), reason: "ip6_bad_header"},
		{name: "option_skipped", from: "ns1", send: option(0x1e), out: "ns1", check: echoes6},
		{name: "option_dropped", from: "ns1", send: option(0x5e), reason: "ip6_bad_header"},
		{name: "option_told", from: "ns1", send: option(0x9e), out: "ns1", check: tells6(4, 2, 42), reason: "ip6_bad_header"},
		{name: "option_told_to_one", from: "ns1", send: option(0xde), out: "ns1", check: tells6(4, 2, 42), reason: "ip6_bad_header"},
		{name: "from_the_uplink_the_host_answers", from: "ens160", send: icmp6(peerIP6, hostIP6, 128, 0, 0, 0, 0, 0), reason: "not_for_router"},
	}
}

// echoes6 checks an echo reply.
func echoes6(t testing.TB, in, out *packet.Frame) {
	t.Helper()
	req, rep := packet.IPv6(in.Payload()), packet.IPv6(out.Payload())
	if rep.Src() != req.Dst() || rep.Dst() != req.Src() || rep.HopLimit() != 64 || rep.NextHeader() != 58 || rep.TrafficClass() != req.TrafficClass() {
		t.Errorf("reply header % x", []byte(rep[:40]))
	}
	at := req.Upper().At
	if packet.ICMPv6Sum(rep, 40) != 0xffff || rep[40] != 129 || rep[41] != 0 {
		t.Errorf("reply % x", []byte(rep[40:]))
	}
	if d := cmp.Diff([]byte(req[at+4:]), []byte(rep[44:])); d != "" {
		t.Errorf("the reply differs (-request +reply):\n%s", d)
	}
}

// Errors of both families have one limit, and are counted apart.
func TestICMP6Limit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		b.resolve()
		dual(b)
		for range 150 {
			b.ns1.Send(withHops(ping6(ns1IP6, farIP6), 1), withTTL(ping(farIP), 1))
		}
		if n := len(b.ns1.Sent()); n != 200 {
			t.Errorf("%d errors at once, want 200", n)
		}
		s := b.router.Stats()
		v4, v6 := s.Told[forwarder.FamilyIPv4][verdict.MeansTTLExceeded], s.Told[forwarder.FamilyIPv6][verdict.MeansTTLExceeded]
		if v4 != 100 || v6 != 100 || s.Withheld["rate_limit"] != 100 {
			t.Errorf("%d and %d are counted as sent, %d as held back", v4, v6, s.Withheld["rate_limit"])
		}
	})
}

func TestForwardedByFamily(t *testing.T) {
	b := newBed(t)
	b.resolve()
	dual(b)
	b.ns1.Send(ping(farIP), ping6(ns1IP6, farIP6), ping6(ns1IP6, ns2IP6), ping6(ns1IP6, gateway6), ping6(ns1IP6, "fd00:99::1"))
	s := b.router.Stats()
	if got, want := s.Forwarded(), [...]uint64{1, 2}; got != want {
		t.Errorf("%v are counted as forwarded, want %v", got, want)
	}
}
