package conformance

import (
	"encoding/binary"
	"fmt"
	"slices"
)

const (
	oneCode    = "Linux tells of every route that refuses, but for a prohibition, that there is none"
	typeUnread = "Linux takes routing headers of type 0 for unknown ones alike"
)

var forwardingRows6 = []row{
	{
		id: "V2", rule: "hop limit lowered by one; 1 to be forwarded: Time Exceeded (3/0); 0 never forwarded; to the router itself any is accepted",
		source: "RFC 8200 3, RFC 4443 3.3", counted: "ttl_exceeded icmpv6_errors_sent_total{type=3,code=0}", options: options{six: true},
		cases: []testCase{
			{name: "255, 64 and 2", test: func(b *Bench) {
				for _, hops := range []int{255, 64, 2} {
					b.everyWay6(ip6Packet{hops: hops})
				}
			}},
			{name: "workload to uplink", test: func(b *Bench) { b.hopsExceeded(b.ns1, farIP6, 1) }},
			{name: "uplink to workload", test: func(b *Bench) { b.hopsExceeded(b.up, ns1IP6, 1) }},
			{name: "workload to workload", test: func(b *Bench) { b.hopsExceeded(b.ns1, ns2IP6, 1) }},
			{name: "0 is no better", test: func(b *Bench) { b.hopsExceeded(b.ns1, farIP6, -1) }},
			{name: "1 and 0 for the router", test: func(b *Bench) {
				for _, hops := range []int{1, -1} {
					b.pings6(b.ns1, ip6Packet{src: ns1IP6, dst: hostIP6, hops: hops}, pattern(20))
					b.pings6(b.ns1, ip6Packet{src: ns1IP6, dst: gatewayIP6, hops: hops}, pattern(20))
				}
			}},
		},
	},
	{
		id: "V5", rule: "traffic class, flow label, extension headers, unknown ones too, and payload pass unchanged; hop-by-hop options are not processed on the way",
		source: "RFC 8200 4, RFC 7045 2.1, RFC 9673 5.1", options: options{six: true}, cases: unchanged(),
	},
	{
		id: "V6", rule: "routing header type 0 to the router with segments left: Parameter Problem 4/0 at the type; on the way it is left alone", source: "RFC 5095 3", counted: "ip6_bad_header",
		options: options{six: true},
		cases: []testCase{
			{name: "to the host", test: func(b *Bench) { b.routedHere(hostIP6, 0, 1) }},
			{name: "to the gateway", test: func(b *Bench) { b.routedHere(gatewayIP6, 0, 1) }},
			{name: "with no segment left: as if it were not there", test: func(b *Bench) {
				request := echo6(ns1IP6, hostIP6, 1, 1, pattern(8))
				p := ip6Packet{src: ns1IP6, dst: hostIP6, next: nextRouting, data: extension(protoICMP6, 2, []byte{0, 0}, request)}
				b.one6(b.ns1, p.bytes(), b.echoReply6(b.ns1, ns1IP6, hostIP6, request))
			}},
			{name: "on the way", test: func(b *Bench) {
				for _, kind := range []byte{0, 2, 4, 253} {
					b.everyWay6(ip6Packet{next: nextRouting, data: extension(protoUDP, 2, []byte{kind, 1}, pattern(30))})
				}
			}},
		},
	},
	{
		id: "V7", rule: "too big: Packet Too Big with the next-hop MTU, never fragmented here; fragments pass as they are", source: "RFC 8200 5, RFC 4443 3.2", counted: "mtu_exceeded",
		options: options{six: true, uplinkMTU: 1400, ns2MTU: 1281},
		cases: []testCase{
			{name: "to the uplink", test: func(b *Bench) { b.tooBig6(b.ns1, farIP6, 1401, 1400) }},
			{name: "to a workload", test: func(b *Bench) { b.tooBig6(b.ns1, ns2IP6, 1500, 1281) }},
			{name: "from the uplink", test: func(b *Bench) { b.tooBig6(b.up, ns2IP6, 1400, 1281) }},
			{name: "what just fits", test: func(b *Bench) {
				ip := ip6Packet{src: ns1IP6, dst: farIP6, next: 253, data: pattern(1360)}.bytes()
				b.one6(b.ns1, ip, routed6(b.up, ip))
				ip = ip6Packet{src: ns1IP6, dst: ns2IP6, next: 253, data: pattern(1241)}.bytes()
				b.one6(b.ns1, ip, routed6(b.ns2, ip))
			}},
			{name: "a fragment that is too big", test: func(b *Bench) {
				ip := ip6Packet{src: ns1IP6, dst: farIP6, next: nextFragm, data: fragment6(protoUDP, 9, 0, true, pattern(1400))}.bytes()
				b.one6(b.ns1, ip, icmp6About(b.ns1, 2, 0, 1400, ip))
				b.dropped(b.ns1, "mtu_exceeded", 1)
			}},
			{name: "fragments that fit", test: func(b *Bench) {
				for _, offset := range []int{0, 1304, 65528} {
					ip := ip6Packet{src: ns1IP6, dst: farIP6, next: nextFragm, data: fragment6(protoUDP, 9, offset, offset == 0, pattern(1304))}.bytes()
					b.one6(b.ns1, ip, routed6(b.up, ip))
				}
			}},
		},
	},
	{
		id: "V8", rule: "no route 1/0, prohibit 1/1, unreachable 1/3, blackhole silent", source: "RFC 4443 3.1", counted: "no_route prohibit unreachable blackhole", options: options{six: true},
		cases: []testCase{
			{name: "no route", test: func(b *Bench) { b.refused6("fd00:99::1", 1, 0, "no_route") }},
			{name: "prohibit", test: func(b *Bench) { b.refused6("fd00:70:b::1", 1, 1, "prohibit") }},
			{name: "unreachable", differs: oneCode, test: func(b *Bench) { b.refused6("fd00:70:a::1", 1, 3, "unreachable") }},
			{name: "blackhole", test: func(b *Bench) {
				b.silent6(b.ns1, ip6Packet{src: ns1IP6, dst: "fd00:70:9::1"}, "blackhole")
				b.silent6(b.up, ip6Packet{src: farIP6, dst: "fd00:70:9::1"}, "blackhole")
			}},
			{name: "a route comes before the hop limit", test: func(b *Bench) {
				ip := ip6Packet{src: ns1IP6, dst: "fd00:70:b::1", hops: 1}.bytes()
				b.one6(b.ns1, ip, icmp6About(b.ns1, 1, 1, 0, ip))
				b.dropped(b.ns1, "prohibit", 1)
			}},
		},
	},
	{
		id: "V13", rule: "longest prefix wins; in by a port and out by it; a host of the uplink's subnet", source: "RFC 8200 3",
		options: options{six: true, routes: []route{
			{to: "fd00:80::/32", via: peerIP6}, {to: "fd00:80:1::/48", via: peer13IP6}, {to: "fd00:80:1:1::/64", via: peerIP6}, {to: "fd00:80:1:1::1/128", via: peer13IP6},
		}},
		cases: []testCase{
			{name: "the longest prefix", test: func(b *Bench) {
				b.learns6To(peer13IP6, peer13MAC)
				for dst, m := range map[string]mac{"fd00:80:2::1": peerMAC, "fd00:80:1:2::1": peer13MAC, "fd00:80:1:1::2": peerMAC, "fd00:80:1:1::1": peer13MAC} {
					ip := ip6Packet{src: ns1IP6, dst: dst}.bytes()
					b.one6(b.ns1, ip, routed6Via(b.up, m, ip))
				}
			}},
			{name: "in by the uplink and out by it", test: func(b *Bench) {
				ip := ip6Packet{src: farIP6, dst: hairpinIP6}.bytes()
				b.one6(b.up, ip, routed6(b.up, ip))
			}},
			{name: "a host of the uplink's subnet", test: func(b *Bench) {
				ip := ip6Packet{src: ns1IP6, dst: peerIP6}.bytes()
				b.one6(b.ns1, ip, routed6(b.up, ip))
			}},
		},
	},
}

// learns6To makes a host of the uplink known.
func (b *Bench) learns6To(address string, m mac) {
	b.knows6(address, m)
	ask := ndMessage{typ: ndSolicitation, src: address, dst: solicitedNode(hostIP6), target: hostIP6, option: ndSource, mac: m}
	b.must(b.up.send(b.ndFrame(b.up, ask)))
	b.settleSkipping(b.up, isND)
}

func (b *Bench) hopsExceeded(in *port, dst string, hops int) {
	ip := ip6Packet{src: in.ip6Of(), dst: dst, hops: hops}.bytes()
	b.one6(in, ip, icmp6About(in, 3, 0, 0, ip))
	b.dropped(in, "ttl_exceeded", 1)
	b.count(`vrouter_icmpv6_errors_sent_total{code="0",type="3"}`, 1)
}

func (b *Bench) tooBig6(in *port, dst string, length, mtu int) {
	ip := ip6Packet{src: in.ip6Of(), dst: dst, next: 253, data: pattern(length - 40)}.bytes()
	b.one6(in, ip, icmp6About(in, 2, 0, uint32(mtu), ip))
	b.dropped(in, "mtu_exceeded", 1)
}

// routedHere is a packet for the router with a routing header that it does not follow.
func (b *Bench) routedHere(dst string, kind, left byte) {
	ip := ip6Packet{src: ns1IP6, dst: dst, next: nextRouting, data: extension(protoUDP, 2, []byte{kind, left}, pattern(30))}.bytes()
	b.one6(b.ns1, ip, b.fromHere(ip, 4, 0, 42))
	b.dropped(b.ns1, "ip6_bad_header", 1)
}

// fromHere is an error about a packet for the router itself, which may be from the address that
// the packet was for.
func (b *Bench) fromHere(about []byte, typ, code byte, rest uint32) want {
	w := icmp6About(b.ns1, typ, code, rest, about)
	return want{w.at, w.what, func(f []byte) error {
		g := slices.Clone(f)
		if len(g) > 62 && slices.Equal(g[22:38], about[24:40]) {
			copy(g[22:], ip6(hostIP6))
			g[56], g[57] = 0, 0
			binary.BigEndian.PutUint16(g[56:], sum6(g[22:38], g[38:54], protoICMP6, g[54:]))
			if sum6(f[22:38], f[38:54], protoICMP6, f[54:]) != 0 {
				return fmt.Errorf("its checksum is wrong")
			}
		}
		return w.ok(g)
	}}
}

// unchanged lists what passes as it is.
func unchanged() []testCase {
	all := []testCase{
		{name: "every traffic class", test: func(b *Bench) {
			for class := range 256 {
				ip := ip6Packet{src: ns1IP6, dst: farIP6, class: byte(class)}.bytes()
				b.must(b.ns1.send(b.ns1.to6(ip)))
				b.must(routed6(b.up, ip).ok(b.next(b.up, patience)))
			}
		}},
		{name: "flow labels", test: func(b *Bench) {
			for _, flow := range []uint32{0, 1, 0x12345, 0xfffff} {
				b.everyWay6(ip6Packet{flow: flow})
			}
		}},
		{name: "any next header, and none", test: func(b *Bench) {
			for _, next := range []int{1, 4, protoTCP, 41, 47, 50, nextNone, 89, 132, 135, 139, 140, 253, 254, 255} {
				b.everyWay6(ip6Packet{next: next, data: pattern(40)})
			}
		}},
		{name: "any length", test: func(b *Bench) {
			for _, n := range []int{0, 1, 2, 3, 7, 507, 1459, 1460} {
				b.everyWay6(ip6Packet{next: 253, data: pattern(n)})
			}
		}},
		{name: "hop-by-hop options that are skipped", test: func(b *Bench) {
			for _, options := range [][]byte{{1, 4, 0, 0, 0, 0}, {0x1e, 4, 1, 2, 3, 4}, {0x3e, 4, 1, 2, 3, 4}, {5, 2, 0, 0, 1, 0}} {
				b.everyWay6(ip6Packet{next: nextHop, data: extension(protoUDP, 0, options, pattern(30))})
			}
		}},
		{name: "hop-by-hop options that a destination would refuse", differs: readsHopByHop, test: func(b *Bench) {
			for _, kind := range []byte{0x47, 0x87, 0xc7} {
				b.everyWay6(ip6Packet{next: nextHop, data: extension(protoUDP, 0, []byte{kind, 4, 0, 0, 0, 0}, pattern(30))})
			}
		}},
		{name: "destination options, whatever they ask for", test: func(b *Bench) {
			for _, kind := range []byte{1, 4, 0x47, 0x87, 0xc7, 0xc9} {
				b.everyWay6(ip6Packet{next: nextDest, data: extension(protoUDP, 0, []byte{kind, 4, 0, 0, 0, 0}, pattern(30))})
			}
		}},
		{name: "headers in a row", test: func(b *Bench) {
			udp := extension(protoUDP, 0, []byte{1, 4}, pattern(24))
			b.everyWay6(ip6Packet{next: nextHop, data: extension(nextDest, 0, []byte{1, 4}, extension(nextRouting, 0, []byte{1, 4}, fragment6(nextDest, 5, 0, true, udp)))})
			b.everyWay6(ip6Packet{next: nextAuth, data: append([]byte{protoUDP, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1}, pattern(32)...)})
		}},
		{name: "fragments, with their offsets", test: func(b *Bench) {
			for _, offset := range []int{0, 8, 1448, 65528} {
				b.everyWay6(ip6Packet{next: nextFragm, data: fragment6(protoUDP, 77, offset, offset < 65528, pattern(24))})
			}
			b.everyWay6(ip6Packet{next: nextFragm, data: fragment6(protoUDP, 77, 0, false, pattern(24))})
		}},
		{name: "UDP with a wrong checksum, and without one", test: func(b *Bench) {
			b.everyWay6(ip6Packet{next: protoUDP, data: udp(1, 2, pattern(9))})
			wrong := udp(1, 2, pattern(9))
			wrong[6], wrong[7] = 0xde, 0xad
			b.everyWay6(ip6Packet{next: protoUDP, data: wrong})
		}},
		{name: "order", test: func(b *Bench) {
			var frames [][]byte
			var wants []want
			for i := range chunk {
				ip := ip6Packet{src: ns1IP6, dst: farIP6, class: byte(i)}.bytes()
				frames, wants = append(frames, b.ns1.to6(ip)), append(wants, routed6(b.up, ip))
			}
			b.exchange(b.ns1, frames, wants...)
		}},
	}
	return all
}
