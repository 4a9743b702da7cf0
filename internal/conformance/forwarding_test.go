package conformance

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

var forwardingRows = []row{
	{
		id: "F1", rule: "TTL lowered by one, once per router, only when forwarding", source: "RFC 1812 5.3.1",
		cases: []testCase{
			{name: "255, 64 and 2", test: func(b *Bench) {
				for _, ttl := range []int{255, 64, 2} {
					b.everyWay(ipPacket{ttl: ttl})
				}
			}},
			{name: "not for what is the router's", test: func(b *Bench) {
				b.pings(b.ns1, ipPacket{src: ns1IP, dst: hostIP, ttl: 1}, echo(1, 1, nil))
			}},
		},
	},
	{
		id: "F2", rule: "TTL 1 to be forwarded: Time Exceeded 11/0 to the source; TTL 1 for the router itself: accepted",
		source: "RFC 1812 5.3.1, 4.2.2.9", counted: "ttl_exceeded icmp_errors_sent_total{type=11,code=0}",
		cases: []testCase{
			{name: "workload to uplink", test: func(b *Bench) { b.timeExceeded(b.ns1, farIP, 1) }},
			{name: "uplink to workload", test: func(b *Bench) { b.timeExceeded(b.up, ns1IP, 1) }},
			{name: "workload to workload", test: func(b *Bench) { b.timeExceeded(b.ns1, ns2IP, 1) }},
			{name: "TTL 0 is no better", test: func(b *Bench) { b.timeExceeded(b.ns1, farIP, -1) }},
			{name: "TTL 1 for the router", test: func(b *Bench) {
				b.pings(b.ns1, ipPacket{src: ns1IP, dst: hostIP, ttl: 1}, echo(7, 8, pattern(20)))
			}},
			{name: "TTL 0 for the router", test: func(b *Bench) {
				b.pings(b.ns1, ipPacket{src: ns1IP, dst: hostIP, ttl: -1}, echo(7, 8, pattern(20)))
			}},
		},
	},
	{
		id: "F3", rule: "checksum right after every rewrite, the 0x0000/0xffff corner included", source: "RFC 1624 3, 4",
		cases: []testCase{
			{name: "0x0000 after the rewrite", test: func(b *Bench) { b.checksumCorner(0xfeff, 0x0000) }},
			{name: "0x0000 before it", test: func(b *Bench) { b.checksumCorner(0x0000, 0x0100) }},
			{name: "0xfffe after it", test: func(b *Bench) { b.checksumCorner(0xfefe, 0xfffe) }},
			{name: "0x0001 after it", test: func(b *Bench) { b.checksumCorner(0xff00, 0x0001) }},
			{name: "0xffff for 0x0000 before it", test: otherZero},
			{name: "256 others", test: func(b *Bench) {
				for i := range 256 {
					ip := ipPacket{src: ns1IP, dst: farIP, id: uint16(i * 257), ttl: 2 + i%254}.bytes()
					b.must(b.ns1.send(b.ns1.to(ip)))
					b.must(routed(b.up, ip).ok(b.next(b.up, patience)))
				}
			}},
		},
	},
	{
		id: "F4", rule: "nothing else changes", source: "RFC 1812 4.2.2",
		cases: []testCase{
			{name: "every TOS", test: func(b *Bench) {
				for tos := range 256 {
					ip := ipPacket{src: ns1IP, dst: farIP, tos: byte(tos)}.bytes()
					b.must(b.ns1.send(b.ns1.to(ip)))
					b.must(routed(b.up, ip).ok(b.next(b.up, patience)))
				}
			}},
			{name: "every flag, the reserved one among them", test: func(b *Bench) {
				for flags := range byte(8) {
					b.everyWay(ipPacket{flags: flags, id: 0xbeef, data: pattern(64)})
				}
			}},
			{name: "fragments, with their offsets", test: func(b *Bench) {
				b.everyWay(ipPacket{flags: 1, id: 77, data: pattern(1480)})
				b.everyWay(ipPacket{flags: 1, id: 77, offset: 1480, data: pattern(1480)})
				b.everyWay(ipPacket{id: 77, offset: 2960, data: pattern(3)})
				b.everyWay(ipPacket{id: 77, offset: 65528, data: pattern(7)})
			}},
			{name: "any protocol", test: func(b *Bench) {
				for _, proto := range []byte{protoICMP, 2, protoTCP, protoUDP, 41, 47, 50, 89, 132, 253, 255} {
					b.everyWay(ipPacket{proto: proto, data: pattern(40)})
				}
			}},
			{name: "any length", test: func(b *Bench) {
				for _, n := range []int{0, 1, 2, 3, 7, 25, 26, 27, 507, 1479, 1480} {
					b.everyWay(ipPacket{data: pattern(n)})
				}
			}},
			{name: "UDP without a checksum, and with a wrong one", test: func(b *Bench) {
				b.everyWay(ipPacket{data: udp(1, 2, pattern(9))})
				wrong := udp(1, 2, pattern(9))
				wrong[6], wrong[7] = 0xde, 0xad
				b.everyWay(ipPacket{data: wrong})
			}},
			{name: "padding is not sent on", test: func(b *Bench) {
				ip := ipPacket{src: ns1IP, dst: farIP, data: udp(1, 2, nil)}.bytes()
				b.one(b.ns1, append(bytes.Clone(ip), pattern(18)...), routed(b.up, ip))
				ip = ipPacket{src: farIP, dst: ns1IP, data: pattern(1)}.bytes()
				b.one(b.up, append(bytes.Clone(ip), pattern(700)...), routed(b.ns1, ip))
			}},
			{name: "order", test: func(b *Bench) {
				var frames [][]byte
				var wants []want
				for i := range chunk {
					ip := ipPacket{src: ns1IP, dst: farIP, id: uint16(i)}.bytes()
					frames, wants = append(frames, b.ns1.to(ip)), append(wants, routed(b.up, ip))
				}
				b.exchange(b.ns1, frames, wants...)
			}},
		},
	},
	{
		id: "F8", rule: "workload to workload on one host, and host to host, by the same path", source: "the tutorial",
		cases: []testCase{
			{name: "every way", test: func(b *Bench) { b.everyWay(ipPacket{}) }},
			{name: "in by the uplink and out by it", test: func(b *Bench) {
				ip := ipPacket{src: farIP, dst: hairpinIP}.bytes()
				b.one(b.up, ip, routed(b.up, ip))
			}},
			{name: "workload to a host of the uplink's subnet", test: func(b *Bench) {
				ip := ipPacket{src: ns1IP, dst: peerIP}.bytes()
				b.one(b.ns1, ip, routed(b.up, ip))
			}},
			{name: "workload to itself, by way of the router", test: func(b *Bench) {
				ip := ipPacket{src: ns1IP, dst: ns1IP}.bytes()
				b.one(b.ns1, ip, routed(b.ns1, ip))
			}},
		},
	},
	{
		id: "F9", rule: "no second copy and no foreign ICMP from the host's own stack, with `ip_forward` 0 or 1", source: "this project",
		cases: []testCase{
			{name: "ip_forward 0", notHere: isTheStack, test: func(b *Bench) { b.aloneWith("0") }},
			{name: "ip_forward 1", notHere: isTheStack, test: func(b *Bench) { b.aloneWith("1") }},
			{name: "ip_forward 1 and a default route", notHere: isTheStack, test: withDefault(func(b *Bench) { b.aloneWith("1") })},
		},
	},
}

const isTheStack = "Here the host's own stack is the router"

// everyWay sends a packet from each port to each other one.
func (b *Bench) everyWay(p ipPacket) {
	for _, in := range b.ports() {
		for _, out := range b.ports() {
			if in == out {
				continue
			}
			p.src, p.dst = in.ip, out.ip
			if in.isUplink() {
				p.src = farIP
			}
			if out.isUplink() {
				p.dst = farIP
			}
			ip := p.bytes()
			b.one(in, ip, routed(out, ip))
		}
	}
}

func (b *Bench) timeExceeded(in *port, dst string, ttl int) {
	p := ipPacket{src: in.ip, dst: dst, ttl: ttl}
	if in.isUplink() {
		p.src = farIP
	}
	ip := p.bytes()
	b.one(in, ip, icmpAbout(in, 11, 0, 0, ip))
	b.dropped(in, "ttl_exceeded", 1)
	b.count(`vrouter_icmp_errors_sent_total{code="0",type="11"}`, 1)
}

// checksumCorner finds an ID that makes the header's checksum this before and
// that after the TTL is lowered.
func (b *Bench) checksumCorner(before, after uint16) {
	for id := range 0x10000 {
		ip := ipPacket{src: ns1IP, dst: farIP, id: uint16(id)}.bytes()
		if binary.BigEndian.Uint16(ip[10:]) != before {
			continue
		}
		if got := binary.BigEndian.Uint16(forwarded(ip)[10:]); got != after {
			b.fatalf("the test is wrong: %#x becomes %#x", before, got)
		}
		b.one(b.ns1, ip, routed(b.up, ip))
		return
	}
	b.fatalf("the test is wrong: no ID gives %#x", before)
}

// otherZero sends a checksum of 0xffff, which is as right as 0x0000 in one's
// complement, though nobody computes it.
func otherZero(b *Bench) {
	for id := range 0x10000 {
		ip := ipPacket{src: ns1IP, dst: farIP, id: uint16(id)}.bytes()
		if ip[10] != 0 || ip[11] != 0 {
			continue
		}
		ip[10], ip[11] = 0xff, 0xff
		b.one(b.ns1, ip, want{b.up, "a packet with a valid checksum", func(f []byte) error {
			if inetSum(f[14:34]) != 0 || !bytes.Equal(f[14:24], forwarded(ip)[:10]) {
				return fmt.Errorf("it is not the packet, one hop on")
			}
			return nil
		}})
		return
	}
}

// aloneWith sends what the host's stack would like to forward, or to answer.
func (b *Bench) aloneWith(ipForward string) {
	b.sysctlHost("ipv4/ip_forward", ipForward)
	defer b.sysctlHost("ipv4/ip_forward", "0")
	ip := ipPacket{src: farIP, dst: ns1IP}.bytes()
	b.one(b.up, ip, routed(b.ns1, ip))
	near := ipPacket{src: peerIP, dst: ns2IP}.bytes() // whom the host's stack could tell that it knows no 10.70.1.2
	b.one(b.up, near, routed(b.ns2, near))
	back := ipPacket{src: farIP, dst: hairpinIP}.bytes()
	b.one(b.up, back, routed(b.up, back))
	b.timeExceeded(b.up, ns1IP, 1)
	lost := ipPacket{src: farIP, dst: "10.99.0.1"}.bytes()
	b.one(b.up, lost, icmpAbout(b.up, 3, 0, 0, lost))
	b.dropped(b.up, "no_route", 1)
	b.silent(b.up, ipPacket{src: farIP, dst: "10.70.9.1"}, "blackhole")
}
