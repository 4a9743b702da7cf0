package forwarder

import (
	"crypto/rand"
	"encoding/binary"
	"sync/atomic"
	"time"

	"github.com/vrouter/vrouter/internal/packet"
)

// identEpoch is how long one key numbers packets. A packet that an ICMP error quotes was
// sent lately if it has its number of this epoch or of the last one.
const identEpoch = 15 * time.Second

// idents are the identifications of the packets that the router makes, for one tunnel or
// of its own. Nobody can name one who has not seen it: what an ICMP error quotes tells
// whether its sender has.
type idents struct {
	keys  [2]atomic.Uint64 // of this epoch and of the last one
	next  atomic.Uint32    // the last unique one, and how often they began anew
	began atomic.Uint32    // next when the last epoch began
	last  uint32           // next when this one began; housekeeping's
}

func newIdents() *idents {
	n := &idents{last: uint32(random())}
	n.next.Store(n.last)
	n.began.Store(n.last)
	n.keys[0].Store(random())
	n.keys[1].Store(random())
	return n
}

func random() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // it never fails
	return binary.NativeEndian.Uint64(b[:])
}

// turn begins a new epoch. Housekeeping calls it.
func (n *idents) turn() {
	n.keys[1].Store(n.keys[0].Load())
	n.keys[0].Store(random())
	n.began.Store(n.last)
	n.last = n.next.Load()
}

// of numbers an outer packet that may not be cut on its way, and so needs no number of
// its own (RFC 6864 4.1): it has the inner one's, moved by what the key says for its
// length. So segments of one frame are numbered one after the other.
func (n *idents) of(length int, inner packet.IPv4) uint16 {
	return inner.ID() + shift(n.keys[0].Load(), length)
}

func shift(key uint64, length int) uint16 { return uint16(mix(key^uint64(length)) >> 48) }

// unique numbers a packet that may be cut: no other one between the same hosts has its
// number for as long as can be (RFC 6864 4.2).
func (n *idents) unique() uint16 { return uint16(n.next.Add(1)) }

// gave says whether an outer packet that somebody quotes, with the first 8 bytes of the
// inner one at least, has a number that was given out lately.
func (n *idents) gave(outer, inner packet.IPv4) bool {
	if !outer.DF() {
		ago := uint16(n.next.Load()) - outer.ID()
		return uint32(ago) < n.lately()
	}
	moved := outer.ID() - inner.ID()
	return moved == shift(n.keys[0].Load(), outer.TotalLen()) || moved == shift(n.keys[1].Load(), outer.TotalLen())
}

// lately is how many unique ones were given out in this epoch and the last one.
func (n *idents) lately() uint32 { return n.next.Load() - n.began.Load() }
