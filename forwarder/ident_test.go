package forwarder

import (
	"net/netip"
	"testing"

	"github.com/vrouter/vrouter/internal/packet"
)

func quoteOf(id uint16, df bool, length int, innerID uint16) (outer, inner packet.IPv4) {
	a, b := make([]byte, 40), netip.AddrFrom4([4]byte{192, 0, 2, 1})
	packet.PutIPv4(a, &packet.Header{TotalLen: length, ID: id, DF: df, TTL: 60, Protocol: 4, Src: b, Dst: b})
	packet.PutIPv4(a[20:], &packet.Header{TotalLen: length - 20, ID: innerID, DF: df, TTL: 60, Protocol: 17, Src: b, Dst: b})
	return a, a[20:]
}

// Of all numbers only those are believed that were given out, and for a time.
func TestIdentsLately(t *testing.T) {
	n := newIdents()
	believed := func() (uncut, unique int) {
		for id := range 1 << 16 {
			if n.gave(quoteOf(uint16(id), true, 1500, 7)) {
				uncut++
			}
			if n.gave(quoteOf(uint16(id), false, 1500, 7)) {
				unique++
			}
		}
		return uncut, unique
	}
	if _, unique := believed(); unique != 0 {
		t.Errorf("%d numbers are believed before any was given out", unique)
	}
	_, inner := quoteOf(0, true, 1500, 7)
	uncut, given := n.of(1500, inner), [10]uint16{}
	for i := range given {
		given[i] = n.unique()
	}
	check := func(when string, want bool) {
		t.Helper()
		if got := n.gave(quoteOf(uncut, true, 1500, 7)); got != want {
			t.Errorf("%s: uncut believed %v", when, got)
		}
		for _, id := range given {
			if got := n.gave(quoteOf(id, false, 1500, 7)); got != want {
				t.Errorf("%s: number %d believed %v", when, id, got)
			}
		}
	}
	check("at once", true)
	if uncut, unique := believed(); uncut > 2 || unique != len(given) { // one an epoch
		t.Errorf("%d numbers of a packet that may not be cut are believed, and %d of others; %d were given out", uncut, unique, len(given))
	}
	n.turn()
	check("an epoch later", true)
	n.turn()
	check("two epochs later", false)
}

// The segments of one frame are numbered one after the other, as a device that cuts it
// would, and packets of another length or into another tunnel otherwise.
func TestIdentsOfSegments(t *testing.T) {
	of := func(n *idents, length int, innerID uint16) uint16 {
		_, inner := quoteOf(0, true, length, innerID)
		return n.of(length, inner)
	}
	n, alike := newIdents(), 0
	first := of(n, 1500, 65530)
	for i := range uint16(44) {
		if got := of(n, 1500, 65530+i); got != first+i {
			t.Errorf("segment %d has the number %d, want %d", i, got, first+i)
		}
		if of(n, 1400+int(i), 65530) == first {
			alike++
		}
		if of(newIdents(), 1500, 65530) == first {
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
	n := newIdents()
	for i := range tries {
		if n.gave(quoteOf(uint16(i*0x9e37), true, 1500+i>>16, uint16(i>>4))) {
			hits++
		}
	}
	if most := 4 * 2 * tries >> 16; hits > most {
		t.Errorf("%d of %d guesses are right, want at most %d", hits, tries, most)
	}
}
