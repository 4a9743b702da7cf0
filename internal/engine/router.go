// Package engine runs the packet path of package forwarder: workers read frames from
// ports, take each through the steps, and carry out what follows, with their clock, locks
// and books. They write it to another port, keep what has to wait, count it, and record it
// for those who watch.
//
// To follow a packet, start at worker.run in worker.go, which reads a batch.
package engine

import (
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gaissmai/bart"

	"github.com/vrouter/vrouter/forwarder"
	"github.com/vrouter/vrouter/internal/link"
	"github.com/vrouter/vrouter/internal/neigh"
	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/trace"
	"github.com/vrouter/vrouter/internal/verdict"
	"github.com/vrouter/vrouter/rib"
)

// tickEvery is how often deadlines are looked at (Router.tick).
const tickEvery = 100 * time.Millisecond

// recordEvery is how often a packet is recorded though nobody listens: a dropped one by the port it came in by and the reason,
// a forwarded one by the queue and the way.
const recordEvery = time.Second

// Router runs the packet path of one host: its ports and their workers. All its
// methods may be called while it forwards.
type Router struct {
	rib       *rib.Table
	neighbors *neigh.Table[*transit]
	fragments reassembler
	idents    *idents
	numbers   *numbers // of what the router makes itself
	secret    uint64   // forwarder.Path.Secret, as long as the router runs: a flow keeps its label
	trace     *trace.Hub
	log       *slog.Logger
	onGone    func(port string)
	workers   []*worker
	house     *worker // of housekeeping
	lane      *lane

	mu    sync.Mutex // who adds, changes or removes ports
	state atomic.Pointer[state]

	made     [forwarder.NumOrigins]struct{ total, lost atomic.Uint64 }
	told     [forwarder.NumFamilies][verdict.NumMeanings]atomic.Uint64 // ICMP errors, by what they say
	withheld [forwarder.NumWithheld]atomic.Uint64                      // that were due and not sent
	gone     ledger                                                    // of ports that were removed: what was counted stays counted

	stopped atomic.Pointer[stop] // where packets are stopped; nil: nowhere
	stops   atomic.Uint32        // so far

	recorded time.Time     // when housekeeping last had packets recorded
	marks    atomic.Uint64 // how often it had

	stop chan struct{}
	done sync.WaitGroup
}

// New makes a router without ports, with a worker for each poller, which it owns.
// onGone is told when a port's device has vanished; the port is still to be removed.
func New(table *rib.Table, log *slog.Logger, onGone func(port string), pollers ...link.Poller) *Router {
	r := &Router{
		rib: table, neighbors: neigh.NewTable[*transit](), trace: &trace.Hub{},
		fragments: reassembler{datagrams: map[datagramKey]*datagram{}}, idents: newIdents(time.Now()), numbers: newNumbers(), secret: random(),
		log: log, onGone: onGone, stop: make(chan struct{}),
	}
	r.house, r.lane = newWriter(r), newLane(r)
	r.trace.RefillForwarded()
	r.state.Store(&state{State: forwarder.State{Tunnels: new(bart.Table[*forwarder.Tunnel])}})
	var have sync.WaitGroup // their priority: the right to it may be given up then
	have.Add(len(pollers))
	for i, p := range pollers {
		w := newWorker(r, i, p)
		r.workers = append(r.workers, w)
		r.done.Go(func() {
			w.raise()
			have.Done()
			w.run()
		})
	}
	have.Wait()
	r.done.Go(r.housekeeping)
	return r
}

// Close stops all workers, and closes their ports.
func (r *Router) Close() {
	close(r.stop)
	for _, w := range r.workers {
		w.poller.Wake()
	}
	r.lane.close()
	r.done.Wait()
	r.mu.Lock() // Stats may be asking a port
	defer r.mu.Unlock()
	for _, p := range r.state.Load().ports {
		if p != nil {
			p.close()
		}
	}
}

func (p *portState) close() {
	for _, q := range p.queues {
		q.link.Close()
	}
}

// Trace is where records of packets can be had.
func (r *Router) Trace() *trace.Hub { return r.trace }

// publish makes the next state from the current one. change is called again if another
// one was quicker: it does nothing but change next.
func (r *Router) publish(change func(next *state)) {
	for {
		was := r.state.Load()
		next := *was
		next.ports, next.Ports = slices.Clone(next.ports), slices.Clone(next.Ports)
		change(&next)
		if r.state.CompareAndSwap(was, &next) {
			return
		}
	}
}

// setPort enters a port at its place, or none.
func (s *state) setPort(id int, p *port) {
	for id >= len(s.ports) {
		s.ports, s.Ports = append(s.ports, nil), append(s.Ports, nil)
	}
	s.ports[id], s.Ports[id] = p, nil
	if p != nil {
		s.Ports[id] = p.Port
	}
}

// Configure replaces the settings.
func (r *Router) Configure(s forwarder.Settings) {
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.publish(func(next *state) {
		next.Settings = s
		next.setTunnels(now)
	})
}

// AddPort adds a port with its queues and returns its ID, which routes refer to.
// Nothing is read before StartPort. With an error the queues stay the caller's.
func (r *Router) AddPort(c forwarder.PortConfig, queues ...link.Port) (id int, err error) {
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
	kept := &portState{hub: r.trace}
	kept.record()
	for i, l := range queues {
		kept.queues = append(kept.queues, &queue{port: id, link: l, worker: r.workers[r.workerFor(id, i, len(queues))]})
	}
	added := newPort(c, id, kept)
	r.publish(func(next *state) { next.setPort(id, added) })
	return id, nil
}

// workerFor spreads ports with one queue over the workers; of a port with more,
// each worker gets one.
func (r *Router) workerFor(id, queue, queues int) int {
	if queues > 1 {
		return queue % len(r.workers)
	}
	return id % len(r.workers)
}

// StartPort begins reading.
func (r *Router) StartPort(id int) error {
	for _, q := range r.state.Load().ports[id].queues {
		if err := q.worker.adopt(q); err != nil {
			return fmt.Errorf("port %s: %w", r.PortName(id), err)
		}
	}
	return nil
}

// SetNeighbor enters a neighbour that needs no asking.
func (r *Router) SetNeighbor(id int, a netip.Addr, mac packet.MAC) {
	released := r.neighbors.SetPermanent(id, a, mac, time.Now())
	if len(released) > 0 {
		r.keepHouse(func(w *worker) { w.resume(released) })
	}
}

// ForgetNeighbor takes back what SetNeighbor entered.
func (r *Router) ForgetNeighbor(id int, a netip.Addr) { r.neighbors.Forget(id, a) }

// RouteOf is the route that a packet would take, nil if there is none: of a
// multipath, the path of its flow.
func (r *Router) RouteOf(ip packet.IP) *rib.Route {
	x := forwarder.Path{State: &r.state.Load().State, FIB: r.rib.FIB()}
	return x.RouteTo(ip.Dst(), ip)
}

// UpdatePort replaces what a port is, as its interface has changed. A new hardware address
// is told to all (RFC 5227 2.3, RFC 4861 7.2.6), and asked for whether those who are known have heard it.
func (r *Router) UpdatePort(id int, c forwarder.PortConfig) {
	r.mu.Lock()
	defer r.mu.Unlock()
	was := r.state.Load().ports[id]
	changed := newPort(c, id, was.portState)
	r.publish(func(next *state) { next.setPort(id, changed) })
	if c.MAC != was.MAC {
		r.keepHouse(func(w *worker) { w.announce(changed.Port) })
		r.neighbors.Confirm(id)
	}
}

// RemovePort closes a port that was started, and forgets its neighbours. What it
// counted stays in the sums.
func (r *Router) RemovePort(id int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	port := r.state.Load().ports[id]
	for _, q := range port.queues {
		q.worker.release(q)
	}
	r.keepHouse(func(w *worker) { w.letGo(r.takeStopped(port.portState)) })
	r.publish(func(next *state) { next.setPort(id, nil) })
	r.lane.remove(port.portState)
	port.close() // a worker that still has the state before counts a tx_error
	r.keepHouse(func(w *worker) { w.failAll(r.neighbors.RemovePort(id)) })
	r.gone.mu.Lock()
	defer r.gone.mu.Unlock()
	for _, q := range port.queues {
		r.gone.add(&q.counts) // released, it counts no more
	}
	port.late.moveTo(&r.gone) // packets that came in here may still wait elsewhere
}

// housekeeping does what no packet causes: deadlines of neighbours, of fragments
// that wait, and of path MTUs.
func (r *Router) housekeeping() {
	tick := time.NewTicker(tickEvery)
	defer tick.Stop()
	for {
		select {
		case <-r.stop:
			return
		case <-tick.C:
			r.tick(time.Now()) // requests are paced by when they leave, not by when they were due
		}
	}
}

func (r *Router) tick(now time.Time) {
	if now.Sub(r.recorded) >= recordEvery {
		r.recorded = now
		r.trace.RefillForwarded()
		r.marks.Add(1)
		for _, p := range r.state.Load().ports {
			if p != nil {
				p.record()
			}
		}
	}
	r.trace.Refill(now)
	r.tickSlow(now)
	asks, failed := r.neighbors.Tick(now)
	late := r.fragments.expire(now)
	turned := r.idents.turn(now)
	for _, t := range r.state.Load().Tunnels.All() {
		r.tickTunnel(t, now)
		if turned {
			t.Owner.(*tunnelBook).numbers.turn()
		}
	}
	free := r.tickStop(now)
	if len(asks) == 0 && len(failed) == 0 && len(late) == 0 && len(free) == 0 {
		return
	}
	r.keepHouse(func(w *worker) {
		for _, a := range asks {
			if out := w.path.Port(a.Port); out != nil {
				w.request(out, a)
				w.relieve()
			}
		}
		w.failAll(failed)
		w.letGo(free)
		for _, p := range late {
			w.failAt(p, p.At(), verdict.ReassemblyTimeout)
			w.relieve()
		}
	})
}

// keepHouse has something done that no packet of a batch causes, as a batch of its own.
func (r *Router) keepHouse(do func(*worker)) {
	w := r.house
	w.mu.Lock()
	defer w.mu.Unlock()
	w.begin()
	do(w)
	w.flush()
	w.end()
}

func (r *Router) portGone(id int) {
	if p := r.state.Load().Port(id); p != nil && r.onGone != nil {
		r.onGone(p.Name)
	}
}

// readFailed counts an error, and tells of the first one, and whenever there are
// twice as many.
func (r *Router) readFailed(id int, err error) {
	p := r.state.Load().Port(id)
	if p == nil {
		return
	}
	if n := portOf(p).readErrors.Add(1); n&(n-1) == 0 {
		r.log.Warn("reading a port failed", "port", p.Name, "error", err, "errors", n)
	}
}
