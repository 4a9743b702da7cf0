package conformance

import (
	"fmt"
	"time"
)

const tosOfErrors = "Linux copies the TOS bits below the precedence, as RFC 1812 4.3.2.5 says; vrouter sends the plain class selector 6 of RFC 2474 4.2.2"

const tellsBroadcast = "Linux does not look whether the source is a subnet's broadcast"

var icmpRows = []row{
	{
		id: "I1", rule: "no error about an ICMP error, a fragment but the first, a broadcast, or a source that isn't one host",
		source: "RFC 1812 4.3.2.7", counted: "icmp_errors_suppressed_total", cases: noErrorAbout(),
	},
	{
		id: "I2", rule: "an error quotes as much as fits in 576 bytes, comes from an address of this host (hop 1: the host's uplink address), precedence 6",
		source: "RFC 1812 4.3.2.3, 4.3.2.4, 4.3.2.5", counted: "originated_packets_total{kind=icmp_error}",
		cases: []testCase{
			{name: "a short packet", test: func(b *Bench) { b.quoted(ipPacket{data: pattern(0)}) }},
			{name: "as much as just fits", test: func(b *Bench) { b.quoted(ipPacket{data: pattern(528)}) }},
			{name: "one byte more", test: func(b *Bench) { b.quoted(ipPacket{data: pattern(529)}) }},
			{name: "the longest", test: func(b *Bench) { b.quoted(ipPacket{data: pattern(1480)}) }},
			{name: "with options", test: func(b *Bench) { b.quoted(ipPacket{options: optExperiment, data: pattern(600)}) }},
			{name: "padding is not quoted", test: func(b *Bench) {
				ip := ipPacket{src: ns1IP, dst: farIP, ttl: 1, data: pattern(3)}.bytes()
				b.one(b.ns1, append(append([]byte{}, ip...), pattern(23)...), icmpAbout(b.ns1, 11, 0, 0, ip))
				b.dropped(b.ns1, "ttl_exceeded", 1)
			}},
			{name: "a packet with a TOS", test: func(b *Bench) { b.quoted(ipPacket{tos: 0xa0}) }},
			{name: "the class selector alone", differs: tosOfErrors, test: func(b *Bench) {
				ip := ipPacket{src: ns1IP, dst: farIP, ttl: 1, tos: 0x18}.bytes()
				w := icmpAbout(b.ns1, 11, 0, 0, ip)
				b.one(b.ns1, ip, want{w.at, w.what, func(f []byte) error {
					if f[15] != 0xc0 {
						return fmt.Errorf("its TOS is %#x", f[15])
					}
					return w.ok(f)
				}})
				b.dropped(b.ns1, "ttl_exceeded", 1)
			}},
		},
	},
	{
		id: "I3", rule: "errors are limited per second, with a burst; what was held back is counted",
		source: "RFC 1812 4.3.2.8", counted: "icmp_errors_suppressed_total{reason=rate_limit}",
		cases: []testCase{{name: "a flood", test: flood}},
	},
	{
		id: "I5", rule: "`traceroute` (UDP, ICMP, TCP) and `tracepath` from a workload show host, host, workload, and the right MTU",
		source: "RFC 1812 5.3.1, RFC 1191 4", counted: "ttl_exceeded mtu_exceeded", options: options{uplinkMTU: 1400},
		cases: []testCase{
			{name: "UDP", test: func(b *Bench) { b.traced(ipPacket{data: udp(40000, 33434, pattern(32))}, 3, 3) }},
			{name: "ICMP", test: func(b *Bench) { b.traced(ipPacket{proto: protoICMP, data: echo(3, 1, pattern(32))}, 0, 0) }},
			{name: "TCP", test: func(b *Bench) { b.traced(ipPacket{proto: protoTCP, data: tcpSYN(40000, 80)}, 3, 13) }},
			{name: "the MTU, at hop 1", test: func(b *Bench) {
				ip := ipPacket{src: ns1IP, dst: farIP, flags: 2, ttl: 2, data: udp(40000, 44444, pattern(1472))}.bytes()
				b.one(b.ns1, ip, icmpAbout(b.ns1, 3, 4, 1400, ip))
				b.dropped(b.ns1, "mtu_exceeded", 1)
			}},
			{name: "the MTU that a router beyond says", test: func(b *Bench) {
				probe := ipPacket{src: ns1IP, dst: farIP, flags: 2, data: pattern(1380)}.bytes()
				b.passesBack(icmp(3, 4, 1300, probe[:28]))
			}},
		},
	},
}

// quoted sends a packet whose time runs out here.
func (b *Bench) quoted(p ipPacket) {
	p.src, p.dst, p.ttl = ns1IP, farIP, 1
	ip := p.bytes()
	b.one(b.ns1, ip, icmpAbout(b.ns1, 11, 0, 0, ip))
	p.src, p.dst = farIP, ns2IP
	ip = p.bytes()
	b.one(b.up, ip, icmpAbout(b.up, 11, 0, 0, ip))
	b.dropped(b.ns1, "ttl_exceeded", 1)
	b.dropped(b.up, "ttl_exceeded", 1)
	b.count(`vrouter_originated_packets_total{kind="icmp_error"}`, 2)
}

// noErrorAbout lists packets whose time runs out here, and nobody may be told.
func noErrorAbout() []testCase {
	var all []testCase
	quote := ipPacket{src: farIP, dst: ns1IP}.bytes()
	dies := func(name, withheld string, p ipPacket) {
		all = append(all, testCase{name: name, test: func(b *Bench) {
			p.src, p.dst, p.ttl = ns1IP, farIP, 1
			b.silent(b.ns1, p, "ttl_exceeded")
			b.withheld(withheld, 1)
		}})
	}
	for _, typ := range []byte{3, 4, 5, 11, 12} {
		dies(fmt.Sprintf("an ICMP error of type %d", typ), "icmp_error", ipPacket{proto: protoICMP, data: icmp(typ, 0, 0, quote)})
	}
	dies("ICMP of a type that nobody knows", "icmp_error", ipPacket{proto: protoICMP, data: icmp(200, 0, 0, quote)})
	dies("ICMP of a low type that is not assigned", "icmp_error", ipPacket{proto: protoICMP, data: icmp(1, 0, 0, quote)})
	dies("a later fragment", "fragment", ipPacket{offset: 8, flags: 1, data: pattern(64)})
	dies("the last fragment", "fragment", ipPacket{offset: 1480, data: pattern(64)})
	dies("a later fragment of an ICMP error", "fragment", ipPacket{proto: protoICMP, offset: 8, data: pattern(64)})
	told := func(name string, p ipPacket) {
		all = append(all, testCase{name: "but about " + name, test: func(b *Bench) { b.quoted(p) }})
	}
	told("an echo request", ipPacket{proto: protoICMP, data: echo(1, 1, pattern(8))})
	told("an echo reply", ipPacket{proto: protoICMP, data: icmp(0, 0, 1, pattern(8))})
	told("a first fragment", ipPacket{flags: 1, data: pattern(64)})
	return append(all,
		testCase{name: "a broadcast frame", test: func(b *Bench) {
			ip := ipPacket{src: ns1IP, dst: farIP, ttl: 1}.bytes()
			b.exchange(b.ns1, [][]byte{eth(broadcastMAC, b.ns1.mac, typeIPv4, ip)})
			b.dropped(b.ns1, "l2_broadcast", 1)
		}},
		testCase{name: "a source that is a subnet's broadcast", differs: tellsBroadcast, test: func(b *Bench) {
			b.one(b.up, ipPacket{src: "192.168.0.255", dst: ns1IP, ttl: 1}.bytes())
			b.count(`vrouter_icmp_errors_sent_total{code="0",type="11"}`, 0)
			b.tolerate(dropSeries(b.up, "ttl_exceeded"))
			b.tolerate(dropSeries(b.up, "martian_source"))
			b.tolerate(`vrouter_icmp_errors_suppressed_total{reason="source"}`)
		}},
		testCase{name: "a packet for no host from a group", test: func(b *Bench) {
			b.silent(b.up, ipPacket{src: "224.0.0.5", dst: "10.70.10.1"}, "martian_source")
		}},
	)
}

// flood sends far more than may be told about.
func flood(b *Bench) {
	if b.linux {
		b.sysctlHost("ipv4/icmp_ratelimit", "1000") // its default
	}
	const sent = 5000
	ip := ipPacket{src: ns1IP, dst: farIP, ttl: 1, data: pattern(8)}.bytes()
	w := icmpAbout(b.ns1, 11, 0, 0, ip)
	told := 0
	for i := range sent {
		b.must(b.ns1.send(b.ns1.to(ip)))
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
		b.must(b.ns1.send(b.ns1.to(ip)))
		f, err := b.ns1.receive(time.Now().Add(50 * time.Millisecond))
		b.must(err)
		if f != nil {
			b.must(w.ok(f))
			break
		}
		if time.Now().After(again) {
			b.fatalf("once limited, no error comes any more")
		}
	}
	b.dropped(b.ns1, "ttl_exceeded", sent+more+1)
	b.count(`vrouter_icmp_errors_sent_total{code="0",type="11"}`, told+1)
	b.withheld("rate_limit", sent+more-told)
}

// traced plays traceroute's three hops: this host, the other host, the workload.
func (b *Bench) traced(p ipPacket, typ, code byte) {
	p.src, p.dst, p.ttl = ns1IP, farIP, 1
	first := p.bytes()
	b.one(b.ns1, first, icmpAbout(b.ns1, 11, 0, 0, first))
	b.dropped(b.ns1, "ttl_exceeded", 1)
	p.ttl = 2
	second := p.bytes()
	b.one(b.ns1, second, routed(b.up, second))
	b.passesBack(icmp(11, 0, 0, forwarded(second)[:28]))
	p.ttl = 3
	third := p.bytes()
	b.one(b.ns1, third, routed(b.up, third))
	answer := ipPacket{src: farIP, dst: ns1IP, proto: protoICMP, data: icmp(typ, code, 0, forwarded(third)[:28]), ttl: 63}.bytes()
	b.one(b.up, answer, routed(b.ns1, answer))
}

// passesBack sends the other host's error to the workload.
func (b *Bench) passesBack(message []byte) {
	ip := ipPacket{src: peerIP, dst: ns1IP, tos: 0xc0, proto: protoICMP, data: message}.bytes()
	b.one(b.up, ip, routed(b.ns1, ip))
}
