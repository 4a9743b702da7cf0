package trace

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vrouter/vrouter/forwarder"
	"github.com/vrouter/vrouter/internal/filter"
	"github.com/vrouter/vrouter/internal/verdict"
)

const (
	maxListeners = 16   // at once; bits of Record.wanted
	ringSize     = 4096 // records that one listener may fall behind
	// settle is how long a record is kept back, so that packets come in the order
	// in which they arrived, whichever worker is done first.
	settle = 2 * time.Millisecond
)

// Options of one listener: which packets it is told of.
type Options struct {
	// Asked when a packet comes in, in this order; what they leave out is not recorded.
	In     string // the port; "": any
	Filter *filter.Filter
	Outer  bool   // the filter sees the packet on the wire, not the inner one
	Every  uint64 // of the packets that match, only the last of so many; 0 is 1
	Rate   uint64 // at most so many packets a second; 0: all

	// Asked when its way has ended.
	Port   string            // it came in or left by it; "": any
	Out    string            // it left by it; "": any
	Steps  forwarder.StepSet // one of them changed it, or ended its way; none: any
	Drops  bool              // only what was dropped
	Reason verdict.Reason    // only what was dropped for it; None: any
}

// Hub hands the records of all workers to those who listen. While nobody does,
// it costs the packet path one load a batch.
type Hub struct {
	ids     atomic.Uint64
	records atomic.Uint64
	lost    atomic.Uint64
	held    atomic.Int64 // records of packets that wait
	kept    kept

	mu        sync.Mutex
	listeners atomic.Pointer[Listeners] // nil: nobody listens
}

// Listeners is who listened when a batch began.
type Listeners struct{ all [maxListeners]*Listener }

// Listener is one who listens, and his ring of records: when he falls behind,
// the oldest are lost, and counted.
type Listener struct {
	opts    Options
	hub     *Hub
	wake    chan struct{}
	matched atomic.Uint64 // packets, while Every is more than 1

	mu     sync.Mutex
	ring   []Record
	first  int
	n      int
	gap    Gap       // before the next record
	second time.Time // in which taken and skipped are counted, while Rate is not 0
	taken  uint64
	// skipped are told with a record of a later second: of this one there may be
	// records that came before them, and that nobody has read yet.
	skipped uint64
}

// Gap is what is missing before a record.
type Gap struct {
	Lost    uint64 // records, as the reader fell behind, or too many packets waited
	Skipped uint64 // packets that matched, but were too many for Rate
}

// Listen adds a listener; Close ends it.
func (h *Hub) Listen(o Options) (*Listener, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	next := &Listeners{}
	if old := h.listeners.Load(); old != nil {
		*next = *old
	}
	for i := range next.all {
		if next.all[i] == nil {
			l := &Listener{opts: o, hub: h, wake: make(chan struct{}, 1), ring: make([]Record, ringSize)}
			next.all[i] = l
			h.listeners.Store(next)
			return l, nil
		}
	}
	return nil, fmt.Errorf("too many traces at once (%d); stop one of them", maxListeners)
}

// Close ends listening.
func (l *Listener) Close() {
	h := l.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	old := h.listeners.Load()
	if old == nil {
		return // closed before
	}
	next, left := &Listeners{}, 0
	for i, x := range old.all {
		if x != nil && x != l {
			next.all[i] = x
			left++
		}
	}
	if left == 0 {
		next = nil
	}
	h.listeners.Store(next)
}

// Listeners is who listens now; nil if nobody does.
func (h *Hub) Listeners() *Listeners { return h.listeners.Load() }

// Listening is how many listen now.
func (h *Hub) Listening() (n int) {
	if ls := h.Listeners(); ls != nil {
		for _, l := range ls.all {
			if l != nil {
				n++
			}
		}
	}
	return n
}

// NextID numbers a recorded packet.
func (h *Hub) NextID() uint64 { return h.ids.Add(1) }

// Counts is the number of records made, and of those that a listener lost.
func (h *Hub) Counts() (records, lost uint64) { return h.records.Load(), h.lost.Load() }

// Wanted says which listeners ask for a frame that came in by a port: 0 for none.
func (ls *Listeners) Wanted(frame []byte, in string) (bits uint64) {
	for i, l := range ls.all {
		if l == nil {
			continue
		}
		if l.wants(frame, in) {
			bits |= 1 << i
		}
	}
	return bits
}

func (l *Listener) wants(frame []byte, in string) bool {
	o := &l.opts
	match := o.Filter.MatchInner
	if o.Outer {
		match = o.Filter.Match
	}
	return (o.In == "" || o.In == in) && match(frame) &&
		(o.Every <= 1 || l.matched.Add(1)%o.Every == 0) && (o.Rate == 0 || l.inRate())
}

// inRate says whether one more packet may be recorded in this second.
func (l *Listener) inRate() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now := time.Now(); now.Sub(l.second) >= time.Second {
		l.gap.Skipped += l.skipped
		l.second, l.taken, l.skipped = now, 0, 0
	}
	if l.taken == l.opts.Rate {
		l.skipped++
		return false
	}
	l.taken++
	return true
}

// For notes whom a record is for: the listeners that Wanted named.
func (r *Record) For(ls *Listeners, bits uint64) { r.listeners, r.wanted = ls, bits }

// ForSame makes a record for those whom another one is for: the packet that the
// router made because of theirs.
func (r *Record) ForSame(cause *Record) {
	r.listeners, r.wanted, r.Cause = cause.listeners, cause.wanted, cause.ID
}

// MaxHeld is how many records of packets that wait are kept, 8 MiB. Watching changes
// nothing: where there is no room for a record, the packet waits without it.
const MaxHeld = 8 << 20 / RecordSize

// Hold copies the record, if there is one, of a packet that is to wait longer than the
// record lives. It is lost to those it is for where too many are held.
func (h *Hub) Hold(r *Record) *Record {
	switch {
	case r == nil || r.held:
		return r
	case h.held.Add(1) > int64(MaxHeld):
		h.held.Add(-1)
		r.each((*Listener).lose)
		return nil
	}
	c := *r
	c.held = true
	return &c
}

// Deliver copies a finished record to those it is for. It never waits for them.
func (h *Hub) Deliver(r *Record) {
	if r.held {
		h.held.Add(-1)
	}
	h.records.Add(1)
	r.each(func(l *Listener) {
		if l.opts.keeps(r) {
			l.put(r)
		}
	})
}

// each is called with those whom the record is for.
func (r *Record) each(f func(*Listener)) {
	for i, l := range r.listeners.all {
		if l != nil && r.wanted&(1<<i) != 0 {
			f(l)
		}
	}
}

// lose counts a record that the listener does not get.
func (l *Listener) lose() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.gap.Lost++
	l.hub.lost.Add(1)
}

// keeps judges a packet by the way it took.
func (o *Options) keeps(r *Record) bool {
	switch {
	case o.Port != "" && o.Port != r.In && o.Port != r.Out,
		o.Out != "" && o.Out != r.Out,
		o.Steps != 0 && !r.touchedBy(o.Steps),
		o.Drops && r.outcome() != Dropped,
		o.Reason != verdict.None && o.Reason != r.Outcome.Reason:
		return false
	}
	return true
}

func (l *Listener) put(r *Record) {
	l.mu.Lock()
	if l.n == len(l.ring) {
		l.first = (l.first + 1) % len(l.ring)
		l.n--
		l.gap.Lost++
		l.hub.lost.Add(1)
	}
	at := l.n
	// Another worker was quicker with a later packet. What waited long comes late.
	for ; at > 0 && l.at(at-1).ID > r.ID && l.at(at-1).Time-r.Time <= int64(settle); at-- {
		*l.at(at) = *l.at(at - 1)
	}
	*l.at(at) = *r
	l.n++
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// at is the i-th record of the ring.
func (l *Listener) at(i int) *Record { return &l.ring[(l.first+i)%len(l.ring)] }

// Next waits for a record and copies it into r; after the end of ctx it hands out
// what there still is. The gap is what is missing since the last call.
func (l *Listener) Next(ctx context.Context, r *Record) (Gap, error) {
	for {
		left, ok := l.left()
		switch {
		case ok && (left <= 0 || left > settle || ctx.Err() != nil):
			return l.take(r), nil // of the future: the clock has been set back
		case ok:
			wait(ctx, time.After(left))
		case ctx.Err() != nil:
			return Gap{}, ctx.Err()
		default:
			wait(ctx, l.wake)
		}
	}
}

func wait[T any](ctx context.Context, c <-chan T) {
	select {
	case <-c:
	case <-ctx.Done():
	}
}

// Waiting says whether there are records that Next has not handed out.
func (l *Listener) Waiting() bool {
	_, ok := l.left()
	return ok
}

// left says how long the next record is still kept back, if there is one.
func (l *Listener) left() (left time.Duration, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.n == 0 {
		return 0, false
	}
	return time.Until(time.Unix(0, l.at(0).Time)) + settle, true
}

func (l *Listener) take(r *Record) (gap Gap) {
	l.mu.Lock()
	defer l.mu.Unlock()
	*r = *l.at(0)
	l.first = (l.first + 1) % len(l.ring)
	l.n--
	gap, l.gap = l.gap, Gap{}
	return gap
}
