package forwarder

import (
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/vrouter/vrouter/arpproxy"
	"github.com/vrouter/vrouter/internal/link"
	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/trace"
	"github.com/vrouter/vrouter/internal/verdict"
)

const (
	// scratchMax is when a batch is written early: frames the router made itself.
	scratchMax = 512
	// sampleEvery is how seldom a packet's steps are timed for the histogram, at each queue.
	sampleEvery = 1024
)

// worker is one thread of the packet path. It takes frames from its queues to
// whichever port they leave by: no queue between the steps, no hand-over.
type worker struct {
	router *Router
	path   path
	number int

	poller link.Poller // nil: it only writes, what no frame has caused
	queues []*queue    // that the poller reads, by slot; nil: a free one
	orders chan func() // to be carried out between two batches
	ended  chan struct{}

	mu      sync.Mutex // held while a batch is under way; who reads the counters of its queues holds it
	batches uint64     // under mu, as are the next two
	frames  uint64     // read so far
	routes  RouteCounts

	packets [link.BatchSize]Packet // of the batch, in the frames that the poller lends
	made    []*Packet              // packets the router makes in this batch, reused
	madeLen int
	out     []outgoing      // of the batch, in order
	mine    []outgoing      // of them, those for the port that is being written
	batch   []*packet.Frame // of one Write
	records []*trace.Record // for the packets of a batch, while somebody listens
	recLen  int
	clock   time.Time // of this batch; zero: not looked at yet
}

// newWriter is a worker that reads nothing.
func newWriter(r *Router) *worker { return &worker{router: r} }

func newWorker(r *Router, number int, p link.Poller) *worker {
	return &worker{router: r, number: number, poller: p, orders: make(chan func(), 1), ended: make(chan struct{})}
}

// run is the worker's life: read a batch, take it through the pipeline, write it.
func (w *worker) run() {
	defer close(w.ended)
	defer w.poller.Close()
	for {
		frames, from, err := w.poller.Read()
		if len(frames) > 0 {
			w.mu.Lock()
			w.begin()
			w.runBatch(frames, from)
			w.flush()
			w.mu.Unlock()
		}
		if err != nil {
			w.readFailed(err)
		}
		select {
		case order := <-w.orders:
			order()
		case <-w.router.stop:
			return
		default:
		}
	}
}

// do has the worker carry something out between two batches, and waits for it. A
// worker that has ended does nothing any more.
func (w *worker) do(order func()) {
	done := make(chan struct{})
	select {
	case w.orders <- func() { order(); close(done) }:
	case <-w.ended:
		return
	}
	w.poller.Wake()
	select {
	case <-done:
	case <-w.ended:
	}
}

// adopt has the worker read a queue.
func (w *worker) adopt(q *queue) (err error) {
	err = os.ErrClosed
	w.do(func() {
		if q.slot = slices.Index(w.queues, nil); q.slot < 0 {
			q.slot = len(w.queues)
			w.queues = append(w.queues, nil)
		}
		if err = w.poller.Add(q.slot, q.link); err == nil {
			w.queues[q.slot] = q
		}
	})
	return err
}

// release has the worker no longer read a queue: when it returns, no packet that
// came by the queue is on its way.
func (w *worker) release(q *queue) {
	w.do(func() {
		if q.slot < len(w.queues) && w.queues[q.slot] == q {
			w.poller.Remove(q.slot)
			w.queues[q.slot] = nil
		}
	})
}

// readFailed looks at what a port could not be read for. All but the end of the
// device passes.
func (w *worker) readFailed(failed *link.ReadError) {
	q := w.queues[failed.ID]
	if failed.Err == link.ErrGone {
		w.router.portGone(q.port)
		return
	}
	w.router.readFailed(q.port, failed)
}

// begin takes the snapshots that hold for the batch.
func (w *worker) begin() {
	w.path.state = w.router.state.Load()
	w.path.fib = w.router.rib.FIB()
	w.path.neighbors = w.router.neighbors.Snapshot()
	w.path.idents = w.router.idents
	w.clock = time.Time{}
}

// runBatch takes frames through the pipeline; from[i] is the slot of the queue that
// frames[i] came by.
func (w *worker) runBatch(frames []packet.Frame, from []int) {
	w.batches++
	w.frames += uint64(len(frames))
	listeners := w.router.trace.Listeners()
	for i := range frames {
		p, f, q := &w.packets[i], &frames[i], w.queues[from[i]]
		packets, bytes := uint64(1), uint64(f.Len)
		if f.Offload.IsGSO() && f.OffloadValid() {
			packets, bytes = f.OnWire()
		}
		*p = Packet{frame: f, in: w.path.port(q.port), weight: packets, bytes: bytes, queue: q, extra: p.extra[:0]}
		q.counts.Packets += packets
		q.counts.Bytes += bytes
		w.watch(p, listeners)
		w.conclude(p, w.path.run(p, verdict.RX))
		w.relieve()
	}
}

// relieve writes what there is if the router has made a lot of it.
func (w *worker) relieve() {
	if w.path.scratchLen > scratchMax {
		w.flush()
	}
}

// watch decides whether the packet's steps are timed or recorded.
func (w *worker) watch(p *Packet, listeners *trace.Listeners) {
	p.sampled = p.queue.counts.Packets%sampleEvery < p.weight
	if listeners != nil {
		if wanted := listeners.Wanted(p.frame.Bytes(), p.in.Name); wanted != 0 {
			p.rec = w.record(p.frame, p.in.Name)
			p.rec.For(listeners, wanted)
		}
	}
	if p.sampled || p.rec != nil {
		p.watched = true
		p.start = time.Now()
	}
}

func (w *worker) record(f *packet.Frame, in string) *trace.Record {
	if w.recLen == len(w.records) {
		w.records = append(w.records, &trace.Record{})
	}
	r := w.records[w.recLen]
	w.recLen++
	r.Begin(w.router.trace.NextID(), time.Now().UnixNano(), in, f)
	return r
}

// conclude does what a verdict asks for.
func (w *worker) conclude(p *Packet, v verdict.Verdict) {
	switch v.Kind {
	case verdict.Pass:
		w.send(p)
	case verdict.Hold:
		w.hold(p)
	case verdict.Consume:
		w.answer(p)
		w.deliver(p)
		w.hear(p)
	case verdict.Drop:
		w.dropped(p, v.Reason)
		w.deliver(p)
		w.hear(p)
	}
}

// answer sends what the router says to a packet that it took.
func (w *worker) answer(p *Packet) {
	switch {
	case p.tunnel != nil:
		w.takeTunnelError(p)
	case p.answer == nil:
	case p.heard == arpproxy.Conflict && !p.in.defence.allow(w.now(), defenceRate, 1):
	case p.kind == ARPReply || p.kind == ARPRequest:
		w.originateAt(p.in, p.answer, p.kind, p)
	default:
		w.originate(p.answer, p.kind, p)
	}
}

// dropped tells the source, where a rule says so, and counts what is said or
// held back.
func (w *worker) dropped(p *Packet, reason verdict.Reason) {
	if p.origin != Received {
		w.router.made[p.origin].lost.Add(1)
		return
	}
	if p.guessed {
		w.refuse(p.tunnel)
	}
	if e, due := p.errorFor(reason); due {
		w.sendError(p, e)
	}
}

// sendError tells a packet's source, unless a rule forbids it.
func (w *worker) sendError(p *Packet, e verdict.ICMPError) {
	why, ok := w.path.mayTell(p)
	if ok && !p.in.limiter.allow(w.now(), icmpRate, icmpBurst) {
		why, ok = rateLimited, false
	}
	if !ok {
		w.router.suppressed[why].Add(1)
		return
	}
	w.router.countICMPError(e)
	w.originate(w.path.icmpError(p, e), ICMPError, p)
}

// originate sends an IPv4 packet that the router makes because of another one,
// by way of the route, like any other.
func (w *worker) originate(f *packet.Frame, kind Origin, cause *Packet) {
	f.SetEthernet(packet.MAC{}, packet.MAC{}, packet.EtherTypeIPv4) // to be written by neigh
	p := w.make(f, kind, cause)
	p.ip = packet.IPv4(f.Payload())
	w.conclude(p, w.path.run(p, verdict.Route))
}

// originateAt sends a whole frame that the router makes, by one port: ARP.
func (w *worker) originateAt(out *Port, f *packet.Frame, kind Origin, cause *Packet) {
	p := w.make(f, kind, cause)
	p.out = out
	w.send(p)
}

// make is a packet of the router's own, recorded for those who see its cause.
func (w *worker) make(f *packet.Frame, kind Origin, cause *Packet) *Packet {
	w.router.made[kind].total.Add(1)
	p := w.newPacket()
	p.frame, p.origin, p.weight = f, kind, 1
	if cause != nil && cause.rec != nil {
		p.rec = w.record(f, "")
		p.rec.ForSame(cause.rec)
		p.watched, p.start = true, time.Now()
	}
	return p
}

// ask sends an ARP request by a port: to everybody, or to the one station whose
// address is to be confirmed.
func (w *worker) ask(out *Port, target netip.Addr, to packet.MAC, cause *Packet) {
	f := w.path.borrow()
	f.Reset(packet.EthernetLen + packet.ARPLen)
	f.SetEthernet(to, out.MAC, packet.EtherTypeARP)
	m := packet.ARPMessage{
		Op:        packet.ARPRequest,
		SenderMAC: out.MAC, SenderIP: w.path.sourceFor(target), TargetIP: target,
	}
	m.Put(f.Payload())
	w.originateAt(out, f, ARPRequest, cause)
}

// newPacket lends an empty packet, until the batch is written.
func (w *worker) newPacket() *Packet {
	if w.madeLen == len(w.made) {
		w.made = append(w.made, &Packet{})
	}
	p := w.made[w.madeLen]
	w.madeLen++
	*p = Packet{extra: p.extra[:0]}
	return p
}

// now is the time of the batch, looked at when first asked for: a packet that is
// merely forwarded never asks.
func (w *worker) now() time.Time {
	if w.clock.IsZero() {
		w.clock = time.Now()
	}
	return w.clock
}

func (w *worker) deliver(p *Packet) {
	if p.rec != nil {
		w.router.trace.Deliver(p.rec)
		p.rec = nil
	}
}
