package trace

import (
	"testing"

	"github.com/vrouter/vrouter/forwarder"
	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/verdict"
)

func TestWays(t *testing.T) {
	edits := func(list ...*forwarder.Step) (set forwarder.StepSet) {
		for _, s := range list {
			set = set.With(s)
		}
		return set
	}
	for _, c := range []struct {
		edited  forwarder.StepSet
		end     *forwarder.Step
		v       verdict.Verdict
		want    string
		outcome string
	}{
		{edits(forwarder.TTL, forwarder.Neigh), forwarder.TX, verdict.Verdict{}, "rx > check > route > ttl > neigh > tx", Forwarded},
		{edits(forwarder.Decap, forwarder.TTL, forwarder.MTU, forwarder.Encap, forwarder.Neigh), forwarder.TX, verdict.Verdict{},
			"rx > check > decap > route > ttl > mtu > encap > neigh > tx", Forwarded},
		{0, forwarder.RPF, verdict.Dropped(verdict.RPFFailed), "rx > check > dropped at rpf (rpf_failed)", Dropped},
		{0, forwarder.RX, verdict.Dropped(verdict.FrameTooShort), "dropped at rx (frame_too_short)", Dropped},
		{edits(forwarder.TTL, forwarder.Encap, forwarder.Neigh), forwarder.TX, verdict.Dropped(verdict.TXQueueFull),
			"rx > check > route > ttl > encap > neigh > dropped at tx (tx_queue_full)", Dropped},
		{0, forwarder.ARP, verdict.Verdict{Kind: verdict.Consume}, "rx > consumed at arp", Consumed},
	} {
		w := WayOf(c.edited, c.end, c.v)
		if w.String() != c.want || w.Outcome() != c.outcome {
			t.Errorf("%v: %q, %s; want %q, %s", c, w, w.Outcome(), c.want, c.outcome)
		}
		var r Record
		f := packet.NewFrame()
		r.Begin(1, 0, "ns1", &f)
		for _, s := range forwarder.Steps()[:c.end.Number()+1] {
			v := verdict.Verdict{}
			switch {
			case s == c.end:
				v = c.v
			case c.edited.Has(s):
				v.Kind = verdict.Edit
			}
			r.Add(s, v, 1, forwarder.Facts{}, &f)
		}
		if r.Way() != w {
			t.Errorf("the record's way is %q, want %q", r.Way(), w)
		}
	}
}

// A step that says something is named, whether it changed the packet or not: between
// a workload and the host the TTL stays.
func TestWaysAreNamedByWhatTheySay(t *testing.T) {
	ttl, none := WayOf(forwarder.StepSet(0).With(forwarder.TTL), forwarder.TX, verdict.Verdict{}), WayOf(0, forwarder.TX, verdict.Verdict{})
	mtu := WayOf(forwarder.StepSet(0).With(forwarder.MTU), forwarder.TX, verdict.Verdict{})
	if ttl.String() != none.String() || ttl.Named() != none.Named() || ttl.Named() == mtu.Named() || mtu.Named().String() != mtu.String() {
		t.Errorf("%q, %q and %q are to be two ways", ttl, none, mtu)
	}
}
