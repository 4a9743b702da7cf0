package forwarder

import (
	"errors"
	"slices"

	"github.com/vrouter/vrouter/internal/link"
	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/verdict"
)

// outgoing is a frame to be written when the batch is done.
type outgoing struct {
	frame *packet.Frame
	p     *Packet
	last  bool // of its packet
}

// send queues a packet's frames for its port. What was left undone, and the port
// cannot do, is done here.
func (w *worker) send(p *Packet) {
	if p.frame.Offload.Pending() && (!p.out.canOffload() || !p.frame.Plain()) {
		w.path.finish(p)
	}
	w.out = append(w.out, outgoing{p.frame, p, len(p.extra) == 0})
	for i, f := range p.extra {
		w.out = append(w.out, outgoing{f, p, i == len(p.extra)-1})
	}
	if p.fragments > 0 {
		p.out.tx.fragments.Add(uint64(p.fragments))
	}
}

// finish computes checksums and cuts segments for a port that does neither.
func (x *path) finish(p *Packet) {
	if p.frame.Offload.IsGSO() {
		x.segment(p)
		return
	}
	p.frame.FinishChecksum()
	for _, f := range p.extra {
		f.FinishChecksum()
	}
}

// flush writes what a batch sends, port by port and in order, and gives each
// packet its last verdict. Then all buffers are the reader's again.
func (w *worker) flush() {
	for len(w.out) > 0 {
		w.writePort(w.out[0].p.out)
	}
	w.path.giveBack()
	w.madeLen, w.recLen = 0, 0
	if len(w.path.scratch) > 2*scratchMax { // one frame was thousands of segments
		w.path.scratch = slices.Clone(w.path.scratch[:scratchMax])
		w.forget()
	}
}

// forget lets go of frames that are needed no more, wherever the last batch has left
// a pointer to them.
func (w *worker) forget() {
	w.out, w.mine, w.batch = nil, nil, nil
	for i := range w.packets {
		w.packets[i].extra = nil
	}
	for _, p := range w.made {
		p.extra = nil
	}
}

// writePort writes all that leaves by one port, and keeps the rest queued.
func (w *worker) writePort(port *Port) {
	w.batch = w.batch[:0]
	rest, mine := w.out[:0], w.mine[:0]
	for _, o := range w.out {
		if o.p.out.ID == port.ID {
			mine = append(mine, o)
			w.batch = append(w.batch, o.frame)
		} else {
			rest = append(rest, o)
		}
	}
	w.out, w.mine = rest, mine
	if port.Kind != Uplink && port.canOffload() {
		w.coalesce(mine)
	}
	queue := port.queueFor(w)
	for at := 0; at < len(w.batch); {
		n, err := queue.link.Write(w.batch[at:])
		w.countSent(port, w.batch[at:at+n])
		at += n
		if err != nil && at < len(w.batch) {
			failed(mine, w.batch[at], txReason(err))
			at++
		}
	}
	for i := range mine {
		if mine[i].last {
			w.settleTX(mine[i].p)
		}
	}
}

// coalesce joins TCP segments that follow each other to one workload, so that its
// stack takes them as one. Each packet keeps a verdict of its own: that of the
// frame it went into.
func (w *worker) coalesce(mine []outgoing) {
	w.batch = w.batch[:0]
	var head *packet.Frame
	for i := range mine {
		if head != nil && packet.Coalesce(head, mine[i].frame) {
			mine[i].frame = head
			continue
		}
		head = mine[i].frame
		w.batch = append(w.batch, head)
	}
}

// failed notes why a frame could not be sent, with all packets that went into it.
func failed(mine []outgoing, f *packet.Frame, reason verdict.Reason) {
	for i := range mine {
		if mine[i].frame == f {
			mine[i].p.failed = reason
		}
	}
}

func (w *worker) countSent(port *Port, sent []*packet.Frame) {
	var packets, bytes uint64
	for _, f := range sent {
		n, b := f.OnWire()
		packets += n
		bytes += b
	}
	port.tx.packets.Add(packets)
	port.tx.bytes.Add(bytes)
}

// settleTX gives a packet the verdict of tx: it passes if all its frames went out.
func (w *worker) settleTX(p *Packet) {
	v := pass
	if p.failed != verdict.None {
		v = verdict.Dropped(p.failed)
	}
	p.settle(verdict.TX, v)
	if v.Kind == verdict.Drop && p.origin != Received {
		w.router.made[p.origin].lost.Add(1)
	}
	w.deliver(p)
}

func txReason(err error) verdict.Reason {
	if errors.Is(err, link.ErrQueueFull) {
		return verdict.TXQueueFull
	}
	return verdict.TXError
}
