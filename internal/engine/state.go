package engine

import (
	"sync/atomic"
	"time"

	"github.com/vrouter/vrouter/arpproxy"
	"github.com/vrouter/vrouter/forwarder"
	"github.com/vrouter/vrouter/internal/link"
	"github.com/vrouter/vrouter/internal/trace"
	"github.com/vrouter/vrouter/internal/verdict"
)

// state is an immutable snapshot: what the path sees of settings, ports and tunnels,
// and the ports with their books.
type state struct {
	forwarder.State
	ports []*port // by ID; nil where one was removed
}

// port is a port: what the path sees of it at one moment, and what stays over all of
// them.
type port struct {
	*forwarder.Port
	*portState
}

// portState lives as long as the port does.
type portState struct {
	queues        []*queue
	hub           *trace.Hub
	unrecorded    [2]atomic.Uint64 // losses, noise; bit n: the next packet that is dropped for reason n is recorded
	late          ledger           // of packets that came in here and had to wait
	tx            txCounters
	arpRequests   [arpproxy.NumAnswers]atomic.Uint64
	solicitations [arpproxy.NumAnswers]atomic.Uint64
	limiter       limiter // of ICMP errors about what comes in here
	defence       limiter // of the router's addresses, against who claims them here
	conflicts     atomic.Uint64
	readErrors    atomic.Uint64
	pace          pace
	past          slowPast // under lane.mu, as is the next one
	removed       bool
}

// queue is a socket or device through which a port's frames come and go. One
// worker reads it; its counters are that worker's (worker.mu).
type queue struct {
	port   int // ID
	link   link.Port
	worker *worker
	slot   int           // in worker.queues
	frames uint64        // read
	cost   time.Duration // of its worker's time
	counts Tally
	marked uint64 // packets, when its ways were last marked
}

// newPort is a port as the path sees it now. One without a queue, through which nothing comes,
// is as good as any.
func newPort(c forwarder.PortConfig, id int, s *portState) *port {
	offload := len(s.queues) == 0 || s.queues[0].link.CanOffload()
	return &port{&forwarder.Port{PortConfig: c, ID: id, Offload: offload, Owner: s}, s}
}

// All reasons have a bit.
const _ = uint(64 - verdict.NumReasons)

// record has the next packet recorded that came in here, of each reason, and of what has waited of each way.
func (p *portState) record() {
	p.late.mark()
	for i := range p.unrecorded {
		p.unrecorded[i].Store(^uint64(0))
	}
}

// wants says, once, whether a packet that is dropped for a reason is to be recorded.
// In a flood of drops it costs the look at a word that is seldom written.
func (p *portState) wants(v verdict.Verdict) bool {
	bit, word := uint64(1)<<v.Reason, &p.unrecorded[0]
	if v.Noise {
		word = &p.unrecorded[1]
	}
	return word.Load()&bit != 0 && word.And(^bit)&bit != 0
}

// queueFor is the queue by which a worker writes.
func (p *portState) queueFor(w *worker) *queue { return p.queues[w.number%len(p.queues)] }

// txCounters count what leaves by a port; several workers write to it.
type txCounters struct {
	packets, bytes, fragments atomic.Uint64
}
