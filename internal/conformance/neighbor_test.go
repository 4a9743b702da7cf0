package conformance

import (
	"bytes"
	"fmt"
	"time"
)

// neighborRows are the rest of the section ARP: whom the router asks, and what it
// makes of the answers.
var neighborRows = []row{
	{
		id: "A5", rule: "a known neighbour's new MAC is taken over; a stranger's request for somebody else adds no entry",
		source: "RFC 826", counted: "arp_ignored", options: options{routes: []route{{to: "10.70.5.0/24", via: peer13IP}}},
		cases: []testCase{
			{name: "who asks for this host is known", test: func(b *Bench) { b.learns(peer13MAC) }},
			{name: "new MAC in a request for this host", test: func(b *Bench) {
				b.learns(peer13MAC)
				b.learns(peer14MAC)
			}},
			{name: "new MAC in an announcement", test: func(b *Bench) {
				b.learns(peer13MAC)
				b.exchange(b.up, [][]byte{b.upARP(1, peer14MAC, peer13IP, peer13IP)})
				b.dropped(b.up, "arp_ignored", 1)
				b.reaches(peer14MAC)
			}},
			{name: "a stranger asks for somebody else", test: func(b *Bench) {
				b.exchange(b.up, [][]byte{b.upARP(1, peer14MAC, "192.168.0.66", "192.168.0.77")})
				b.dropped(b.up, "arp_ignored", 1)
				b.unknown("192.168.0.66")
			}},
			{name: "a reply that nobody asked for", test: func(b *Bench) {
				b.exchange(b.up, [][]byte{b.upARP(2, peer14MAC, "192.168.0.66", hostIP)})
				b.unknown("192.168.0.66")
			}},
			{name: "nobody on the uplink speaks for a workload", test: func(b *Bench) {
				b.must(b.up.send(b.upARP(1, peer14MAC, ns1IP, hostIP)))
				b.flush(b.up) // whether the host's own stack answers is no matter here
				ip := ipPacket{src: farIP, dst: ns1IP}.bytes()
				b.one(b.up, ip, routed(b.ns1, ip))
			}},
			{name: "nor a workload for a host", test: func(b *Bench) {
				b.must(b.ns1.send(eth(broadcastMAC, b.ns1.mac, typeARP, b.asks(peerIP, gatewayIP).bytes())))
				b.must(b.ns1.send(eth(broadcastMAC, b.ns1.mac, typeARP, b.asks(peerIP, hostIP).bytes())))
				b.flush(b.ns1)
				ip := ipPacket{src: ns2IP, dst: farIP}.bytes()
				b.one(b.ns2, ip, routed(b.up, ip))
			}},
		},
	},
	{
		id: "A6", rule: "while a neighbour is unresolved, packets wait (a bounded queue, oldest first out): the first ping is answered",
		source: "RFC 1122 2.3.2.2", counted: "neighbor_queue_full",
		cases: []testCase{
			{name: "the first packet comes through", test: func(b *Bench) {
				ip := ipPacket{src: ns1IP, dst: silentIP, proto: protoICMP, data: echo(1, 1, pattern(56))}.bytes()
				b.must(b.ns1.send(b.ns1.to(ip)))
				b.isRequest(b.next(b.up, patience), broadcastMAC, peer14IP)
				b.answer(peer14IP, peer14MAC)
				b.must(routedVia(b.up, peer14MAC, ip).ok(b.next(b.up, patience)))
				b.settle(b.ns1)
				b.count(`vrouter_originated_packets_total{kind="arp_request"}`, 1)
			}},
			{name: "the queue is bounded, the oldest go first", test: boundedQueue},
		},
	},
}

// slowRows wait for real time.
var slowRows = []row{
	{
		id: "A7", rule: "requests for one target at most one a second; an entry in use is confirmed by a unicast request 30 s after it was last known to be right, and expires if nobody answers",
		source: "RFC 1122 2.3.2.1", counted: "originated_packets_total{kind=arp_request}", slow: true,
		cases: []testCase{
			{name: "one request a second, however many packets", test: func(b *Bench) { b.unresolved(true) }},
			{name: "confirmed after 30 s, and expires", test: confirmation,
				notHere: "Linux draws the time for each entry from 15 to 45 s, so there is none to hold it to (RFC 4861 6.3.2)"},
		},
	},
	{
		id: "A8", rule: "no answer after three tries: Host Unreachable (3/1) to each waiting packet's source",
		source: "RFC 1812 5.2.7.1", counted: "neighbor_unresolved", slow: true,
		cases: []testCase{{name: "each is told", test: func(b *Bench) { b.unresolved(false) }}},
	},
}

// learns lets 192.168.0.13 ask for this host, and requires that packets reach it.
func (b *Bench) learns(m mac) {
	b.exchange(b.up, [][]byte{b.upARP(1, m, peer13IP, hostIP)}, b.hostARPReply(peer13IP, m))
	b.reaches(m)
}

func (b *Bench) reaches(m mac) {
	ip := ipPacket{src: ns1IP, dst: "10.70.5.1"}.bytes()
	b.one(b.ns1, ip, routedVia(b.up, m, ip))
}

// isRequest requires a right ARP request of the host's.
func (b *Bench) isRequest(f []byte, to mac, target string) {
	due := eth(to, b.up.router, typeARP, arpMessage{op: 1, senderMAC: b.up.router, senderIP: hostIP, targetIP: target}.bytes())
	// What a request says about the target's hardware address means nothing (RFC 826).
	if len(f) != len(due) || !bytes.Equal(f[:32], due[:32]) || !bytes.Equal(f[38:], due[38:]) {
		b.fatalf("this is no ARP request for %s to %v: %s", target, to, describe(f))
	}
}

func isARP(f []byte) bool { return len(f) > 14 && f[12] == typeARP>>8 && f[13] == typeARP&0xff }

// answer lets a host say where it is.
func (b *Bench) answer(ip string, m mac) {
	reply := arpMessage{op: 2, senderMAC: m, senderIP: ip, targetMAC: b.up.router, targetIP: hostIP}
	b.must(b.up.send(eth(b.up.router, m, typeARP, reply.bytes())))
}

// boundedQueue sends more than any queue takes: the newest come through, in order.
func boundedQueue(b *Bench) {
	const sent, target = 1000, "192.168.0.15"
	packet := func(i int) []byte {
		return ipPacket{src: ns1IP, dst: target, id: uint16(i), data: udp(1, 2, fmt.Appendf(nil, "waiting %d", i))}.bytes()
	}
	for i := range sent {
		b.must(b.ns1.send(b.ns1.to(packet(i))))
		if i%chunk == chunk-1 {
			b.settleSkipping(b.ns1, isARP)
		}
	}
	b.answer(target, peer13MAC)
	first := b.next(b.up, patience)
	for isARP(first) {
		first = b.next(b.up, patience)
	}
	i := int(first[18])<<8 | int(first[19]) // the packet's ID
	if i == 0 {
		b.fatalf("nothing was left out of %d waiting packets: the queue has no bound", sent)
	}
	for n := i; n < sent; n++ {
		b.must(routedVia(b.up, peer13MAC, packet(n)).ok(first))
		if n+1 < sent {
			first = b.next(b.up, patience)
		}
	}
	b.settle(b.ns1)
	b.dropped(b.ns1, "neighbor_queue_full", i)
}

// settleSkipping is settle, for a port at which certain frames may have come.
func (b *Bench) settleSkipping(in *port, skip func([]byte) bool) {
	for p, frames := range b.flush(in) {
		for _, f := range frames {
			if !skip(f) {
				b.fatalf("at %s this came, and nothing was due: %s", p.name, describe(f))
			}
		}
	}
}

// unresolved asks for a host that never answers: three requests, a second apart,
// and then an error for each packet that waits. more keeps sending meanwhile,
// which must not make the requests more frequent.
func (b *Bench) unresolved(more bool) {
	packets := [][]byte{ipPacket{src: ns1IP, dst: silentIP, id: 1}.bytes(), ipPacket{src: ns2IP, dst: silentIP, id: 2}.bytes(), ipPacket{src: ns1IP, dst: silentIP, id: 3}.bytes()}
	from := []*port{b.ns1, b.ns2, b.ns1}
	for i, ip := range packets {
		b.must(from[i].send(from[i].to(ip)))
	}
	sent := len(packets)
	var asked []time.Time
	for end := time.Now().Add(2500 * time.Millisecond); time.Now().Before(end); {
		f, err := b.up.receive(time.Now().Add(100 * time.Millisecond))
		b.must(err)
		if f != nil {
			b.isRequest(f, broadcastMAC, peer14IP)
			asked = append(asked, b.up.at)
		} else if more {
			b.must(b.ns2.send(b.ns2.to(packets[1])))
			sent++
		}
	}
	b.spaced(asked, 3)
	if !more {
		b.must(icmpAbout(b.ns1, 3, 1, 0, packets[0]).ok(b.next(b.ns1, patience)))
		b.must(icmpAbout(b.ns1, 3, 1, 0, packets[2]).ok(b.next(b.ns1, patience)))
		b.must(icmpAbout(b.ns2, 3, 1, 0, packets[1]).ok(b.next(b.ns2, patience)))
		b.settle(b.ns1)
	} else {
		for range sent - 2 {
			b.must(icmpAbout(b.ns2, 3, 1, 0, packets[1]).ok(b.next(b.ns2, patience)))
		}
		b.flush(b.ns1)
	}
	b.dropped(b.ns1, "neighbor_unresolved", 2)
	b.dropped(b.ns2, "neighbor_unresolved", sent-2)
}

// spaced requires n requests, none of them within a second of the one before.
func (b *Bench) spaced(asked []time.Time, n int) {
	if len(asked) != n {
		b.fatalf("%d requests, not %d", len(asked), n)
	}
	for i := 1; i < n; i++ {
		// The kernel's clock ticks every few milliseconds, and what is due may leave late.
		if gap := asked[i].Sub(asked[i-1]); gap < 950*time.Millisecond {
			b.fatalf("request %d came %v after the one before", i+1, gap)
		}
	}
}

// confirmation keeps an entry in use for 30 s, and then lets it down.
func confirmation(b *Bench) {
	ip := ipPacket{src: ns1IP, dst: silentIP}.bytes()
	b.must(b.ns1.send(b.ns1.to(ip)))
	b.isRequest(b.next(b.up, patience), broadcastMAC, peer14IP)
	b.answer(peer14IP, peer14MAC)
	known := time.Now()
	b.must(routedVia(b.up, peer14MAC, ip).ok(b.next(b.up, patience)))
	asked := b.useUntilAsked(ip, known)
	for len(asked) < 3 { // nobody answers
		f := b.next(b.up, patience)
		if isARP(f) {
			b.isRequest(f, peer14MAC, peer14IP)
			asked = append(asked, b.up.at)
		}
	}
	b.spaced(asked, 3)
	b.expires(ip)
}

// useUntilAsked sends a packet four times a second until the router asks.
func (b *Bench) useUntilAsked(ip []byte, known time.Time) []time.Time {
	for {
		b.must(b.ns1.send(b.ns1.to(ip)))
		b.must(routedVia(b.up, peer14MAC, ip).ok(b.next(b.up, patience)))
		f, err := b.up.receive(time.Now().Add(250 * time.Millisecond))
		b.must(err)
		after := time.Since(known)
		switch {
		case f == nil && after > 32*time.Second:
			b.fatalf("nobody asked to confirm the entry in %v", after)
		case f == nil:
			continue
		case after < 29900*time.Millisecond:
			b.fatalf("%v after the answer this came: %s", after, describe(f))
		}
		b.isRequest(f, peer14MAC, peer14IP)
		return []time.Time{b.up.at}
	}
}

// expires waits until the router asks everybody again, as the entry has gone.
func (b *Bench) expires(ip []byte) {
	for end := time.Now().Add(3 * time.Second); time.Now().Before(end); {
		b.must(b.ns1.send(b.ns1.to(ip)))
		f, err := b.up.receive(time.Now().Add(250 * time.Millisecond))
		b.must(err)
		if f != nil && isARP(f) {
			b.isRequest(f, broadcastMAC, peer14IP)
			b.answer(peer14IP, peer14MAC)
			b.flush(b.ns1)
			return
		}
	}
	b.fatalf("the entry did not expire")
}
