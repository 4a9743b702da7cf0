package forwarder

import (
	"time"
	"unsafe"

	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/trace"
	"github.com/vrouter/vrouter/internal/verdict"
)

// neigh writes the Ethernet header: from the port's own address to the next
// hop's. While that is not known the packet waits (worker.hold).
func (x *path) neigh(p *Packet) verdict.Verdict {
	n := x.neighbors.Lookup(p.nextHop)
	if n == nil || n.Port != p.out.ID {
		return hold
	}
	p.neighbor = n
	if !p.dry {
		n.Use()
	}
	p.frame.SetEthernet(n.MAC, p.out.MAC, packet.EtherTypeIPv4)
	for _, f := range p.extra {
		f.SetEthernet(n.MAC, p.out.MAC, packet.EtherTypeIPv4)
	}
	return edit
}

// hold lets a packet wait: a fragment for the rest of its datagram, any other one
// for its next hop, which is asked for.
func (w *worker) hold(p *Packet) {
	if p.ip.IsFragment() && p.asked != 0 {
		w.reassemble(p)
		return
	}
	q := p.keep(w.router.trace)
	h := w.router.neighbors.Hold(time.Now(), p.out.ID, p.nextHop, q, q.size())
	for _, old := range h.Evicted {
		w.failAt(old, verdict.Neigh, verdict.NeighborQueueFull)
	}
	switch {
	case h.Known: // resolved between the batch's snapshot and now
		w.resume([]*Packet{q})
	case h.Refused:
		w.failAt(q, verdict.Neigh, verdict.NeighborQueueFull)
	case h.Elsewhere:
		w.failAt(q, verdict.Neigh, verdict.NeighborUnresolved)
	}
	if h.Ask {
		w.ask(p.out, p.nextHop, packet.Broadcast, p)
	}
}

// resume sends packets on that have waited, with the neighbours and ports as they are now:
// the router's own address may have changed meanwhile.
func (w *worker) resume(packets []*Packet) {
	if len(packets) > 0 {
		w.path.state, w.path.neighbors = w.router.state.Load(), w.router.neighbors.Snapshot()
	}
	for _, p := range packets {
		p.out = w.path.now(p.out)
		w.conclude(p, w.path.run(p, verdict.Neigh))
		w.relieve() // a waiting packet may stand for many segments
	}
}

// now is a port as it is now; one that was removed is as it was, and takes nothing any more.
func (x *path) now(was *Port) *Port {
	if p := x.port(was.ID); p != nil && p.portState == was.portState {
		return p
	}
	return was
}

// failAt ends the way of a packet that has waited in vain, at the step it waits for.
func (w *worker) failAt(p *Packet, s verdict.Step, reason verdict.Reason) {
	v := verdict.Dropped(reason)
	p.settle(s, v)
	w.conclude(p, v)
}

// failAll ends the way of packets whose next hop did not answer.
func (w *worker) failAll(packets []*Packet) {
	for _, p := range packets {
		w.failAt(p, verdict.Neigh, verdict.NeighborUnresolved)
		w.relieve()
	}
}

// keep copies the packet for as long as it has to wait: the batch's buffers are
// the reader's again as soon as the batch is written.
func (p *Packet) keep(hub *trace.Hub) *Packet {
	q := *p
	q.frame = p.frame.Clone()
	q.ip = packet.IPv4(q.frame.Payload())[q.outer:]
	q.extra = nil
	for _, f := range p.extra {
		q.extra = append(q.extra, f.Clone())
	}
	q.rec = hub.Hold(p.rec)
	if p.queue != nil {
		p.queue.counts.Waits[p.waitsFor()].Held += p.weight
		p.countRoute()
		q.queue, q.late, q.sampled = nil, &p.in.late, false
	}
	return &q
}

// waitsFor is what a packet that waits does so for, or has waited for.
func (p *Packet) waitsFor() int {
	if p.asked != 0 {
		return ForFragments
	}
	return ForNeighbor
}

// packetSize is the memory in bytes that a packet takes beside what its frame holds.
const packetSize = int(unsafe.Sizeof(Packet{}) + unsafe.Sizeof(packet.Frame{}))

// size is the memory in bytes that a packet takes while it waits, without its record.
func (p *Packet) size() int {
	n := packetSize + len(p.frame.Buf)
	for _, f := range p.extra {
		n += len(f.Buf)
	}
	return n
}
