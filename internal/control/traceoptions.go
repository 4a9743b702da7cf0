package control

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/vrouter/vrouter/forwarder"
	"github.com/vrouter/vrouter/internal/engine"
	"github.com/vrouter/vrouter/internal/filter"
	"github.com/vrouter/vrouter/internal/trace"
	"github.com/vrouter/vrouter/internal/verdict"
)

// TraceOptions are those of `vrouter trace`, in words; see [trace.Options].
type TraceOptions struct {
	Filter        string
	In, Out, Port string // ports; "": any
	Step, Reason  string // "": any
	Outer         bool
	Drops         bool
	Every         uint64 // of the packets that match, one in so many; 0: all
	Hash          uint64 // the same, by a hash of what no router changes: every router takes the same packets
	Rate          uint64 // at most so many packets a second; 0: all
	Frames        bool   // with the start of each frame, before and after each step that changes it
}

// query is what traceOptions reads.
func (o *TraceOptions) query() url.Values {
	q := url.Values{"filter": {o.Filter}}
	for key, on := range map[string]bool{"outer": o.Outer, "drops": o.Drops, "frames": o.Frames} {
		if on {
			q.Set(key, "")
		}
	}
	for key, word := range map[string]string{"in": o.In, "out": o.Out, "port": o.Port, "step": o.Step, "reason": o.Reason} {
		if word != "" {
			q.Set(key, word)
		}
	}
	for key, n := range map[string]uint64{"every": o.Every, "hash": o.Hash, "rate": o.Rate} {
		if n > 0 {
			q.Set(key, strconv.FormatUint(n, 10))
		}
	}
	return q
}

// Keeps judges a packet by the way it took, as the router does by [trace.Options]: for
// those who listen to several routers, and show what one of them says of a packet.
func (o *TraceOptions) Keeps(p *trace.Packet) bool {
	touched := func(s trace.Step) bool { return s.Step == o.Step && s.Verdict != verdict.Pass.String() }
	switch {
	case o.In != "" && o.In != p.In,
		o.Out != "" && o.Out != p.Out,
		o.Port != "" && o.Port != p.In && o.Port != p.Out,
		o.Step != "" && !slices.ContainsFunc(p.Steps, touched),
		o.Drops && p.Outcome != trace.Dropped,
		o.Reason != "" && o.Reason != p.Reason:
		return false
	}
	return true
}

// traceOptions reads what query makes. The ports are those of the router.
func traceOptions(q url.Values, r *engine.Router) (o trace.Options, err error) {
	if o.Filter, err = filter.Parse(q.Get("filter")); err != nil {
		return o, err
	}
	o.Outer, o.Drops = q.Has("outer"), q.Has("drops")
	for key, to := range map[string]*string{"in": &o.In, "out": &o.Out, "port": &o.Port} {
		if *to = q.Get(key); *to != "" && !hasPort(r, *to) {
			return o, fmt.Errorf("there is no port %q; `vrouter show ports` lists them", *to)
		}
	}
	for key, to := range map[string]*uint64{"every": &o.Every, "hash": &o.Hash, "rate": &o.Rate} {
		if !q.Has(key) {
			continue
		}
		if *to, err = strconv.ParseUint(q.Get(key), 10, 64); err != nil {
			return o, fmt.Errorf("%s: %q is no number of packets", key, q.Get(key))
		}
	}
	if o.Steps, err = ParseStep(q.Get("step")); err != nil {
		return o, err
	}
	o.Reason, err = ParseReason(q.Get("reason"))
	return o, err
}

func hasPort(r *engine.Router, name string) bool {
	return slices.ContainsFunc(r.DryRun().Ports(), func(p forwarder.PortConfig) bool { return p.Name == name })
}

// ParseStep reads the word of a step; "" is none.
func ParseStep(word string) (steps forwarder.StepSet, err error) {
	if word == "" {
		return 0, nil
	}
	s := forwarder.StepNamed(word)
	if s == nil {
		return 0, fmt.Errorf("there is no step %q: the steps are %s", word, words(forwarder.Steps()))
	}
	return steps.With(s), nil
}

// ParseReason reads the word of a drop reason; "" is none.
func ParseReason(word string) (verdict.Reason, error) {
	r, ok := verdict.ReasonNamed(word)
	if !ok && word != "" {
		return r, fmt.Errorf("there is no drop reason %q: the reasons are %s", word, words(verdict.Reasons()))
	}
	return r, nil
}

func words[T fmt.Stringer](list []T) string {
	var all []string
	for _, v := range list {
		all = append(all, v.String())
	}
	return strings.Join(all, ", ")
}
