package engine

import "github.com/vrouter/vrouter/internal/trace"

const (
	waySlots = 128 // a power of 2
	// MaxWays is how many ways are told apart at one queue: more than the steps and
	// reasons make up without somebody's help. What takes another one is counted by step alone.
	MaxWays = waySlots * 3 / 4
	// unrecorded is the bit of a slot's packets that says that the next one is to be recorded: it is seen where they are counted.
	unrecorded = 1 << 63
)

// Ways counts packets by the way they took: a hash table of fixed size, with open
// addressing, that is never more than three quarters full.
type Ways struct {
	slots [waySlots]struct {
		way     trace.Way // 0: free; no packet takes that way
		packets uint64
	}
	used  int
	Other uint64   // packets whose way found no room
	other Verdicts // of them
}

// add enters packets that took a way, and says whether one of them is to be recorded: the first, and the first after mark.
func (t *Ways) add(w trace.Way, packets uint64) (record bool) {
	const shift = 64 - 7 // the product's highest bits are the place
	i := uint64(w) * 0x9e3779b97f4a7c15 >> shift
	for ; ; i = (i + 1) % waySlots {
		s := &t.slots[i]
		if s.way == w {
			if s.packets += packets; s.packets&unrecorded != 0 {
				s.packets &^= unrecorded
				return true
			}
			return false
		}
		if s.way == 0 {
			break
		}
	}
	if t.used == MaxWays {
		t.Other += packets
		t.other.enter(w, packets)
		return false
	}
	t.slots[i].way, t.slots[i].packets = w, packets
	t.used++
	return true
}

// mark has the next packet recorded that is forwarded by each way.
func (t *Ways) mark() {
	for i := range t.slots {
		if s := &t.slots[i]; s.way != 0 && s.way.Forwarded() {
			s.packets |= unrecorded
		}
	}
}

// All yields the ways that packets took, and how many, in no order.
func (t *Ways) All(yield func(trace.Way, uint64) bool) {
	for i := range t.slots {
		if s := &t.slots[i]; s.way != 0 && !yield(s.way, s.packets&^unrecorded) {
			return
		}
	}
}

// addAll adds up two tables.
func (t *Ways) addAll(o *Ways) {
	for w, n := range o.All {
		t.add(w, n)
	}
	t.Other += o.Other
	t.other.add(&o.other)
}

func (c *Verdicts) add(o *Verdicts) {
	for s := range c.Steps {
		for k := range c.Steps[s] {
			c.Steps[s][k] += o.Steps[s][k]
		}
	}
	for r := range c.Drops {
		c.Drops[r] += o.Drops[r]
		c.Noise[r] += o.Noise[r]
	}
	for l := range c.Lookups {
		c.Lookups[l] += o.Lookups[l]
	}
}
