package engine_test

import (
	"net/netip"
	"testing"

	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/rib"
)

// TestHeader is RFC 1812 5.2.2 and 5.3.
func TestHeader(t *testing.T) {
	run(t, headerRows("ns1", ping(farIP)))
	run(t, headerRows("ens160", fromPeer()))
	run(t, addressRows())
	run(t, optionRows())
}

// H1: each fault is dropped in silence, for its reason.
func headerRows(from string, good *packet.Frame) []row {
	bad := func(change func(ip packet.IPv4)) *packet.Frame {
		return broken(good, func(f *packet.Frame) { change(f.Payload()) })
	}
	cut := func(n int) *packet.Frame { return broken(good, func(f *packet.Frame) { f.Len = n }) }
	rows := []row{
		{name: "H1_no_frame", send: cut(0), reason: "frame_too_short"},
		{name: "H1_no_ethernet_header", send: cut(13), reason: "frame_too_short"},
		{name: "H1_no_packet", send: cut(14), reason: "ip_too_short"},
		{name: "H1_19_bytes", send: cut(14 + 19), reason: "ip_too_short"},
		{name: "H1_version_6", send: bad(func(ip packet.IPv4) { ip[0] = 0x65 }), reason: "ip_bad_version"},
		{name: "H1_version_0", send: bad(func(ip packet.IPv4) { ip[0] = 0x05 }), reason: "ip_bad_version"},
		{name: "H1_header_of_16_bytes", send: edited(good, func(ip packet.IPv4) { ip[0] = 0x44 }), reason: "ip_bad_header_length"},
		{name: "H1_header_of_0_bytes", send: edited(good, func(ip packet.IPv4) { ip[0] = 0x40 }), reason: "ip_bad_header_length"},
		{name: "H1_length_under_header", send: edited(good, func(ip packet.IPv4) { ip[2], ip[3] = 0, 19 }), reason: "ip_bad_length"},
		{name: "H1_length_over_frame", send: edited(good, func(ip packet.IPv4) { ip[3]++ }), reason: "ip_bad_length"},
		{name: "H1_header_over_frame", send: broken(good, func(f *packet.Frame) { f.Payload()[0] = 0x4f; f.Trim(20) }), reason: "ip_bad_length"},
		{name: "H1_bad_checksum", send: bad(func(ip packet.IPv4) { ip[10] ^= 1 }), reason: "ip_bad_checksum"},
		{name: "H1_checksum_of_zero", send: bad(func(ip packet.IPv4) { ip[10], ip[11] = 0, 0 }), reason: "ip_bad_checksum"},
		{name: "H1_mpls", send: broken(good, func(f *packet.Frame) { copy(f.Bytes()[12:], "\x88\x47") }), reason: "unknown_ethertype"},
		{name: "H1_vlan", send: broken(good, func(f *packet.Frame) { copy(f.Bytes()[12:], "\x81\x00") }), reason: "unknown_ethertype"},
		{name: "H1_another_station", send: broken(good, func(f *packet.Frame) { f.Bytes()[5] ^= 1 }), reason: "not_for_router"},
		{name: "H2_broadcast_frame", send: broken(good, func(f *packet.Frame) { copy(f.Bytes(), packet.Broadcast[:]) }), reason: "l2_broadcast"},
		{name: "H2_multicast_frame", send: broken(good, func(f *packet.Frame) { f.Bytes()[0] |= 1 }), reason: "l2_broadcast"},
		{name: "H3_destination_0", send: withDst(good, "0.0.0.0"), reason: "martian_destination"},
		{name: "H3_destination_loopback", send: withDst(good, "127.0.0.1"), reason: "martian_destination"},
		{name: "H3_destination_multicast", send: withDst(good, "224.0.0.251"), reason: "martian_destination"},
		{name: "H3_destination_class_e", send: withDst(good, "240.0.0.1"), reason: "martian_destination"},
		{name: "H3_destination_limited_broadcast", send: withDst(good, "255.255.255.255"), reason: "martian_destination"},
		{name: "H3_source_0", send: withSrc(good, "0.0.0.0"), reason: "martian_source"},
		{name: "H3_source_this_network", send: withSrc(good, "0.1.2.3"), reason: "martian_source"},
		{name: "H3_source_loopback", send: withSrc(good, "127.0.0.1"), reason: "martian_source"},
		{name: "H3_source_multicast", send: withSrc(good, "224.0.0.1"), reason: "martian_source"},
		{name: "H3_source_class_e", send: withSrc(good, "250.0.0.1"), reason: "martian_source"},
		{name: "H3_source_limited_broadcast", send: withSrc(good, "255.255.255.255"), reason: "martian_source"},
		{name: "H4_source_link_local", send: withSrc(good, "169.254.7.7"), reason: "link_local"},
		{name: "H4_destination_link_local", send: withDst(good, "169.254.7.7"), reason: "link_local"},
	}
	for i := range rows {
		rows[i].name += "_from_" + from
		rows[i].from = from
		rows[i].setup = defaultRoute // the address alone must be the reason
	}
	return rows
}

func defaultRoute(b *bed) { b.via("0.0.0.0/0", peerIP, rib.None) }

func addressRows() []row {
	broadcast := func(b *bed) {
		b.route(rib.Route{Prefix: prefix("192.168.0.255/32"), Type: rib.Broadcast, Port: b.uplinkID, Dev: "ens160", Source: rib.Connected})
	}
	noRPF := func(b *bed) { b.settings.RPF = false; b.router.Configure(b.settings) }
	return []row{
		{name: "H3_destination_directed_broadcast", from: "ns1", setup: broadcast, send: ping("192.168.0.255"), reason: "martian_destination"},
		{name: "H4_gateway_from_the_uplink", from: "ens160", send: withDst(fromPeer(), gateway), reason: "link_local"},
		{name: "H5_another_source", from: "ns1", send: withSrc(ping(farIP), "10.70.1.77"), reason: "rpf_failed"},
		{name: "H5_another_workloads_source", from: "ns1", send: withSrc(ping(farIP), ns2IP), reason: "rpf_failed"},
		{name: "H5_the_hosts_source", from: "ns1", send: withSrc(ping(farIP), hostIP), reason: "rpf_failed"},
		{name: "H5_to_the_router_too", from: "ns1", send: withSrc(ping(gateway), "10.70.1.77"), reason: "rpf_failed"},
		{name: "H5_no_icmp", from: "ns1", send: withTTL(withSrc(ping(farIP), ns2IP), 1), reason: "rpf_failed"},
		{name: "H5_off", from: "ns1", setup: noRPF, send: withSrc(ping(farIP), "10.70.1.77"), out: "ens160", check: toPeer},
		{name: "H5_not_on_the_uplink", from: "ens160", send: withSrc(fromPeer(), "10.99.9.9"), out: "ns1", check: toNS1},
	}
}

// H6: options pass as they are, and a source route is not followed (RFC 1812 5.2.4).
func optionRows() []row {
	ns2 := netip.MustParseAddr(ns2IP).As4()
	sourceRoute := func(kind byte) []byte { return append([]byte{kind, 11, 4, 10, 99, 0, 1}, ns2[:]...) }
	return []row{
		{name: "H6_record_route", from: "ns1", send: withOptions(ping(farIP), 7, 7, 4, 0, 0, 0, 0), out: "ens160", check: toPeer},
		{name: "H6_timestamp", from: "ns1", send: withOptions(ping(farIP), 68, 8, 5, 0, 0, 0, 0, 0), out: "ens160", check: toPeer},
		{name: "H6_router_alert", from: "ens160", send: withOptions(fromPeer(), 148, 4, 0, 0), out: "ns1", check: toNS1},
		{name: "H6_unknown", from: "ns1", send: withOptions(ping(farIP), 0x9e, 6, 1, 2, 3, 4), out: "ens160", check: toPeer},
		{name: "H6_40_bytes", from: "ns1", send: withOptions(ping(farIP), make([]byte, 40)...), out: "ens160", check: toPeer},
		{name: "H6_loose_source_route", from: "ns1", send: withOptions(ping(farIP), sourceRoute(131)...), out: "ens160", check: toPeer},
		{name: "H6_strict_source_route", from: "ns1", send: withOptions(ping(farIP), sourceRoute(137)...), out: "ens160", check: toPeer},
	}
}
