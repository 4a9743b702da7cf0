package engine

import (
	"net/netip"
	"time"

	"github.com/vrouter/vrouter/forwarder"
	"github.com/vrouter/vrouter/internal/verdict"
)

// hold lets a packet wait: one that is stopped until it is let go, a fragment for the rest of
// its datagram, any other one for its next hop, which is asked for.
func (w *worker) hold(t *transit) {
	w.carryOut(t)
	if t.Due(forwarder.WaitStop) != nil {
		w.stopHere(t)
		return
	}
	if c := t.Due(forwarder.WaitRest); c != nil {
		w.reassemble(t, c)
		return
	}
	waits, ask := t.Due(forwarder.WaitNext), t.Due(forwarder.Ask)
	q := t.keep(ForNeighbor, w.router.trace)
	if q.rec != nil { // now: as soon as it is held, it may be another worker's
		if !w.router.neighbors.Peek(time.Now(), waits.Out.ID, waits.Addr, q.size()).Ask {
			ask.Withheld = forwarder.TooSoon
		}
		q.note(waits)
		q.note(ask)
		ask.Withheld = forwarder.NotWithheld
	}
	h := w.router.neighbors.Hold(time.Now(), waits.Out.ID, waits.Addr, q, q.size())
	for _, old := range h.Evicted {
		w.failAt(old, forwarder.Neigh, verdict.NeighborQueueFull)
	}
	switch {
	case h.Known: // resolved between the batch's snapshot and now
		w.resume([]*transit{q})
	case h.Refused:
		w.failAt(q, forwarder.Neigh, verdict.NeighborQueueFull)
	}
	if h.Ask {
		w.cause(t, ask)
	}
}

// learnt is a neighbour that packets have waited for.
type learnt struct {
	port    int
	addr    netip.Addr
	waiting []*transit
}

// goOnTo sends on what has waited for a neighbour, and then what has queued up behind it: so
// a flow keeps its order, whichever workers have its packets and the answer.
func (w *worker) goOnTo(n learnt) {
	for waiting := n.waiting; len(waiting) > 0; waiting = w.router.neighbors.Behind(n.port, n.addr) {
		w.resume(waiting)
		w.flush()
	}
}

// resume sends packets on that have waited, with the neighbours and ports as they are now:
// the router's own address may have changed meanwhile.
func (w *worker) resume(packets []*transit) {
	if len(packets) > 0 {
		w.state = w.router.state.Load()
		w.path.State, w.path.Neighbors = &w.state.State, w.router.neighbors.Snapshot()
	}
	for _, t := range packets {
		t.Out, t.Waited = w.portNow(t.Out), true
		w.conclude(t, w.path.Run(&t.Packet, forwarder.Neigh))
		w.relieve() // a waiting packet may stand for many segments
	}
}

// goOn takes a packet on from the step at which it was held, and counts what it had not met
// before: tunnels, and the route of one that is of no queue any more.
func (w *worker) goOn(t *transit) {
	from, into, routed := t.From, t.Into, t.Route != nil
	v := w.path.Run(&t.Packet, t.At())
	t.countTunnels(w.router, from, into)
	if t.late != nil && t.Route != nil && !routed {
		w.routes.count(t.Route, t.weight, t.bytes)
	}
	w.conclude(t, v)
}

// portNow is a port as it is now; one that was removed is as it was, and takes nothing any more.
func (w *worker) portNow(was *forwarder.Port) *forwarder.Port {
	if p := w.path.Port(was.ID); p != nil && p.Owner == was.Owner {
		return p
	}
	return was
}

// failAt ends the way of a packet that has waited in vain, at the step it waits for.
func (w *worker) failAt(t *transit, s *forwarder.Step, reason verdict.Reason) {
	w.conclude(t, w.path.Refuse(&t.Packet, s, reason))
}

// failAll ends the way of packets whose next hop did not answer.
func (w *worker) failAll(packets []*transit) {
	for _, t := range packets {
		w.failAt(t, forwarder.Neigh, verdict.NeighborUnresolved)
		w.relieve()
	}
}
