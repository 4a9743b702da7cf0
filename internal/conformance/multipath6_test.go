package conformance

import (
	"bytes"
	"fmt"
)

const (
	noPorts    = "Linux looks at ports only with fib_multipath_hash_policy 1, and then no longer at flow labels"
	manyIP6    = "fd00:85::1"
	flowNumber = 64
)

// multipathRows6 are of routes with two next hops of equal weight.
var multipathRows6 = []row{{
	id: "V12", rule: "flow label in the hash of several next hops; a flow keeps its way", source: "RFC 6438 3, RFC 2992",
	options: options{six: true, kernelRoutes: []route{{to: "fd00:85::/48", via: peerIP6, also: peer13IP6}}},
	cases: []testCase{
		{name: "flow labels are spread", test: func(b *Bench) {
			b.spread(func(i int) ip6Packet { return ip6Packet{src: ns1IP6, dst: manyIP6, flow: uint32(i*0x1357 + 1)} })
		}},
		{name: "flow labels of what has no ports", test: func(b *Bench) {
			b.spread(func(i int) ip6Packet {
				return ip6Packet{src: ns1IP6, dst: manyIP6, flow: uint32(i*0x1357 + 1), next: 50, data: pattern(40)}
			})
		}},
		{name: "sources and destinations are spread", test: func(b *Bench) {
			b.spread(func(i int) ip6Packet { return ip6Packet{src: ns1IP6, dst: fmt.Sprintf("fd00:85::%x", i+1)} })
		}},
		{name: "ports are spread, without a flow label", differs: noPorts, test: func(b *Bench) {
			b.spread(func(i int) ip6Packet {
				return ip6Packet{src: ns1IP6, dst: manyIP6, next: protoUDP, data: udp6(ns1IP6, manyIP6, uint16(1000+i), 53, pattern(8))}
			})
		}},
		{name: "the fragments of a packet go one way", test: func(b *Bench) {
			b.knowsBoth()
			for i := range flowNumber {
				data := udp6(ns1IP6, manyIP6, uint16(1000+i), 53, pattern(40))
				p := ip6Packet{src: ns1IP6, dst: manyIP6, flow: uint32(i*0x1357 + 1), next: nextFragm}
				p.data = fragment6(protoUDP, uint32(i), 0, true, data[:24])
				first := b.stationOf(p)
				p.data = fragment6(protoUDP, uint32(i), 24, false, data[24:])
				if later := b.stationOf(p); later != first {
					b.fatalf("flow %d: the first fragment goes to %v, the second one to %v", i, first, later)
				}
			}
		}},
		{name: "whatever of it changes: traffic class, hop limit, length, flags of TCP", test: func(b *Bench) {
			b.knowsBoth()
			for i := range flowNumber {
				tcp := tcpSYN(uint16(1000+i), 80)
				p := ip6Packet{src: ns1IP6, dst: manyIP6, flow: uint32(i*0x1357 + 1), next: protoTCP, data: tcp}
				first := b.stationOf(p)
				p.class, p.hops, p.data = 0xb8, 17, append(bytes.Clone(tcp), pattern(100)...)
				p.data[13] = 0x10
				if later := b.stationOf(p); later != first {
					b.fatalf("flow %d: it goes to %v, then to %v", i, first, later)
				}
			}
		}},
	},
}}

// knowsBoth makes both next hops known.
func (b *Bench) knowsBoth() {
	b.knows6(peerIP6, peerMAC)
	b.learns6To(peer13IP6, peer13MAC)
}

// spread wants flows to go by either next hop, each always by the same.
func (b *Bench) spread(flow func(i int) ip6Packet) {
	b.knowsBoth()
	counts := map[mac]int{}
	for i := range flowNumber {
		first := b.stationOf(flow(i))
		if again := b.stationOf(flow(i)); again != first {
			b.fatalf("flow %d goes to %v, then to %v", i, first, again)
		}
		counts[first]++
	}
	if least := flowNumber / 5; counts[peerMAC] < least || counts[peer13MAC] < least {
		b.fatalf("of %d flows %d go to the one and %d to the other", flowNumber, counts[peerMAC], counts[peer13MAC])
	}
}

// stationOf sends a packet from ns1, and says to which station it goes by the uplink.
func (b *Bench) stationOf(p ip6Packet) mac {
	ip := p.bytes()
	b.must(b.ns1.send(b.ns1.to6(ip)))
	f := b.next(b.up, patience)
	to := mac(f[:6])
	b.must(exactly(b.up, eth(to, b.up.router, typeIPv6, forwarded6(ip))).ok(f))
	return to
}
