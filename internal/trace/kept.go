package trace

import (
	"slices"
	"sync"

	"github.com/vrouter/vrouter/forwarder"
	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/verdict"
)

const (
	// MaxKept is how many records of dropped packets are kept.
	MaxKept = 512
	// MaxForwarded is how many of forwarded ones are, and ForwardedASecond how many are made in a second.
	MaxForwarded     = 256
	ForwardedASecond = 64
)

// kept are records of packets that stay though nobody listens, the oldest first.
type kept struct {
	mu   sync.Mutex
	list []keptRecord
}

type keptRecord struct {
	*Record      // never written to again
	way     Way  // of a forwarded packet
	newer   bool // there is one of the same ports, way and reason
}

// Keep takes over the record of a dropped packet. The last one of each port and
// reason stays longest when there are too many, and noise goes first.
func (h *Hub) Keep(r *Record) { h.kept.add(r, 0, MaxKept) }

// NextForwarded numbers the record of a forwarded packet, if one may be made in this second. They have numbers of their own, so
// that those of who traces have no gaps.
func (h *Hub) NextForwarded() (id uint64, ok bool) {
	if h.room.Add(-1) < 0 {
		return 0, false
	}
	return h.forwardedIDs.Add(1), true
}

// RefillForwarded begins another second.
func (h *Hub) RefillForwarded() { h.room.Store(ForwardedASecond) }

// KeepForwarded is Keep of a packet that was forwarded by a way: the last one by each, from one port to another, stays longest.
func (h *Hub) KeepForwarded(r *Record, w Way) { h.forwarded.add(r, w, MaxForwarded) }

// Forwarded are the records of forwarded packets, the oldest first. They are not to be changed.
func (h *Hub) Forwarded() []*Record { return h.forwarded.all(false) }

func (k *kept) add(r *Record, w Way, most int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for i := range k.list {
		if o := &k.list[i]; o.In == r.In && o.Out == r.Out && o.way == w && o.Outcome == r.Outcome {
			o.newer = true
		}
	}
	if len(k.list) == most {
		i := slices.IndexFunc(k.list, func(o keptRecord) bool { return o.newer && o.Outcome.Noise })
		if i < 0 {
			i = max(0, slices.IndexFunc(k.list, func(o keptRecord) bool { return o.newer }))
		}
		k.list = slices.Delete(k.list, i, i+1)
	}
	k.list = append(k.list, keptRecord{Record: r, way: w})
}

// Kept are the records of dropped packets, the oldest first; with last, of each port
// and reason the last one alone. They are not to be changed.
func (h *Hub) Kept(last bool) []*Record { return h.kept.all(last) }

func (k *kept) all(last bool) (list []*Record) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, r := range k.list {
		if !last || !r.newer {
			list = append(list, r.Record)
		}
	}
	return list
}

// Recall makes the record of a packet that nobody has watched, from what is
// known at its end: the way that it took, the frame as it is now, and what each step
// decided by. The steps have no times; Time is the record's own.
func Recall(id uint64, timeNS int64, in string, f *packet.Frame, way Way, facts func(*forwarder.Step) forwarder.Facts) *Record {
	r := &Record{}
	r.Begin(id, timeNS, in, f)
	end, v := way.End()
	for i, s := range forwarder.Steps()[:end.Number()+1] {
		st := step{step: s, facts: facts(s)}
		switch {
		case s == end:
			st.verdict = v
		case way.Edited().Has(s):
			st.verdict.Kind = verdict.Edit
		}
		if way.Edited()>>(i+1) != 0 {
			st.snap = noSnap // the frame has changed since
		}
		r.steps[r.numSteps] = st
		r.numSteps++
	}
	r.Outcome = v
	return r
}

// Copy is a record of its own, to be kept.
func (r *Record) Copy() *Record {
	c := *r
	c.listeners = nil
	return &c
}
