package conformance

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"time"
)

var icmpRows6 = []row{
	{
		id: "V9", rule: "errors: up to 1,280 bytes of what they are about, from a global address of this host; none about errors, about packets to multicast, or to a source that is not one host",
		source: "RFC 4443 2.4", counted: "icmp_errors_suppressed_total originated_packets_total{kind=icmp_error}", options: options{six: true}, cases: errors6(),
	},
	{
		id: "V9a", rule: "errors are limited per second, with a burst; what was held back is counted", source: "RFC 4443 2.4 (f)",
		counted: "icmp_errors_suppressed_total{reason=rate_limit}", options: options{six: true},
		cases: []testCase{{name: "a flood", test: flood6}},
	},
	{
		id: "V10", rule: "echo to the gateway and to the host's addresses is answered, a fragmented one too; overlapping fragments drop the whole packet; a fragment alone that says it is whole is one packet",
		source: "RFC 4443 4.2, RFC 5722 4, RFC 6946 4", counted: "originated_packets_total{kind=echo_reply} reassembly_limit", options: options{six: true}, cases: echoes6(),
	},
	{
		id: "V14", rule: "what the router itself does not speak: 1/4 for a UDP port, 4/1 for a next header", source: "RFC 4443 3.1, 3.4", counted: "local_unsupported", options: options{six: true},
		cases: []testCase{
			{name: "UDP to the host", test: func(b *Bench) {
				ip := ip6Packet{src: ns1IP6, dst: hostIP6}.bytes()
				b.one6(b.ns1, ip, b.fromHere(ip, 1, 4, 0))
				b.dropped(b.ns1, "local_unsupported", 1)
			}},
			{name: "an unknown next header", test: func(b *Bench) { b.unknownNext(ip6Packet{dst: hostIP6, next: 253, data: pattern(30)}, 6) }},
			{name: "an unknown next header behind options", test: func(b *Bench) {
				b.unknownNext(ip6Packet{dst: hostIP6, next: nextDest, data: extension(253, 0, []byte{1, 4}, pattern(30))}, 40)
			}},
			{name: "none: silence", test: func(b *Bench) {
				b.one6(b.ns1, ip6Packet{src: ns1IP6, dst: hostIP6, next: nextNone, data: pattern(8)}.bytes())
				b.tolerate(dropSeries(b.ns1, "local_unsupported"))
			}},
			{name: "an unknown informational message: silence", test: func(b *Bench) {
				b.silent6(b.ns1, ip6Packet{src: ns1IP6, dst: hostIP6, next: protoICMP6, data: icmp6(ns1IP6, hostIP6, 254, 0, 0, pattern(8))}, "local_unsupported")
			}},
		},
	},
}

func (b *Bench) unknownNext(p ip6Packet, at uint32) {
	p.src = ns1IP6
	ip := p.bytes()
	b.one6(b.ns1, ip, b.fromHere(ip, 4, 1, at))
	b.dropped(b.ns1, "local_unsupported", 1)
}

// quoted6 sends a packet whose hop limit runs out here.
func (b *Bench) quoted6(p ip6Packet) {
	for _, in := range []*port{b.ns1, b.up} {
		q := p
		q.src, q.dst, q.hops = in.ip6Of(), ns2IP6, 1
		if q.next == protoICMP6 {
			binary.BigEndian.PutUint16(q.data[2:], 0)
			binary.BigEndian.PutUint16(q.data[2:], sum6(ip6(q.src), ip6(q.dst), protoICMP6, q.data))
		}
		ip := q.bytes()
		b.one6(in, ip, icmp6About(in, 3, 0, 0, ip))
		b.dropped(in, "ttl_exceeded", 1)
	}
	b.count(`vrouter_originated_packets_total{kind="icmp_error"}`, 2)
}

func errors6() []testCase {
	all := []testCase{
		{name: "a short packet", test: func(b *Bench) { b.quoted6(ip6Packet{next: 253}) }},
		{name: "as much as just fits", test: func(b *Bench) { b.quoted6(ip6Packet{next: 253, data: pattern(1232 - 40)}) }},
		{name: "one byte more", test: func(b *Bench) { b.quoted6(ip6Packet{next: 253, data: pattern(1233 - 40)}) }},
		{name: "the longest", test: func(b *Bench) { b.quoted6(ip6Packet{next: 253, data: pattern(1460)}) }},
		{name: "with extension headers", test: func(b *Bench) {
			b.quoted6(ip6Packet{next: nextDest, data: extension(protoUDP, 3, []byte{1, 28}, pattern(1300))})
		}},
		{name: "padding is not quoted", test: func(b *Bench) {
			ip := ip6Packet{src: ns1IP6, dst: farIP6, hops: 1, next: 253, data: pattern(3)}.bytes()
			b.one6(b.ns1, append(slices.Clone(ip), pattern(23)...), icmp6About(b.ns1, 3, 0, 0, ip))
			b.dropped(b.ns1, "ttl_exceeded", 1)
		}},
		{name: "but about an echo request", test: func(b *Bench) { b.quoted6(ip6Packet{next: protoICMP6, data: icmp6(ns1IP6, ns2IP6, 128, 0, 1, nil)}) }},
		{name: "but about an echo reply", test: func(b *Bench) { b.quoted6(ip6Packet{next: protoICMP6, data: icmp6(ns1IP6, ns2IP6, 129, 0, 1, nil)}) }},
		{name: "but about a later fragment", test: func(b *Bench) {
			b.quoted6(ip6Packet{next: nextFragm, data: fragment6(protoUDP, 1, 8, true, pattern(16))})
		}},
	}
	quote := ip6Packet{src: farIP6, dst: ns1IP6}.bytes()
	dies := func(name, withheld string, p ip6Packet) {
		all = append(all, testCase{name: name, test: func(b *Bench) {
			p.src, p.dst, p.hops = ns1IP6, farIP6, 1
			b.silent6(b.ns1, p, "ttl_exceeded")
			b.withheld(withheld, 1)
		}})
	}
	for _, typ := range []byte{1, 2, 3, 4, 100, 127} {
		dies(fmt.Sprintf("an ICMPv6 error of type %d", typ), "icmp_error", ip6Packet{next: protoICMP6, data: icmp6(ns1IP6, farIP6, typ, 0, 0, quote)})
	}
	dies("an error behind extension headers", "icmp_error", ip6Packet{next: nextDest, data: extension(protoICMP6, 0, []byte{1, 4}, icmp6(ns1IP6, farIP6, 1, 0, 0, quote))})
	return append(all,
		testCase{name: "a packet to a group", test: func(b *Bench) {
			b.exchange(b.ns1, [][]byte{eth(groupMAC("ff0e::1"), b.ns1.mac, typeIPv6, ip6Packet{src: ns1IP6, dst: "ff0e::1", hops: 1}.bytes())})
			b.dropped(b.ns1, "martian_destination", 1)
		}},
	)
}

// flood6 sends far more than may be told about.
func flood6(b *Bench) {
	if b.linux {
		b.sysctlHost("ipv6/icmp/ratelimit", "1000") // its default
	}
	const sent = 5000
	ip := ip6Packet{src: ns1IP6, dst: farIP6, hops: 1, next: 253, data: pattern(8)}.bytes()
	w := icmp6About(b.ns1, 3, 0, 0, ip)
	told := 0
	for i := range sent {
		b.must(b.ns1.send(b.ns1.to6(ip)))
		if i%chunk != chunk-1 {
			continue
		}
		seen := b.flush(b.ns1)
		told += len(seen[b.ns1])
		for _, f := range seen[b.ns1] {
			b.must(w.ok(f))
		}
	}
	if told == 0 || told > sent/2 {
		b.fatalf("of %d packets %d were told about", sent, told)
	}
	more := 0
	for again := time.Now().Add(patience); ; more++ { // and soon another one may be
		b.must(b.ns1.send(b.ns1.to6(ip)))
		seen := b.flush(b.ns1)
		if len(seen[b.ns1]) > 0 {
			b.must(w.ok(seen[b.ns1][0]))
			break
		}
		if time.Now().After(again) {
			b.fatalf("nothing more was told about within %v", patience)
		}
		time.Sleep(20 * time.Millisecond)
	}
	b.dropped(b.ns1, "ttl_exceeded", sent+more+1)
	b.withheld("rate_limit", sent+more-told)
}

func echoes6() []testCase {
	return []testCase{
		{name: "to the gateway, from either address", test: func(b *Bench) {
			for _, n := range []int{0, 1, 56, 1452} {
				b.pings6(b.ns1, ip6Packet{src: ns1IP6, dst: gatewayIP6}, pattern(n))
				b.pings6(b.ns1, ip6Packet{src: b.ns1.station6(), dst: gatewayIP6}, pattern(n))
			}
		}},
		{name: "to the host", test: func(b *Bench) {
			for _, n := range []int{0, 1, 56, 1452} {
				b.pings6(b.ns1, ip6Packet{src: ns1IP6, dst: hostIP6, class: 0xb8}, pattern(n))
			}
		}},
		{name: "to the host, from the uplink: once", test: func(b *Bench) {
			b.pings6(b.up, ip6Packet{src: peerIP6, dst: hostIP6}, pattern(40))
		}},
		{name: "from another workload", test: func(b *Bench) {
			b.pings6(b.ns2, ip6Packet{src: ns2IP6, dst: hostIP6}, pattern(40))
		}},
		{name: "behind options", test: func(b *Bench) {
			request := echo6(ns1IP6, hostIP6, 3, 4, pattern(20))
			p := ip6Packet{src: ns1IP6, dst: hostIP6, next: nextDest, data: extension(protoICMP6, 0, []byte{1, 4}, request)}
			b.one6(b.ns1, p.bytes(), b.echoReply6(b.ns1, ns1IP6, hostIP6, request))
		}},
		{name: "in a fragment of one", test: func(b *Bench) {
			request := echo6(ns1IP6, hostIP6, 3, 4, pattern(20))
			p := ip6Packet{src: ns1IP6, dst: hostIP6, next: nextFragm, data: fragment6(protoICMP6, 7, 0, false, request)}
			b.one6(b.ns1, p.bytes(), b.echoReply6(b.ns1, ns1IP6, hostIP6, request))
		}},
		{name: "in fragments, to the host", test: func(b *Bench) { b.fragmentedEcho6(hostIP6, false) }},
		{name: "in fragments, last first", test: func(b *Bench) { b.fragmentedEcho6(hostIP6, true) }},
		{name: "in fragments, to the gateway", test: func(b *Bench) { b.fragmentedEcho6(gatewayIP6, false) }},
		{name: "overlapping fragments: silence", test: func(b *Bench) {
			request := echo6(ns1IP6, hostIP6, 9, 9, pattern(200))
			part := func(from, to int, more bool) []byte {
				return b.ns1.to6(ip6Packet{src: ns1IP6, dst: hostIP6, next: nextFragm, data: fragment6(protoICMP6, 99, from, more, request[from:to])}.bytes())
			}
			b.exchange(b.ns1, [][]byte{part(0, 104, true), part(96, 208, false), part(104, 208, false)})
			b.tolerate(dropSeries(b.ns1, "reassembly_limit"))
		}},
		{name: "a wrong checksum: silence", test: func(b *Bench) {
			m := echo6(ns1IP6, hostIP6, 1, 1, pattern(8))
			m[3]++
			b.silent6(b.ns1, ip6Packet{src: ns1IP6, dst: hostIP6, next: protoICMP6, data: m}, "local_unsupported")
		}},
		{name: "an echo reply or an error: silence", test: func(b *Bench) {
			b.silent6(b.ns1, ip6Packet{src: ns1IP6, dst: hostIP6, next: protoICMP6, data: icmp6(ns1IP6, hostIP6, 129, 0, 1, pattern(8))}, "local_unsupported")
			about := ip6Packet{src: hostIP6, dst: ns1IP6}.bytes()
			b.silent6(b.ns1, ip6Packet{src: ns1IP6, dst: hostIP6, next: protoICMP6, data: icmp6(ns1IP6, hostIP6, 1, 3, 0, about)}, "local_unsupported")
		}},
	}
}

// fragmentedEcho6 sends a request in three fragments, and puts the answer together.
func (b *Bench) fragmentedEcho6(to string, lastFirst bool) {
	request := echo6(ns1IP6, to, 0x4321, 9, pattern(3000))
	var frames [][]byte
	for at := 0; at < len(request); at += 1200 {
		end := min(at+1200, len(request))
		frames = append(frames, b.ns1.to6(ip6Packet{src: ns1IP6, dst: to, next: nextFragm, data: fragment6(protoICMP6, 0x55, at, end < len(request), request[at:end])}.bytes()))
	}
	if lastFirst {
		frames[0], frames[2] = frames[2], frames[0]
	}
	for _, f := range frames {
		b.must(b.ns1.send(f))
	}
	seen := b.flush(b.ns1)
	if len(seen[b.up])+len(seen[b.ns2]) > 0 {
		b.fatalf("fragments for the router were sent on%s", describeAll(append(seen[b.up], seen[b.ns2]...)))
	}
	data := make([]byte, 0, len(request))
	for _, f := range seen[b.ns1] {
		ip := f[14:]
		if ip[6] != nextFragm || int(binary.BigEndian.Uint16(ip[42:])&^7) != len(data) || ip[40] != protoICMP6 || !bytes.Equal(ip[8:24], ip6(to)) {
			b.fatalf("this is no part of an answer: %s", describe(f))
		}
		data = append(data, ip[48:]...)
	}
	if !bytes.Equal(data, icmp6(to, ns1IP6, 129, 0, binary.BigEndian.Uint32(request[4:]), request[8:])) {
		b.fatalf("the answer is not right: %d frames%s", len(seen[b.ns1]), describeAll(seen[b.ns1]))
	}
}
