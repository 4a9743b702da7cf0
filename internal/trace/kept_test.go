package trace

import (
	"testing"

	"github.com/vrouter/vrouter/internal/verdict"
)

// A flood of noise takes no loss's place.
func TestNoiseGoesFirst(t *testing.T) {
	h := &Hub{}
	const losses = 10
	keep := func(id int, v verdict.Verdict) { h.Keep(&Record{ID: uint64(id), In: "ens160", Outcome: v}) }
	for i := range losses {
		keep(i, verdict.Dropped(verdict.MartianSource))
	}
	for i := range 2 * MaxKept {
		keep(losses+i, verdict.Noise(verdict.MartianSource))
	}
	kept := h.Kept(false)
	if len(kept) != MaxKept {
		t.Fatalf("%d are kept", len(kept))
	}
	for i := range losses {
		if kept[i].Outcome.Noise || kept[i].ID != uint64(i) {
			t.Errorf("in place %d is %d, noise %v", i, kept[i].ID, kept[i].Outcome.Noise)
		}
	}
	for i := range MaxKept { // of losses alone the oldest goes
		keep(5*MaxKept+i, verdict.Dropped(verdict.NoRoute))
	}
	last := h.Kept(true)
	if len(last) != 3 {
		t.Errorf("the last ones of %d kinds are kept, want 3", len(last))
	}
}
