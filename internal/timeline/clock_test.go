package timeline_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vrouter/vrouter/internal/timeline"
	"github.com/vrouter/vrouter/internal/trace"
	"github.com/vrouter/vrouter/rib"
)

// pings gives the ways of some pings between hosts whose clocks differ; answered: with
// replies.
func pings(t *testing.T, shift time.Duration, answered bool) []*timeline.Way {
	b := newBed(t, rib.None, 1500).resolve()
	b.b.shift = shift
	for seq := range uint16(4) {
		b.across(nil, b.ping(seq, seq, 56))
		if answered {
			b.back(b.pong(seq, 56))
		}
	}
	ways := join(b.options(""), slices.Concat(b.a.records(), b.b.records()))
	if len(ways) != 4 {
		t.Fatalf("%d ways, want 4", len(ways))
	}
	return ways
}

// Whatever the clocks say, a wire of no length takes no longer than the test does, and
// the packets of a way are in the order in which they were.
func TestClocksAreCorrected(t *testing.T) {
	for _, shift := range []time.Duration{5 * time.Second, -5 * time.Second, time.Hour, -30 * time.Millisecond * 100} {
		for _, w := range pings(t, shift, true) {
			last := int64(-1)
			for _, p := range w.Packets {
				if p.AtNS < last {
					t.Errorf("clock off by %v: a packet at %d ns comes after one at %d", shift, p.AtNS, last)
				}
				last = p.AtNS
				if p.WireNS == nil {
					continue
				}
				if p.Clocks != timeline.ClocksCorrected || *p.WireNS < 0 || *p.WireNS > time.Second.Nanoseconds() || p.WireErrorNS <= 0 || p.WireErrorNS > time.Second.Nanoseconds() {
					t.Errorf("clock off by %v: wire %d ns, give or take %d, clocks %s", shift, *p.WireNS, p.WireErrorNS, p.Clocks)
				}
			}
			if !says(w, "the clock of b is ") || !says(w, map[bool]string{true: "ahead of that of a", false: "behind that of a"}[shift > 0]) {
				t.Errorf("clock off by %v: %q", shift, w.Notes)
			}
		}
	}
}

// Clocks that differ by no more than the packets need are left as they are.
func TestClocksAgree(t *testing.T) {
	for _, w := range pings(t, 0, true) {
		for _, p := range w.Packets {
			if p.WireNS != nil && (p.Clocks != timeline.ClocksAgree || *p.WireNS < 0 || p.WireErrorNS <= 0) {
				t.Errorf("wire %d ns, give or take %d, clocks %s", *p.WireNS, p.WireErrorNS, p.Clocks)
			}
		}
		if len(w.Notes) > 0 {
			t.Errorf("notes %q", w.Notes)
		}
	}
}

// Without a reply nobody knows what of the difference is the clocks'.
func TestClocksUnchecked(t *testing.T) {
	for _, shift := range []time.Duration{0, time.Minute, -time.Minute} {
		w := pings(t, shift, false)[0]
		p := w.Packets[1]
		if p.Clocks != timeline.ClocksUnchecked || p.WireErrorNS != 0 || !says(w, "nothing has come back from b to a") {
			t.Errorf("clocks %s, error %d, notes %q", p.Clocks, p.WireErrorNS, w.Notes)
		}
		if (time.Duration(*p.WireNS) - shift).Abs() > time.Second {
			t.Errorf("wire %v, by clocks that differ by %v", time.Duration(*p.WireNS), shift)
		}
		if out := text(t, w); !strings.Contains(out, " by clocks that nothing checks\n") {
			t.Errorf("the text pretends to know:\n%s", out)
		}
	}
}

// A clock that is set while the trace runs is believed from then on.
func TestClockIsSet(t *testing.T) {
	b := newBed(t, rib.None, 1500).resolve()
	j := timeline.New(b.options(""))
	var all []*timeline.Way
	for seq := range uint16(6) {
		if seq == 3 {
			b.b.shift = time.Minute
		}
		b.across(nil, b.ping(seq, seq, 56))
		b.back(b.pong(seq, 56))
		for _, p := range slices.Concat(b.a.records(), b.b.records()) {
			j.Add(p, began)
		}
		all = append(all, j.Expire(began.Add(within))...)
	}
	if len(all) != 6 {
		t.Fatalf("%d ways", len(all))
	}
	for i, w := range all {
		p := w.Packets[1]
		want := timeline.ClocksAgree
		if i >= 3 {
			want = timeline.ClocksCorrected
		}
		if p.Clocks != want || *p.WireNS < 0 || *p.WireNS > time.Second.Nanoseconds() {
			t.Errorf("ping %d: clocks %s, wire %d ns, want %s", i, p.Clocks, *p.WireNS, want)
		}
	}
}

// Neither a clock that is set back nor a router that starts again between a packet and
// its answer keeps the two apart; who answers before was asked does not answer.
func TestAnswerAcrossAStep(t *testing.T) {
	for _, c := range []struct {
		name     string
		question func(p *trace.Packet)
		answered bool
	}{
		{"the clock is set back", func(p *trace.Packet) { p.Time = p.Time.Add(time.Minute) }, true},
		{"the router starts again", func(p *trace.Packet) { p.ID += 1000 }, true},
		{"asked after", func(p *trace.Packet) { p.ID, p.Time = p.ID+1000, p.Time.Add(time.Minute) }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBed(t, rib.None, 1500).resolve()
			b.across(nil, b.ping(1, 1, 56))
			records := slices.Concat(b.a.records(), b.b.records())
			for _, p := range records {
				c.question(p)
			}
			b.back(b.pong(1, 56))
			all := join(b.options(""), slices.Concat(records, b.a.records(), b.b.records()))
			want := pingPath + " delivered none"
			if c.answered {
				want = pingPath + pongPath + " delivered arrived"
			}
			if !slices.ContainsFunc(all, func(w *timeline.Way) bool { return outline(w) == want }) {
				t.Errorf("no way is %q:\n%s", want, text(t, all[0]))
			}
			if back := all[0].ReplyNS < 0; says(all[0], "was set back") != back {
				t.Errorf("the reply came after %d ns, and the notes say %q", all[0].ReplyNS, all[0].Notes)
			}
		})
	}
}

func says(w *timeline.Way, words string) bool {
	return slices.ContainsFunc(w.Notes, func(n string) bool { return strings.Contains(n, words) })
}

func text(t *testing.T, w *timeline.Way) string {
	t.Helper()
	var b strings.Builder
	if err := (timeline.Text{Within: within}).Write(&b, w); err != nil {
		t.Fatal(err)
	}
	return b.String()
}
