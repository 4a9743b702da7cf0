package conformance

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"time"
)

const (
	routerFlag    = 0x80
	solicitedFlag = 0x40
	overrideFlag  = 0x20
)

const (
	strictInterface = "Linux answers for addresses of the interface that it is asked on, and for those that it is told to proxy one by one"
	anyOptionMAC    = "Linux does not look whether a link-layer address is one station's"
	shortAnswer     = "Linux leaves the O flag and the link-layer address out where it is asked by unicast, as RFC 4861 7.2.4 lets it"
	answersGroups   = "Linux answers an echo request to all nodes"
)

// ndRows are the section Neighbor Discovery.
var ndRows = []row{
	{
		id: "N1", rule: "solicitation for the gateway fe80::ecee:eeff:feee:eeee, multicast *and unicast*: unicast advertisement from it, hop limit 255, R, S and O set, target link-layer option; at once",
		source: "RFC 4861 7.2.4", counted: "nd_solicitations_received_total{answer=gateway} originated_packets_total{kind=nd_advertisement}", options: options{six: true},
		cases: []testCase{
			{name: "multicast, from the link-local address", test: func(b *Bench) { b.ndAnswered(b.ns1.station6(), solicitedNode(gatewayIP6)) }},
			{name: "multicast, from the global address", test: func(b *Bench) { b.ndAnswered(ns1IP6, solicitedNode(gatewayIP6)) }},
			{name: "unicast", differs: shortAnswer, test: func(b *Bench) { b.ndAnswered(b.ns1.station6(), gatewayIP6) }},
			{name: "unicast, without the sender's hardware address", differs: shortAnswer, test: func(b *Bench) {
				ask := b.solicit(b.ns1.station6(), gatewayIP6, gatewayIP6)
				ask.option = 0
				b.exchange(b.ns1, [][]byte{b.ndFrame(b.ns1, ask)}, b.advertised(b.ns1, ask, gatewayMAC, routerFlag|solicitedFlag|overrideFlag))
				b.ndCounted("gateway", 1)
			}},
			{name: "for an address of the host", differs: strictInterface, test: func(b *Bench) {
				ask := b.solicit(ns1IP6, solicitedNode(hostIP6), hostIP6)
				b.exchange(b.ns1, [][]byte{b.ndFrame(b.ns1, ask)}, b.advertised(b.ns1, ask, gatewayMAC, routerFlag|solicitedFlag|overrideFlag))
				b.ndCounted("own", 1)
			}},
			{name: "at once", test: medianTime6},
		},
	},
	{
		id: "N2", rule: "hop limit not 255, bad checksum, code not 0, an option of length 0, multicast target, source `::` with a source link-layer option or to no solicited-node address, in a fragment: ignored, nothing learnt",
		source: "RFC 4861 7.1.1, 7.1.2, RFC 6980 5", counted: "nd_malformed", options: options{six: true}, cases: malformedND(),
	},
	{
		id: "N3", rule: "duplicate address detection (source `::`): for the router's own addresses an advertisement to ff02::1, S clear; for others silence; nothing learnt",
		source: "RFC 4862 5.4, RFC 4861 7.2.4", counted: "nd_ignored", options: options{six: true},
		cases: []testCase{
			{name: "the gateway's", test: func(b *Bench) {
				probe := ndMessage{typ: ndSolicitation, src: "::", dst: solicitedNode(gatewayIP6), target: gatewayIP6}
				answer := ndMessage{typ: ndAdvertisement, src: gatewayIP6, dst: "ff02::1", target: gatewayIP6, flags: routerFlag | overrideFlag, option: ndTarget, mac: gatewayMAC}
				b.exchange(b.ns1, [][]byte{b.ndFrame(b.ns1, probe)}, exactly(b.ns1, eth(groupMAC("ff02::1"), gatewayMAC, typeIPv6, answer.bytes())))
				b.ndCounted("gateway", 1)
			}},
			{name: "its own", test: func(b *Bench) { b.ndIgnored(ndMessage{src: "::", target: ns1IP6}) }},
			{name: "another workload's, on this host and on another one", test: func(b *Bench) {
				b.ndIgnored(ndMessage{src: "::", target: ns2IP6})
				b.ndIgnored(ndMessage{src: "::", target: farIP6})
			}},
			{name: "its link-local one", test: func(b *Bench) {
				b.ndIgnored(ndMessage{src: "::", target: b.ns1.station6()})
				b.unknown("::")
			}},
		},
	},
	{
		id: "N4", rule: "proxy: a workload with a shorter prefix asks for an address that leaves by another port: answered with O clear; never for one on the asking port",
		source: "RFC 4861 7.2.8", counted: "nd_solicitations_received_total{answer=proxy} nd_ignored", options: options{six: true},
		cases: []testCase{
			{name: "another workload's", test: func(b *Bench) { b.ndProxied(ns2IP6) }},
			{name: "a remote workload's", test: func(b *Bench) { b.ndProxied(farIP6) }},
			{name: "its own", test: func(b *Bench) { b.ndIgnored(ndMessage{src: ns1IP6, target: ns1IP6}) }},
			{name: "of a blackhole, unreachable, prohibited, or without a route", test: func(b *Bench) {
				for _, target := range []string{"fd00:70:9::1", "fd00:70:a::1", "fd00:70:b::1", "fd00:99::1"} {
					b.ndIgnored(ndMessage{src: ns1IP6, target: target})
				}
			}},
			{name: "another link-local one", test: func(b *Bench) { b.ndIgnored(ndMessage{src: b.ns1.station6(), target: "fe80::77"}) }},
		},
	},
	{
		id: "N5", rule: "advertisements change known neighbours alone, by the table of override and solicited; a stranger's adds nobody",
		source: "RFC 4861 7.2.5", counted: "nd_ignored", options: options{six: true, routes: []route{{to: "fd00:70:5::/48", via: peer13IP6}}},
		cases: []testCase{
			{name: "who asks for this host is known", test: func(b *Bench) { b.learns6(peer13MAC) }},
			{name: "new MAC in a solicitation for this host", test: func(b *Bench) {
				b.learns6(peer13MAC)
				b.learns6(peer14MAC)
			}},
			{name: "new MAC with override", test: func(b *Bench) {
				b.learns6(peer13MAC)
				b.advertises(overrideFlag, peer14MAC)
				b.reaches6(peer14MAC)
			}},
			{name: "new MAC without override: the old one stays", test: func(b *Bench) {
				b.learns6(peer13MAC)
				b.advertises(0, peer14MAC)
				b.reaches6(peer13MAC)
				b.advertises(solicitedFlag, peer14MAC)
				b.reaches6(peer13MAC)
			}},
			{name: "a stranger's advertisement", test: func(b *Bench) {
				for _, flags := range []byte{overrideFlag, overrideFlag | solicitedFlag} {
					m := ndMessage{typ: ndAdvertisement, src: "fd00:192::66", dst: "ff02::1", target: "fd00:192::66", flags: flags, option: ndTarget, mac: peer14MAC}
					if flags&solicitedFlag != 0 {
						m.dst = hostIP6
					}
					b.must(b.up.send(b.ndFrame(b.up, m)))
					b.settleSkipping(b.up, isND)
					b.tolerate(dropSeries(b.up, "nd_ignored"))
					b.unknown("fd00:192::66")
				}
			}},
			{name: "a stranger asks for somebody else", test: func(b *Bench) {
				m := ndMessage{typ: ndSolicitation, src: "fd00:192::66", dst: solicitedNode("fd00:192::77"), target: "fd00:192::77", option: ndSource, mac: peer14MAC}
				b.must(b.up.send(b.ndFrame(b.up, m)))
				b.settleSkipping(b.up, isND)
				b.tolerate(dropSeries(b.up, "nd_ignored"))
				b.unknown("fd00:192::66")
			}},
			{name: "nobody on the uplink speaks for a workload", test: func(b *Bench) {
				m := ndMessage{typ: ndSolicitation, src: ns1IP6, dst: hostIP6, target: hostIP6, option: ndSource, mac: peer14MAC}
				b.must(b.up.send(b.ndFrame(b.up, m)))
				b.flush(b.up) // whether the host's own stack answers is no matter here
				b.tolerate(dropSeries(b.up, "nd_ignored"))
				ip := ip6Packet{src: farIP6, dst: ns1IP6}.bytes()
				b.one6(b.up, ip, routed6(b.ns1, ip))
			}},
			{name: "nor a workload for a host", test: func(b *Bench) {
				m := ndMessage{typ: ndSolicitation, src: peerIP6, dst: gatewayIP6, target: gatewayIP6, option: ndSource, mac: b.ns1.mac}
				b.must(b.ns1.send(b.ndFrame(b.ns1, m)))
				b.flush(b.ns1)
				b.tolerate(dropSeries(b.ns1, "nd_ignored"))
				b.tolerate(dropSeries(b.ns1, "rpf_failed"))
				ip := ip6Packet{src: ns2IP6, dst: farIP6}.bytes()
				b.one6(b.ns2, ip, routed6(b.up, ip))
			}},
		},
	},
	{
		id: "N6", rule: "unresolved: packets wait (bounded, oldest out): the first ping is answered",
		source: "RFC 4861 7.2.2", counted: "neighbor_queue_full", options: options{six: true},
		cases: []testCase{
			{name: "the first packet comes through", test: func(b *Bench) {
				ip := ip6Packet{src: ns1IP6, dst: silentIP6}.bytes()
				b.must(b.ns1.send(b.ns1.to6(ip)))
				b.isSolicitation(b.next(b.up, patience), groupMAC(solicitedNode(peer14IP6)), solicitedNode(peer14IP6), peer14IP6)
				b.advertisedBy(peer14IP6, peer14MAC)
				b.must(routed6Via(b.up, peer14MAC, ip).ok(b.next(b.up, patience)))
				b.settle(b.ns1)
				b.count(`vrouter_originated_packets_total{kind="nd_solicitation"}`, 1)
			}},
			{name: "the queue is bounded, the oldest go first", test: boundedQueue6},
		},
	},
	{
		id: "N7", rule: "router solicitations, multicast listener reports, packets to ff02::/16: taken in silence, not counted as drops",
		source: "Calico, RFC 3810", options: options{six: true},
		cases: []testCase{
			{name: "router solicitations", test: func(b *Bench) {
				for _, src := range []string{"::", b.ns1.station6()} {
					ip := ip6Packet{src: src, dst: "ff02::2", hops: 255, next: protoICMP6, data: icmp6(src, "ff02::2", 133, 0, 0, nil)}.bytes()
					b.exchange(b.ns1, [][]byte{eth(groupMAC("ff02::2"), b.ns1.mac, typeIPv6, ip)})
				}
			}},
			{name: "multicast listener reports", test: func(b *Bench) {
				for _, typ := range []byte{131, 132, 143} {
					for _, src := range []string{"::", b.ns1.station6()} {
						m := icmp6(src, "ff02::16", typ, 0, 0, ip6("ff02::1:ff00:1"))
						ip := ip6Packet{src: src, dst: "ff02::16", hops: 1, next: nextHop, data: extension(protoICMP6, 0, []byte{5, 2, 0, 0, 1, 0}, m)}.bytes()
						b.exchange(b.ns1, [][]byte{eth(groupMAC("ff02::16"), b.ns1.mac, typeIPv6, ip)})
					}
				}
			}},
			{name: "datagrams to groups of the link", test: func(b *Bench) {
				for _, dst := range []string{"ff02::fb", "ff02::1:2", "ff02::1"} {
					ip := ip6Packet{src: b.ns1.station6(), dst: dst, hops: 255}.bytes()
					b.exchange(b.ns1, [][]byte{eth(groupMAC(dst), b.ns1.mac, typeIPv6, ip)})
				}
			}},
			{name: "an echo request to all nodes", differs: answersGroups, test: func(b *Bench) {
				src := b.ns1.station6()
				ip := ip6Packet{src: src, dst: "ff02::1", next: protoICMP6, data: echo6(src, "ff02::1", 1, 1, nil)}.bytes()
				b.exchange(b.ns1, [][]byte{eth(groupMAC("ff02::1"), b.ns1.mac, typeIPv6, ip)})
			}},
		},
	},
}

// slowRows6 wait for real time.
var slowRows6 = []row{
	{
		id: "N6a", rule: "three solicitations a second apart, then Address Unreachable (1/3) to each source", source: "RFC 4861 7.2.2, 7.3.3", counted: "neighbor_unresolved",
		slow: true, options: options{six: true}, cases: []testCase{{name: "each is told", test: unresolved6}},
	},
	{
		id: "N6b", rule: "reachable 30 s, then probed by unicast, and forgotten if nobody answers; traffic meanwhile loses nothing", source: "RFC 4861 7.3",
		counted: "originated_packets_total{kind=nd_solicitation}", slow: true, options: options{six: true},
		cases: []testCase{{name: "probed after 30 s, and expires", test: confirmation6,
			notHere: "Linux draws the time for each entry from 15 to 45 s, so there is none to hold it to (RFC 4861 6.3.2)"}},
	},
}

func isND(f []byte) bool { return isICMP6(f, 133, 134, ndSolicitation, ndAdvertisement) }

// ndFrame puts a message where it belongs: in a frame to the router, or to a group.
func (b *Bench) ndFrame(in *port, m ndMessage) []byte {
	to, from := in.router, in.station()
	if ip6(m.dst)[0] == 0xff {
		to = groupMAC(m.dst)
	}
	if m.option != 0 {
		from = m.mac
	}
	return eth(to, from, typeIPv6, m.bytes())
}

// solicit is a workload's solicitation, as its kernel would send it.
func (b *Bench) solicit(src, dst, target string) ndMessage {
	return ndMessage{typ: ndSolicitation, src: src, dst: dst, target: target, option: ndSource, mac: b.ns1.mac}
}

// advertised is the answer: from the target, to who asked, with the router's hardware address.
func (b *Bench) advertised(at *port, ask ndMessage, m mac, flags byte) want {
	answer := ndMessage{typ: ndAdvertisement, src: ask.target, dst: ask.src, target: ask.target, flags: flags, option: ndTarget, mac: m}
	return exactly(at, eth(at.station(), at.router, typeIPv6, answer.bytes()))
}

func (b *Bench) ndAnswered(src, dst string) {
	ask := b.solicit(src, dst, gatewayIP6)
	b.exchange(b.ns1, [][]byte{b.ndFrame(b.ns1, ask)}, b.advertised(b.ns1, ask, gatewayMAC, routerFlag|solicitedFlag|overrideFlag))
	b.ndCounted("gateway", 1)
}

func (b *Bench) ndCounted(answer string, n int) {
	b.count(fmt.Sprintf("vrouter_nd_solicitations_received_total{answer=%q,port=\"ns1\"}", answer), n)
	b.count(`vrouter_originated_packets_total{kind="nd_advertisement"}`, n)
}

func (b *Bench) ndIgnored(m ndMessage) {
	m.typ, m.dst = ndSolicitation, solicitedNode(m.target)
	if m.src != "::" {
		m.option, m.mac = ndSource, b.ns1.mac
	}
	b.exchange(b.ns1, [][]byte{b.ndFrame(b.ns1, m)})
	b.dropped(b.ns1, "nd_ignored", 1)
}

// ndProxied requires a proxy's answer, which lets any other one stand. Whether it is said to be
// a router's, and by which of the router's addresses, is its own to choose.
func (b *Bench) ndProxied(target string) {
	b.proxies("veth1", target)
	ask := b.solicit(ns1IP6, solicitedNode(target), target)
	b.exchange(b.ns1, [][]byte{b.ndFrame(b.ns1, ask)}, want{b.ns1, "a proxy's advertisement of " + target, func(f []byte) error {
		if !isICMP6(f, ndAdvertisement) || len(f) != 14+72 {
			return fmt.Errorf("it is no advertisement with an option")
		}
		due := ndMessage{typ: ndAdvertisement, src: target, dst: ask.src, target: target, flags: solicitedFlag, option: ndTarget, mac: gatewayMAC}.bytes()
		got := slices.Clone(f[14:])
		if s := sum6(got[8:24], got[24:40], protoICMP6, got[40:]); s != 0 {
			return fmt.Errorf("its checksum is wrong")
		}
		copy(due[8:24], got[8:24])
		copy(due[42:44], got[42:44])
		got[44] &^= routerFlag
		if !bytes.Equal(f[:14], b.ns1.from6(nil)) || !bytes.Equal(got, due) {
			return fmt.Errorf("this is due: %s", describe(b.ns1.from6(due)))
		}
		return nil
	}})
	b.ndCounted("proxy", 1)
}

// malformedND breaks one thing in a good message after the other.
func malformedND() []testCase {
	reseal := func(ip []byte) []byte {
		ip[42], ip[43] = 0, 0
		binary.BigEndian.PutUint16(ip[42:], sum6(ip[8:24], ip[24:40], protoICMP6, ip[40:]))
		return ip
	}
	// cut makes the message's payload n bytes.
	cut := func(n int) func([]byte) []byte {
		return func(ip []byte) []byte {
			binary.BigEndian.PutUint16(ip[4:], uint16(n))
			return reseal(ip[:40+n])
		}
	}
	list := []struct {
		name, differs string
		spoil         func(ip []byte) []byte
	}{
		{"hop limit 254", "", func(ip []byte) []byte { ip[7] = 254; return ip }},
		{"checksum off by one", "", func(ip []byte) []byte { ip[43]++; return ip }},
		{"code 1", "", func(ip []byte) []byte { ip[41] = 1; return reseal(ip) }},
		{"an option of length 0", "", func(ip []byte) []byte { ip[65] = 0; return reseal(ip) }},
		{"an option longer than the message", "", func(ip []byte) []byte { ip[65] = 2; return reseal(ip) }},
		{"shorter than 24 bytes", "", cut(23)},
		{"multicast target", "", func(ip []byte) []byte { copy(ip[48:], ip6("ff02::1")); return reseal(ip) }},
		{"source :: with a link-layer address", "", func(ip []byte) []byte { clear(ip[8:24]); return reseal(ip) }},
		{"source :: to no solicited-node address", "", func(ip []byte) []byte {
			clear(ip[8:24])
			copy(ip[24:40], ip6("ff02::1"))
			binary.BigEndian.PutUint16(ip[4:], 24)
			return reseal(ip[:64])
		}},
		{"in a fragment of one", "", func(ip []byte) []byte {
			return ip6PacketOf(ip, nextFragm, fragment6(protoICMP6, 7, 0, false, ip[40:]))
		}},
		{"a group's hardware address", anyOptionMAC, func(ip []byte) []byte { ip[66] |= 1; return reseal(ip) }},
	}
	var all []testCase
	for _, l := range list {
		all = append(all, testCase{name: l.name, differs: l.differs, test: func(b *Bench) {
			ask := b.solicit(ns1IP6, solicitedNode(gatewayIP6), gatewayIP6)
			b.exchange(b.ns1, [][]byte{eth(groupMAC(ask.dst), b.ns1.mac, typeIPv6, l.spoil(ask.bytes()))})
			b.dropped(b.ns1, "nd_malformed", 1)
			up := ndMessage{typ: ndSolicitation, src: "fd00:192::77", dst: solicitedNode(hostIP6), target: hostIP6, option: ndSource, mac: peer13MAC}
			b.must(b.up.send(eth(groupMAC(up.dst), peer13MAC, typeIPv6, l.spoil(up.bytes()))))
			b.settleSkipping(b.up, isND) // the host's own stack may see it otherwise
			b.dropped(b.up, "nd_malformed", 1)
			b.unknown("fd00:192::77")
		}})
	}
	return append(all, testCase{name: "a solicited advertisement to a group", test: func(b *Bench) {
		m := ndMessage{typ: ndAdvertisement, src: peerIP6, dst: "ff02::1", target: peerIP6, flags: solicitedFlag | overrideFlag, option: ndTarget, mac: peer13MAC}
		b.exchange(b.up, [][]byte{b.ndFrame(b.up, m)})
		b.dropped(b.up, "nd_malformed", 1)
		ip := ip6Packet{src: ns1IP6, dst: farIP6}.bytes()
		b.one6(b.ns1, ip, routed6(b.up, ip))
	}})
}

// ip6PacketOf is a packet with another header behind its own.
func ip6PacketOf(ip []byte, next byte, data []byte) []byte {
	b := append(slices.Clone(ip[:40]), data...)
	binary.BigEndian.PutUint16(b[4:], uint16(len(data)))
	b[6] = next
	return b
}

// learns6 lets fd00:192::13 ask for this host, and requires that packets reach it.
func (b *Bench) learns6(m mac) {
	b.knows6(peer13IP6, m)
	ask := ndMessage{typ: ndSolicitation, src: peer13IP6, dst: solicitedNode(hostIP6), target: hostIP6, option: ndSource, mac: m}
	b.must(b.up.send(b.ndFrame(b.up, ask)))
	b.settleSkipping(b.up, isND) // the answer of the host's own stack
	b.reaches6(m)
}

func (b *Bench) reaches6(m mac) {
	ip := ip6Packet{src: ns1IP6, dst: "fd00:70:5::1"}.bytes()
	b.one6(b.ns1, ip, routed6Via(b.up, m, ip))
}

// advertises lets fd00:192::13 say that it is there.
func (b *Bench) advertises(flags byte, m mac) {
	answer := ndMessage{typ: ndAdvertisement, src: peer13IP6, dst: "ff02::1", target: peer13IP6, flags: flags, option: ndTarget, mac: m}
	if flags&solicitedFlag != 0 {
		answer.dst = hostIP6
	}
	b.must(b.up.send(b.ndFrame(b.up, answer)))
	b.settleSkipping(b.up, isND)
	b.tolerate(dropSeries(b.up, "nd_ignored"))
}

// isSolicitation requires a right one of the host's, from one of its addresses.
func (b *Bench) isSolicitation(f []byte, to mac, dst, target string) {
	if len(f) == 14+72 {
		src := b.uplinkLocal()
		if bytes.Equal(f[22:38], ip6(hostIP6)) {
			src = hostIP6
		}
		due := ndMessage{typ: ndSolicitation, src: src, dst: dst, target: target, option: ndSource, mac: b.up.router}.bytes()
		if bytes.Equal(f, eth(to, b.up.router, typeIPv6, due)) {
			return
		}
	}
	b.fatalf("this is no solicitation of %s to %v: %s", target, to, describe(f))
}

// advertisedBy lets a host answer who asked.
func (b *Bench) advertisedBy(target string, m mac) {
	for _, dst := range []string{hostIP6, b.uplinkLocal()} {
		answer := ndMessage{typ: ndAdvertisement, src: target, dst: dst, target: target, flags: solicitedFlag | overrideFlag, option: ndTarget, mac: m}
		b.must(b.up.send(b.ndFrame(b.up, answer)))
	}
}

// boundedQueue6 is boundedQueue.
func boundedQueue6(b *Bench) {
	const sent, target = 1000, "fd00:192::15"
	packet := func(i int) []byte { return ip6Packet{src: ns1IP6, dst: target, flow: uint32(i)}.bytes() }
	for i := range sent {
		b.must(b.ns1.send(b.ns1.to6(packet(i))))
		if i%chunk == chunk-1 {
			b.settleSkipping(b.ns1, isND)
		}
	}
	b.advertisedBy(target, peer13MAC)
	first := b.next(b.up, patience)
	for isND(first) {
		first = b.next(b.up, patience)
	}
	i := int(binary.BigEndian.Uint16(first[16:])) // the flow label
	if i == 0 {
		b.fatalf("nothing was left out of %d waiting packets: the queue has no bound", sent)
	}
	for n := i; n < sent; n++ {
		b.must(routed6Via(b.up, peer13MAC, packet(n)).ok(first))
		if n+1 < sent {
			first = b.next(b.up, patience)
		}
	}
	b.settle(b.ns1)
	b.dropped(b.ns1, "neighbor_queue_full", i)
}

// unresolved6 asks for a host that never answers.
func unresolved6(b *Bench) {
	packets := [][]byte{ip6Packet{src: ns1IP6, dst: silentIP6, flow: 1}.bytes(), ip6Packet{src: ns2IP6, dst: silentIP6, flow: 2}.bytes()}
	b.must(b.ns1.send(b.ns1.to6(packets[0])))
	b.must(b.ns2.send(b.ns2.to6(packets[1])))
	var asked []time.Time
	for end := time.Now().Add(2500 * time.Millisecond); time.Now().Before(end); {
		f, err := b.up.receive(time.Now().Add(100 * time.Millisecond))
		b.must(err)
		if f != nil {
			b.isSolicitation(f, groupMAC(solicitedNode(peer14IP6)), solicitedNode(peer14IP6), peer14IP6)
			asked = append(asked, b.up.at)
		}
	}
	b.spaced(asked, 3)
	for i, p := range b.workloads() {
		f := b.next(p, patience)
		for isND(f) { // the kernel asks for a workload now and then
			f = b.next(p, patience)
		}
		w := icmp6About(p, 1, 3, 0, packets[i])
		if err := w.ok(f); err != nil {
			b.fatalf("at %s: %v\n  due:  %s\n  came: %s", p.name, err, w.what, describe(f))
		}
	}
	b.settle(b.ns1)
	b.dropped(b.ns1, "neighbor_unresolved", 1)
	b.dropped(b.ns2, "neighbor_unresolved", 1)
}

// confirmation6 keeps an entry in use for 30 s, and then lets it down.
func confirmation6(b *Bench) {
	ip := ip6Packet{src: ns1IP6, dst: silentIP6}.bytes()
	b.must(b.ns1.send(b.ns1.to6(ip)))
	b.isSolicitation(b.next(b.up, patience), groupMAC(solicitedNode(peer14IP6)), solicitedNode(peer14IP6), peer14IP6)
	b.advertisedBy(peer14IP6, peer14MAC)
	known := time.Now()
	b.must(routed6Via(b.up, peer14MAC, ip).ok(b.next(b.up, patience)))
	var asked []time.Time
	for len(asked) == 0 {
		b.must(b.ns1.send(b.ns1.to6(ip)))
		b.must(routed6Via(b.up, peer14MAC, ip).ok(b.next(b.up, patience)))
		f, err := b.up.receive(time.Now().Add(250 * time.Millisecond))
		b.must(err)
		switch after := time.Since(known); {
		case f == nil && after > 32*time.Second:
			b.fatalf("nobody asked to confirm the entry in %v", after)
		case f != nil && after < 29900*time.Millisecond:
			b.fatalf("%v after the answer this came: %s", after, describe(f))
		case f != nil:
			b.isSolicitation(f, peer14MAC, peer14IP6, peer14IP6)
			asked = append(asked, b.up.at)
		}
	}
	for len(asked) < 3 { // nobody answers
		if f := b.next(b.up, patience); isND(f) {
			b.isSolicitation(f, peer14MAC, peer14IP6, peer14IP6)
			asked = append(asked, b.up.at)
		}
	}
	b.spaced(asked, 3)
	for end := time.Now().Add(3 * time.Second); time.Now().Before(end); {
		b.must(b.ns1.send(b.ns1.to6(ip)))
		f, err := b.up.receive(time.Now().Add(250 * time.Millisecond))
		b.must(err)
		if f != nil && isND(f) {
			b.isSolicitation(f, groupMAC(solicitedNode(peer14IP6)), solicitedNode(peer14IP6), peer14IP6)
			b.advertisedBy(peer14IP6, peer14MAC)
			b.flush(b.ns1)
			return
		}
	}
	b.fatalf("the entry did not expire")
}

func medianTime6(b *Bench) {
	const n = 101
	ask := b.solicit(ns1IP6, solicitedNode(gatewayIP6), gatewayIP6)
	frame, reply := b.ndFrame(b.ns1, ask), b.advertised(b.ns1, ask, gatewayMAC, routerFlag|solicitedFlag|overrideFlag)
	var times []time.Duration
	for range n {
		start := time.Now()
		b.must(b.ns1.send(frame))
		f := b.next(b.ns1, patience)
		times = append(times, time.Since(start))
		b.must(reply.ok(f))
	}
	slices.Sort(times)
	if times[n/2] >= time.Millisecond {
		b.fatalf("the median of %d answers took %v", n, times[n/2])
	}
	b.ndCounted("gateway", n)
}
