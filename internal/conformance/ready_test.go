package conformance

import (
	"encoding/binary"
	"slices"
)

// readyRows are the router's tests of the IPv6 Ready Logo's core protocols test specification, sections 1, 2,
// 4 and 5, each by its number there. What is a host's alone, router advertisements, which this router does not
// send, and what waits for a minute are left out.
var readyRows = readyTable(
	// Section 1: RFC 8200.
	ready("1.1.1", "version field: another than 6 is discarded, and the next packet is answered", "", func(b *Bench) {
		for _, version := range []byte{0x00, 0x40, 0x50, 0x70, 0xf0} {
			p := ip6Packet{src: ns1IP6, dst: hostIP6, next: protoICMP6, data: echo6(ns1IP6, hostIP6, 1, 1, pattern(8))}.bytes()
			p[0] = version
			b.one6(b.ns1, p)
		}
		b.dropped(b.ns1, "ip_bad_version", 5)
		b.pings6(b.ns1, ip6Packet{src: ns1IP6, dst: hostIP6}, pattern(8))
	}),
	ready("1.1.3", "traffic class of an intermediate node: passed on as it is", "", func(b *Bench) { b.everyWay6(ip6Packet{class: 32}) }),
	ready("1.1.4", "flow label: passed on as it is, and ignored by the node itself", "", func(b *Bench) {
		b.everyWay6(ip6Packet{flow: 0x34567})
		b.pings6(b.ns1, ip6Packet{src: ns1IP6, dst: hostIP6, flow: 0x34567}, pattern(8))
	}),
	ready("1.1.5", "payload length: odd passes, longer than the packet is discarded", "", func(b *Bench) {
		b.everyWay6(ip6Packet{next: 253, data: pattern(0x33)})
		ip := ip6Packet{src: ns1IP6, dst: farIP6, next: 253, data: pattern(0x33)}.bytes()
		binary.BigEndian.PutUint16(ip[4:], 0x34)
		b.one6(b.ns1, ip)
		b.dropped(b.ns1, "ip_bad_length", 1)
	}),
	ready("1.1.6", "no next header: what is behind is passed on, and not looked at", "", func(b *Bench) {
		b.everyWay6(ip6Packet{next: nextNone, data: pattern(16)})
		b.one6(b.ns1, ip6Packet{src: ns1IP6, dst: hostIP6, next: nextNone, data: echo6(ns1IP6, hostIP6, 1, 1, nil)}.bytes())
		b.tolerate(dropSeries(b.ns1, "local_unsupported"))
	}),
	ready("1.1.7", "unrecognized next header, to the node itself: Parameter Problem 4/1 at byte 6", "", func(b *Bench) {
		b.unknownNext(ip6Packet{dst: hostIP6, next: 143, data: pattern(16)}, 6)
	}),
	ready("1.1.8", "hop limit zero, to the node itself: answered", "", func(b *Bench) {
		b.pings6(b.ns1, ip6Packet{src: ns1IP6, dst: hostIP6, hops: -1}, pattern(8))
	}),
	ready("1.1.9", "hop limit decrement of an intermediate node", "", func(b *Bench) {
		b.everyWay6(ip6Packet{hops: 15})
		b.hopsExceeded(b.ns1, farIP6, -1)
		b.hopsExceeded(b.ns1, farIP6, 1)
	}),
	readyCases("1.1.10", "IP forwarding, source and destination address", []testCase{
		{name: "to a global address, and to one that ends in zeros", test: func(b *Bench) {
			for _, dst := range []string{farIP6, "fd00:70:3::"} {
				ip := ip6Packet{src: ns1IP6, dst: dst}.bytes()
				b.one6(b.ns1, ip, routed6(b.up, ip))
			}
		}},
		{name: "from the unspecified address", test: func(b *Bench) { b.silent6(b.up, ip6Packet{src: "::", dst: ns1IP6}, "martian_source") }},
		{name: "to and from the loopback address", test: func(b *Bench) {
			b.silent6(b.up, ip6Packet{src: "::1", dst: ns1IP6}, "martian_source")
			b.silent6(b.ns1, ip6Packet{src: ns1IP6, dst: "::1"}, "martian_destination")
		}},
		{name: "from a link-local address to a global one", test: func(b *Bench) {
			ip := ip6Packet{src: b.ns1.station6(), dst: farIP6}.bytes()
			b.one6(b.ns1, ip, icmp6About(b.ns1, 1, 2, 0, ip))
			b.dropped(b.ns1, "beyond_scope", 1)
		}},
		{name: "to a multicast address of global scope, without a multicast router", test: func(b *Bench) {
			b.exchange(b.ns1, [][]byte{eth(groupMAC("ff1e::1:2"), b.ns1.mac, typeIPv6, ip6Packet{src: ns1IP6, dst: "ff1e::1:2"}.bytes())})
			b.dropped(b.ns1, "martian_destination", 1)
		}},
		{name: "from a multicast address", test: func(b *Bench) { b.silent6(b.up, ip6Packet{src: "ff1e::1:2", dst: ns1IP6}, "martian_source") }},
	}),
	ready("1.2.1", "next header zero in an extension header: Parameter Problem 4/1 there", "", func(b *Bench) {
		p := ip6Packet{src: ns1IP6, dst: hostIP6, next: nextDest, data: extension(0, 0, []byte{1, 4}, extension(protoICMP6, 0, []byte{1, 4}, echo6(ns1IP6, hostIP6, 1, 1, pattern(8))))}
		ip := p.bytes()
		b.one6(b.ns1, ip, b.fromHere(ip, 4, 1, 40))
		b.tolerate(dropSeries(b.ns1, "ip6_bad_header"))
		b.tolerate(dropSeries(b.ns1, "local_unsupported"))
	}),
	ready("1.2.2", "no next header behind an extension header", "", func(b *Bench) {
		b.everyWay6(ip6Packet{next: nextDest, data: extension(nextNone, 0, []byte{1, 4}, pattern(16))})
	}),
	ready("1.2.3", "unrecognized next header in an extension header: 4/1 to the node itself, passed on the way", "", func(b *Bench) {
		b.unknownNext(ip6Packet{dst: hostIP6, next: nextDest, data: extension(143, 0, []byte{1, 4}, pattern(16))}, 40)
		b.everyWay6(ip6Packet{next: nextDest, data: extension(143, 0, []byte{1, 4}, pattern(16))})
	}),
	readyCases("1.2.6", "options of the hop-by-hop header, to the node itself", readyOptions(nextHop)),
	ready("1.2.7", "options of the hop-by-hop header of an intermediate node: those that may be skipped pass", "", func(b *Bench) {
		for _, kind := range []byte{1, 0x1e, 0x3e} {
			b.everyWay6(ip6Packet{next: nextHop, data: extension(protoUDP, 0, []byte{kind, 4, 0, 0, 0, 0}, pattern(24))})
		}
	}),
	readyCases("1.2.8", "options of the destination header, to the node itself", readyOptions(nextDest)),
	ready("1.2.9", "unrecognized routing type, to the node itself: 4/0 at byte 42 with segments left, ignored without", "", func(b *Bench) {
		ip := ip6Packet{src: ns1IP6, dst: hostIP6, next: nextRouting, data: extension(protoUDP, 0, []byte{33, 1}, pattern(16))}.bytes()
		b.one6(b.ns1, ip, b.fromHere(ip, 4, 0, 42))
		b.dropped(b.ns1, "ip6_bad_header", 1)
		request := echo6(ns1IP6, hostIP6, 1, 1, pattern(8))
		b.one6(b.ns1, ip6Packet{src: ns1IP6, dst: hostIP6, next: nextRouting, data: extension(protoICMP6, 0, []byte{33, 0}, request)}.bytes(), b.echoReply6(b.ns1, ns1IP6, hostIP6, request))
	}),
	ready("1.2.10", "unrecognized routing type of an intermediate node: passed on", "", func(b *Bench) {
		b.everyWay6(ip6Packet{next: nextRouting, data: extension(protoUDP, 0, []byte{33, 1}, pattern(24))})
	}),
	ready("1.3.1", "fragment reassembly: in order, and the other way round", "", func(b *Bench) {
		b.fragmentedEcho6(hostIP6, false)
		b.fragmentedEcho6(hostIP6, true)
	}),
	ready("1.3.3", "a fragment that is not the last, of a length that is no multiple of eight: 4/0 at byte 4", "", func(b *Bench) { b.raggedFragment() }),
	ready("1.3.4", "a stub fragment header: one packet", "", func(b *Bench) {
		request := echo6(ns1IP6, hostIP6, 3, 4, pattern(20))
		b.one6(b.ns1, ip6Packet{src: ns1IP6, dst: hostIP6, next: nextFragm, data: fragment6(protoICMP6, 7, 0, false, request)}.bytes(), b.echoReply6(b.ns1, ns1IP6, hostIP6, request))
		b.everyWay6(ip6Packet{next: nextFragm, data: fragment6(protoUDP, 7, 0, false, pattern(20))})
	}),

	// Section 2: RFC 4861.
	ready("2.1.2", "resolution wait queue: what waits for two neighbours goes on in order", "", func(b *Bench) {
		targets := []string{"fd00:192::21", "fd00:192::22"}
		var packets [][]byte
		for i := range 3 {
			for _, to := range targets {
				ip := ip6Packet{src: ns1IP6, dst: to, flow: uint32(i)}.bytes()
				packets = append(packets, ip)
				b.must(b.ns1.send(b.ns1.to6(ip)))
			}
		}
		b.settleSkipping(b.ns1, isND)
		for at, to := range targets {
			b.advertisedBy(to, peer14MAC)
			for i := range 3 {
				f := b.next(b.up, patience)
				for isND(f) {
					f = b.next(b.up, patience)
				}
				b.must(routed6Via(b.up, peer14MAC, packets[2*i+at]).ok(f))
			}
		}
		b.settle(b.ns1)
	}),
	ready("2.1.5", "neighbour solicitation origination: to the solicited-node address, from an address of the interface, with its link-layer address", "", func(b *Bench) {
		const target = "fd00:192::23"
		b.must(b.ns1.send(b.ns1.to6(ip6Packet{src: ns1IP6, dst: target}.bytes())))
		b.isSolicitation(b.next(b.up, patience), groupMAC(solicitedNode(target)), solicitedNode(target), target)
		b.advertisedBy(target, peer14MAC)
		b.flush(b.ns1)
	}),
	readyCases("2.1.7", "invalid neighbour solicitation handling", malformedND()),
	ready("2.1.8", "neighbour solicitation, no cache entry: one is made, unless the source is unspecified", "", func(b *Bench) {
		b.learns6To("fd00:192::24", peer14MAC)
		ip := ip6Packet{src: ns1IP6, dst: "fd00:192::24"}.bytes()
		b.one6(b.ns1, ip, routed6Via(b.up, peer14MAC, ip))
	}),
	ready("2.1.10", "neighbour solicitation, another link-layer address: it is taken over", "", func(b *Bench) {
		for _, m := range []mac{peer13MAC, peer14MAC} {
			b.learns6To("fd00:192::24", m)
			ip := ip6Packet{src: ns1IP6, dst: "fd00:192::24"}.bytes()
			b.one6(b.ns1, ip, routed6Via(b.up, m, ip))
		}
	}),
	ready("2.1.15", "neighbour advertisement, no cache entry: none is made", "", func(b *Bench) {
		m := ndMessage{typ: ndAdvertisement, src: "fd00:192::25", dst: "ff02::1", target: "fd00:192::25", flags: overrideFlag, option: ndTarget, mac: peer14MAC}
		b.must(b.up.send(b.ndFrame(b.up, m)))
		b.settleSkipping(b.up, isND)
		b.tolerate(dropSeries(b.up, "nd_ignored"))
		b.unknown("fd00:192::25")
	}),
	ready("2.1.17", "neighbour advertisement, reachable: another link-layer address counts with override alone", "", func(b *Bench) {
		b.learns6To(peer13IP6, peer13MAC)
		for _, c := range []struct {
			flags byte
			is    mac
		}{{0, peer13MAC}, {solicitedFlag, peer13MAC}, {overrideFlag, peer14MAC}} {
			b.advertises(c.flags, peer14MAC)
			ip := ip6Packet{src: ns1IP6, dst: peer13IP6}.bytes()
			b.one6(b.ns1, ip, routed6Via(b.up, c.is, ip))
		}
	}),
	ready("2.3.7", "a router that is sent a redirect does not follow it", "", func(b *Bench) {
		about := ip6Packet{src: ns1IP6, dst: farIP6}.bytes()
		near := linkLocal(peerMAC)
		b.learns6To(near, peerMAC)
		data := slices.Concat(ip6(linkLocal(peer13MAC)), ip6(farIP6), []byte{4, byte(1 + len(about)/8), 0, 0, 0, 0, 0, 0}, about[:len(about)/8*8])
		m := ip6Packet{src: near, dst: hostIP6, hops: 255, next: protoICMP6, data: icmp6(near, hostIP6, 137, 0, 0, data)}.bytes()
		b.one6(b.up, m)
		b.tolerate(dropSeries(b.up, "nd_ignored"))
		b.one6(b.ns1, about, routed6(b.up, about))
	}),

	// Section 4: RFC 8201. The rest of it is a host's.
	ready("4.1.1", "confirm ping: of 64, 1280 and 1500 bytes", "", func(b *Bench) {
		for _, n := range []int{64, 1280, 1500} {
			b.pings6(b.ns1, ip6Packet{src: ns1IP6, dst: hostIP6}, pattern(n-48))
		}
	}),

	// Section 5: RFC 4443.
	ready("5.1.2", "replying to echo requests: to the link-local and to a global address", "", func(b *Bench) {
		b.pings6(b.ns1, ip6Packet{src: b.ns1.station6(), dst: gatewayIP6}, pattern(8))
		b.pings6(b.ns1, ip6Packet{src: ns1IP6, dst: hostIP6}, pattern(8))
	}),
	ready("5.1.3", "destination unreachable: no route 1/0, port 1/4, beyond scope 1/2", "", func(b *Bench) {
		b.refused6("fd00:99::1", 1, 0, "no_route")
		ip := ip6Packet{src: ns1IP6, dst: hostIP6}.bytes()
		b.one6(b.ns1, ip, b.fromHere(ip, 1, 4, 0))
		b.dropped(b.ns1, "local_unsupported", 1)
		ip = ip6Packet{src: b.ns1.station6(), dst: farIP6}.bytes()
		b.one6(b.ns1, ip, icmp6About(b.ns1, 1, 2, 0, ip))
		b.dropped(b.ns1, "beyond_scope", 1)
	}),
	readyWith("5.1.4", "packet too big generation", options{six: true, ns2MTU: 1280}, func(b *Bench) {
		b.tooBig6(b.ns1, ns2IP6, 1500, 1280)
	}),
	ready("5.1.5", "hop limit exceeded: 1, and 0", "", func(b *Bench) {
		b.hopsExceeded(b.ns1, farIP6, 1)
		b.hopsExceeded(b.ns1, farIP6, -1)
	}),
	ready("5.1.6", "erroneous header field: 4/0 at the payload length of a fragment that cannot be", "", func(b *Bench) { b.raggedFragment() }),
	ready("5.1.7", "unrecognized next header: 4/1", "", func(b *Bench) {
		b.unknownNext(ip6Packet{dst: hostIP6, next: 143, data: pattern(16)}, 6)
	}),
	ready("5.1.8", "an unknown informational message: silence", "", func(b *Bench) {
		b.silent6(b.ns1, ip6Packet{src: ns1IP6, dst: hostIP6, next: protoICMP6, data: icmp6(ns1IP6, hostIP6, 254, 0, 0, pattern(8))}, "local_unsupported")
	}),
	ready("5.1.9", "no error about an error", "", func(b *Bench) {
		about := ip6Packet{src: farIP6, dst: ns1IP6}.bytes()
		for _, typ := range []byte{1, 2, 3, 4, 101} {
			b.one6(b.ns1, ip6Packet{src: ns1IP6, dst: "fd00:99::1", next: protoICMP6, data: icmp6(ns1IP6, "fd00:99::1", typ, 0, 0, about)}.bytes())
		}
		b.dropped(b.ns1, "no_route", 5)
		b.withheld("icmp_error", 5)
	}),
	ready("5.1.10", "no error about a packet to a group", "", func(b *Bench) {
		ip := ip6Packet{src: ns1IP6, dst: "ff02::1"}.bytes()
		b.exchange(b.ns1, [][]byte{eth(groupMAC("ff02::1"), b.ns1.mac, typeIPv6, ip)})
	}),
	ready("5.1.11", "no error to the unspecified address", "", func(b *Bench) {
		b.silent6(b.up, ip6Packet{src: "::", dst: "fd00:99::1"}, "martian_source")
	}),
	ready("5.1.12", "no error to a group", "", func(b *Bench) {
		b.silent6(b.up, ip6Packet{src: "ff0e::1", dst: "fd00:99::1"}, "martian_source")
	}),
)

func ready(number, rule, differs string, test func(*Bench)) row {
	return readyCases(number, rule, []testCase{{name: rule, differs: differs, test: test}})
}

func readyWith(number, rule string, o options, test func(*Bench)) row {
	r := ready(number, rule, "", test)
	r.options = o
	return r
}

func readyCases(number, rule string, cases []testCase) row {
	return row{id: "R" + number, rule: rule, source: "IPv6 Ready core v6LC." + number, options: options{six: true}, cases: cases}
}

func readyTable(list ...row) []row { return list }

// readyOptions are options that a destination does not know, one of each way to be refused.
func readyOptions(next int) []testCase {
	packet := func(kind byte, data []byte) ip6Packet {
		return ip6Packet{src: ns1IP6, dst: hostIP6, next: next, data: extension(protoICMP6, 0, []byte{kind, 4, 0, 0, 0, 0}, data)}
	}
	all := []testCase{{name: "padding, and options to be skipped: answered", test: func(b *Bench) {
		for _, kind := range []byte{1, 0x1e} {
			request := echo6(ns1IP6, hostIP6, 1, uint16(kind), pattern(8))
			b.one6(b.ns1, packet(kind, request).bytes(), b.echoReply6(b.ns1, ns1IP6, hostIP6, request))
		}
	}}}
	for kind, name := range map[byte]string{0x47: "to be discarded", 0x87: "to be discarded and told", 0xc7: "to be discarded and told, if not to a group"} {
		all = append(all, testCase{name: name, test: func(b *Bench) {
			ip := packet(kind, echo6(ns1IP6, hostIP6, 1, 1, pattern(8))).bytes()
			if kind == 0x47 {
				b.one6(b.ns1, ip)
			} else {
				b.one6(b.ns1, ip, b.fromHere(ip, 4, 2, 42))
			}
			b.dropped(b.ns1, "ip6_bad_header", 1)
		}})
	}
	slices.SortFunc(all, func(a, b testCase) int { return len(a.name) - len(b.name) })
	return all
}

// raggedFragment is one of which no whole can be made.
func (b *Bench) raggedFragment() {
	ip := ip6Packet{src: ns1IP6, dst: hostIP6, next: nextFragm, data: fragment6(protoICMP6, 7, 0, true, echo6(ns1IP6, hostIP6, 1, 1, pattern(5)))}.bytes()
	b.one6(b.ns1, ip, b.fromHere(ip, 4, 0, 4))
	b.tolerate(dropSeries(b.ns1, "ip6_bad_header"))
	b.tolerate(dropSeries(b.ns1, "reassembly_limit"))
}
