package engine_test

import (
	"net/netip"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

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

// Congestion that any fragment met is the datagram's (RFC 3168 5.3), and goes inwards (RFC 6040 4.2); where another one cannot say so it is
// dropped.
func TestReassemblyKeepsCongestion(t *testing.T) {
	with := func(f *packet.Frame, ecn byte) *packet.Frame {
		return edited(f, func(ip packet.IPv4) { ip.SetECN(ecn) })
	}
	for _, c := range []struct {
		first, last, want byte
		dropped           bool
	}{{3, 2, 3, false}, {2, 3, 3, false}, {3, 1, 3, false}, {2, 2, 2, false}, {0, 3, 0, true}, {3, 0, 0, true}} {
		b := newBed(t)
		b.setMTU("ns1", 9000)
		outer := ipip(peerIP, hostIP, with(sized(peerMAC, farIP, ns1IP, 2000), 2), nil)
		b.uplink.Send(with(piece(outer, 0, 800, true), c.first), with(piece(outer, 800, 2000, false), c.last))
		if c.dropped {
			silent(t, b.ns1)
			b.dropsAre("ens160", "reassembly_limit", 2)
			continue
		}
		if ecn := packet.IPv4(one(t, b.ns1).Payload()).TOS() & 3; ecn != c.want {
			t.Errorf("of fragments with ECN %d and %d the packet in them has %d, want %d", c.first, c.last, ecn, c.want)
		}
	}
}

// An address of one link is somebody else on each (RFC 4007 6): fragments of two workloads that have the same make no datagram.
func TestReassemblyOfOneLink(t *testing.T) {
	b := newBed(t)
	dual(b)
	parts := split6(icmp6(ns1Link, gateway6, 128, 0, make([]byte, 1600)...), 1280)
	b.ns1.Send(parts[0])
	others := parts[1].Clone()
	others.SetStations(gatewayMAC, ns2MAC)
	b.ns2.Send(others)
	silent(t, b.ns2)
	silent(t, b.ns1)
	b.ns1.Send(parts[1])
	if n := len(b.ns1.Sent()); n == 0 {
		t.Error("its own are not put together")
	}
}

// Fragments of IPv6 have identifications of 32 bits, so that none comes again for long (RFC 8200 4.5).
func TestFragmentsOf6HaveLongIdentifications(t *testing.T) {
	b := newBed(t)
	dual(b)
	parts := split6(icmp6(ns1IP6, gateway6, 128, 0, make([]byte, 1996)...), 1500)
	answered := func() uint32 {
		t.Helper()
		for _, p := range parts {
			b.ns1.Send(p.Clone())
		}
		out := b.ns1.Sent()
		if len(out) != 2 {
			t.Fatalf("the answer came as %d fragments", len(out))
		}
		return packet.FragmentHeader(out[0].Payload()[packet.IPv6MinLen:]).ID()
	}
	first := answered()
	b.router.NextOf(nil, 1<<16-1)
	if second := answered(); second != first+1<<16 {
		t.Errorf("%08x, and after 65,536 others %08x", first, second)
	}
}

// The first fragment of a datagram for the host's own stack says so, and does not wait for the others.
func TestHostsOwnFragmentsOfUDP(t *testing.T) {
	inTime(t, "T8_not_vxlan", func(b *bed) {
		b.settings.VXLAN = forwarder.VXLAN{Port: packet.VXLANPort, VNI: 7, Peers: []netip.Addr{addr(peerIP)}}
		b.router.Configure(b.settings)
		b.resolve()
		whole := frame(ether(peerMAC, uplinkMAC), ip4(peerIP, hostIP, layers.IPProtocolUDP), gopacket.Payload(append([]byte{8, 1, 2, 188, 11, 192, 0, 0}, make([]byte, 3000)...)))
		b.uplink.Send(piece(whole, 0, 1480, true))
		if k := b.books(); k.waiting != 0 {
			b.t.Errorf("it waits: %+v", k)
		}
	})
}
