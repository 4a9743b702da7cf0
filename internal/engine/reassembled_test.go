package engine_test

import (
	"testing"

	"github.com/vrouter/vrouter/forwarder"
	"github.com/vrouter/vrouter/internal/packet"
)

// split cuts a frame's packet into fragments of at most mtu bytes.
func split(f *packet.Frame, mtu int) []*packet.Frame {
	f = f.Clone()
	all := []*packet.Frame{f}
	packet.Fragment(f, mtu, func() *packet.Frame {
		g := packet.NewFrame()
		all = append(all, &g)
		return &g
	})
	return all
}

// T8: what comes out of a tunnel in fragments may itself be a fragment, of another
// datagram: it waits for its neighbour like any packet, and not for its own rest.
func TestTunnelReassembledFragmentIsForwarded(t *testing.T) {
	const other = "192.168.0.50"
	inTime(t, "T8_inner_fragment", func(b *bed) {
		inner := withDst(edited(sized(peerMAC, farIP, farIP, 1400), func(ip packet.IPv4) { ip[6] = 0x20 }), other)
		b.uplink.Send(split(ipip(peerIP, hostIP, inner, nil), 1000)...)
		m, ok := packet.ParseARP(one(b.t, b.uplink).Payload())
		if !ok || m.TargetIP != addr(other) {
			b.t.Fatalf("asked for %+v, want %s", m, other)
		}
		b.booksAre(books{received: 2, consumed: 1, waiting: 1})
		b.uplink.Send(arp(packet.ARPReply, peerMAC, other, uplinkMAC, hostIP, uplinkMAC))
		toPeer(b.t, inner, one(b.t, b.uplink))
		b.booksAre(books{received: 3, consumed: 2, forwarded: 1})
	})
}

// One packet of 1024 is timed, on each step of its way.
func TestStepsAreSampled(t *testing.T) {
	b := newBed(t)
	b.ns2.Discard = true
	for range 3 * 1024 / 64 {
		batch := make([]*packet.Frame, 64)
		for i := range batch {
			batch[i] = ping(ns2IP)
		}
		b.ns1.Send(batch...)
	}
	s := b.router.Stats()
	for i, step := range forwarder.Steps() {
		n := uint64(0)
		for _, bucket := range s.Durations[i].Buckets {
			n += bucket
		}
		if n != 3 {
			t.Errorf("%s was timed %d times, want 3", step, n)
		}
	}
}
