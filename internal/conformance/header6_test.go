package conformance

import (
	"encoding/binary"
	"slices"
)

const (
	noFilter6      = "Linux has no reverse path filter for IPv6; Calico has a rule of iptables for it"
	nearIsUnicast  = "Linux looks for a link-local destination on the link that the packet came by, and may redirect its sender there"
	noRouteToNone  = "Linux tells that there is no route to it"
	readsHopByHop  = "Linux looks at hop-by-hop options of what it forwards, and answers unknown ones as their type says"
	ownInterface   = "Linux takes what is for an address of its own by any interface; no packet from outside has the host's address as its source here"
	ignoresMapping = "Linux forwards what is from an address that stands for one of IPv4"
)

// headerRows6 are about what may not be forwarded.
var headerRows6 = []row{
	{
		id: "V1", rule: "under 40 bytes, version not 6, payload length beyond the frame: dropped, each with its reason; bytes behind the payload are no part of it",
		source: "RFC 8200 3", counted: "ip_too_short ip_bad_version ip_bad_length", options: options{six: true}, cases: brokenHeaders6(),
	},
	{
		id: "V3", rule: "link-local source to be forwarded: 1/2 (beyond scope); link-local, loopback, unspecified, multicast destination or source never forwarded",
		source: "RFC 4291 2.5, 2.7, RFC 4443 3.1", counted: "beyond_scope link_local martian_source martian_destination", options: options{six: true}, cases: scopes(),
	},
	{
		id: "V4", rule: "a workload may send from its own addresses, and from its link-local one to the router alone", source: "RFC 3704 2.2, Calico", counted: "rpf_failed",
		options: options{six: true},
		cases: []testCase{
			spoof6("another workload's", ns2IP6, farIP6, 0), spoof6("one of its prefix that nobody has", "fd00:70:1::99", farIP6, 0),
			spoof6("a remote workload's", farIP6, ns2IP6, 0), spoof6("another host's", peerIP6, ns2IP6, 0),
			spoof6("no ICMPv6 about it, even if its hop limit ran out", ns2IP6, farIP6, 1),
			{name: "the host's", test: func(b *Bench) { b.silent6(b.ns1, ip6Packet{src: hostIP6, dst: farIP6}, "rpf_failed") }, differs: noFilter6},
			{name: "its link-local one, to the router", test: func(b *Bench) {
				b.pings6(b.ns1, ip6Packet{src: b.ns1.station6(), dst: gatewayIP6}, pattern(20))
			}},
		},
	},
}

func spoof6(name, src, dst string, hops int) testCase {
	return testCase{name: name, differs: noFilter6, test: func(b *Bench) {
		b.silent6(b.ns1, ip6Packet{src: src, dst: dst, hops: hops}, "rpf_failed")
	}}
}

func brokenHeaders6() []testCase {
	length := func(n int) func([]byte) []byte {
		return func(ip []byte) []byte { binary.BigEndian.PutUint16(ip[4:], uint16(n)); return ip }
	}
	list := []struct {
		name, reason string
		spoil        func([]byte) []byte
	}{
		{"39 bytes", "ip_too_short", func(ip []byte) []byte { return ip[:39] }},
		{"1 byte", "ip_too_short", func(ip []byte) []byte { return ip[:1] }},
		{"version 4", "ip_bad_version", func(ip []byte) []byte { ip[0] = 0x40; return ip }},
		{"version 5", "ip_bad_version", func(ip []byte) []byte { ip[0] = 0x50; return ip }},
		{"version 15", "ip_bad_version", func(ip []byte) []byte { ip[0] = 0xf0; return ip }},
		{"payload one byte beyond the frame", "ip_bad_length", length(20)},
		{"payload far beyond the frame", "ip_bad_length", length(65535)},
	}
	var all []testCase
	for _, l := range list {
		all = append(all, testCase{name: l.name, test: func(b *Bench) {
			b.one6(b.ns1, l.spoil(ip6Packet{src: ns1IP6, dst: farIP6}.bytes()))
			b.dropped(b.ns1, l.reason, 1)
			b.one6(b.up, l.spoil(ip6Packet{src: farIP6, dst: ns1IP6}.bytes()))
			b.dropped(b.up, l.reason, 1)
		}})
	}
	return append(all,
		testCase{name: "padding is not sent on", test: func(b *Bench) {
			ip := ip6Packet{src: ns1IP6, dst: farIP6, data: udp6(ns1IP6, farIP6, 1, 2, nil), next: protoUDP}.bytes()
			b.one6(b.ns1, append(slices.Clone(ip), pattern(18)...), routed6(b.up, ip))
			ip = ip6Packet{src: farIP6, dst: ns1IP6, next: nextNone}.bytes()
			b.one6(b.up, append(slices.Clone(ip), pattern(700)...), routed6(b.ns1, ip))
		}},
		testCase{name: "a group's or another station's frame", test: func(b *Bench) {
			ip := ip6Packet{src: ns1IP6, dst: farIP6}.bytes()
			b.exchange(b.ns1, [][]byte{eth(groupMAC("ff02::1"), b.ns1.mac, typeIPv6, ip), eth(broadcastMAC, b.ns1.mac, typeIPv6, ip)})
			b.dropped(b.ns1, "l2_broadcast", 2)
			b.exchange(b.up, [][]byte{eth(peer13MAC, peerMAC, typeIPv6, ip6Packet{src: farIP6, dst: ns1IP6}.bytes())})
			b.dropped(b.up, "not_for_router", 1)
		}},
	)
}

func scopes() []testCase {
	all := []testCase{
		{name: "link-local source, from a workload", test: func(b *Bench) {
			ip := ip6Packet{src: b.ns1.station6(), dst: farIP6}.bytes()
			b.one6(b.ns1, ip, icmp6About(b.ns1, 1, 2, 0, ip))
			b.dropped(b.ns1, "beyond_scope", 1)
		}},
		{name: "link-local source, from a workload to another one", test: func(b *Bench) {
			ip := ip6Packet{src: b.ns1.station6(), dst: ns2IP6}.bytes()
			b.one6(b.ns1, ip, icmp6About(b.ns1, 1, 2, 0, ip))
			b.dropped(b.ns1, "beyond_scope", 1)
		}},
		{name: "link-local source, from the uplink", test: func(b *Bench) {
			near := linkLocal(peerMAC)
			b.learns6To(near, peerMAC)
			ip := ip6Packet{src: near, dst: ns1IP6}.bytes()
			b.one6(b.up, ip, icmp6About(b.up, 1, 2, 0, ip))
			b.dropped(b.up, "beyond_scope", 1)
		}},
		{name: "link-local destination", differs: nearIsUnicast, test: func(b *Bench) {
			b.silent6(b.ns1, ip6Packet{src: ns1IP6, dst: "fe80::99"}, "link_local")
		}},
		{name: "link-local destination, from the uplink", differs: nearIsUnicast, test: func(b *Bench) {
			b.silent6(b.up, ip6Packet{src: farIP6, dst: "fe80::99"}, "link_local")
		}},
	}
	for _, a := range []string{"::", "::1", "ff02::1", "ff0e::1", "::ffff:10.70.1.1"} {
		source := testCase{name: "source " + a, test: func(b *Bench) {
			b.silent6(b.up, ip6Packet{src: a, dst: ns1IP6}, "martian_source")
			b.silent6(b.ns1, ip6Packet{src: a, dst: farIP6}, "martian_source")
			b.silent6(b.up, ip6Packet{src: a, dst: ns1IP6, hops: 1}, "martian_source")
		}}
		if a == "::ffff:10.70.1.1" {
			source.differs = ignoresMapping
		}
		all = append(all, source)
	}
	for _, a := range []string{"::", "::1", "ff0e::1", "ff05::2", "::ffff:10.70.2.1"} {
		destination := testCase{name: "destination " + a, test: func(b *Bench) {
			b.silent6(b.ns1, ip6Packet{src: ns1IP6, dst: a}, "martian_destination")
			b.silent6(b.up, ip6Packet{src: farIP6, dst: a}, "martian_destination")
		}}
		if a == "::" || a == "::ffff:10.70.2.1" {
			destination.differs = noRouteToNone
		}
		all = append(all, destination)
	}
	return append(all, testCase{name: "source is the host's own address", differs: ownInterface, test: func(b *Bench) {
		b.silent6(b.up, ip6Packet{src: hostIP6, dst: ns1IP6}, "martian_source")
	}})
}
