package share

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Turns are where those who look wait for their turn on a processor. Turns are taken on threads of the
// lowest priority, one at a time where there are few processors: whoever has had least goes first, and
// nobody goes who has had more than his share.
type Turns struct {
	mu      sync.Mutex
	free    int // turns that could be taken now
	all     bucket
	parties map[Party]*account
	waiting []*waiter // the longest first
	served  time.Duration
	later   *time.Timer
	used    atomic.Int64 // ns, of those who are limited
}

// account is what a party has had.
type account struct {
	bucket
	limited bool
	turns   int           // that run or wait
	had     time.Duration // not less than the one who was served last, when he comes
}

type waiter struct {
	account *account
	ready   chan struct{}
}

// processors is how many this program may use, asked for before internal/node sets another number.
var processors = runtime.GOMAXPROCS(0)

// NewTurns makes one for this machine.
func NewTurns() *Turns {
	l := &Turns{free: max(1, processors/4), parties: map[Party]*account{}}
	l.later = time.AfterFunc(time.Hour, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.next()
	})
	l.later.Stop()
	l.all.fill(time.Now(), AllTime, AllTime*saveTime.Seconds())
	return l
}

// Used is the time that those who are limited have had so far.
func (l *Turns) Used() time.Duration { return time.Duration(l.used.Load()) }

// join opens a party's account, or finds it. Those who came long ago, and owe nothing, are forgotten.
func (l *Turns) join(who Party) *account {
	a := l.parties[who]
	if a == nil {
		now := time.Now()
		for p, o := range l.parties {
			if o.turns == 0 && o.fill(now, EachTime, EachTime*saveTime.Seconds()) == EachTime*saveTime.Seconds() {
				delete(l.parties, p)
			}
		}
		a = &account{limited: who != Root}
		a.fill(now, EachTime, EachTime*saveTime.Seconds())
		l.parties[who] = a
	}
	if a.turns == 0 {
		a.had = max(a.had, l.served)
	}
	a.turns++
	return a
}

// enter waits for a turn.
func (l *Turns) enter(ctx context.Context, a *account) error {
	w := &waiter{a, make(chan struct{})}
	l.mu.Lock()
	l.waiting = append(l.waiting, w)
	l.next()
	l.mu.Unlock()
	select {
	case <-w.ready:
		return nil
	case <-ctx.Done():
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if i := slices.Index(l.waiting, w); i >= 0 {
		l.waiting = slices.Delete(l.waiting, i, i+1)
	} else { // it has come meanwhile
		l.free++
		l.next()
	}
	return ctx.Err()
}

// leave ends a turn.
func (l *Turns) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.free++
	l.next()
}

// charge notes what somebody has had.
func (l *Turns) charge(a *account, took time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a.had += took
	if a.limited {
		a.left -= took.Seconds()
		l.all.left -= took.Seconds()
		l.used.Add(int64(took))
	}
}

// next lets those go on whose turn it is. They are locked.
func (l *Turns) next() {
	for now := time.Now(); l.free > 0 && len(l.waiting) > 0; {
		first, wait := -1, time.Hour
		for i, w := range l.waiting {
			if due := l.due(w.account, now); due > 0 {
				wait = min(wait, due)
			} else if first < 0 || w.account.had < l.waiting[first].account.had {
				first = i
			}
		}
		if first < 0 {
			l.later.Reset(wait)
			return
		}
		w := l.waiting[first]
		l.waiting = slices.Delete(l.waiting, first, first+1)
		l.free--
		l.served = max(l.served, w.account.had)
		close(w.ready)
	}
}

// due is how long it takes until an account may have a turn.
func (l *Turns) due(a *account, now time.Time) time.Duration {
	if !a.limited {
		return 0
	}
	own := a.fill(now, EachTime, EachTime*saveTime.Seconds()) / EachTime
	all := l.all.fill(now, AllTime, AllTime*saveTime.Seconds()) / AllTime
	if least := min(own, all); least <= 0 {
		return time.Duration(-least*float64(time.Second)) + time.Millisecond
	}
	return 0
}

// turn is somebody's work among them.
type turn struct {
	turns   *Turns
	account *account
	ctx     context.Context
	cpu     time.Duration // of its thread, when it was last charged
	taken   bool
}

type turnKey struct{}

func turnOf(ctx context.Context) *turn {
	t, _ := ctx.Value(turnKey{}).(*turn)
	return t
}

// InTurn says whether somebody's turn is running.
func InTurn(ctx context.Context) bool { return turnOf(ctx) != nil }

// Run waits for a party's turn and runs f on a thread of the lowest priority, which ends with it. A
// panic is the caller's.
func (l *Turns) Run(ctx context.Context, who Party, f func(context.Context)) error {
	l.mu.Lock()
	a := l.join(who)
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		a.turns--
	}()
	l.charge(a, requestTime)
	if err := l.enter(ctx, a); err != nil {
		return err
	}
	ended := make(chan any)
	go func() {
		defer func() { ended <- recover() }()
		runtime.LockOSThread()
		_ = unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), 19) // may be forbidden; it only matters under load
		t := &turn{turns: l, account: a, ctx: ctx, cpu: threadTime(), taken: true}
		defer t.leave()
		f(context.WithValue(ctx, turnKey{}, t))
	}()
	if p := <-ended; p != nil {
		panic(p)
	}
	return nil
}

// leave gives the turn back, and charges what the thread took since it last was.
func (t *turn) leave() {
	now := threadTime()
	t.turns.charge(t.account, now-t.cpu)
	t.cpu = now
	if t.taken {
		t.taken = false
		t.turns.leave()
	}
}

// Wait runs f, which waits for somebody else, outside of the turn that ctx is of, if there is one.
func Wait(ctx context.Context, f func()) {
	t := turnOf(ctx)
	if t == nil {
		f()
		return
	}
	t.leave()
	f()
	t.taken = t.turns.enter(t.ctx, t.account) == nil // without it f's caller ends, as its client is gone
}

// Locked runs f, which takes locks that the packet path takes too, at normal priority: nobody is to wait
// for a thread that does not get its turn. It is short, and charged as the rest.
func Locked(ctx context.Context, f func()) {
	t := turnOf(ctx)
	if t == nil {
		f()
		return
	}
	ended := make(chan any)
	go func() {
		defer func() { ended <- recover() }()
		t.turns.charge(t.account, timed(f))
	}()
	if p := <-ended; p != nil {
		panic(p)
	}
}

// timed says how long a function keeps a processor busy.
func timed(f func()) time.Duration {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	began := threadTime()
	f()
	return threadTime() - began
}

// threadTime is how long this thread has kept a processor busy.
func threadTime() time.Duration {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts)
	return time.Duration(ts.Nano())
}
