package trace

import (
	"fmt"
	"strings"

	"github.com/vrouter/vrouter/internal/verdict"
)

// Way is how a received packet went through the router: the steps that changed it,
// and its end. The bits, from the lowest: the steps (12), the one at which it ended
// (4), its kind of end (2), the drop reason (6), its class (1). Two of them
// may have the same name: a step that passes a packet may have something to say, too.
type Way uint32

const (
	wayStep   = 12
	wayKind   = 16
	wayReason = 18
	wayClass  = 24
)

// They fit.
const (
	_ = uint(1<<4 - verdict.NumSteps)
	_ = uint(wayStep - verdict.NumSteps)
	_ = uint(1<<2 - verdict.NumKinds)
	_ = uint(1<<6 - verdict.NumReasons)
	_ = uint(1<<1 - verdict.NumClasses)
)

// quietSteps are those that say nothing where they pass.
var quietSteps = func() (set Steps) {
	for _, s := range verdict.Steps() {
		if s.Info().Quiet {
			set = set.With(s)
		}
	}
	return set
}()

// WayOf is the way of a packet that some steps have changed, and that ended at a
// step: at tx, if it was sent.
func WayOf(edited Steps, end verdict.Step, v verdict.Verdict) Way {
	return Way(edited) | Way(end)<<wayStep | Way(v.Kind)<<wayKind | Way(v.Reason)<<wayReason | Way(v.Class)<<wayClass
}

// Way is the record's, of a packet that was received.
func (r *Record) Way() Way {
	var edited Steps
	for i := range r.steps[:r.numSteps] {
		if r.steps[i].verdict.Kind == verdict.Edit {
			edited = edited.With(r.steps[i].step)
		}
	}
	if r.numSteps == 0 {
		return 0
	}
	return WayOf(edited, r.steps[r.numSteps-1].step, r.Outcome)
}

// Named is the way less what its name does not tell: of ways with the same name it is
// the same.
func (w Way) Named() Way {
	return w&^Way(1<<wayStep-1|1<<wayClass) | Way(w.Edited()&quietSteps)
}

// Edited are the steps that changed the packet.
func (w Way) Edited() Steps { return Steps(w & (1<<wayStep - 1)) }

// End is the step at which the packet's way ended, and the verdict.
func (w Way) End() (verdict.Step, verdict.Verdict) {
	return verdict.Step(w >> wayStep & 0xf), verdict.Verdict{
		Kind: verdict.Kind(w >> wayKind & 3), Reason: verdict.Reason(w >> wayReason & 0x3f), Class: verdict.Class(w >> wayClass),
	}
}

// Outcome is the word for its end: forwarded, consumed or dropped.
func (w Way) Outcome() string {
	_, v := w.End()
	return outcome(v.Kind)
}

// String names the steps that had something to say, then the end:
// "rx > check > route > ttl > neigh > tx", "rx > check > dropped at rpf (rpf_failed)".
func (w Way) String() string {
	end, v := w.End()
	var words []string
	for s := verdict.RX; s < end; s++ {
		if !quietSteps.Has(s) || w.Edited().Has(s) {
			words = append(words, s.String())
		}
	}
	switch v.Kind {
	case verdict.Drop:
		words = append(words, fmt.Sprintf("dropped at %s (%s)", end, v.Reason))
	case verdict.Consume:
		words = append(words, "consumed at "+end.String())
	default:
		words = append(words, end.String())
	}
	return strings.Join(words, " > ")
}
