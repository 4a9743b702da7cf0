package trace

import (
	"testing"

	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/verdict"
)

func TestWays(t *testing.T) {
	edits := func(list ...verdict.Step) (set Steps) {
		for _, s := range list {
			set = set.With(s)
		}
		return set
	}
	for _, c := range []struct {
		edited  Steps
		end     verdict.Step
		v       verdict.Verdict
		want    string
		outcome string
	}{
		{edits(verdict.TTL, verdict.Neigh), verdict.TX, verdict.Verdict{}, "rx > check > route > ttl > neigh > tx", Forwarded},
		{edits(verdict.Decap, verdict.TTL, verdict.MTU, verdict.Encap, verdict.Neigh), verdict.TX, verdict.Verdict{},
			"rx > check > decap > route > ttl > mtu > encap > neigh > tx", Forwarded},
		{0, verdict.RPF, verdict.Dropped(verdict.RPFFailed), "rx > check > dropped at rpf (rpf_failed)", Dropped},
		{0, verdict.RX, verdict.Dropped(verdict.FrameTooShort), "dropped at rx (frame_too_short)", Dropped},
		{edits(verdict.TTL, verdict.Encap, verdict.Neigh), verdict.TX, verdict.Dropped(verdict.TXQueueFull),
			"rx > check > route > ttl > encap > neigh > dropped at tx (tx_queue_full)", Dropped},
		{0, verdict.ARP, verdict.Verdict{Kind: verdict.Consume}, "rx > consumed at arp", Consumed},
	} {
		w := WayOf(c.edited, c.end, c.v)
		if w.String() != c.want || w.Outcome() != c.outcome {
			t.Errorf("%v: %q, %s; want %q, %s", c, w, w.Outcome(), c.want, c.outcome)
		}
		var r Record
		f := packet.NewFrame()
		r.Begin(1, 0, "ns1", &f)
		for s := verdict.RX; s <= c.end; s++ {
			v := verdict.Verdict{}
			switch {
			case s == c.end:
				v = c.v
			case c.edited.Has(s):
				v.Kind = verdict.Edit
			}
			r.Add(s, v, 1, Facts{}, &f)
		}
		if r.Way() != w {
			t.Errorf("the record's way is %q, want %q", r.Way(), w)
		}
	}
}

// A step that says something is named, whether it changed the packet or not: between
// a workload and the host the TTL stays.
func TestWaysAreNamedByWhatTheySay(t *testing.T) {
	ttl, none := WayOf(Steps(0).With(verdict.TTL), verdict.TX, verdict.Verdict{}), WayOf(0, verdict.TX, verdict.Verdict{})
	mtu := WayOf(Steps(0).With(verdict.MTU), verdict.TX, verdict.Verdict{})
	if ttl.String() != none.String() || ttl.Named() != none.Named() || ttl.Named() == mtu.Named() || mtu.Named().String() != mtu.String() {
		t.Errorf("%q, %q and %q are to be two ways", ttl, none, mtu)
	}
}
