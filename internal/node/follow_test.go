package node

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/vrouter/vrouter/internal/hostroutes"
)

// If more changes wait than are kept, everything is listed again.
func TestFollowerIsBounded(t *testing.T) {
	f := &follower{arrived: make(chan struct{}, 1)}
	one := hostroutes.News{Changes: make([]hostroutes.Change, 1)}
	f.add(func(w *news) { w.Changes = make([]hostroutes.Change, maxPending) })
	for range 2 {
		f.add(func(w *news) { w.merge(&one) })
	}
	if w := f.take(); !w.all || len(w.Changes) != 0 {
		t.Errorf("all: %v, and %d changes", w.all, len(w.Changes))
	}
	if w := f.take(); w.all || w.Changes != nil || w.Links != nil {
		t.Errorf("news that were taken are there again: %+v", w)
	}
}

// What comes alone is followed at once; what comes right behind a change that took long waits, and
// gathers; an interface waits for nothing.
func TestFollowerRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &follower{arrived: make(chan struct{}, 1)}
		route := func(w *news) { w.Changes = append(w.Changes, hostroutes.Change{}) }
		told := func() bool {
			select {
			case <-f.arrived:
				return true
			default:
				return false
			}
		}
		f.add(route)
		if !told() || len(f.take().Changes) != 1 {
			t.Error("the first change waits")
		}
		f.followed(100 * time.Millisecond)
		for range 3 {
			f.add(route)
			time.Sleep(restAfter * 100 * time.Millisecond / 3)
		}
		if told() {
			t.Error("the next ones do not wait")
		}
		time.Sleep(time.Millisecond)
		synctest.Wait()
		if !told() || len(f.take().Changes) != 3 {
			t.Error("they are not told together")
		}
		f.followed(time.Hour)
		f.add(func(w *news) { w.Links = map[int]bool{7: false} })
		if !told() {
			t.Error("an interface waits")
		}
	})
}
