package trace

import (
	"slices"
	"sync"

	"github.com/vrouter/vrouter/forwarder"
	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/verdict"
)

// MaxKept is how many records of dropped packets are kept.
const MaxKept = 512

// kept are records of dropped packets that stay though nobody listens, the oldest
// first.
type kept struct {
	mu   sync.Mutex
	list []keptRecord
}

type keptRecord struct {
	*Record      // never written to again
	newer   bool // there is one of the same port and reason
}

// Keep takes over the record of a dropped packet. The last one of each port and
// reason stays longest when there are too many, and noise goes first.
func (h *Hub) Keep(r *Record) {
	k := &h.kept
	k.mu.Lock()
	defer k.mu.Unlock()
	for i := range k.list {
		if o := k.list[i]; o.In == r.In && o.Outcome == r.Outcome {
			k.list[i].newer = true
		}
	}
	if len(k.list) == MaxKept {
		i := slices.IndexFunc(k.list, func(o keptRecord) bool { return o.newer && o.Outcome.Noise })
		if i < 0 {
			i = max(0, slices.IndexFunc(k.list, func(o keptRecord) bool { return o.newer }))
		}
		k.list = slices.Delete(k.list, i, i+1)
	}
	k.list = append(k.list, keptRecord{Record: r})
}

// Kept are the records of dropped packets, the oldest first; with last, of each port
// and reason the last one alone. They are not to be changed.
func (h *Hub) Kept(last bool) (list []*Record) {
	h.kept.mu.Lock()
	defer h.kept.mu.Unlock()
	for _, r := range h.kept.list {
		if !last || !r.newer {
			list = append(list, r.Record)
		}
	}
	return list
}

// Recall makes the record of a dropped packet that nobody has watched, from what is
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
