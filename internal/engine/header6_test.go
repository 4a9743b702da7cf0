package engine_test

import (
	"fmt"
	"testing"

	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/rib"
)

// TestHeader6 is RFC 8200 3 and 4, and RFC 4291 2.5.
func TestHeader6(t *testing.T) {
	run6(t, header6Rows("ns1", ping6(ns1IP6, farIP6)))
	run6(t, header6Rows("ens160", fromFar()))
	run6(t, scopeRows())
	run6(t, extensionRows())
}

// V1 and V3: each fault is dropped for its reason.
func header6Rows(from string, good *packet.Frame) []row {
	cut := func(n int) *packet.Frame { return broken(good, func(f *packet.Frame) { f.Len = n }) }
	bad := func(change func(ip packet.IPv6)) *packet.Frame { return edited6(good, change) }
	rows := []row{
		{name: "V1_no_packet", send: cut(14), reason: "ip_too_short"},
		{name: "V1_39_bytes", send: cut(14 + 39), reason: "ip_too_short"},
		{name: "V1_version_4", send: bad(func(ip packet.IPv6) { ip[0] = 0x45 }), reason: "ip_bad_version"},
		{name: "V1_version_0", send: bad(func(ip packet.IPv6) { ip[0] = 0 }), reason: "ip_bad_version"},
		{name: "V1_length_over_frame", send: bad(func(ip packet.IPv6) { ip[5]++ }), reason: "ip_bad_length"},
		{name: "V1_another_station", send: broken(good, func(f *packet.Frame) { f.Bytes()[5] ^= 1 }), reason: "not_for_router"},
		{name: "V3_unicast_in_a_multicast_frame", send: broken(good, func(f *packet.Frame) { f.Bytes()[0] |= 1 }), reason: "l2_broadcast"},
		{name: "V3_destination_unspecified", send: withDst6(good, "::"), reason: "martian_destination"},
		{name: "V3_destination_loopback", send: withDst6(good, "::1"), reason: "martian_destination"},
		{name: "V3_destination_multicast", send: withDst6(good, "ff05::1:3"), reason: "martian_destination"},
		{name: "V3_destination_global_multicast", send: withDst6(good, "ff0e::1"), reason: "martian_destination"},
		{name: "V3_destination_link_local", send: withDst6(good, "fe80::7"), reason: "link_local"},
		{name: "V3_source_unspecified", send: withSrc6(good, "::"), reason: "martian_source"},
		{name: "V3_source_loopback", send: withSrc6(good, "::1"), reason: "martian_source"},
		{name: "V3_source_multicast", send: withSrc6(good, "ff02::1"), reason: "martian_source"},
		{name: "V3_source_of_ipv4", send: withSrc6(good, "::ffff:10.70.1.1"), reason: "martian_source"},
	}
	for i := range rows {
		rows[i].name += "_from_" + from
		rows[i].from = from
	}
	return rows
}

func scopeRows() []row {
	padded := func(f *packet.Frame) *packet.Frame { return packet.FrameOf(append(f.Bytes(), make([]byte, 20)...)) }
	linkRoute := func(b *bed) {
		b.route(rib.Route{Prefix: prefix("fd00:99::/64"), Via: addr(peerLink), Dev: "ens160", Port: b.uplinkID, Protocol: "static", Source: rib.Static})
		b.uplink.Send(solicits(peerMAC, peerLink, hostLink, uplinkMAC))
	}
	return []row{
		{name: "V1_what_is_behind_the_payload", from: "ns1", send: padded(ping6(ns1IP6, farIP6)), out: "ens160", check: toPeer6},
		{name: "V3_from_link_local_beyond_it", from: "ns1", send: ping6(ns1Link, farIP6), out: "ns1", check: tells6(1, 2, 0), reason: "beyond_scope"},
		{name: "V3_from_link_local_to_a_workload", from: "ns1", send: ping6(ns1Link, ns2IP6), out: "ns1", check: tells6(1, 2, 0), reason: "beyond_scope"},
		{name: "V3_from_the_uplinks_link", from: "ens160", send: icmp6(peerLink, ns1IP6, 128, 0, 0, 0, 0, 0), reason: "beyond_scope",
			setup: func(b *bed) { b.uplink.Send(solicits(peerMAC, peerLink, hostLink, uplinkMAC)) }, out: "ens160", check: tells6(1, 2, 0)},
		{name: "V3_link_local_next_hop", from: "ns1", setup: linkRoute, send: ping6(ns1IP6, "fd00:99::1"), out: "ens160", check: toPeer6},
		{name: "V3_from_an_own_address_on_the_uplink", from: "ens160", send: withSrc6(fromFar(), hostIP6), reason: "martian_source"},
		{name: "V4_of_another_workload", from: "ns1", send: ping6(ns2IP6, farIP6), reason: "rpf_failed"},
		{name: "V4_of_nobody", from: "ns1", send: ping6("fd00:70:1::9", farIP6), reason: "rpf_failed"},
		{name: "V4_link_local_to_the_gateway", from: "ns1", send: ping6(ns1Link, gateway6), out: "ns1", check: echoes6},
		{name: "V4_link_local_to_the_host", from: "ns1", send: ping6(ns1Link, hostIP6), out: "ns1", check: echoes6},
		{name: "V4_in_the_gateways_name", from: "ns1", send: ping6(gateway6, hostIP6), reason: "rpf_failed"},
		{name: "F8_to_a_workload", from: "ns1", send: ping6(ns1IP6, ns2IP6), out: "ns2", check: toNS26},
		{name: "F8_from_the_other_host", from: "ens160", send: fromFar(), out: "ns1", check: toNS16},
	}
}

// V5 and V6: what is in the way of nobody passes as it is.
func extensionRows() (rows []row) {
	good := ping6(ns1IP6, farIP6)
	rh0 := append([]byte{2, 0, 1, 0, 0, 0, 0}, addr(ns2IP6).AsSlice()...)
	for name, f := range map[string]*packet.Frame{
		"hop_by_hop":          behind(good, 0, 0, 1, 4, 0, 0, 0, 0),
		"an_option_to_refuse": behind(good, 0, 0, 0xc9, 4, 1, 2, 3, 4),
		"destination":         behind(good, 60, 0, 0x89, 4, 1, 2, 3, 4),
		"routing":             behind(good, 43, rh0...),
		"fragment":            behind(good, 44, 0, 0, 1, 0, 0, 0, 7),
		"later_fragment":      behind(good, 44, 0, 0, 0x58, 0, 0, 0, 7),
		"authentication":      behind(good, 51, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0),
		"unknown":             packet6(ns1IP6, farIP6, 254, 64, []byte{1, 2, 3}),
		"none":                packet6(ns1IP6, farIP6, 59, 64, nil),
		"several":             behind(behind(behind(good, 60, 0, 1, 4, 0, 0, 0, 0), 43, rh0...), 0, 0, 1, 4, 0, 0, 0, 0),
	} {
		rows = append(rows, row{name: "V5_" + name, from: "ns1", send: f, out: "ens160", check: toPeer6})
	}
	cut := packet6(ns1IP6, farIP6, 60, 64, []byte{58, 9, 1, 4, 0, 0, 0, 0})
	jumbo := packet6(ns1IP6, farIP6, 0, 64, []byte{58, 0, 0xc2, 4, 0, 1, 0, 0})
	endless := good
	for range 20 {
		endless = behind(endless, 60, 0, 1, 4, 0, 0, 0, 0)
	}
	for name, f := range map[string]*packet.Frame{
		"cut": cut, "endless": endless,
		"jumbogram":          edited6(jumbo, func(ip packet.IPv6) { ip[5] = 0 }),
		"nothing_behind_it":  packet6(ns1IP6, farIP6, 43, 64, nil),
		"half_a_fragment_id": packet6(ns1IP6, farIP6, 44, 64, []byte{58, 0, 0, 1, 0, 0}),
	} {
		rows = append(rows, row{name: "V5_bad_" + name, from: "ns1", send: f, reason: "ip6_bad_header"})
	}
	for hops := range 4 {
		f := withHops(good, byte(hops))
		r := row{name: fmt.Sprintf("V2_hop_limit_%d", hops), from: "ns1", send: f, out: "ens160", check: toPeer6}
		if hops < 2 {
			r.out, r.check, r.reason = "ns1", tells6(3, 0, 0), "ttl_exceeded"
		}
		rows = append(rows, r, row{name: fmt.Sprintf("V2_to_the_router_%d", hops), from: "ns1", send: withHops(ping6(ns1IP6, gateway6), byte(hops)), out: "ns1", check: echoes6})
	}
	return rows
}
