package share

import (
	"context"
	"errors"
	"os"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

// bed is one for a machine of few processors, and a clock that is the test's own.
func bed(t *testing.T, f func(t *testing.T, l *Turns)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l := NewTurns()
		l.free = 1
		f(t, l)
	})
}

// keepBusy takes turns of 10 ms, one after the other, until the context ends.
func (l *Turns) keepBusy(ctx context.Context, who Party, had *atomic.Int64) {
	l.mu.Lock()
	a := l.join(who)
	l.mu.Unlock()
	for l.enter(ctx, a) == nil {
		const turn = 10 * time.Millisecond
		time.Sleep(turn)
		had.Add(int64(turn))
		l.charge(a, turn)
		l.leave()
	}
}

// Each party has its share of a processor, all together theirs, and root as much as there is.
func TestShareOfTime(t *testing.T) {
	const long = 100 * time.Second
	for _, c := range []struct {
		parties []Party
		each    float64 // of a processor, at most, and nine tenths of it at least
	}{
		{[]Party{"user 1"}, EachTime},
		{[]Party{"user 1", "user 2"}, EachTime},
		{[]Party{"user 1", "user 2", "user 3", "user 4"}, AllTime / 4},
	} {
		bed(t, func(t *testing.T, l *Turns) {
			ctx, cancel := context.WithTimeout(t.Context(), long)
			defer cancel()
			had := make([]atomic.Int64, len(c.parties))
			for i, p := range c.parties {
				go l.keepBusy(ctx, p, &had[i])
			}
			<-ctx.Done()
			time.Sleep(time.Second) // the last turn ends
			for i, p := range c.parties {
				most := c.each*long.Seconds() + EachTime*saveTime.Seconds()
				if got := time.Duration(had[i].Load()).Seconds(); got > most+0.1 || got < 0.9*c.each*long.Seconds() {
					t.Errorf("%d parties: %s had %.2f s of %v, want %.2f at most", len(c.parties), p, got, long, most)
				}
			}
			if len(c.parties) > 2 && l.Used().Seconds() > AllTime*(long+saveTime).Seconds()+0.1 {
				t.Errorf("all had %v", l.Used())
			}
		})
	}
	bed(t, func(t *testing.T, l *Turns) {
		ctx, cancel := context.WithTimeout(t.Context(), long)
		defer cancel()
		var root, looker atomic.Int64
		go l.keepBusy(ctx, Root, &root)
		go l.keepBusy(ctx, "user 1", &looker)
		<-ctx.Done()
		time.Sleep(time.Second)
		if root, other := time.Duration(root.Load()), time.Duration(looker.Load()); root < long*8/10 || other.Seconds() < 0.9*EachTime*long.Seconds() {
			t.Errorf("root had %v, the other one %v", root, other)
		}
	})
}

// Who has had less goes first, however many of another one's wait.
func TestTurnsAreFair(t *testing.T) {
	bed(t, func(t *testing.T, l *Turns) {
		ctx, cancel := context.WithCancel(t.Context())
		defer func() { cancel(); time.Sleep(time.Second) }()
		var had [100]atomic.Int64
		for i := range had {
			go l.keepBusy(ctx, "user 1", &had[i])
		}
		time.Sleep(time.Minute)
		l.mu.Lock()
		a := l.join("user 2")
		l.mu.Unlock()
		began := time.Now()
		if err := l.enter(ctx, a); err != nil {
			t.Fatal(err)
		}
		l.leave()
		if waited := time.Since(began); waited > 11*time.Millisecond { // the turn that runs
			t.Errorf("he waited %v", waited)
		}
	})
}

// Who comes later does not get all that the others have had before him.
func TestLateComer(t *testing.T) {
	bed(t, func(t *testing.T, l *Turns) {
		ctx, cancel := context.WithCancel(t.Context())
		defer func() { cancel(); time.Sleep(time.Minute) }()
		var turns [2]atomic.Int64
		slowly := func(who int) { // a thread that the machine leaves little time
			l.mu.Lock()
			a := l.join(Party(rune('a' + who)))
			l.mu.Unlock()
			for l.enter(ctx, a) == nil {
				time.Sleep(time.Second)
				l.charge(a, 10*time.Millisecond)
				l.leave()
				turns[who].Add(1)
			}
		}
		for range 3 {
			go slowly(0)
		}
		time.Sleep(1000 * time.Second)
		before := turns[0].Load()
		for range 3 {
			go slowly(1)
		}
		time.Sleep(100 * time.Second)
		if first, late := turns[0].Load()-before, turns[1].Load(); first < 40 || late < 40 {
			t.Errorf("in 100 turns the first one had %d, the late one %d", first, late)
		}
	})
}

// Who has gone takes no turn.
func TestGoneWhileWaiting(t *testing.T) {
	bed(t, func(t *testing.T, l *Turns) {
		a := l.join("user 1")
		if err := l.enter(t.Context(), a); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := l.Run(ctx, "user 2", func(context.Context) { t.Error("it has a turn") }); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		l.leave()
		if l.free != 1 || len(l.waiting) != 0 {
			t.Errorf("%d turns are free, %d wait", l.free, len(l.waiting))
		}
	})
}

// Accounts of those who owe nothing are not kept.
func TestAccountsAreForgotten(t *testing.T) {
	bed(t, func(t *testing.T, l *Turns) {
		for i := range 1000 {
			a := l.join(Party(rune('a' + i)))
			l.charge(a, time.Millisecond)
			a.turns--
			time.Sleep(time.Second)
		}
		if n := len(l.parties); n > 2 {
			t.Errorf("%d accounts", n)
		}
	})
}

func nice() int {
	n, _ := unix.Getpriority(unix.PRIO_PROCESS, unix.Gettid())
	return 20 - n // of the system call, as the library's is another one
}

// Turns are taken at the lowest priority; what the packet path may wait for is not.
func TestPriorities(t *testing.T) {
	l, normal := NewTurns(), nice()
	var low, locked, free, waits int
	err := l.Run(t.Context(), "user 1", func(ctx context.Context) {
		low = nice()
		Locked(ctx, func() { locked = nice() })
		Wait(ctx, func() {
			l.mu.Lock()
			free, waits = l.free, nice()
			l.mu.Unlock()
		})
	})
	if err != nil || low != 19 || locked != normal || waits != 19 || free < 1 {
		t.Errorf("nice %d, with locks %d; while it waits %d turns are free (%v)", low, locked, free, err)
	}
	if nice() != normal {
		t.Error("the caller's priority has changed")
	}
	if l.Used() < requestTime {
		t.Errorf("it was charged %v", l.Used())
	}
	Wait(t.Context(), func() { free = -1 })
	Locked(t.Context(), func() { locked = -1 })
	if free != -1 || locked != -1 {
		t.Error("without a turn nothing is done")
	}
}

// A panic is the caller's, and takes no turn along.
func TestPanicInTurn(t *testing.T) {
	l := NewTurns()
	was := l.free
	for _, f := range []func(context.Context){
		func(context.Context) { panic("f") },
		func(ctx context.Context) { Locked(ctx, func() { panic("f") }) },
	} {
		func() {
			defer func() {
				if recover() != "f" {
					t.Error("no panic")
				}
			}()
			_ = l.Run(t.Context(), "user 1", f)
		}()
	}
	if l.free != was {
		t.Errorf("%d turns are free, %d were", l.free, was)
	}
}

// What a thread takes is charged, with what it did while it waited.
func TestTimeIsCharged(t *testing.T) {
	l := NewTurns()
	busy := func() {
		for began := threadTime(); threadTime()-began < 20*time.Millisecond; {
			_, _ = os.Getwd()
		}
	}
	if err := l.Run(t.Context(), "user 1", func(ctx context.Context) {
		busy()
		Wait(ctx, busy)
		Locked(ctx, busy)
	}); err != nil {
		t.Fatal(err)
	}
	if used := l.Used(); used < 60*time.Millisecond || used > time.Second {
		t.Errorf("60 ms and some were charged as %v", used)
	}
}
