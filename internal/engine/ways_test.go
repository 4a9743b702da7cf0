package engine_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// ways are the packets by the name of the way they took.
func (b *bed) ways() map[string]uint64 {
	found := map[string]uint64{}
	for w, n := range b.router.Stats().Ways.All {
		found[w.String()] += n
	}
	return found
}

func TestPacketsAreCountedByTheirWay(t *testing.T) {
	b := newBed(t)
	b.resolve()
	tunnel(b)
	b.setMTU("ens160", 1000)
	b.ns1.Send(ping(farIP), ping(farIP), ping(ns2IP), ping(tunnelIP), sized(ns1MAC, ns1IP, farIP, 1500), ping(gateway),
		withTTL(ping(farIP), 1), withSrc(ping(farIP), ns2IP), fromNS1(ns2IP))
	b.uplink.Send(ipip(peerIP, hostIP, fromPeer(), nil))
	b.router.RemovePort(b.portID("ns1")) // what it counted stays
	want := map[string]uint64{
		"rx > consumed at arp":                               1, // of resolve
		"rx > check > route > ttl > neigh > tx":              3 + segments,
		"rx > check > route > ttl > encap > neigh > tx":      1,
		"rx > check > route > ttl > mtu > neigh > tx":        1,
		"rx > check > consumed at local":                     1,
		"rx > check > route > dropped at ttl (ttl_exceeded)": 1,
		"rx > check > dropped at rpf (rpf_failed)":           1,
		"rx > check > decap > route > ttl > neigh > tx":      1,
	}
	if d := cmp.Diff(want, b.ways()); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	b.books()
}

// A packet that waited is counted once, by the way it took in the end.
func TestWaysOfPacketsThatWaited(t *testing.T) {
	inTime(t, "an_answer", func(b *bed) {
		b.ns1.Send(ping(farIP), ping(farIP))
		b.waysAre(map[string]uint64{})
		b.reply(peerMAC)
		b.waysAre(map[string]uint64{"rx > check > route > ttl > neigh > tx": 2, "rx > consumed at arp": 1})
	})
	inTime(t, "none", func(b *bed) {
		b.ns1.Send(ping(farIP))
		pass(4 * time.Second)
		b.waysAre(map[string]uint64{"rx > check > route > ttl > dropped at neigh (neighbor_unresolved)": 1})
	})
}

func (b *bed) waysAre(want map[string]uint64) {
	b.t.Helper()
	if d := cmp.Diff(want, b.ways()); d != "" {
		b.t.Errorf("ways (-want +got):\n%s", d)
	}
	b.books()
}
