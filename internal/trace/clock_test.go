package trace

import (
	"testing"
	"testing/synctest"
	"time"
)

// A clock that is set back while records wait, or forward, holds none of them up and
// changes no order. The time here is the test's own.
func TestClockIsSet(t *testing.T) {
	for name, step := range map[string]time.Duration{"back": -time.Hour, "back by little": -10 * time.Millisecond, "forward": time.Hour} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := listen(t)
				began := time.Now()
				const waiting, later = 1000, 10
				for range waiting {
					deliver(l, began.Add(-step)) // when the clock had not been set yet
				}
				for range later {
					deliver(l, began)
				}
				for want := uint64(1); want <= waiting+later; want++ {
					var r Record
					if _, err := l.Next(t.Context(), &r); err != nil || r.ID != want {
						t.Fatalf("record %d (error %v), want %d", r.ID, err, want)
					}
				}
				if took := time.Since(began); took > settle {
					t.Errorf("%d records came in %v, want %v at most", waiting+later, took, settle)
				}
			})
		})
	}
}

// Packets that come together at several workers are told in the order in which they came.
func TestRecordsSettle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := listen(t)
		first, now := l.hub.NextID(), time.Now()
		deliver(l, now)
		(&Record{ID: first, Time: now.UnixNano()}).to(l)
		var r Record
		if _, err := l.Next(t.Context(), &r); err != nil || r.ID != first {
			t.Errorf("record %d (error %v), want %d", r.ID, err, first)
		}
		if held := time.Since(now); held != settle {
			t.Errorf("held back for %v, want %v", held, settle)
		}
	})
}

func listen(t *testing.T) *Listener {
	t.Helper()
	l, err := new(Hub).Listen(Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

func deliver(l *Listener, at time.Time) { (&Record{ID: l.hub.NextID(), Time: at.UnixNano()}).to(l) }

func (r *Record) to(l *Listener) {
	r.For(l.hub.Listeners(), 1)
	l.hub.Deliver(r)
}
