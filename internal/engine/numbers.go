package engine

import (
	"crypto/rand"
	"encoding/binary"
	"sync/atomic"
	"time"

	"github.com/vrouter/vrouter/forwarder"
)

// identEpoch is how long one key numbers packets. A packet that an ICMP error quotes was
// sent lately if it has its number of this epoch or of the last one.
const identEpoch = 15 * time.Second

// idents are the keys that number outer packets which may not be cut on their way, anew
// each epoch.
type idents struct {
	keys   atomic.Pointer[forwarder.Keys] // of this epoch and of the last one
	turned time.Time                      // housekeeping's
}

func newIdents(now time.Time) *idents {
	n := &idents{turned: now}
	n.keys.Store(&forwarder.Keys{random(), random()})
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
	n.keys.Store(&forwarder.Keys{random(), n.keys.Load()[0]})
	return true
}

// numbers are the identifications of packets that may be cut on their way: no other one
// between the same hosts has one's number for as long as can be (RFC 6864 4.2). They
// begin where nobody can guess.
type numbers struct {
	next  atomic.Uint32 // the last one, and how often they began anew
	began atomic.Uint32 // next when the last epoch began
	last  uint32        // next when this one began; housekeeping's
}

func newNumbers() *numbers {
	n := &numbers{last: uint32(random())}
	n.next.Store(n.last)
	n.began.Store(n.last)
	return n
}

func (n *numbers) unique() uint16 { return n.uniqueOf(1) }

// uniqueOf is the first of some, one after the other.
func (n *numbers) uniqueOf(count int) uint16 {
	return uint16(n.unique32(count))
}

func (n *numbers) unique32(count int) uint32 {
	return n.next.Add(uint32(count)) - uint32(count) + 1
}

// turn begins a new epoch.
func (n *numbers) turn() {
	n.began.Store(n.last)
	n.last = n.next.Load()
}

// lately is how many were given out in this epoch and the last one.
func (n *numbers) lately() uint32 { return n.next.Load() - n.began.Load() }

// gave says whether a number is one of those.
func (n *numbers) gave(id uint16) bool {
	return uint32(uint16(n.next.Load())-id) < n.lately()
}

// numbersOf are those of a tunnel, or the router's own: for what is none, or an end that
// is about to be one.
func (r *Router) numbersOf(t *forwarder.Tunnel) *numbers {
	if t == nil {
		return r.numbers
	}
	return t.Owner.(*tunnelBook).numbers
}

// Next implements forwarder.Numbers, as do the next two.
func (r *Router) Next(t *forwarder.Tunnel) uint16 { return r.numbersOf(t).unique() }

// NextOf implements forwarder.NumbersInARow.
func (r *Router) NextOf(t *forwarder.Tunnel, n int) uint16 { return r.numbersOf(t).uniqueOf(n) }

// Next32 implements forwarder.Numbers32.
func (r *Router) Next32(t *forwarder.Tunnel) uint32 { return r.numbersOf(t).unique32(1) }

func (r *Router) Gave(t *forwarder.Tunnel, id uint16) bool { return r.numbersOf(t).gave(id) }

func (r *Router) Lately(t *forwarder.Tunnel) uint32 { return r.numbersOf(t).lately() }

// foreseen are the numbers that would be given out next, by none of which any is.
type foreseen struct {
	*Router
	drawn map[*numbers]uint32
}

// Next implements forwarder.Numbers.
func (n *foreseen) Next(t *forwarder.Tunnel) uint16 { return n.NextOf(t, 1) }

// NextOf implements forwarder.NumbersInARow.
func (n *foreseen) NextOf(t *forwarder.Tunnel, count int) uint16 { return uint16(n.nextOf(t, count)) }

// Next32 implements forwarder.Numbers32.
func (n *foreseen) Next32(t *forwarder.Tunnel) uint32 { return n.nextOf(t, 1) }

func (n *foreseen) nextOf(t *forwarder.Tunnel, count int) uint32 {
	of := n.numbersOf(t)
	first := of.next.Load() + n.drawn[of] + 1
	n.drawn[of] += uint32(count)
	return first
}
