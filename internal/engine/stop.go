package engine

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/vrouter/vrouter/forwarder"
	"github.com/vrouter/vrouter/internal/filter"
	"github.com/vrouter/vrouter/internal/trace"
)

const (
	// MaxStopTime is how long packets may be stopped, MaxStopped how many of them: the others go on.
	MaxStopTime = time.Minute
	MaxStopped  = 16
)

// Stop is where received packets wait, so that somebody can look: before a step, for some time.
// Nothing else waits with them, timers run on.
type Stop struct {
	ID      uint32
	Before  *forwarder.Step
	Filter  *filter.Filter // which packets, as they came in
	Time    time.Duration  // from its beginning on
	Left    time.Duration  // of it
	Packets int            // that wait
	Passed  uint64         // packets that went on, as MaxStopped of them waited
}

// ErrStopped says that packets are stopped already.
var ErrStopped = errors.New("packets are stopped already")

// stop is the one that is in force.
type stop struct {
	id     uint32 // not 0
	before *forwarder.Step
	filter *filter.Filter
	since  time.Time
	time   time.Duration

	mu     sync.Mutex
	held   []*transit // in the order in which they came there
	passed uint64
	over   bool // nothing is held any more
}

// StopBefore has packets wait before a step, which is not the first one, until they are let go or the time
// is over.
func (r *Router) StopBefore(step *forwarder.Step, f *filter.Filter, d time.Duration) (Stop, error) {
	s := &stop{id: r.stops.Add(1), before: step, filter: f, since: time.Now(), time: d}
	if !r.stopped.CompareAndSwap(nil, s) {
		return Stop{}, ErrStopped
	}
	return s.view(s.since), nil
}

// Stopped is where packets are stopped; nil: nowhere.
func (r *Router) Stopped() *Stop {
	s := r.stopped.Load()
	if s == nil {
		return nil
	}
	v := s.view(time.Now())
	return &v
}

// LetGo ends a stop: the packets go on. It says whether there was one of that number.
func (r *Router) LetGo(id uint32) bool {
	s := r.stopped.Load()
	if s == nil || s.id != id {
		return false
	}
	r.keepHouse(func(w *worker) { w.letGo(r.endStop(s)) })
	return true
}

// tickStop returns the packets that were stopped long enough.
func (r *Router) tickStop(now time.Time) []*transit {
	s := r.stopped.Load()
	if s == nil || now.Sub(s.since) < s.time {
		return nil
	}
	return r.endStop(s)
}

func (r *Router) endStop(s *stop) []*transit {
	r.stopped.CompareAndSwap(s, nil)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
	return s.take(func(*transit) bool { return true })
}

// takeStopped returns the packets that wait at a stop and came in by a port, or are to leave by it.
func (r *Router) takeStopped(p *portState) []*transit {
	s := r.stopped.Load()
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.take(func(t *transit) bool { return t.in.portState == p || t.Out != nil && portOf(t.Out) == p })
}

// take returns some of the packets, which wait no longer. The stop is locked.
func (s *stop) take(which func(*transit) bool) (taken []*transit) {
	s.held = slices.DeleteFunc(s.held, func(t *transit) bool {
		take := which(t)
		if take {
			taken = append(taken, t)
		}
		return take
	})
	return taken
}

// stopHere keeps a packet that has come to where it is to wait, if it still is to and there is room.
func (w *worker) stopHere(t *transit) {
	s := w.router.stopped.Load()
	if s == nil || s.id != t.stop || !s.hold(t) {
		t.stop = 0
		w.goOn(t)
	}
}

func (s *stop) hold(t *transit) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return false
	}
	if len(s.held) == MaxStopped {
		s.passed += t.weight
		return false
	}
	q := t.keep(ForStop, t.in.hub)
	if q.rec != nil {
		q.rec.AddDue(trace.Due{Consequence: *t.Due(forwarder.WaitStop), Note: " before " + s.before.Word})
	}
	s.held = append(s.held, q)
	return true
}

// letGo takes packets on that were stopped, with the ports as they are now.
func (w *worker) letGo(packets []*transit) {
	for _, t := range packets {
		t.stop, t.In = 0, w.portNow(t.In)
		if t.Out != nil {
			t.Out = w.portNow(t.Out)
		}
		w.goOn(t)
		w.relieve()
	}
}

func (s *stop) view(now time.Time) Stop {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Stop{
		ID: s.id, Before: s.before, Filter: s.filter, Time: s.time, Left: max(0, s.since.Add(s.time).Sub(now)),
		Packets: len(s.held), Passed: s.passed,
	}
}

// heldAt are the packets that wait at a stop.
func (s *stop) heldAt(now time.Time) (list []Held) {
	v := s.view(now)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.held) == 0 {
		return nil
	}
	h := Held{For: ForLetGo, Port: s.held[0].In.Name, Before: s.before.Word, Packets: len(s.held), Age: now.Sub(s.held[0].start)}
	for _, t := range s.held {
		h.Bytes += t.size()
	}
	h.Missing = fmt.Sprintf("to be let go, in %.0f s at the latest", v.Left.Seconds())
	if s.passed > 0 {
		h.Missing += fmt.Sprintf("; %d more went on, as %d are held", s.passed, MaxStopped)
	}
	return []Held{h}
}
