package host

import (
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// restless is an object that somebody changes all the time; each look at it takes a while.
type restless struct {
	name  string
	takes time.Duration
	looks int
}

func (r *restless) ID() ID              { return ID{Kind: KindGuard, Name: r.name} }
func (r *restless) For() (string, bool) { return r.name, false }
func (r *restless) grows(Object) bool   { return true }
func (r *restless) look(*Item) (*deeds, error) {
	r.looks++
	time.Sleep(r.takes)
	return &deeds{do: func() error { return nil }}, nil
}

// What changes all the time is looked at once a second, and all of it together for a tenth of the time; whoever waits
// longest comes first, so that one that changes seldom has its turn.
func TestTurns(t *testing.T) {
	w, err := newWatch()
	must(t, err)
	defer w.close()
	h := &Host{log: slog.New(slog.DiscardHandler), record: &Record{}, items: map[ID]*Item{}, watch: w, Stands: func(*Item) error { return nil }, Lost: func(*Item, string) {}}
	all := []*restless{{name: "a"}, {name: "b"}}
	for _, r := range all {
		h.items[r.ID()] = &Item{Object: r, Stands: true, host: h}
	}
	now := time.Now()
	for range 5 * 100 { // five seconds, in which everybody changes all the time
		for _, r := range all {
			h.Touch(r.ID())
		}
		for h.Settle(now) {
		}
		now = now.Add(10 * time.Millisecond)
	}
	for _, r := range all {
		if r.looks < 4 || r.looks > 6 {
			t.Errorf("%s was looked at %d times in five seconds", r.name, r.looks)
		}
		r.looks, r.takes = 0, 30*time.Millisecond
	}
	for i := range 20 { // so many that there is no time for all
		r := &restless{name: string(rune('c' + i)), takes: 30 * time.Millisecond}
		all = append(all, r)
		h.items[r.ID()] = &Item{Object: r, Stands: true, host: h}
	}
	looks := func() (sum int) {
		for _, r := range all {
			sum += r.looks
		}
		return sum
	}
	for second := range 8 {
		before := looks()
		now = now.Add(time.Second)
		for _, r := range all {
			h.Touch(r.ID())
		}
		for h.Settle(now) {
		}
		if n := looks() - before; n > 5 {
			t.Errorf("second %d: %d looks of 30 ms each", second, n)
		}
	}
	for _, r := range all {
		if r.looks == 0 {
			t.Errorf("%s had no turn", r.name)
		}
	}
}

// shy is an object that somebody has changed, and that cannot be looked at the first time: the kernel's list is
// interrupted by just that change.
type shy struct {
	restless
	wrong, seen bool
}

func (s *shy) look(*Item) (*deeds, error) {
	if s.wrong && !s.seen {
		s.seen = true
		return nil, errors.New("interrupted system call")
	}
	d := &deeds{do: func() error {
		s.wrong, s.seen = false, false
		return nil
	}}
	if s.wrong {
		d.say("set the guard")
	}
	return d, nil
}

// What somebody has changed is made good and counted, however many attempts it takes, and whatever else is the reason
// to look; what is asked for anew is not.
func TestRepairsAreCounted(t *testing.T) {
	h := bareHost(t, &Record{}, io.Discard)
	now, was := time.Now(), uint64(0)
	settle := func(what string, more uint64) {
		t.Helper()
		for range 3 {
			for h.Settle(now) {
			}
			now = now.Add(time.Minute)
		}
		if n := h.Repairs()[KindGuard]; n != was+more {
			t.Errorf("%s: %d repairs, and %d before", what, n, was)
		}
		was = h.Repairs()[KindGuard]
	}
	o := &shy{restless: restless{name: "a"}, wrong: true}
	must(t, h.Set(o))
	settle("what is made", 0)
	o.wrong = true
	h.Touch(o.ID())
	settle("what somebody has changed", 1)
	o.wrong = true
	h.Touch(o.ID())
	must(t, h.Set(o))
	settle("the same, as something else has changed", 1)
	other := &shy{restless: restless{name: "a", looks: 1}, wrong: true}
	must(t, h.Set(other))
	settle("what is asked for anew", 0)
}

// bareHost has a record and nothing on the host.
func bareHost(t *testing.T, r *Record, log io.Writer) *Host {
	t.Helper()
	w, err := newWatch()
	must(t, err)
	t.Cleanup(w.close)
	return &Host{
		log: slog.New(slog.NewTextHandler(log, nil)), record: r, items: map[ID]*Item{}, watch: w, repairs: map[Kind]*atomic.Uint64{KindGuard: {}},
		Stands: func(*Item) error { return nil }, Lost: func(*Item, string) {},
	}
}

// What cannot be taken away keeps nobody from what else is wanted, and is logged once, though it is tried each second.
func TestWhatIsLeft(t *testing.T) {
	var log strings.Builder
	h := bareHost(t, &Record{dir: t.TempDir()}, &log)
	e := &Entry{ID: ID{Kind: "of a newer version", Name: "a"}, Netns: 1, old: true}
	h.record.Objects = append(h.record.Objects, e)
	h.items[e.ID] = &Item{entry: e, host: h}
	err := h.Apply(nil)
	var left *Left
	if !errors.As(err, &left) || left.ID != e.ID || ButLeft(errors.Join(err, nil)) != nil {
		t.Errorf("applied: %v", err)
	}
	if other := errors.New("other"); !errors.Is(ButLeft(errors.Join(other, err)), other) {
		t.Error("other errors are left out, too")
	}
	now := time.Now()
	for range 100 {
		now = now.Add(time.Second)
		h.turns = turns{}
		for h.Settle(now) {
		}
	}
	if n := strings.Count(log.String(), "\n"); n != 1 {
		t.Errorf("%d lines of log:\n%s", n, log.String())
	}
}
