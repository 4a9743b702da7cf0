package trace

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vrouter/vrouter/forwarder"
	"github.com/vrouter/vrouter/internal/filter"
	"github.com/vrouter/vrouter/internal/verdict"
)

const (
	// MaxListeners is how many listen at once; bits of Record.wanted.
	MaxListeners = 16
	// settle is how long a record is kept back, so that packets come in the order
	// in which they arrived, whichever worker is done first.
	settle = 2 * time.Millisecond
)

// Options of one listener: which packets it is told of.
type Options struct {
	Owner string // who listens: his listeners together have one share

	// Asked when a packet comes in, in this order; what they leave out is not recorded.
	In     string // the port; "": any
	Filter *filter.Filter
	Outer  bool   // the filter sees the packet on the wire, not the inner one
	Every  uint64 // of the packets that match, only the last of so many; 0 is 1
	Hash   uint64 // of the packets that match, one in so many, the same ones at every router; 0 is 1
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
	held    atomic.Int64  // records of packets that wait
	skipped atomic.Uint64 // packets that were wanted, and beyond their listener's share
	ended   atomic.Uint64 // listeners whose filter took more than its share
	kept    kept          // of dropped packets
	chunks  chunks        // of all rings

	forwarded    kept // records of such packets
	forwardedIDs atomic.Uint64
	room         atomic.Int64 // how many more in this second

	mu        sync.Mutex
	owners    map[string]*owner // who listen, or who have listened and are in debt
	nodes     int64             // that all filters together may still look at
	refilled  time.Time
	listeners atomic.Pointer[Listeners] // nil: nobody listens
}

// Listeners is who listened when a batch began.
type Listeners struct{ all [MaxListeners]*Listener }

// Listener is one who listens, and his ring of records: when he falls behind,
// the oldest are lost, and counted.
type Listener struct {
	opts    Options
	hub     *Hub
	owner   *owner
	wake    chan struct{}
	matched atomic.Uint64 // packets, while Every is more than 1
	spent   atomic.Int64  // nodes that its filter has looked at since the last Refill
	over    atomic.Uint64 // packets that were beyond the owner's share, not yet told

	// Records that the reader has taken out of the ring: his alone.
	out   *chunk
	outAt int

	mu     sync.Mutex
	ring   ring
	closed bool      // and nothing is put into the ring any more
	err    error     // why it was ended
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
	Skipped uint64 // packets that matched, but were too many for Rate, or for the owner's share
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
			l := &Listener{opts: o, hub: h, wake: make(chan struct{}, 1), ring: ring{from: &h.chunks}}
			if err := h.join(l); err != nil {
				return nil, err
			}
			next.all[i] = l
			h.listeners.Store(next)
			return l, nil
		}
	}
	return nil, fmt.Errorf("too many traces at once (%d); stop one of them", MaxListeners)
}

// Close ends listening. It is the reader who closes.
func (l *Listener) Close() {
	l.hub.mu.Lock()
	l.hub.remove(l)
	l.hub.mu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	l.ring.end()
	if l.out != nil {
		l.hub.chunks.put(l.out)
		l.out = nil
	}
	if l.hub.listeners.Load() == nil {
		l.hub.chunks.forget()
	}
}

// remove has the workers no longer ask a listener. The hub is locked.
func (h *Hub) remove(l *Listener) {
	old := h.listeners.Load()
	if old == nil || !slices.Contains(old.all[:], l) {
		return
	}
	l.owner.listeners--
	next := *old
	next.all[slices.Index(old.all[:], l)] = nil
	if next == (Listeners{}) {
		h.listeners.Store(nil)
		return
	}
	h.listeners.Store(&next)
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

// Wanted says which listeners ask for a frame that came in by a port: 0 for none. Of a worker's
// frames, one in WeighEvery is weighed: what it costs to ask them is noted.
func (ls *Listeners) Wanted(frame []byte, in string, weighed bool) (bits uint64) {
	for i, l := range ls.all {
		if l == nil {
			continue
		}
		if weighed {
			l.weigh(frame, in)
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
		(o.Hash <= 1 || selected(frame, o.Hash)) && (o.Every <= 1 || l.matched.Add(1)%o.Every == 0) && (o.Rate == 0 || l.inRate()) && l.affords()
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
	r.listeners = nil // until the record is used again it keeps nobody's memory
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
	if l.closed {
		l.mu.Unlock()
		return
	}
	if lost := uint64(l.ring.grow()); lost > 0 {
		l.gap.Lost += lost
		l.hub.lost.Add(lost)
	}
	at := l.ring.n - 1
	// Another worker was quicker with a later packet. What waited long comes late.
	for ; at > 0 && l.ring.at(at-1).ID > r.ID && l.ring.at(at-1).Time-r.Time <= int64(settle); at-- {
		*l.ring.at(at) = *l.ring.at(at - 1)
	}
	to := l.ring.at(at)
	*to = *r
	to.listeners = nil // it is to keep none of them, and what they have, from being collected
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
}
