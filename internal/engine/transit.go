package engine

import (
	"time"
	"unsafe"

	"github.com/vrouter/vrouter/forwarder"
	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/trace"
	"github.com/vrouter/vrouter/internal/verdict"
)

// transit is a packet on its way, with the books that it is counted in and with whoever
// watches it.
type transit struct {
	forwarder.Packet
	books
}

// books are what the worker and the observers need of a packet, all of it cleared for
// the next one.
type books struct {
	in     *port   // it came by; nil: the router made it
	queue  *queue  // it came by, where it is counted; nil: it is not, or it has waited
	late   *ledger // where it is counted since it has waited; nil: it has not
	weight uint64  // packets on the wire, when it was received
	bytes  uint64  // of them

	rec     *trace.Record  // nil: nobody listens
	start   time.Time      // of its way, where it is watched
	last    time.Duration  // since then, when the last step ended
	waits   uint8          // what it waits for, or has waited for: ForNeighbor, ForFragments or ForStop
	failed  verdict.Reason // why a frame of it was not sent
	sampled bool           // its steps are timed
	before  uint8          // the number of the step before which it is to be stopped
	stop    uint32         // that it is to wait at; 0: none
}

// watch has the steps timed, or recorded.
func (t *transit) watch() {
	t.Watch, t.start = t, time.Now()
}

// Judged implements forwarder.Observer: it records when a step ended and what it did, and
// stops a packet before the next one.
func (t *transit) Judged(_ *forwarder.Packet, s *forwarder.Step, v verdict.Verdict) (stop bool) {
	now := time.Since(t.start)
	if t.sampled {
		t.queue.counts.Durations[s.Number()].observe(now - t.last)
	}
	if t.rec != nil {
		if s == forwarder.TX && v.Kind == verdict.Pass {
			t.rec.Out = t.Out.Name
		}
		t.rec.Add(s, v, now.Nanoseconds(), t.factsOf(s), t.Frame)
	}
	t.last = time.Since(t.start) // the recording itself is not the next step's time
	return t.stop != 0 && int(t.before) == s.Number()+1
}

// note records a consequence for those who watch.
func (t *transit) note(c *forwarder.Consequence) {
	if t.rec != nil {
		t.rec.AddDue(trace.Due{Consequence: *c})
	}
}

// factsOf are the facts of a step, with how old the neighbour is now.
func (t *transit) factsOf(s *forwarder.Step) forwarder.Facts {
	f := t.FactsOf(s)
	if f.Known != nil {
		if at, ok := f.Known.Confirmed(); ok {
			f.Age = time.Since(at).Seconds()
		}
		f.Known = nil
	}
	return f
}

// end counts a packet by the way that it has taken: the one place where that is done.
func (t *transit) end(s *forwarder.Step, v verdict.Verdict) {
	way := trace.WayOf(t.Edited, s, v)
	switch {
	case t.queue != nil:
		if t.queue.counts.Ways.add(way, t.weight) {
			t.keepForwarded(way)
		}
		t.queue.counts.Six += t.six(v)
		t.countRoute()
	case t.late != nil:
		if t.late.countLate(int(t.waits), way, t.weight, t.six(v)) {
			t.keepForwarded(way)
		}
	default:
		return
	}
	if v.Kind == verdict.Drop && t.in.wants(v) {
		t.keepRecord(way)
	}
}

// six is how many packets it is that were forwarded and are IPv6.
func (t *transit) six(v verdict.Verdict) uint64 {
	if v.Kind == verdict.Pass && t.IP.Version() == 6 {
		return t.weight
	}
	return 0
}

// keepRecord has the record of a dropped packet kept; one that nobody has watched
// is made now.
func (t *transit) keepRecord(way trace.Way) {
	hub := t.in.hub
	if t.rec != nil {
		hub.Keep(t.rec.Copy())
		return
	}
	hub.Keep(trace.Recall(hub.NextID(), time.Now().UnixNano(), t.In.Name, t.Frame, way, t.factsOf))
}

// keepForwarded has the record of a packet kept if it was forwarded, under a number of its own.
func (t *transit) keepForwarded(way trace.Way) {
	if !way.Forwarded() {
		return
	}
	hub := t.in.hub
	id, ok := hub.NextForwarded()
	if !ok {
		return
	}
	var r *trace.Record
	if t.rec != nil {
		r = t.rec.Copy()
		r.ID = id
	} else {
		r = trace.Recall(id, time.Now().UnixNano(), t.In.Name, t.Frame, way, t.factsOf)
		r.Out = t.Out.Name
	}
	hub.KeepForwarded(r, way)
}

// countRoute counts a packet at the route that was found for it, once: when its way
// ends or it begins to wait, so that it is the worker of its queue that counts.
func (t *transit) countRoute() {
	if t.Route != nil {
		t.queue.worker.routes.count(t.Route, t.weight, t.bytes)
	}
}

// countTunnels counts what came out of a tunnel or went into one, if it was not there before.
func (t *transit) countTunnels(r *Router, from, into *forwarder.Tunnel) {
	if t.From != from {
		t.From.Owner.(*tunnelBook).rx.Add(t.weight)
	}
	if t.Into != into {
		n := uint64(1 + len(t.Extra()))
		if t.Cut == forwarder.CutByKernel {
			n, _ = t.Frame.OnWire()
		}
		if t.Cut != forwarder.NoCut {
			t.Into.Owner.(*tunnelBook).super[t.Cut].Add(1)
		}
		if book := t.Into.Owner.(*tunnelBook); book.tx.Add(n) == n {
			r.changeTunnel(t.Into.Peer, func(t *forwarder.Tunnel) { t.Sent = true })
		}
	}
}

// keep copies the packet for as long as it has to wait, and enters it as held. It may have
// waited for something else before.
func (t *transit) keep(waits uint8, hub *trace.Hub) *transit {
	q := &transit{t.Keep(), t.books}
	q.waits = waits
	if q.rec = hub.Hold(t.rec); q.rec != nil || q.stop != 0 {
		q.Watch = q
	}
	switch {
	case t.late != nil:
		t.late.countAgain(int(t.waits), int(waits), t.weight)
	case t.queue != nil:
		t.queue.counts.Waits[waits].Held += t.weight
		t.countRoute()
		q.queue, q.late, q.sampled = nil, &t.in.late, false
	}
	return q
}

// transitSize is the memory in bytes that a packet takes beside what its frame holds.
const transitSize = int(unsafe.Sizeof(transit{}) + unsafe.Sizeof(packet.Frame{}))

// size is the memory in bytes that a packet takes while it waits, without its record.
func (t *transit) size() int {
	n := transitSize + len(t.Frame.Buf)
	for _, f := range t.Extra() {
		n += len(f.Buf)
	}
	return n
}
