package forwarder

import (
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gaissmai/bart"

	"github.com/vrouter/vrouter/internal/link"
	"github.com/vrouter/vrouter/internal/neigh"
	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/trace"
	"github.com/vrouter/vrouter/internal/verdict"
	"github.com/vrouter/vrouter/rib"
)

// tickEvery is how often deadlines are looked at (Router.tick).
const tickEvery = 100 * time.Millisecond

// Router is the packet path of one host: its ports and their workers. All its
// methods may be called while it forwards.
type Router struct {
	rib       *rib.Table
	neighbors *neigh.Table[*Packet]
	fragments reassembler
	trace     *trace.Hub
	log       *slog.Logger
	onGone    func(port string)

	mu    sync.Mutex // writers of state
	state atomic.Pointer[state]

	made       [NumOrigins]struct{ total, lost atomic.Uint64 }
	suppressed [numSuppressed]atomic.Uint64
	icmpErrors sync.Map // verdict.ICMPError > *atomic.Uint64
	gone       ledger   // of ports that were removed: what was counted stays counted

	stop chan struct{}
	done sync.WaitGroup
}

// New makes a router without ports. onGone is told when a port's device has
// vanished; the port is still to be removed.
func New(table *rib.Table, log *slog.Logger, onGone func(port string)) *Router {
	r := &Router{
		rib: table, neighbors: neigh.NewTable[*Packet](), trace: &trace.Hub{},
		fragments: reassembler{datagrams: map[datagramKey]*datagram{}},
		log:       log, onGone: onGone, stop: make(chan struct{}),
	}
	r.state.Store(&state{tunnels: new(bart.Table[*Tunnel])})
	for _, reason := range verdict.Reasons() { // the series exist at 0 from the start
		if e := reason.Info().ICMP; e != (verdict.ICMPError{}) {
			r.icmpErrors.Store(e, new(atomic.Uint64))
		}
	}
	r.icmpErrors.Store(verdict.ICMPError{Type: packet.ICMPUnreachable, Code: packet.CodePortUnreachable}, new(atomic.Uint64))
	r.done.Go(r.housekeeping)
	return r
}

// Close stops all workers, and closes their ports.
func (r *Router) Close() {
	close(r.stop)
	r.mu.Lock() // Stats may be asking a port
	for _, p := range r.state.Load().ports {
		if p != nil {
			p.link.Close()
		}
	}
	r.mu.Unlock()
	r.done.Wait()
}

// Trace is where records of packets can be had.
func (r *Router) Trace() *trace.Hub { return r.trace }

// publish makes the next state from the current one.
func (r *Router) publish(change func(next *state)) {
	next := *r.state.Load()
	next.ports = slices.Clone(next.ports)
	change(&next)
	r.state.Store(&next)
}

// Configure replaces the settings.
func (r *Router) Configure(s Settings) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.publish(func(next *state) {
		next.Settings = s
		next.setTunnels()
	})
}

// AddPort adds a port and returns its ID, which routes refer to. Nothing is read
// before StartPort.
func (r *Router) AddPort(c PortConfig, l link.Port) (id int, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	ports := r.state.Load().ports
	id = len(ports)
	for i, p := range ports {
		if p != nil && p.Name == c.Name {
			return 0, fmt.Errorf("port %s: there is one of that name", c.Name)
		}
		if p == nil && i < id {
			id = i
		}
	}
	port := &Port{PortConfig: c, ID: id, portState: &portState{link: l, done: make(chan struct{})}}
	port.workers = []*worker{newWorker(r, id, l)}
	r.publish(func(next *state) {
		if id == len(next.ports) {
			next.ports = append(next.ports, nil)
		}
		next.ports[id] = port
	})
	return id, nil
}

// StartPort begins reading.
func (r *Router) StartPort(id int) {
	port := r.state.Load().ports[id]
	r.done.Go(func() {
		defer close(port.done)
		port.workers[0].run()
	})
}

// SetNeighbor enters a neighbour that needs no asking.
func (r *Router) SetNeighbor(id int, a netip.Addr, mac packet.MAC) {
	released := r.neighbors.SetPermanent(id, a, mac, time.Now())
	if len(released) > 0 {
		w := newWorker(r, -1, nil)
		w.begin()
		w.resume(released)
		w.flush()
	}
}

// ForgetNeighbor takes back what SetNeighbor entered.
func (r *Router) ForgetNeighbor(id int, a netip.Addr) { r.neighbors.Forget(id, a) }

// Way is the route that an IPv4 packet would take, nil if there is none: of a
// multipath, the path of its flow.
func (r *Router) Way(ip packet.IPv4) *rib.Route {
	x := path{state: r.state.Load(), fib: r.rib.FIB()}
	return x.way(ip.Dst(), ip)
}

// UpdatePort replaces what a port is, as its interface has changed.
func (r *Router) UpdatePort(id int, c PortConfig) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.publish(func(next *state) {
		p := *next.ports[id]
		p.PortConfig = c
		next.ports[id] = &p
	})
}

// RemovePort closes a port that was started, and forgets its neighbours. What it
// counted stays in the sums.
func (r *Router) RemovePort(id int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	port := r.state.Load().ports[id]
	port.link.Close()
	<-port.done
	r.publish(func(next *state) { next.ports[id] = nil })
	house := newWorker(r, -1, nil)
	house.begin()
	house.failAll(r.neighbors.RemovePort(id))
	house.flush()
	r.gone.mu.Lock()
	defer r.gone.mu.Unlock()
	for _, w := range port.workers {
		w.counts.moveTo(&r.gone)
	}
	port.late.moveTo(&r.gone) // packets that came in here may still wait elsewhere
}

// housekeeping does what no packet causes: deadlines of neighbours, of fragments
// that wait, and of path MTUs.
func (r *Router) housekeeping() {
	w := newWorker(r, -1, nil)
	tick := time.NewTicker(tickEvery)
	defer tick.Stop()
	for {
		select {
		case <-r.stop:
			return
		case <-tick.C:
			r.tick(w, time.Now()) // requests are paced by when they leave, not by when they were due
		}
	}
}

func (r *Router) tick(w *worker, now time.Time) {
	asks, failed := r.neighbors.Tick(now)
	late := r.fragments.expire(now)
	for _, t := range r.state.Load().tunnels.All4() {
		t.forget(now)
	}
	if len(asks) == 0 && len(failed) == 0 && len(late) == 0 {
		return
	}
	w.begin()
	for _, a := range asks {
		if out := w.path.port(a.Port); out != nil {
			w.ask(out, a.Target, a.To, nil)
			w.relieve()
		}
	}
	w.failAll(failed)
	for _, p := range late {
		w.failAt(p, p.asked, verdict.ReassemblyTimeout)
		w.relieve()
	}
	w.flush()
}

func (r *Router) portGone(id int) {
	if p := r.state.Load().port(id); p != nil && r.onGone != nil {
		r.onGone(p.Name)
	}
}

func (r *Router) countICMPError(e verdict.ICMPError) {
	n, _ := r.icmpErrors.LoadOrStore(e, new(atomic.Uint64))
	n.(*atomic.Uint64).Add(1)
}
