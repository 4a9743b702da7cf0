package engine_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/trace"
)

// What explain says of a fragment for the router is what becomes of it on the wire,
// with the same words: those that wait already count.
func TestExplainFragments(t *testing.T) {
	part := func(offset, size int, more bool) *packet.Frame {
		f := frame(ether(ns1MAC, gatewayMAC), ip4(ns1IP, gateway, 1), payload(make([]byte, size)))
		if offset == 0 {
			f = icmpOf(gateway, 8, 0, make([]byte, size-8))
		}
		f.Trim(packet.IPv4MinLen + size)
		setFragment(f, offset, more)
		return f
	}
	many := func(n int) (all []*packet.Frame) {
		for i := range n {
			all = append(all, part(16*i, 8, true))
		}
		return all
	}
	for _, c := range []struct {
		name    string
		waiting []*packet.Frame
		then    *packet.Frame
		outcome string
		says    string
	}{
		{"the_first", nil, part(0, 64, true), "waits", "kept until the rest"},
		{"beyond_65535", nil, part(65528, 16, false), "dropped", "longer than 65,535 bytes"},
		{"beyond_65535_with_the_header", nil, part(65512, 8, false), "dropped", "longer than 65,535 bytes"},
		{"no_multiple_of_8", nil, part(0, 65, true), "dropped", "no multiple of 8"},
		{"without_data", nil, part(64, 0, false), "dropped", "without data"},
		{"a_copy", []*packet.Frame{part(0, 64, true)}, part(0, 64, true), "dropped", "a copy of a fragment that waits"},
		{"an_overlap", []*packet.Frame{part(64, 64, true)}, part(32, 40, true), "dropped", "overlaps"},
		{"behind_the_last", []*packet.Frame{part(64, 8, false)}, part(72, 8, true), "dropped", "behind the last"},
		{"a_second_last", []*packet.Frame{part(64, 8, true)}, part(8, 8, false), "dropped", "behind the last"},
		{"one_too_many", many(64), part(2000, 8, true), "dropped", "too many fragments of one datagram"},
		{"the_missing_one", []*packet.Frame{part(0, 64, true)}, part(64, 8, false), "consumed", "answered"},
		{"the_first_at_last", []*packet.Frame{part(64, 8, false)}, part(0, 64, true), "consumed", "answered"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBed(t)
			b.ns1.Send(c.waiting...)
			said, err := b.router.DryRun().Explain("ns1", c.then.Clone())
			if err != nil {
				t.Fatal(err)
			}
			silent(t, b.ns1)
			l := b.listen(trace.Options{}, "")
			b.ns1.Send(c.then)
			p := said[0].View("k8s-master-1")
			if last := p.Steps[len(p.Steps)-1]; p.Outcome != c.outcome || !strings.Contains(last.Detail, c.says) {
				t.Errorf("explained as %s: %s", p.Outcome, last.Detail)
			}
			live := records(l)
			if len(live) == 0 { // it waits, and has no outcome yet
				if b.books().waiting != uint64(len(c.waiting)+1) {
					t.Errorf("nothing is traced, and %d packets wait", b.books().waiting)
				}
				return
			}
			if len(live) != len(said) {
				t.Errorf("explained as %d packets, traced as %d", len(said), len(live))
			}
			if d := cmp.Diff(words(&p), words(&live[0])); d != "" {
				t.Errorf("(-explained +traced):\n%s", d)
			}
		})
	}
}

// words are what a packet's record says, step by step.
func words(p *trace.Packet) (all []string) {
	for _, s := range p.Steps {
		all = append(all, s.Step+" "+s.Verdict+" "+s.Reason+" "+s.Detail)
	}
	return append(all, p.Outcome+" "+p.Mend)
}
