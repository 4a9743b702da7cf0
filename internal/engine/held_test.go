package engine_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/vrouter/vrouter/internal/engine"
	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/rib"
)

// What waits is listed with what it waits for, since when, and what is missing.
func TestHeld(t *testing.T) {
	inTime(t, "a next hop, and fragments", func(b *bed) {
		b.via("10.81.0.0/16", "192.168.0.77", rib.None)
		parts := split(icmpOf(gateway, 8, 0, make([]byte, 4000)), 1500)
		b.ns1.Send(parts[0], parts[1])
		pass(time.Second)
		b.ns1.Send(ping("10.81.0.9"), ping("10.81.0.10"))
		pass(1500 * time.Millisecond)
		want := []engine.Held{
			{For: engine.ForRest, Port: "ns1", Src: addr(ns1IP), Dst: addr(gateway), ID: uint32(packet.IPv4(parts[0].Payload()).ID()), Protocol: 1, Packets: 2,
				Age: 2500 * time.Millisecond, Missing: "2 of 3, from byte 2960"},
			{For: engine.ForNextHop, Port: "ens160", NextHop: addr("192.168.0.77"), Packets: 2,
				Age: 1500 * time.Millisecond, Missing: "an answer; 2 of 3 requests are sent"},
		}
		got := b.router.Held()
		for i := range got {
			if got[i].Bytes < 100 {
				b.t.Errorf("%+v takes %d bytes", got[i], got[i].Bytes)
			}
			got[i].Bytes = 0
		}
		if d := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{})); d != "" {
			b.t.Errorf("(-want +got):\n%s", d)
		}
		pass(40 * time.Second)
		if left := b.router.Held(); len(left) != 0 {
			b.t.Errorf("still held: %+v", left)
		}
	})
}

// What is missing of a datagram, by which of its fragments are here.
func TestHeldFragments(t *testing.T) {
	for _, c := range []struct {
		name string
		here []int // of the fragments 0, 1, 2, of 1480, 1480 and 1048 bytes
		want string
	}{
		{"the first", []int{0}, "1 of 2, from byte 1480"},
		{"the last", []int{2}, "1 of 4, from byte 0"},
		{"all but the first", []int{2, 1}, "2 of 3, from byte 0"},
		{"all but the second", []int{0, 2}, "2 of 3, from byte 1480"},
		{"all but the last", []int{1, 0}, "2 of 3, from byte 2960"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBed(t)
			parts := split(icmpOf(gateway, 8, 0, make([]byte, 4000)), 1500)
			for _, i := range c.here {
				b.ns1.Send(parts[i])
			}
			if got := b.router.Held(); len(got) != 1 || got[0].Missing != c.want {
				t.Errorf("%+v, want %q", got, c.want)
			}
		})
	}
}
