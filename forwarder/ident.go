package forwarder

import (
	"crypto/rand"
	"encoding/binary"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/vrouter/vrouter/internal/packet"
)

// identEpoch is how long one key numbers packets. A packet that an ICMP error quotes was
// sent lately if it has its number of this epoch or of the last one.
const identEpoch = 15 * time.Second

// idents are the identifications of outer packets that may not be cut on their way, and
// so need no number of their own (RFC 6864 4.1). Nobody can name one who has not seen
// it: what an ICMP error quotes tells whether its sender has.
type idents struct {
	keys   atomic.Pointer[[2]uint64] // of this epoch and of the last one
	turned time.Time                 // housekeeping's
}

func newIdents(now time.Time) *idents {
	n := &idents{turned: now}
	n.keys.Store(&[2]uint64{random(), random()})
	return n
}

func random() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // it never fails
	return binary.NativeEndian.Uint64(b[:])
}

// turn begins a new epoch when it is time, and says so.
func (n *idents) turn(now time.Time) bool {
	if now.Sub(n.turned) < identEpoch {
		return false
	}
	n.turned = now
	n.keys.Store(&[2]uint64{random(), n.keys.Load()[0]})
	return true
}

// of is the number of an outer packet: the inner one's, moved by what the key says for
// its ends and its length. So segments of one frame are numbered one after the other.
func (n *idents) of(src, dst netip.Addr, length int, inner packet.IPv4) uint16 {
	s, d := src.As4(), dst.As4()
	ends := uint64(binary.BigEndian.Uint32(s[:]))<<32 | uint64(binary.BigEndian.Uint32(d[:]))
	return inner.ID() + shift(n.keys.Load()[0], ends, length)
}

func shift(key, ends uint64, length int) uint16 {
	return uint16(mix(mix(key^ends)^uint64(length)) >> 48)
}

// gave says whether an outer packet that somebody quotes, with the first 8 bytes of the
// inner one at least, has a number that was given out lately.
func (n *idents) gave(outer, inner packet.IPv4) bool {
	ends := binary.BigEndian.Uint64(outer[12:20])
	for _, key := range n.keys.Load() {
		if outer.ID() == inner.ID()+shift(key, ends, outer.TotalLen()) {
			return true
		}
	}
	return false
}

// numbers are the identifications of packets that may be cut on their way: no other one
// between the same hosts has one's number for as long as can be (RFC 6864 4.2). They
// come in an order that nobody can guess.
type numbers struct {
	order order
	next  atomic.Uint32 // how many have been given out
	began atomic.Uint32 // next when the last epoch began
	last  uint32        // next when this one began; housekeeping's
}

func newNumbers() *numbers { return &numbers{order: newOrder(random())} }

func (n *numbers) unique() uint16 { return n.order.place(uint16(n.next.Add(1))) }

// turn begins a new epoch.
func (n *numbers) turn() {
	n.began.Store(n.last)
	n.last = n.next.Load()
}

// lately is how many were given out in this epoch and the last one.
func (n *numbers) lately() uint32 { return n.next.Load() - n.began.Load() }

// gave says whether a number is one of those.
func (n *numbers) gave(id uint16) bool {
	return uint32(uint16(n.next.Load())-n.order.number(id)) < n.lately()
}

// order is a permutation of 16 bits.
type order struct{ a, b, c, notA, notB uint16 }

func newOrder(key uint64) order {
	o := order{a: uint16(key) | 1, b: uint16(key>>16) | 1, c: uint16(key >> 32)}
	o.notA, o.notB = inverse(o.a), inverse(o.b)
	return o
}

// inverse of an odd number, by which a product is undone: each round of Newton's
// method doubles the bits that are right, of which the first guess has three.
func inverse(a uint16) uint16 {
	x := a
	for range 3 {
		x *= 2 - a*x
	}
	return x
}

func (o *order) place(n uint16) uint16 {
	n *= o.a
	n ^= n >> 8
	n *= o.b
	return (n ^ n>>7) + o.c
}

// number is the one whose place it is.
func (o *order) number(place uint16) uint16 {
	n := place - o.c
	n ^= n>>7 ^ n>>14
	n *= o.notB
	n ^= n >> 8
	return n * o.notA
}
