package engine

import (
	"net/netip"
	"testing"
	"time"

	"github.com/vrouter/vrouter/internal/packet"
)

// gave says whether an outer packet is believed to have been sent: by its number, its length,
// and the number of what it carries.
func gave(k *idents, id uint16, length int, innerID uint16) bool {
	outer := make(packet.IPv4, packet.IPv4MinLen)
	packet.PutIPv4(outer, &packet.Header{TotalLen: length, ID: id, DF: true, TTL: 60, Protocol: 4, Src: netip.MustParseAddr("192.0.2.1"), Dst: netip.MustParseAddr("192.0.2.2")})
	return k.keys.Load().Gave(outer, innerID, 0)
}

// Of all numbers only those are believed that were given out, and for a time.
func TestIdentsLately(t *testing.T) {
	src, dst := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	now := time.Now()
	idents, cut := newIdents(now), newNumbers()
	believed := func() (df, other int) {
		for id := range 1 << 16 {
			if gave(idents, uint16(id), 1500, 7) {
				df++
			}
			if cut.gave(uint16(id)) {
				other++
			}
		}
		return df, other
	}
	if _, other := believed(); other != 0 {
		t.Errorf("%d numbers are believed before any was given out", other)
	}
	uncut, given := idents.keys.Load().Number(src, dst, 1500, 7), [10]uint16{}
	for i := range given {
		given[i] = cut.unique()
	}
	check := func(when string, want bool) {
		t.Helper()
		if got := gave(idents, uncut, 1500, 7); got != want {
			t.Errorf("%s: uncut believed %v", when, got)
		}
		for _, id := range given {
			if got := cut.gave(id); got != want {
				t.Errorf("%s: number %d believed %v", when, id, got)
			}
		}
	}
	turn := func(after time.Duration) {
		if idents.turn(now.Add(after)) {
			cut.turn()
		}
	}
	check("at once", true)
	if df, other := believed(); df > 2 || other != len(given) { // one an epoch
		t.Errorf("%d numbers of a packet that may not be cut are believed, and %d of others; %d were given out", df, other, len(given))
	}
	turn(identEpoch - 1)
	turn(identEpoch)
	check("an epoch later", true)
	turn(2 * identEpoch)
	check("two epochs later", false)
}

// The segments of one frame are numbered one after the other, as a device that cuts it
// would, and packets of another length or to another end otherwise.
func TestIdentsOfSegments(t *testing.T) {
	src, dst := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	n := newIdents(time.Now())
	of := func(dst netip.Addr, length int, innerID uint16) uint16 {
		return n.keys.Load().Number(src, dst, length, innerID)
	}
	first, alike := of(dst, 1500, 65530), 0
	for i := range uint16(44) {
		if got := of(dst, 1500, 65530+i); got != first+i {
			t.Errorf("segment %d has the number %d, want %d", i, got, first+i)
		}
		if of(dst, 1400+int(i), 65530) == first {
			alike++
		}
		if of(netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), 1500, 65530) == first {
			alike++
		}
	}
	if alike > 3 {
		t.Errorf("%d of 88 other packets have the same number", alike)
	}
}

// Whoever guesses at each number of a packet meets the right one seldom.
func TestIdentsAreNotGuessed(t *testing.T) {
	hits := 0
	const tries = 1 << 20
	n := newIdents(time.Now())
	for i := range tries {
		if gave(n, uint16(i*0x9e37), 1500+i>>16, uint16(i>>4)) {
			hits++
		}
	}
	if most := 4 * 2 * tries >> 16; hits > most {
		t.Errorf("%d of %d guesses are right, want at most %d", hits, tries, most)
	}
}
