package conformance

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
)

// nested routes lead to one next hop and the other in turns, so that a wrong
// choice shows in the destination MAC. The second set is entered the other way round.
var nested = []route{
	{to: "10.80.0.0/16", via: peerIP}, {to: "10.80.1.0/24", via: peer13IP}, {to: "10.80.1.16/28", via: peerIP}, {to: "10.80.1.17/32", via: peer13IP},
	{to: "10.90.1.17/32", via: peer13IP}, {to: "10.90.1.16/28", via: peerIP}, {to: "10.90.1.0/24", via: peer13IP}, {to: "10.90.0.0/16", via: peerIP},
	{to: "10.80.2.0/24", kind: "blackhole"}, {to: "10.80.2.128/25", via: peer13IP},
	{to: "10.81.0.0/16", via: peerIP, metric: 20}, {to: "10.81.0.0/16", via: peer13IP, metric: 10},
	{to: "10.82.0.0/16", via: peer13IP, metric: 10}, {to: "10.82.0.0/16", via: peerIP, metric: 20},
}

var routeRows = []row{
	{
		id: "F5", rule: "longest prefix wins, in any order of insertion; equal prefixes: static before kernel, then the lower metric",
		source: "RFC 1812 5.2.4.3", counted: "route_lookups_total{result=hit}", options: options{
			routes:       append(slices.Clone(nested), route{to: "10.83.0.0/16", via: peer13IP, metric: 100}),
			kernelRoutes: []route{{to: "10.83.0.0/16", via: peerIP, metric: 5}, {to: "10.84.0.0/16", via: peerIP}, {to: "10.84.1.0/24", via: peer13IP}},
		},
		cases: []testCase{
			{name: "shortest first", test: func(b *Bench) { b.longest("10.80") }},
			{name: "longest first", test: func(b *Bench) { b.longest("10.90") }},
			{name: "a longer prefix out of a blackhole", test: func(b *Bench) {
				b.goesVia("10.80.2.129", peer13MAC)
				b.silent(b.ns1, ipPacket{src: ns1IP, dst: "10.80.2.1"}, "blackhole")
			}},
			{name: "the lower metric", test: func(b *Bench) {
				b.goesVia("10.81.0.1", peer13MAC)
				b.goesVia("10.82.0.1", peer13MAC)
			}},
			{name: "static before kernel", notHere: oneTable, test: func(b *Bench) { b.goesVia("10.83.0.1", peer13MAC) }},
			{name: "imported from the kernel", notHere: oneTable, test: func(b *Bench) {
				b.goesVia("10.84.0.1", peerMAC)
				b.goesVia("10.84.1.1", peer13MAC)
			}},
		},
	},
	{
		id: "F6", rule: "no route 3/0 · blackhole silent · unreachable 3/1 · prohibit 3/13, each with its reason",
		source: "RFC 1812 5.2.7.1", counted: "no_route blackhole unreachable prohibit",
		cases: []testCase{
			{name: "no route", test: withoutDefault(func(b *Bench) { b.refused("10.99.0.1", 0, "no_route") })},
			{name: "blackhole", test: func(b *Bench) {
				b.silent(b.ns1, ipPacket{src: ns1IP, dst: "10.70.9.1"}, "blackhole")
				b.silent(b.up, ipPacket{src: farIP, dst: "10.70.9.1"}, "blackhole")
			}},
			{name: "unreachable", test: func(b *Bench) { b.refused("10.70.10.1", 1, "unreachable") }},
			{name: "prohibit", test: func(b *Bench) { b.refused("10.70.11.1", 13, "prohibit") }},
			{name: "a route comes before the time to live", test: func(b *Bench) {
				ip := ipPacket{src: ns1IP, dst: "10.70.10.1", ttl: 1}.bytes()
				b.one(b.ns1, ip, icmpAbout(b.ns1, 3, 1, 0, ip))
				b.dropped(b.ns1, "unreachable", 1)
			}},
		},
	},
	{
		id: "F7", rule: "DF and too big: 3/4 with the next-hop MTU; no DF: fragments, with options copied as their copy bit says",
		source: "RFC 1191 4, RFC 791 3.2", counted: "mtu_exceeded fragments_created_total", options: options{uplinkMTU: 1400, ns2MTU: 1281},
		cases: []testCase{
			{name: "DF to the uplink", test: func(b *Bench) { b.tooBig(b.ns1, farIP, 1401, 1400) }},
			{name: "DF to a workload", test: func(b *Bench) { b.tooBig(b.ns1, ns2IP, 1500, 1281) }},
			{name: "DF from the uplink", test: func(b *Bench) { b.tooBig(b.up, ns2IP, 1400, 1281) }},
			{name: "DF that just fits", test: func(b *Bench) {
				ip := ipPacket{src: ns1IP, dst: farIP, flags: 2, data: pattern(1380)}.bytes()
				b.one(b.ns1, ip, routed(b.up, ip))
			}},
			{name: "fragments to the uplink", test: func(b *Bench) { b.fragments(b.ns1, b.up, 1400, ipPacket{data: pattern(1480), id: 5}) }},
			{name: "fragments to a workload", test: func(b *Bench) { b.fragments(b.ns1, b.ns2, 1281, ipPacket{data: pattern(1480), id: 6, tos: 0x2e}) }},
			{name: "a fragment of a fragment", test: func(b *Bench) {
				b.fragments(b.ns1, b.up, 1400, ipPacket{data: pattern(1480), id: 7, flags: 1, offset: 2960})
				b.fragments(b.ns1, b.up, 1400, ipPacket{data: pattern(1475), id: 7, offset: 4440})
			}},
			{name: "options", test: func(b *Bench) {
				opts := append(append(bytes.Clone(optExperiment), optExperimentC...), optExperiment...)
				b.fragments(b.ns1, b.up, 1400, ipPacket{data: pattern(1464), id: 8, options: opts})
			}},
			{name: "an option of an odd length", test: func(b *Bench) {
				opts := append([]byte{1}, 0x9e, 3, 0xab)
				b.fragments(b.ns1, b.up, 1400, ipPacket{data: pattern(1464), id: 9, options: opts})
			}},
		},
	},
	{
		id: "F7a", rule: "the MTU of a route of the host's, locked or not, is the next-hop MTU of what goes by it",
		source: "RFC 1191 4, Linux ip_dst_mtu_maybe_forward", counted: "mtu_exceeded fragments_created_total", options: options{
			kernelRoutes: []route{{to: "10.85.0.0/16", via: peerIP, mtu: 1400}, {to: "10.86.0.0/16", via: peerIP, mtu: 1300, locked: true}},
		},
		cases: []testCase{
			{name: "DF", test: func(b *Bench) { b.tooBig(b.ns1, "10.85.0.1", 1401, 1400) }},
			{name: "DF, locked", test: func(b *Bench) { b.tooBig(b.ns1, "10.86.0.1", 1301, 1300) }},
			{name: "DF that just fits", test: func(b *Bench) {
				ip := ipPacket{src: ns1IP, dst: "10.85.0.1", flags: 2, data: pattern(1380)}.bytes()
				b.one(b.ns1, ip, routed(b.up, ip))
			}},
			{name: "fragments", test: func(b *Bench) { b.fragments(b.ns1, b.up, 1400, ipPacket{dst: "10.85.0.1", data: pattern(1480), id: 5}) }},
			{name: "fragments, locked", test: func(b *Bench) { b.fragments(b.ns1, b.up, 1300, ipPacket{dst: "10.86.0.1", data: pattern(1480), id: 6}) }},
		},
	},
}

const oneTable = "Linux has the one table"

// goesVia requires that a packet to an address is handed to that next hop.
func (b *Bench) goesVia(dst string, m mac) {
	ip := ipPacket{src: ns1IP, dst: dst}.bytes()
	b.announce(peer13IP, peer13MAC)
	b.settle(b.up, b.hostARPReply(peer13IP, peer13MAC))
	b.one(b.ns1, ip, routedVia(b.up, m, ip))
}

func (b *Bench) longest(net string) {
	b.goesVia(net+".200.1", peerMAC)
	b.goesVia(net+".1.1", peer13MAC)
	b.goesVia(net+".1.18", peerMAC)
	b.goesVia(net+".1.17", peer13MAC)
	b.goesVia(net+".1.15", peer13MAC)
	b.goesVia(net+".1.32", peer13MAC)
}

func (b *Bench) refused(dst string, code byte, reason string) {
	for _, in := range []*port{b.ns1, b.up} {
		p := ipPacket{src: in.ip, dst: dst}
		if in.isUplink() {
			p.src = farIP
		}
		ip := p.bytes()
		b.one(in, ip, icmpAbout(in, 3, code, 0, ip))
		b.dropped(in, reason, 1)
	}
}

func (b *Bench) tooBig(in *port, dst string, length, mtu int) {
	p := ipPacket{src: in.ip, dst: dst, flags: 2, data: pattern(length - 20)}
	if in.isUplink() {
		p.src = farIP
	}
	ip := p.bytes()
	b.one(in, ip, icmpAbout(in, 3, 4, uint32(mtu), ip))
	b.dropped(in, "mtu_exceeded", 1)
}

// fragments sends a packet that is too big, and puts together what comes out.
func (b *Bench) fragments(in, out *port, mtu int, p ipPacket) {
	if p.src = in.ip; p.dst == "" {
		p.dst = out.ip
		if out.isUplink() {
			p.dst = farIP
		}
	}
	ip := p.bytes()
	b.must(in.send(in.to(ip)))
	seen := b.flush(in)
	for port, frames := range seen {
		if port != out && len(frames) > 0 {
			b.fatalf("at %s this came: %s", port.name, describe(frames[0]))
		}
	}
	if len(seen[out]) < 2 {
		b.fatalf("%d fragments came%s", len(seen[out]), describeAll(seen[out]))
	}
	data, offset := []byte{}, p.offset
	for i, f := range seen[out] {
		data = append(data, b.fragment(f, out, forwarded(ip), mtu, offset, i == 0, i == len(seen[out])-1)...)
		offset = p.offset + len(data)
	}
	if !bytes.Equal(data, p.data) {
		b.fatalf("the fragments do not make up the data")
	}
	b.count(fmt.Sprintf("vrouter_fragments_created_total{port=%q}", out.name), len(seen[out]))
}

// fragment checks one, and returns its data (RFC 791 3.2).
func (b *Bench) fragment(f []byte, out *port, whole []byte, mtu, offset int, first, last bool) []byte {
	ip := f[14:]
	hl, field := int(ip[0]&15)*4, binary.BigEndian.Uint16(ip[6:])
	more := !last || whole[6]&0x20 != 0
	same := bytes.Equal(ip[1:2], whole[1:2]) && bytes.Equal(ip[4:6], whole[4:6]) && bytes.Equal(ip[8:10], whole[8:10]) && bytes.Equal(ip[12:20], whole[12:20])
	switch {
	case !bytes.Equal(f[:14], out.from(nil)):
		b.fatalf("a fragment's Ethernet header is wrong: %s", describe(f))
	case len(ip) > mtu || int(binary.BigEndian.Uint16(ip[2:])) != len(ip) || inetSum(ip[:hl]) != 0 || !same:
		b.fatalf("a fragment's header is wrong: %s", describe(f))
	case int(field&0x1fff)*8 != offset || (field&0x2000 != 0) != more || field&0xc000 != 0:
		b.fatalf("a fragment's place is wrong, %d is due: %s", offset, describe(f))
	}
	sent, got := optionsOf(whole, !first), optionsOf(ip, false)
	if !slices.EqualFunc(sent, got, bytes.Equal) {
		b.fatalf("a fragment has the options %x, not %x", got, sent)
	}
	return ip[hl:]
}

// optionsOf lists a header's options without padding; of them, those to be copied.
func optionsOf(ip []byte, copied bool) (list [][]byte) {
	for o := ip[20 : int(ip[0]&15)*4]; len(o) > 0 && o[0] != 0; {
		n := 1
		if o[0] != 1 {
			n = int(o[1])
			if !copied || o[0]&0x80 != 0 {
				list = append(list, o[:n])
			}
		}
		o = o[n:]
	}
	return list
}
