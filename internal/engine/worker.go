package engine

import (
	"os"
	"runtime"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vrouter/vrouter/forwarder"
	"github.com/vrouter/vrouter/internal/link"
	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/trace"
	"github.com/vrouter/vrouter/internal/verdict"
)

const (
	// scratchMax is when a batch is written early: frames the router made itself.
	scratchMax = 512
	// raised is how far the threads that forward come before the process that they are of, as of nice(1):
	// where the kernel is the router no program comes before it either. Where it is forbidden they do not.
	raised = -10
	// sampleEvery is how seldom a frame's steps are timed for the histogram, at each queue.
	sampleEvery = 1024
)

// worker is one thread that runs the packet path. It takes frames from its queues to
// whichever port they leave by: no queue between the steps, no hand-over.
type worker struct {
	router *Router
	path   forwarder.Path
	state  *state // of the batch
	number int
	nice   int // of its thread, from raise on

	poller link.Poller // nil: it only writes, what no frame has caused
	queues []*queue    // that the poller reads, by slot; nil: a free one
	orders chan func() // to be carried out between two batches
	ended  chan struct{}

	mu      sync.Mutex // held while a batch is under way; who reads the counters of its queues holds it
	batches uint64     // under mu, as are the next three
	marks   uint64     // Router.marks, when the ways of its queues were marked
	frames  uint64     // read so far
	routes  RouteCounts

	packets [link.BatchSize]transit // of the batch, in the frames that the poller lends
	made    []*transit              // packets the router makes in this batch, reused
	madeLen int
	out     []outgoing      // of the batch, in order
	mine    []outgoing      // of them, those for the port that is being written
	batch   []*packet.Frame // of one Write
	records []*trace.Record // for the packets of a batch, while somebody listens
	recLen  int
	learnt  learnt        // from the packet that is on its way
	clock   time.Time     // of this batch; zero: not looked at yet
	payer   int           // slot of the queue whose frame is on its way
	unpaid  time.Duration // nobody has been charged yet
}

// newWriter is a worker that reads nothing.
func newWriter(r *Router) *worker {
	return &worker{router: r, path: forwarder.Path{Numbers: r, Secret: r.secret}}
}

func newWorker(r *Router, number int, p link.Poller) *worker {
	w := newWriter(r)
	w.number, w.poller, w.orders, w.ended = number, p, make(chan func(), 1), make(chan struct{})
	return w
}

// raise gives the worker's thread its priority, or notes which one it has.
func (w *worker) raise() {
	runtime.LockOSThread() // and never unlocked: the thread ends with the worker
	_ = unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), niceNow()+raised)
	w.nice = niceNow()
}

// niceNow is the priority of this thread.
func niceNow() int {
	n, _ := unix.Getpriority(unix.PRIO_PROCESS, unix.Gettid())
	return 20 - n // of the system call, as the library's is another one
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
			w.bookCosts(from)
			w.end()
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
	w.state = w.router.state.Load()
	w.path.State = &w.state.State
	w.path.FIB = w.router.rib.FIB()
	w.path.Neighbors = w.router.neighbors.Snapshot()
	w.path.Keys = *w.router.idents.keys.Load()
	w.clock = time.Time{}
	if marks := w.router.marks.Load(); marks != w.marks {
		w.marks = marks
		w.mark()
	}
}

// mark has the next packet recorded that is forwarded by each way.
func (w *worker) mark() {
	for _, q := range w.queues {
		if q != nil && q.counts.Packets != q.marked {
			q.marked = q.counts.Packets
			q.counts.Ways.mark()
		}
	}
}

// end lets go of them: an idle worker keeps no table alive that is out of date.
func (w *worker) end() {
	w.state = nil
	w.path.Rest()
}

// runBatch takes frames through the pipeline; from[i] is the slot of the queue that
// frames[i] came by.
func (w *worker) runBatch(frames []packet.Frame, from []int) {
	w.batches++
	w.frames += uint64(len(frames))
	listeners, stop := w.router.trace.Listeners(), w.router.stopped.Load()
	for i := range frames {
		if from[i] != w.payer {
			w.payPath()
			w.payer = from[i]
		}
		t, f, q := &w.packets[i], &frames[i], w.queues[from[i]]
		in := w.state.ports[q.port]
		honest := t.Begin(f, in.Port)
		packets, bytes := uint64(1), uint64(f.Len)
		if honest && f.Offload.IsGSO() {
			packets, bytes = f.OnWire()
		}
		t.books = books{in: in, queue: q, weight: packets, bytes: bytes}
		q.counts.Packets += packets
		q.counts.Bytes += bytes
		w.watch(t, listeners, stop)
		w.forward(t, forwarder.RX)
		w.relieve()
	}
}

// relieve writes what there is if the router has made a lot of it.
func (w *worker) relieve() {
	if w.path.Made() > scratchMax {
		w.flush()
	}
}

// watch decides whether the packet's steps are timed or recorded, and whether it is to be stopped.
func (w *worker) watch(t *transit, listeners *trace.Listeners, stop *stop) {
	t.queue.frames++
	t.sampled = t.queue.frames%sampleEvery == 0
	if listeners != nil {
		if wanted := listeners.Wanted(t.Frame.Bytes(), t.In.Name, t.queue.frames%trace.WeighEvery == 0); wanted != 0 {
			t.rec = w.record(t.Frame, t.In.Name)
			t.rec.For(listeners, wanted)
		}
	}
	if stop != nil && stop.filter.MatchInner(t.Frame.Bytes()) {
		t.stop, t.before = stop.id, uint8(stop.before.Number())
	}
	if t.sampled || t.rec != nil || t.stop != 0 {
		t.watch()
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

// forward takes a packet through the steps, from one of them on, and does what follows.
func (w *worker) forward(t *transit, from *forwarder.Step) {
	v := w.path.Run(&t.Packet, from)
	if t.From != nil || t.Into != nil {
		t.countTunnels(w.router, nil, nil)
	}
	w.conclude(t, v)
}

// conclude sends a packet that has passed, keeps one that waits, and counts the end of
// any other and carries out what is to be done because of it.
func (w *worker) conclude(t *transit, v verdict.Verdict) {
	switch v.Kind {
	case verdict.Pass:
		if len(t.Consequences()) > 0 {
			w.carryOut(t)
		}
		w.send(t)
	case verdict.Hold:
		w.hold(t)
	default:
		t.end(t.At(), v)
		if v.Kind == verdict.Drop && t.Origin != forwarder.Received {
			w.router.made[t.Origin].lost.Add(1)
		}
		w.carryOut(t)
		w.deliver(t)
		if n := w.learnt; n.waiting != nil {
			w.learnt = learnt{}
			w.goOnTo(n)
		}
	}
}

// now is the time of the batch, looked at when first asked for: a packet that is
// merely forwarded never asks.
func (w *worker) now() time.Time {
	if w.clock.IsZero() {
		w.clock = time.Now()
	}
	return w.clock
}

func (w *worker) deliver(t *transit) {
	if t.rec != nil {
		w.router.trace.Deliver(t.rec)
		t.rec = nil
	}
}
