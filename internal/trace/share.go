package trace

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// What a trace takes, it takes from the forwarding: so who listens has a share of that.
const (
	// AllNodes is how many nodes of filters may be looked at in a second for all traces, OwnerNodes for
	// those of one owner: at some 7 ns each, a tenth and a twentieth of a worker's time.
	AllNodes   = 16_000_000
	OwnerNodes = 8_000_000
	// AllRecords is how many records are made in a second for all who listen, at some 3 us each. Owners
	// have equal shares.
	AllRecords = 20_000
	// recordBurst is how many an owner may have at once.
	recordBurst = 2 * RingSize
	// WeighEvery is how seldom a frame's filters are weighed.
	WeighEvery = 64
	// maxDebt is how long an owner who has taken too much waits at most.
	maxDebt = time.Minute
)

// ErrFilter ends a trace whose filter takes too long.
var ErrFilter = errors.New("the trace was ended, as its filter takes too much of the router's time: give a shorter one, or look at fewer packets (--in PORT)")

// owner is what somebody who listens may still take.
type owner struct {
	listeners int
	nodes     int64 // a second's worth at most; less than 0: debt
	records   atomic.Int64
}

// join finds a listener's owner. The hub is locked.
func (h *Hub) join(l *Listener) error {
	o := h.owners[l.opts.Owner]
	if o == nil {
		o = &owner{nodes: OwnerNodes}
		o.records.Store(recordBurst)
		if h.owners == nil {
			h.owners, h.nodes = map[string]*owner{}, AllNodes
		}
		h.owners[l.opts.Owner] = o
	}
	if o.nodes < 0 {
		return fmt.Errorf("the filter of an earlier trace has taken too much of the router's time: try again in %v", inTime(-o.nodes, OwnerNodes).Round(time.Second/10))
	}
	o.listeners++
	l.owner = o
	return nil
}

// inAll is what comes of so much a second in some time, inTime the reverse.
func inAll(perSecond int64, d time.Duration) int64 { return int64(d.Seconds() * float64(perSecond)) }

func inTime(n, perSecond int64) time.Duration {
	return time.Duration(float64(n) / float64(perSecond) * float64(time.Second))
}

// weigh notes what it costs to ask for the frames of which this one is weighed.
func (l *Listener) weigh(frame []byte, in string) {
	if o := &l.opts; o.In == "" || o.In == in {
		l.spent.Add(int64(WeighEvery * o.Filter.Cost(frame, !o.Outer)))
	}
}

// affords says whether the owner may have one more record.
func (l *Listener) affords() bool {
	if l.owner.records.Load() <= 0 {
		l.over.Add(1)
		l.hub.skipped.Add(1)
		return false
	}
	l.owner.records.Add(-1)
	return true
}

// Refill gives those who listen their share of the time since it was last called, and ends traces
// whose filters have taken more: the most expensive first.
func (h *Hub) Refill(now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	since := min(now.Sub(h.refilled), time.Second)
	h.refilled = now
	if len(h.owners) == 0 {
		return
	}
	part := func(perSecond int64) int64 { return inAll(perSecond, since) }
	var all bill
	for name, o := range h.owners {
		own := h.bill(o)
		all.add(own.nodes, own.most, own.mostly)
		o.nodes = min(OwnerNodes, max(o.nodes+part(OwnerNodes)-own.nodes, -inAll(OwnerNodes, maxDebt)))
		if o.nodes < 0 && own.nodes > part(OwnerNodes) {
			h.end(own.most)
		}
		o.records.Store(min(recordBurst, max(0, o.records.Load())+part(AllRecords)/int64(len(h.owners))))
		if o.listeners == 0 && o.nodes == OwnerNodes && o.records.Load() == recordBurst {
			delete(h.owners, name)
		}
	}
	h.nodes = min(AllNodes, max(h.nodes+part(AllNodes)-all.nodes, -AllNodes))
	if h.nodes < 0 && all.nodes > part(AllNodes) {
		h.end(all.most)
	}
}

// bill is what filters took, and the listener whose filter took most of it.
type bill struct {
	nodes, mostly int64
	most          *Listener
}

func (b *bill) add(nodes int64, most *Listener, mostly int64) {
	b.nodes += nodes
	if mostly > b.mostly {
		b.most, b.mostly = most, mostly
	}
}

// bill is what an owner's filters took since the last one.
func (h *Hub) bill(o *owner) (b bill) {
	ls := h.listeners.Load()
	if ls == nil {
		return b
	}
	for _, l := range ls.all {
		if l != nil && l.owner == o {
			n := l.spent.Swap(0)
			b.add(n, l, n)
		}
	}
	return b
}

// end has a listener hear no more, but that its filter took too much.
func (h *Hub) end(l *Listener) {
	h.remove(l)
	h.ended.Add(1)
	l.mu.Lock()
	l.err = ErrFilter
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// Shares is what came of the limits so far: packets that were left out of traces, and traces that
// were ended; and how many bytes records that wait take now.
func (h *Hub) Shares() (skipped, ended uint64, bytes int) {
	return h.skipped.Load(), h.ended.Load(), h.chunks.bytes()
}
