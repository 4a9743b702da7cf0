package web

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vrouter/vrouter/internal/filter"
	"github.com/vrouter/vrouter/internal/follow"
	"github.com/vrouter/vrouter/internal/timeline"
	"github.com/vrouter/vrouter/internal/trace"
)

const (
	// keptWays is how many ways of a filter are kept, to be shown to who comes late, or comes back.
	keptWays = 1000
	// maxWatches is how many filters are listened by at once.
	maxWatches = 4
	// lingerWatch is how long a filter is listened by though nobody looks, so that who comes back finds what came meanwhile.
	lingerWatch = 15 * time.Second
	// maxForgotten is how many numbers of ways that are no longer kept are remembered, to say how many somebody missed.
	maxForgotten = 1 << 16
)

// Brief is a way in short: a line of the page's list.
type Brief struct {
	ID      uint64    `json:"id"`
	Time    time.Time `json:"time"`
	Summary string    `json:"summary"`
	Src     string    `json:"src"`
	Dst     string    `json:"dst"`
	Proto   string    `json:"proto"`
	Length  int       `json:"length"`
	Outcome string    `json:"outcome"`
	Reason  string    `json:"reason"`
	Noise   bool      `json:"noise,omitempty"`
	At      string    `json:"at,omitempty"` // the host that dropped it
	Hosts   []string  `json:"hosts"`
	NS      int64     `json:"ns"`
	Reply   string    `json:"reply"`
	ReplyNS int64     `json:"reply_ns,omitempty"`
	Lost    uint64    `json:"lost,omitempty"`    // records that routers lost before it
	Skipped uint64    `json:"skipped,omitempty"` // packets that were left out before it
}

// seen is a way that is kept.
type seen struct {
	brief Brief
	way   *timeline.Way
}

// watches are the filters that are listened by.
type watches struct {
	server *Server

	mu   sync.Mutex
	list []*watch
	ids  uint64 // of ways
}

// watch is one filter, for all who look by it.
type watch struct {
	filter string
	server *Server
	after  uint64 // its ways have higher numbers
	bell   bell
	cancel context.CancelFunc

	mu        sync.Mutex
	clients   int
	idle      time.Time // since nobody looks
	ring      []seen    // the oldest first
	forgotten []uint64  // numbers of those that were, in order
	warning   string
	pace      pace
	lost      uint64 // records, to be told with the next way
	skipped   uint64
}

var errTooManyFilters = fmt.Errorf("%d filters are looked by already, and no more are: close another page, or take a filter of one", maxWatches)

// enter finds the watch of a filter, or begins one; leave is called when its client goes.
func (ws *watches) enter(expr string) (*watch, error) {
	f, err := filter.Parse(expr)
	if err != nil {
		return nil, err
	}
	expr = f.String()
	ws.mu.Lock()
	defer ws.mu.Unlock()
	i := slices.IndexFunc(ws.list, func(w *watch) bool { return w.filter == expr })
	if i < 0 {
		if len(ws.list) >= maxWatches && !ws.makeRoom() {
			return nil, errTooManyFilters
		}
		i = len(ws.list)
		w := &watch{filter: expr, server: ws.server, after: ws.ids, pace: pace{oneIn: 1}}
		ctx, cancel := context.WithCancel(ws.server.ctx)
		w.cancel = cancel
		ws.list = append(ws.list, w)
		ws.server.side.Go(func() { w.run(ctx) })
	}
	w := ws.list[i]
	w.mu.Lock()
	w.clients++
	w.mu.Unlock()
	return w, nil
}

func (ws *watches) leave(w *watch) {
	w.mu.Lock()
	w.clients--
	w.idle = time.Now()
	w.mu.Unlock()
	time.AfterFunc(lingerWatch, ws.sweep)
}

// makeRoom ends the watch that nobody has looked by for longest. It is locked.
func (ws *watches) makeRoom() bool {
	at, longest := -1, time.Duration(0)
	for i, w := range ws.list {
		if idle := w.idleFor(); idle > longest {
			at, longest = i, idle
		}
	}
	if at >= 0 {
		ws.list[at].cancel()
		ws.list = slices.Delete(ws.list, at, at+1)
	}
	return at >= 0
}

// idleFor is for how long nobody has looked; 0 while somebody does.
func (w *watch) idleFor() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.clients > 0 {
		return 0
	}
	return time.Since(w.idle)
}

// sweep ends those that nobody has come back to: a trace that nobody reads is to cost nothing.
func (ws *watches) sweep() {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	ws.list = slices.DeleteFunc(ws.list, func(w *watch) bool {
		over := w.idleFor() >= lingerWatch
		if over {
			w.cancel()
		}
		return over
	})
}

// find is the way of a number; nil if it is no longer kept.
func (ws *watches) find(id uint64) *timeline.Way {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	for _, w := range ws.list {
		w.mu.Lock()
		i, ok := slices.BinarySearchFunc(w.ring, id, func(s seen, id uint64) int { return cmp.Compare(s.brief.ID, id) })
		var way *timeline.Way
		if ok {
			way = w.ring[i].way
		}
		w.mu.Unlock()
		if ok {
			return way
		}
	}
	return nil
}

// newest is the highest number of a way so far.
func (ws *watches) newest() uint64 {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	return ws.ids
}

func (ws *watches) nextID() uint64 {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	ws.ids++
	return ws.ids
}

// run listens until the context ends: anew when a router is back, and when it is to listen at another pace.
func (w *watch) run(ctx context.Context) {
	for ctx.Err() == nil {
		err := w.listen(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			w.warn(err)
			select {
			case <-time.After(stateEvery):
			case <-ctx.Done():
			}
		}
	}
}

// listen traces on all hosts until one that was missing is back, the pace changes or nobody is left.
func (w *watch) listen(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var missing atomic.Bool // some host is not listened to
	w.mu.Lock()
	w.pace.begin(time.Now())
	pace := w.pace
	w.mu.Unlock()
	run, err := follow.Listen(ctx, w.server.Sources, follow.Options{
		Filter: w.filter, Within: follow.Within, Rate: recordRate, Hash: pace.oneIn,
		Warn: func(err error) {
			w.warn(err)
			missing.Store(true)
		},
		Recorded: func(p *trace.Packet) {
			if w.count(p) {
				cancel()
			}
		},
	})
	if err != nil {
		return err
	}
	if !missing.Load() {
		w.warn(nil)
	}
	w.server.side.Go(func() {
		w.await(ctx, &missing)
		cancel()
	})
	err = run(func(way *timeline.Way) error {
		if ctx.Err() == nil { // what is not over when the trace ends is not known well
			w.keep(way)
		}
		return nil
	})
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// await returns when there is reason to listen anew: all routers are up, of which some were missing, or the packets are
// fewer than the pace is for.
func (w *watch) await(ctx context.Context, missing *atomic.Bool) {
	tick := time.NewTicker(stateEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if missing.Load() && w.server.state.allUp() {
			return
		}
		w.mu.Lock()
		changed := w.pace.slower(time.Now())
		w.mu.Unlock()
		if changed {
			w.bell.ring()
			return
		}
	}
}

func (s *states) allUp() bool {
	n := s.current()
	return !slices.ContainsFunc(n.Hosts, func(h HostState) bool { return h.State != up })
}

func (w *watch) warn(err error) {
	text := ""
	if err != nil && !errors.Is(err, context.Canceled) {
		text = strings.ReplaceAll(err.Error(), "\n", "; ")
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.warning != text {
		w.warning = text
		w.bell.ring()
	}
}

// count counts a record, and says whether so many come that fewer are to be asked for.
func (w *watch) count(p *trace.Packet) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lost += p.Lost
	w.skipped += p.Skipped
	faster := w.pace.count(p.Host, 1+p.Skipped+p.Lost, time.Now())
	if faster {
		w.bell.ring()
	}
	return faster
}

// keep shows a way to all who look.
func (w *watch) keep(way *timeline.Way) {
	id := w.server.watches.nextID()
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.pace.mayShow(time.Now()) {
		w.skipped++
		return
	}
	b := brief(way)
	b.ID, b.Lost, b.Skipped = id, w.lost, w.skipped
	w.lost, w.skipped = 0, 0
	if len(w.ring) == keptWays {
		if len(w.forgotten) == maxForgotten {
			w.forgotten = slices.Delete(w.forgotten, 0, maxForgotten/2)
		}
		w.forgotten = append(w.forgotten, w.ring[0].brief.ID)
		w.ring = slices.Delete(w.ring, 0, 1)
	}
	w.ring = append(w.ring, seen{b, way})
	w.bell.ring()
}

func brief(way *timeline.Way) Brief {
	b := Brief{
		Time: way.Time, Summary: way.Summary, Outcome: way.Outcome, Reason: way.Reason, Hosts: way.Hosts,
		NS: way.NS, Reply: way.Reply, ReplyNS: way.ReplyNS,
	}
	for i := range way.Packets {
		p := &way.Packets[i]
		if i == 0 {
			b.Src, b.Dst, b.Proto, b.Length = p.Src, p.Dst, p.Proto, p.Length
		}
		if p.Part == timeline.PartPacket && p.Outcome == trace.Dropped {
			b.At, b.Noise = p.Host, p.Noise
		}
	}
	return b
}

// since are the ways behind a number, and how many there were that are no longer kept.
func (w *watch) since(id uint64) (list []Brief, lost int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	i, _ := slices.BinarySearchFunc(w.ring, id+1, func(s seen, id uint64) int { return cmp.Compare(s.brief.ID, id) })
	for _, s := range w.ring[i:] {
		list = append(list, s.brief)
	}
	at, _ := slices.BinarySearch(w.forgotten, id+1)
	return list, len(w.forgotten) - at
}

// how is what there is to say of the watch itself.
func (w *watch) how() (warning string, oneIn uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.warning, w.pace.oneIn
}
