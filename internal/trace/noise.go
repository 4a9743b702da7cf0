package trace

import (
	"github.com/vrouter/vrouter/forwarder"
	"github.com/vrouter/vrouter/internal/verdict"
)

// mend is what the reader can do about a drop: nothing, where a link carries what is
// between others.
func (r *Record) mend() string {
	v, last := r.Outcome, &r.steps[max(0, r.numSteps-1)]
	switch {
	case last.facts.Note != "" && last.step == forwarder.ARP:
		return last.facts.Note + ": nothing is wrong"
	case v.Noise && v.Reason != verdict.ARPIgnored && v.Reason != verdict.NotForRouter:
		if what := forwarder.Business(r.frame(0)); what != "" {
			return what + ", which is between others on this link: nothing is wrong"
		}
	}
	return v.Reason.Info().Mend
}
