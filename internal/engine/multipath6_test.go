package engine_test

import (
	"testing"

	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/rib"
)

const (
	otherIP6 = "fd00:192::13"
	manyIP6  = "fd00:70:4::1"
)

// multipath6 gives the bed a route by two hosts.
func multipath6(b *bed) {
	b.reachable6(otherMAC, otherIP6)
	hop := func(via string) rib.Hop {
		return rib.Hop{Route: rib.Route{Via: addr(via), Dev: "ens160", Port: b.uplinkID}, Weight: 1}
	}
	b.route(rib.Route{Prefix: prefix("fd00:70:4::/48"), Protocol: "bird", Source: rib.Kernel}.Over([]rib.Hop{hop(peerIP6), hop(otherIP6)}))
}

func labelled(f *packet.Frame, label uint16) *packet.Frame {
	return edited6(f, func(ip packet.IPv6) { ip[1], ip[2], ip[3] = ip[1]&0xf0, byte(label>>8), byte(label) })
}

// V12: flows are spread by ports and by flow label, and each keeps its way.
func TestMultipath6(t *testing.T) {
	b := newBed(t)
	b.resolve()
	dual(b)
	multipath6(b)
	for name, flow := range map[string]func(i uint16) *packet.Frame{
		"by_label": func(i uint16) *packet.Frame { return labelled(packet6(ns1IP6, manyIP6, 253, 64, nil), i) },
		"by_ports": func(i uint16) *packet.Frame { return packet6(ns1IP6, manyIP6, 17, 64, transport(1000+i, 53)) },
		"of_fragments": func(i uint16) *packet.Frame {
			return labelled(behind(packet6(ns1IP6, manyIP6, 17, 64, transport(i, i)), 44, 0, 0, 0x59, 0, 0, 0, byte(i)), i)
		},
	} {
		t.Run(name, func(t *testing.T) {
			counts := map[packet.MAC]int{}
			for i := range uint16(200) {
				to := b.wentTo(flow(i))
				if again := b.wentTo(flow(i)); again != to {
					t.Fatalf("a flow went to %s, then to %s", to, again)
				}
				counts[to]++
			}
			if counts[peerMAC] < 60 || counts[otherMAC] < 60 {
				t.Errorf("%v", counts)
			}
		})
	}
}

// The fragments of a packet go one way: the first one's ports do not count.
func TestMultipath6Fragments(t *testing.T) {
	b := newBed(t)
	b.resolve()
	dual(b)
	multipath6(b)
	for i := range uint16(32) {
		first := labelled(behind(packet6(ns1IP6, manyIP6, 17, 64, transport(1000+i, 53)), 44, 0, 0, 1, 0, 0, 0, 7), i)
		later := labelled(behind(packet6(ns1IP6, manyIP6, 17, 64, make([]byte, 16)), 44, 0, 0, 0x58, 0, 0, 0, 7), i)
		if a, c := b.wentTo(first), b.wentTo(later); a != c {
			t.Fatalf("the first fragment went to %s, a later one to %s", a, c)
		}
	}
}

// An error goes where the flow goes that it is about, turned round (RFC 7690 3).
func TestMultipath6Errors(t *testing.T) {
	b := newBed(t)
	b.resolve()
	dual(b)
	multipath6(b)
	for i := range uint16(64) {
		flow := labelled(packet6(ns1IP6, manyIP6, 17, 64, transport(1000+i, 53)), 0)
		answer := labelled(packet6(manyIP6, ns1IP6, 17, 64, transport(53, 1000+i)), 0)
		about := icmp6(ns1IP6, manyIP6, 2, 0, append([]byte{0, 0, 5, 0}, answer.Payload()...)...)
		if a, c := b.wentTo(flow), b.wentTo(about); a != c {
			t.Fatalf("the flow went to %s, an error about it to %s", a, c)
		}
	}
}

// RFC 8950: an IPv4 packet by an IPv6 next hop.
func TestIPv4ByIPv6NextHop(t *testing.T) {
	b := newBed(t)
	b.resolve()
	dual(b)
	b.via("10.70.9.0/24", peerIP6, rib.None)
	in := ping("10.70.9.1")
	b.ns1.Send(in)
	toPeer(t, in, one(t, b.uplink))
}
