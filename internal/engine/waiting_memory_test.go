package engine_test

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/google/gopacket"

	"github.com/vrouter/vrouter/internal/neigh"
	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/trace"
	"github.com/vrouter/vrouter/rib"
)

// heap is the bytes in use, of what is not garbage.
func heap() int {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// nobodys is a frame of ns1 to one of many next hops that do not answer.
func nobodys(hop, id int) *packet.Frame {
	f := frame(ether(ns1MAC, gatewayMAC), ip4(ns1IP, fmt.Sprintf("10.200.%d.%d", hop>>8, hop&0xff), 253), gopacket.Payload{})
	return edited(f, func(ip packet.IPv4) { ip[4], ip[5] = byte(id>>8), byte(id) })
}

// What waits is bounded in memory, however small it is, and whether or not somebody
// watches; watching loses no packet that would wait otherwise.
func TestMemoryOfWhatWaits(t *testing.T) {
	const all = neigh.MaxIncomplete * neigh.MaxQueue
	waited := map[bool]uint64{}
	for _, traced := range []bool{false, true} {
		inTime(t, fmt.Sprintf("A6_traced_%v", traced), func(b *bed) {
			b.route(rib.Route{Prefix: prefix("10.200.0.0/16"), Dev: "ens160", Port: b.uplinkID, Source: rib.Connected})
			var l *trace.Listener
			most := neigh.MaxWaitingBytes + 4<<20 // and what the tables take
			if traced {
				l = b.listen(trace.Options{}, "")
				most += trace.MaxHeld * trace.RecordSize
			}
			before := heap()
			for i := range all {
				b.ns1.Send(nobodys(i%neigh.MaxIncomplete, i))
				if i%1024 == 0 {
					b.uplink.Sent()
				}
			}
			b.uplink.Sent()
			_, _, rings := b.router.Trace().Shares()
			if grown := heap() - before - rings; grown > most {
				b.t.Errorf("%d packets wait in %d bytes, want at most %d", b.books().waiting, grown, most)
			}
			waited[traced] = b.books().waiting
			if !traced {
				return
			}
			if waited[true] != waited[false] {
				b.t.Errorf("%d packets wait while somebody watches, %d else", waited[true], waited[false])
			}
			_, lost := b.router.Trace().Counts()
			if skipped, _, _ := b.router.Trace().Shares(); lost+skipped < waited[true]-uint64(trace.MaxHeld) {
				b.t.Errorf("%d records are counted as lost and %d as left out, of %d that wait", lost, skipped, waited[true])
			}
			pass(5 * time.Second) // nobody answers
			records(l)
			b.ns1.Send(nobodys(0, 1))
			b.uplink.Send(arp(packet.ARPRequest, peerMAC, "10.200.0.0", packet.MAC{}, hostIP, packet.Broadcast))
			pass(5 * time.Second)
			if n := b.books().waiting; n != 0 {
				b.t.Errorf("%d packets wait still", n)
			}
			done := 0
			for _, p := range records(l) {
				if p.Summary == "proto 253 10.70.1.1 > 10.200.0.0" {
					done++
				}
			}
			if done != 1 {
				b.t.Errorf("a packet that waited later has %d records, want 1: the room of the others is not free", done)
			}
		})
	}
}

// Fragments that wait are bounded in memory, however small they are.
func TestMemoryOfFragments(t *testing.T) {
	b := newBed(t)
	b.listen(trace.Options{}, "")
	const datagrams, each = 256, 63
	before := heap()
	for id := range datagrams {
		for i := range each {
			outer, _ := tunnelOf(20+8*64, uint16(id))
			b.uplink.Send(piece(outer, 8*i, 8*i+8, true))
		}
	}
	_, _, rings := b.router.Trace().Shares()
	if grown, most := heap()-before-rings, 4<<20+trace.MaxHeld*trace.RecordSize+2<<20; grown > most {
		t.Errorf("%d fragments wait in %d bytes, want at most %d", b.books().waiting, grown, most)
	}
}

// A frame that the router made larger than any link's packet is kept no longer than it
// is needed.
func TestMemoryOfLargeEchoes(t *testing.T) {
	b := newBed(t)
	flood := func() {
		for mtu := 1500; mtu < 9000; mtu += 50 { // so that each frame has had its turn at being the large one
			b.setMTU("ns1", mtu)
			var last []*packet.Frame
			for id := range 32 {
				parts := split(edited(icmpOf(gateway, 8, 0, make([]byte, 65000)), func(ip packet.IPv4) { ip[5] = byte(id) }), 9000)
				b.ns1.Send(parts[:len(parts)-1]...)
				last = append(last, parts[len(parts)-1])
			}
			b.ns1.Send(last...)
			if n := len(b.ns1.Sent()); n < 32*8 {
				t.Fatalf("%d frames were sent", n)
			}
		}
	}
	before := heap()
	flood()
	if grown, most := heap()-before, 12<<20; grown > most {
		t.Errorf("%d bytes are left, want at most %d", grown, most)
	}
}
