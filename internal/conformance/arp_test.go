package conformance

import (
	"encoding/binary"
	"fmt"
	"slices"
	"time"
)

const (
	notItsAddress   = "169.254.1.1 is an address that vrouter owns; to Linux it is one more that proxy ARP answers for if a route exists"
	noDefence       = "Linux's stack does not defend its addresses; programs may"
	routeToAnything = "Linux has the default route that its proxy ARP needs for the gateway, so it also claims what nobody has"
)

var arpRows = []row{
	{
		id: "A1", rule: "request for 169.254.1.1: unicast reply, gateway MAC, all fields right; at once; whatever routes the host has",
		source: "RFC 826, Calico", counted: "arp_requests_received_total{answer=gateway} originated_packets_total{kind=arp_reply}",
		cases: []testCase{
			{name: "reply", test: func(b *Bench) { b.arpAnswered(ns1IP, gatewayIP, "gateway") }},
			{name: "asked by unicast, as a confirmation is", test: func(b *Bench) {
				ask := b.asks(ns1IP, gatewayIP)
				b.exchange(b.ns1, [][]byte{eth(gatewayMAC, b.ns1.mac, typeARP, ask.bytes())}, b.arpReply(ask))
				b.arpCounted("gateway", 1)
			}},
			{name: "median under 1 ms", test: medianTime},
			{name: "no route to anywhere", test: withoutDefault(func(b *Bench) { b.arpAnswered(ns1IP, gatewayIP, "gateway") }),
				differs: notItsAddress},
			{name: "host with a default route", test: withDefault(func(b *Bench) { b.arpAnswered(ns1IP, gatewayIP, "gateway") })},
		},
	},
	{
		id: "A2", rule: "malformed (hardware or protocol type, lengths, opcode): ignored, nothing learnt",
		source: "RFC 826", counted: "arp_malformed", cases: malformedARP(),
	},
	{
		id: "A3", rule: "probe (sender 0.0.0.0): answered for the router's own addresses alone, never by proxy, never learnt",
		source: "RFC 5227 1.1, 2.1.1", counted: "arp_ignored",
		cases: []testCase{
			{name: "for the host's address", test: func(b *Bench) { b.arpAnswered("0.0.0.0", hostIP, "own") }},
			{name: "for the gateway", test: func(b *Bench) { b.arpAnswered("0.0.0.0", gatewayIP, "gateway") }, differs: notItsAddress},
			{name: "for what proxy ARP would answer for", test: func(b *Bench) {
				b.arpIgnored("0.0.0.0", farIP)
				b.arpIgnored("0.0.0.0", ns2IP)
			}},
			{name: "on the uplink: nothing learnt", test: func(b *Bench) {
				b.exchange(b.up, [][]byte{b.upARP(1, peer13MAC, "0.0.0.0", hostIP)}, b.hostARPReply("0.0.0.0", peer13MAC))
				b.unknown("0.0.0.0")
			}},
		},
	},
	{
		id: "A4", rule: "proxy reply if a unicast route to the target leaves by another port; never for an address on the asking port, nor for the asker's own",
		source: "RFC 1027, Linux `arp_process`", counted: "arp_requests_received_total{answer=proxy} arp_ignored",
		cases: []testCase{
			{name: "another workload", test: func(b *Bench) { b.arpAnswered(ns1IP, ns2IP, "proxy") }},
			{name: "behind the uplink", test: func(b *Bench) { b.arpAnswered(ns1IP, farIP, "proxy") }},
			{name: "on the uplink's own subnet", test: func(b *Bench) { b.arpAnswered(ns1IP, peerIP, "proxy") }},
			{name: "the host itself", test: func(b *Bench) { b.arpAnswered(ns1IP, hostIP, "own") }},
			{name: "the asker's own", test: func(b *Bench) { b.arpIgnored(ns1IP, ns1IP) }},
			{name: "on the asking port", test: func(b *Bench) { b.arpIgnored("10.70.1.77", ns1IP) }},
			{name: "no route", test: withoutDefault(func(b *Bench) { b.arpIgnored(ns1IP, "10.99.0.1") })},
			{name: "blackhole, unreachable, prohibit", test: func(b *Bench) {
				b.arpIgnored(ns1IP, "10.70.9.1")
				b.arpIgnored(ns1IP, "10.70.10.1")
				b.arpIgnored(ns1IP, "10.70.11.1")
			}},
			{name: "loopback", test: func(b *Bench) { b.arpIgnored(ns1IP, "127.0.0.1") }},
			{name: "network 0", differs: networkZero, test: func(b *Bench) { b.arpIgnored(ns1IP, "0.1.2.3") }},
			{name: "multicast and broadcast", test: func(b *Bench) {
				b.arpIgnored(ns1IP, "224.0.0.1")
				b.arpIgnored(ns1IP, "255.255.255.255")
				b.arpIgnored(ns1IP, "192.168.0.255")
			}},
			{name: "another link-local address", test: func(b *Bench) { b.arpIgnored(ns1IP, "169.254.7.7") }, differs: routeToAnything},
			{name: "a reply nobody asked for", test: func(b *Bench) {
				m := arpMessage{op: 2, senderMAC: b.ns1.mac, senderIP: ns1IP, targetMAC: gatewayMAC, targetIP: gatewayIP}
				b.exchange(b.ns1, [][]byte{eth(gatewayMAC, b.ns1.mac, typeARP, m.bytes())})
				b.dropped(b.ns1, "arp_ignored", 1)
			}},
			{name: "nobody speaks for a workload on the uplink", test: func(b *Bench) {
				b.exchange(b.up, [][]byte{b.upARP(1, peerMAC, peerIP, ns1IP)})
				b.dropped(b.up, "arp_ignored", 1)
			}},
		},
	},
	{
		id: "A9", rule: "somebody else claims one of the router's addresses: it stays who it is, and defends itself at most once in ten seconds",
		source: "RFC 5227 2.4", counted: "arp_requests_received_total{answer=conflict}",
		cases: []testCase{
			{name: "the gateway's", test: func(b *Bench) { b.claimed(gatewayIP) }, differs: noDefence},
		},
	},
}

// claimed lets ns1 call itself the router, more than once, and then ask as it should.
func (b *Bench) claimed(address string) {
	claim := eth(broadcastMAC, b.ns1.mac, typeARP, arpMessage{op: 1, senderMAC: b.ns1.mac, senderIP: address, targetIP: address}.bytes())
	answer := eth(gatewayMAC, b.ns1.mac, typeARP, arpMessage{op: 2, senderMAC: b.ns1.mac, senderIP: address, targetMAC: gatewayMAC, targetIP: ns1IP}.bytes())
	defence := eth(broadcastMAC, gatewayMAC, typeARP, arpMessage{op: 1, senderMAC: gatewayMAC, senderIP: address, targetIP: address}.bytes())
	b.exchange(b.ns1, [][]byte{claim, claim, answer, claim, claim}, exactly(b.ns1, defence))
	b.count(`vrouter_arp_requests_received_total{answer="conflict",port="ns1"}`, 4)
	b.count(`vrouter_originated_packets_total{kind="arp_request"}`, 1)
	b.arpAnswered(ns1IP, gatewayIP, "gateway")
}

// asks is a workload's request, as its kernel would send it.
func (b *Bench) asks(sender, target string) arpMessage {
	return arpMessage{op: 1, senderMAC: b.ns1.mac, senderIP: sender, targetIP: target}
}

func (b *Bench) upARP(op uint16, sender mac, senderIP, target string) []byte {
	return eth(broadcastMAC, sender, typeARP, arpMessage{op: op, senderMAC: sender, senderIP: senderIP, targetIP: target}.bytes())
}

// arpReply is the answer to ns1's request: unicast, and every field of it.
func (b *Bench) arpReply(ask arpMessage) want {
	return exactly(b.ns1, eth(b.ns1.mac, gatewayMAC, typeARP, arpMessage{
		op: 2, senderMAC: gatewayMAC, senderIP: ask.targetIP, targetMAC: b.ns1.mac, targetIP: ask.senderIP,
	}.bytes()))
}

func (b *Bench) arpAnswered(sender, target, counted string) {
	ask := b.asks(sender, target)
	b.exchange(b.ns1, [][]byte{eth(broadcastMAC, b.ns1.mac, typeARP, ask.bytes())}, b.arpReply(ask))
	b.arpCounted(counted, 1)
}

func (b *Bench) arpCounted(answer string, n int) {
	b.count(fmt.Sprintf("vrouter_arp_requests_received_total{answer=%q,port=\"ns1\"}", answer), n)
	b.count(`vrouter_originated_packets_total{kind="arp_reply"}`, n)
}

func (b *Bench) arpIgnored(sender, target string) {
	b.exchange(b.ns1, [][]byte{eth(broadcastMAC, b.ns1.mac, typeARP, b.asks(sender, target).bytes())})
	b.dropped(b.ns1, "arp_ignored", 1)
}

// unknown requires that nobody has learnt an address.
func (b *Bench) unknown(ip string) {
	if m, ok := b.neighbors()[ip]; ok {
		b.fatalf("%s was learnt: it is at %s", ip, m)
	}
}

// withoutDefault runs a case while the host has no default route: vrouter's host
// has none unless a case adds it.
func withoutDefault(test func(b *Bench)) func(b *Bench) {
	return func(b *Bench) {
		if b.linux {
			b.defaultRoute(false)
			defer b.defaultRoute(true)
		}
		test(b)
	}
}

func withDefault(test func(b *Bench)) func(b *Bench) {
	return func(b *Bench) {
		if !b.linux {
			b.defaultRoute(true)
			defer b.defaultRoute(false)
		}
		test(b)
	}
}

func medianTime(b *Bench) {
	const n = 101
	ask := b.asks(ns1IP, gatewayIP)
	frame, reply := eth(broadcastMAC, b.ns1.mac, typeARP, ask.bytes()), b.arpReply(ask)
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
	b.arpCounted("gateway", n)
}

// malformedARP breaks one field of a good request after the other.
func malformedARP() []testCase {
	put := func(at int, v uint16) func([]byte) []byte {
		return func(b []byte) []byte { binary.BigEndian.PutUint16(b[at:], v); return b }
	}
	list := []struct {
		name, differs string
		spoil         func([]byte) []byte
	}{
		{"hardware type 6", "Linux takes IEEE 802's hardware type 6 for Ethernet's 1, as RFC 2625 has it", put(0, 6)},
		{"hardware type 0", "", put(0, 0)},
		{"protocol type IPv6", "", put(2, 0x86dd)},
		{"hardware length 8", "", put(4, 8<<8|4)},
		{"protocol length 16", "", put(4, 6<<8|16)},
		{"opcode 0", "", put(6, 0)},
		{"opcode 3", "", put(6, 3)},
		{"cut short", "", func(b []byte) []byte { return b[:27] }},
		{"empty", "", func(b []byte) []byte { return b[:0] }},
		{"sender's hardware address is a group's", "Linux does not look at the sender's hardware address",
			func(b []byte) []byte { b[8] |= 1; return b }},
		{"sender's address is a group's", "", func(b []byte) []byte { copy(b[14:], ip4("224.0.0.9")); return b }},
	}
	var all []testCase
	for _, l := range list {
		all = append(all, testCase{name: l.name, differs: l.differs, test: func(b *Bench) {
			ask := b.asks(ns1IP, gatewayIP)
			b.exchange(b.ns1, [][]byte{eth(broadcastMAC, b.ns1.mac, typeARP, l.spoil(ask.bytes()))})
			b.dropped(b.ns1, "arp_malformed", 1)
			up := arpMessage{op: 1, senderMAC: peer13MAC, senderIP: "192.168.0.77", targetIP: hostIP}
			b.must(b.up.send(eth(broadcastMAC, peer13MAC, typeARP, l.spoil(up.bytes()))))
			b.settleSkipping(b.up, isARP) // the host's own stack may see it otherwise
			b.dropped(b.up, "arp_malformed", 1)
			b.unknown("192.168.0.77")
		}})
	}
	return all
}
