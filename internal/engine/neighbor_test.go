package engine_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vrouter/vrouter/arpproxy"
	"github.com/vrouter/vrouter/forwarder"
	"github.com/vrouter/vrouter/internal/engine"
	"github.com/vrouter/vrouter/internal/neigh"
	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/rib"
)

// inTime runs a test on a clock of its own, that moves on when nothing is left
// to do: seconds pass at once, and to the same instant each time.
func inTime(t *testing.T, name string, test func(b *bed)) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { test(newBed(t)) })
	})
}

func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait() // for what was due at that very moment
}

// neighbor is what the router knows of an address; the zero Info if nothing.
func (b *bed) neighbor(ip string) neigh.Info {
	for _, n := range b.router.Neighbors() {
		if n.Addr == addr(ip) {
			return n
		}
	}
	return neigh.Info{}
}

// requests takes what a port has sent, all of it ARP requests for the other
// host, and says to whom.
func (b *bed) requests() (to []packet.MAC) {
	b.t.Helper()
	for _, f := range b.uplink.Sent() {
		m, ok := packet.ParseARP(f.Payload())
		if !ok || f.EtherType() != packet.EtherTypeARP || m.Op != packet.ARPRequest || m.TargetIP != addr(peerIP) ||
			m.SenderIP != addr(hostIP) || m.SenderMAC != uplinkMAC || m.TargetMAC != (packet.MAC{}) || f.SrcMAC() != uplinkMAC {
			b.t.Errorf("not a request for the other host: %s", decode(f))
		}
		to = append(to, f.DstMAC())
	}
	return to
}

func (b *bed) reply(mac packet.MAC) {
	b.uplink.Send(arp(packet.ARPReply, mac, peerIP, uplinkMAC, hostIP, uplinkMAC))
}

func TestARPNeighbors(t *testing.T) {
	otherMAC := packet.MAC{2, 0, 0, 0, 0, 99}
	inTime(t, "A5_new_mac_of_a_known_neighbour", func(b *bed) {
		b.resolve()
		b.uplink.Send(arp(packet.ARPRequest, otherMAC, peerIP, packet.MAC{}, "192.168.0.77", packet.Broadcast))
		b.ns1.Send(ping(farIP))
		if got := one(b.t, b.uplink).DstMAC(); got != otherMAC {
			b.t.Errorf("sent to %s, want %s", got, otherMAC)
		}
	})
	inTime(t, "A5_strangers_add_no_entry", func(b *bed) {
		for _, f := range []*packet.Frame{
			arp(packet.ARPRequest, otherMAC, peerIP, packet.MAC{}, "192.168.0.77", packet.Broadcast), // for somebody else
			arp(packet.ARPRequest, otherMAC, "10.5.5.5", packet.MAC{}, hostIP, packet.Broadcast),     // from another subnet
			arp(packet.ARPRequest, otherMAC, nobody, packet.MAC{}, hostIP, packet.Broadcast),         // a probe
			arp(packet.ARPRequest, otherMAC, hostIP, packet.MAC{}, hostIP, packet.Broadcast),         // in our own name
			arp(packet.ARPRequest, otherMAC, gateway, packet.MAC{}, hostIP, packet.Broadcast),        // in the gateway's
			arp(packet.ARPReply, otherMAC, peerIP, uplinkMAC, hostIP, uplinkMAC),                     // a reply nobody asked for
			arp(packet.ARPRequest, otherMAC, ns1IP, packet.MAC{}, hostIP, packet.Broadcast),          // in a workload's name
		} {
			b.uplink.Send(f)
		}
		b.ns1.Send(arp(packet.ARPRequest, otherMAC, peerIP, packet.MAC{}, gateway, packet.Broadcast))
		for _, n := range b.router.Neighbors() {
			if n.State != neigh.Permanent || n.MAC == otherMAC {
				b.t.Errorf("learnt %+v", n)
			}
		}
	})
	inTime(t, "A5_new_mac_of_a_workload", func(b *bed) {
		b.ns1.Send(arp(packet.ARPRequest, otherMAC, ns1IP, packet.MAC{}, gateway, packet.Broadcast))
		b.ns1.Sent()
		b.ns2.Send(frame(ether(ns2MAC, gatewayMAC), ip4(ns2IP, ns1IP, 253)))
		if got := one(b.t, b.ns1).DstMAC(); got != otherMAC {
			b.t.Errorf("sent to %s, want %s", got, otherMAC)
		}
	})
	inTime(t, "A6_packets_wait", func(b *bed) {
		for i := range 3 {
			b.ns1.Send(edited(ping(farIP), func(ip packet.IPv4) { ip[5] = byte(i) }))
		}
		if got := b.requests(); len(got) != 1 || got[0] != packet.Broadcast {
			b.t.Errorf("asked %v, want one request to everybody", got)
		}
		if n := b.router.Stats().Waits[engine.ForNeighbor].Now(); n != 3 {
			b.t.Errorf("%d packets wait, want 3", n)
		}
		b.reply(peerMAC)
		for i, f := range b.uplink.Sent() {
			if id := packet.IPv4(f.Payload()).ID(); int(id) != i || f.DstMAC() != peerMAC {
				b.t.Errorf("packet %d came as number %d, to %s", id, i, f.DstMAC())
			}
		}
	})
	inTime(t, "A7_one_request_a_second", func(b *bed) {
		for range 29 {
			b.ns1.Send(ping(farIP))
			pass(100 * time.Millisecond)
		}
		if got := b.requests(); len(got) != 3 {
			b.t.Errorf("%d requests in 2.9 s, want 3", len(got))
		}
	})
	inTime(t, "A7_confirmed_by_unicast", func(b *bed) { confirm(b, true) })
	inTime(t, "A7_expires", func(b *bed) { confirm(b, false) })
}

// confirm keeps an entry in use for more than 30 s after the answer.
func confirm(b *bed, answer bool) {
	b.ns1.Send(ping(farIP))
	b.reply(peerMAC)
	b.uplink.Sent()
	b.uplink.Discard = true
	for range 299 {
		pass(100 * time.Millisecond)
		b.ns1.Send(ping(farIP))
	}
	b.uplink.Discard = false
	pass(300 * time.Millisecond)
	b.ns1.Send(ping(farIP))
	one(b.t, b.uplink) // it is used all the while
	pass(100 * time.Millisecond)
	if got := b.requests(); !slices.Equal(got, []packet.MAC{peerMAC}) {
		b.t.Fatalf("asked %v after 30 s, want %s", got, peerMAC)
	}
	if answer {
		b.reply(peerMAC)
		pass(20 * time.Second)
		if n := b.neighbor(peerIP); n.State != neigh.Reachable || len(b.requests()) != 0 {
			b.t.Errorf("confirmed, it is %s", n.State)
		}
		return
	}
	pass(4 * time.Second)
	if got := b.requests(); len(got) != 2 {
		b.t.Errorf("%d more requests, want 2", len(got))
	}
	if n := b.neighbor(peerIP); n.State != neigh.Failed {
		b.t.Errorf("unanswered, it is %s", n.State)
	}
}

// A peer that changes its MAC and says nothing by ARP gets nothing until its entry has
// expired: 30 s after its last answer it is asked by unicast at the old MAC, three times, and
// then by broadcast. (Linux: 15 to 45 s, 5 s of delay, three requests.) Frames of data from the
// new one prove nothing: whoever forges them would get the traffic. No packet is dropped here:
// those of 33 s went to the old MAC, and those that waited for the answer come through.
func TestSilentPeer(t *testing.T) {
	inTime(t, "another_mac", func(b *bed) {
		otherMAC := packet.MAC{2, 0, 0, 0, 0, 99}
		b.resolve()
		began, sent, toOld, toNew := time.Now(), 0, 0, 0
		for toNew == 0 && time.Since(began) < time.Minute {
			b.ns1.Send(ping(farIP))
			sent++
			b.uplink.Send(frame(ether(otherMAC, uplinkMAC), ip4(farIP, ns1IP, 253)))
			for _, f := range b.uplink.Sent() {
				switch {
				case f.EtherType() == packet.EtherTypeARP && f.DstMAC() == packet.Broadcast:
					b.reply(otherMAC)
				case f.EtherType() == packet.EtherTypeIPv4 && f.DstMAC() == peerMAC:
					toOld++
				case f.EtherType() == packet.EtherTypeIPv4:
					toNew++
				}
			}
			pass(100 * time.Millisecond)
		}
		if took := time.Since(began); took < 33*time.Second || took > 34*time.Second {
			b.t.Errorf("the new MAC was used after %v, want 33 s", took)
		}
		if toOld+toNew != sent {
			b.t.Errorf("of %d packets %d went to the old MAC and %d to the new one", sent, toOld, toNew)
		}
		b.dropsAre("ns1", "", 0)
		if n := b.neighbor(peerIP); n.State != neigh.Reachable || n.MAC != otherMAC {
			b.t.Errorf("it is %s, %s", n.State, n.MAC)
		}
	})
	// One that answers no more, but does receive, gets all packets for those 33 s; the next
	// ones wait and are dropped, and the way is there again with the first answer.
	inTime(t, "no_more_answers", func(b *bed) {
		b.resolve()
		delivered := 0
		send := func(d time.Duration) (asked int) {
			for end := time.Now().Add(d); time.Now().Before(end); pass(100 * time.Millisecond) {
				b.ns1.Send(ping(farIP))
				for _, f := range b.uplink.Sent() {
					if f.EtherType() == packet.EtherTypeARP {
						asked++
					} else {
						delivered++
					}
				}
			}
			return asked
		}
		if asked := send(33 * time.Second); asked != neigh.Tries || delivered != 330 {
			b.t.Errorf("in 33 s, %d packets went out and %d requests; want 330 and %d", delivered, asked, neigh.Tries)
		}
		if asked := send(30 * time.Second); asked < 28 || asked > 30 || delivered > 332 {
			b.t.Errorf("then, in 30 s, %d requests, and %d packets went out", asked, delivered-330)
		}
		b.reply(peerMAC)
		send(time.Second)
		k := b.books()
		if uint64(delivered) != k.forwarded || k.dropped != b.dropped("ns1", "neighbor_unresolved") || k.dropped < 250 || k.waiting != 0 {
			b.t.Errorf("%d packets went out; %+v", delivered, k)
		}
	})
}

// The uplink's new MAC is told to all at once, and neighbours are asked from there; meanwhile they are used as before.
func TestUplinkWithAnotherMAC(t *testing.T) {
	inTime(t, "neighbours_are_asked", func(b *bed) {
		newMAC := packet.MAC{2, 0, 0, 0, 0, 111}
		b.resolve()
		pass(2 * time.Second)
		b.router.UpdatePort(b.uplinkID, forwarder.PortConfig{Name: "ens160", Kind: forwarder.Uplink, Interface: "ens160", MAC: newMAC, MTU: 1500})
		want := arpproxy.Message{Op: packet.ARPRequest, SenderMAC: newMAC, SenderIP: addr(hostIP), TargetIP: addr(hostIP)}
		if f := one(b.t, b.uplink); f.DstMAC() != packet.Broadcast {
			b.t.Errorf("no announcement, but %s", decode(f))
		} else if m, _ := packet.ParseARP(f.Payload()); m != want {
			b.t.Errorf("announced %+v, want %+v", m, want)
		}
		b.ns1.Send(ping(farIP))
		if f := one(b.t, b.uplink); f.DstMAC() != peerMAC || f.SrcMAC() != newMAC {
			b.t.Errorf("from %s to %s, want %s and %s", f.SrcMAC(), f.DstMAC(), newMAC, peerMAC)
		}
		pass(200 * time.Millisecond)
		f := one(b.t, b.uplink)
		if m, ok := packet.ParseARP(f.Payload()); !ok || m.Op != packet.ARPRequest || m.SenderMAC != newMAC || m.TargetIP != addr(peerIP) || f.DstMAC() != peerMAC {
			b.t.Errorf("no request from the new MAC: %s", decode(f))
		}
		b.uplink.Send(arp(packet.ARPReply, peerMAC, peerIP, newMAC, hostIP, newMAC))
		if n := b.neighbor(peerIP); n.State != neigh.Reachable {
			b.t.Errorf("after its answer it is %s", n.State)
		}
	})
}

// A8: no answer after three tries.
func TestARPUnresolved(t *testing.T) {
	inTime(t, "A8_host_unreachable_to_each_source", func(b *bed) {
		b.ns1.Send(ping(farIP), edited(ping(farIP), func(ip packet.IPv4) { ip[5] = 8 }))
		b.ns2.Send(frame(ether(ns2MAC, gatewayMAC), ip4(ns2IP, farIP, 253)))
		pass(2900 * time.Millisecond)
		b.silent("ns1")
		b.silent("ns2")
		pass(300 * time.Millisecond)
		sent := b.ns1.Sent()
		if len(sent) != 2 {
			b.t.Fatalf("%d errors to ns1, want 2", len(sent))
		}
		tellsOf(3, 1)(b.t, ping(farIP), sent[0])
		tellsOf(3, 1)(b.t, edited(ping(farIP), func(ip packet.IPv4) { ip[5] = 8 }), sent[1])
		tellsOf(3, 1)(b.t, frame(ether(ns2MAC, gatewayMAC), ip4(ns2IP, farIP, 253)), one(b.t, b.ns2))
		b.dropsAre("ns1", "neighbor_unresolved", 2)
		b.dropsAre("ns2", "neighbor_unresolved", 1)
		if got := b.requests(); len(got) != 3 {
			b.t.Errorf("%d requests, want 3", len(got))
		}
	})
	inTime(t, "A8_in_a_tunnel", func(b *bed) {
		b.via("10.70.3.0/24", peerIP, rib.IPIP)
		in := ping("10.70.3.1")
		b.ns1.Send(in)
		pass(4 * time.Second)
		tellsOf(3, 1)(b.t, in, one(b.t, b.ns1))
	})
	inTime(t, "A8_a_next_hop_on_another_port", func(b *bed) {
		b.via("10.70.3.0/24", ns2IP, rib.None) // who is ns2, but nobody on the uplink
		in := ping("10.70.3.1")
		b.ns1.Send(in)
		pass(4 * time.Second)
		tellsOf(3, 1)(b.t, in, one(b.t, b.ns1))
		b.dropsAre("ns1", "neighbor_unresolved", 1)
	})
	inTime(t, "A6_queue_overflows", func(b *bed) {
		for i := range neigh.MaxQueue + 5 {
			b.ns1.Send(edited(ping(farIP), func(ip packet.IPv4) { ip[5] = byte(i) }))
		}
		b.silent("ns1") // neighbor_queue_full says nothing
		b.dropsAre("ns1", "neighbor_queue_full", 5)
		b.uplink.Sent()
		b.reply(peerMAC)
		sent := b.uplink.Sent()
		if len(sent) != neigh.MaxQueue || packet.IPv4(sent[0].Payload()).ID() != 5 {
			b.t.Errorf("%d packets came, the first is number %d; want %d and 5", len(sent), packet.IPv4(sent[0].Payload()).ID(), neigh.MaxQueue)
		}
	})
	inTime(t, "A6_told_while_packets_wait", func(b *bed) {
		b.via("10.70.3.0/24", peerIP, rib.None)
		b.ns1.Send(ping("10.70.3.1"))
		b.requests()
		b.router.SetNeighbor(b.uplinkID, addr(peerIP), peerMAC)
		toPeer(b.t, ping("10.70.3.1"), one(b.t, b.uplink))
	})
}
