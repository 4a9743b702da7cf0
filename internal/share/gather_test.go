package share

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// Who asks gets what was begun afterwards, and all who wait get the same.
func TestGatherIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var made atomic.Int64
		g := Gather[time.Time]{Time: 1, Make: func(uint) time.Time {
			made.Add(1)
			began := time.Now()
			time.Sleep(100 * time.Millisecond)
			return began
		}}
		var all sync.WaitGroup
		for i := range 100 {
			all.Go(func() {
				time.Sleep(time.Duration(i) * time.Millisecond)
				asked := time.Now()
				if began, err := g.Get(t.Context(), 0); err != nil || began.Before(asked) {
					t.Errorf("asked at %v, begun at %v (%v)", asked, began, err)
				}
			})
		}
		all.Wait()
		if n := made.Load(); n != 2 {
			t.Errorf("made %d times", n)
		}
	})
}

// Each part that somebody wants is made, and no other.
func TestGatherParts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var wanted []uint
		g := Gather[uint]{Time: 1, Make: func(parts uint) uint {
			wanted = append(wanted, parts)
			time.Sleep(time.Second)
			return parts
		}}
		var all sync.WaitGroup
		for _, parts := range []uint{1, 2, 8} {
			all.Go(func() {
				if got, err := g.Get(t.Context(), parts); err != nil || got&parts == 0 {
					t.Errorf("%b has no %b (%v)", got, parts, err)
				}
			})
			synctest.Wait()
		}
		all.Wait()
		if len(wanted) != 2 || wanted[0] != 1 || wanted[1] != 10 {
			t.Errorf("made were %b", wanted)
		}
	})
}

// It keeps a processor busy for its share, however many ask.
func TestGatherIsPaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var made atomic.Int64
		g := Gather[int64]{Time: 0.1, Make: func(uint) int64 { return made.Add(1) }}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Second)
		defer cancel()
		for range 10 {
			go func() {
				for ctx.Err() == nil {
					if _, err := g.Get(ctx, 0); err == nil {
						g.Charge(10_000_000) // which takes 10 ms, and 0.2 besides
					}
				}
			}()
		}
		<-ctx.Done()
		time.Sleep(time.Minute) // until it notices that nobody waits
		// Each time some ten are served, for 0.1 s.
		if n := made.Load(); n < 95 || n > 130 {
			t.Errorf("made %d times in 100 s", n)
		}
	})
}

// Who has gone waits no more.
func TestGatherForNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := Gather[int]{Time: 1, Make: func(uint) int { time.Sleep(time.Minute); return 1 }}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := g.Get(ctx, 0); err == nil {
			t.Error("it was made in no time")
		}
		time.Sleep(2 * time.Minute)
		if v, err := g.Get(t.Context(), 0); v != 1 || err != nil {
			t.Errorf("then it is %d (%v)", v, err)
		}
	})
}
