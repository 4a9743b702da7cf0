package trace

import (
	"fmt"
	"strings"

	"github.com/vrouter/vrouter/forwarder"
	"github.com/vrouter/vrouter/internal/verdict"
)

// Way is how a received packet went through the router: the steps that changed it,
// and its end. The bits, from the lowest: the steps (32), the one at which it ended
// (8), its kind of end (7), whether that is noise (1), the drop reason (8). Two of them may
// have the same name: a step that passes a packet may have something to say, too.
type Way uint64

const (
	wayStep   = 32
	wayKind   = 40
	wayNoise  = 47
	wayReason = 48
)

// quietSteps are those that say nothing where they pass.
var quietSteps = func() (set forwarder.StepSet) {
	for _, s := range forwarder.Steps() {
		if s.Quiet {
			set = set.With(s)
		}
	}
	return set
}()

// WayOf is the way of a packet that some steps have changed, and that ended at a
// step: at tx, if it was sent.
func WayOf(edited forwarder.StepSet, end *forwarder.Step, v verdict.Verdict) Way {
	w := Way(edited) | Way(end.Number())<<wayStep | Way(v.Kind)<<wayKind | Way(v.Reason)<<wayReason
	if v.Noise {
		w |= 1 << wayNoise
	}
	return w
}

// Way is the record's, of a packet that was received.
func (r *Record) Way() Way {
	var edited forwarder.StepSet
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
	return w&^Way(1<<wayStep-1|1<<wayNoise) | Way(w.Edited()&quietSteps)
}

// Edited are the steps that changed the packet.
func (w Way) Edited() forwarder.StepSet { return forwarder.StepSet(w) }

// End is the step at which the packet's way ended, and the verdict.
func (w Way) End() (*forwarder.Step, verdict.Verdict) {
	return forwarder.Steps()[w>>wayStep&0xff], verdict.Verdict{
		Kind: verdict.Kind(w >> wayKind & 0x7f), Reason: verdict.Reason(w >> wayReason), Noise: w>>wayNoise&1 != 0,
	}
}

// Forwarded says whether its end is that the packet was sent on.
func (w Way) Forwarded() bool { return verdict.Kind(w>>wayKind&0x7f) == verdict.Pass }

// Outcome is the word for its end, as it is counted: forwarded, consumed, dropped, waits.
func (w Way) Outcome() string {
	_, v := w.End()
	return outcomes[v.Kind]
}

// Becomes is the same for who asks what becomes of a packet: what is left to the host's
// own stack is not lost.
func (w Way) Becomes() string { return outcome(w.End()) }

// String names the steps that had something to say, then the end:
// "rx > check > route > ttl > neigh > tx", "rx > check > dropped at rpf (rpf_failed)".
func (w Way) String() string {
	end, v := w.End()
	var words []string
	for _, s := range forwarder.Steps()[:end.Number()] {
		if !quietSteps.Has(s) || w.Edited().Has(s) {
			words = append(words, s.Word)
		}
	}
	switch v.Kind {
	case verdict.Drop:
		words = append(words, fmt.Sprintf("dropped at %s (%s)", end, v.Reason))
	case verdict.Consume:
		words = append(words, "consumed at "+end.Word)
	case verdict.Hold:
		words = append(words, "waits at "+end.Word)
	default:
		words = append(words, end.Word)
	}
	return strings.Join(words, " > ")
}
