package engine

import (
	"errors"

	"github.com/vrouter/vrouter/forwarder"
	"github.com/vrouter/vrouter/internal/link"
	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/verdict"
)

// outgoing is a frame to be written when the batch is done.
type outgoing struct {
	frame *packet.Frame
	t     *transit
	last  bool // of its packet
	payer int  // slot of the queue that it is at the expense of
}

// send queues a packet's frames for its port.
func (w *worker) send(t *transit) {
	if t.Neighbor != nil {
		t.Neighbor.Use()
	}
	w.out = append(w.out, outgoing{t.Frame, t, len(t.Extra()) == 0, w.payer})
	for i, f := range t.Extra() {
		w.out = append(w.out, outgoing{f, t, i == len(t.Extra())-1, w.payer})
	}
	if t.rec != nil && len(t.Extra()) > 0 {
		c := t.Sent()
		t.note(&c)
	}
	if n := t.Pieces(); n > 0 {
		portOf(t.Out).tx.fragments.Add(uint64(n))
	}
}

// flush writes what a batch sends, port by port and in order, and gives each
// packet its last verdict. Then all buffers are the reader's again.
func (w *worker) flush() {
	w.payPath()
	for len(w.out) > 0 {
		w.writePort(w.out[0].t.Out)
	}
	w.madeLen, w.recLen = 0, 0
	if w.path.Release(scratchMax) {
		w.forget()
	}
}

// forget lets go of frames that are needed no more, wherever the last batch has left
// a pointer to them.
func (w *worker) forget() {
	w.out, w.mine, w.batch = nil, nil, nil
	for i := range w.packets {
		w.packets[i].Forget()
	}
	for _, t := range w.made {
		t.Forget()
	}
}

// writePort writes all that leaves by one port, and keeps the rest queued.
func (w *worker) writePort(to *forwarder.Port) {
	port := portOf(to)
	w.batch = w.batch[:0]
	rest, mine := w.out[:0], w.mine[:0]
	for _, o := range w.out {
		if portOf(o.t.Out) == port {
			mine = append(mine, o)
			w.batch = append(w.batch, o.frame)
		} else {
			rest = append(rest, o)
		}
	}
	w.out, w.mine = rest, mine
	if to.Kind != forwarder.Uplink && to.Offload {
		w.coalesce(mine)
	}
	queue := port.queueFor(w)
	if to.Kind == forwarder.Workload {
		w.writeWorkload(to, queue)
	} else {
		w.write(port, queue, w.batch)
	}
	w.payWrite(mine)
	for i := range mine {
		if mine[i].last {
			w.settleTX(mine[i].t)
		}
	}
}

// writeWorkload writes to a port that may be slow: then what is left goes by the slow lane.
func (w *worker) writeWorkload(to *forwarder.Port, queue *queue) {
	for done := 0; done < len(w.batch); {
		done += w.writes(to, queue, w.batch[done:])
		if done < len(w.batch) && w.hand(portOf(to), w.batch[done:]) {
			return
		}
	}
}

// write writes frames, and notes which could not be sent.
func (w *worker) write(port *portState, queue *queue, frames []*packet.Frame) {
	for at := 0; at < len(frames); {
		n, err := queue.link.Write(frames[at:])
		w.countSent(port, frames[at:at+n])
		at += n
		if err != nil && at < len(frames) {
			failed(w.mine, frames[at], txReason(err))
			at++
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
			mine[i].t.failed = reason
		}
	}
}

func (w *worker) countSent(port *portState, sent []*packet.Frame) {
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
func (w *worker) settleTX(t *transit) {
	v := verdict.Verdict{Kind: verdict.Pass}
	if t.failed != verdict.None {
		v = verdict.Dropped(t.failed)
	}
	if t.Watch != nil {
		t.Judged(&t.Packet, forwarder.TX, v)
	}
	t.end(forwarder.TX, v)
	if v.Kind == verdict.Drop && t.Origin != forwarder.Received {
		w.router.made[t.Origin].lost.Add(1)
	}
	w.deliver(t)
}

func txReason(err error) verdict.Reason {
	if errors.Is(err, link.ErrQueueFull) {
		return verdict.TXQueueFull
	}
	return verdict.TXError
}

// portOf is what stays of a port over all changes of it.
func portOf(p *forwarder.Port) *portState { return p.Owner.(*portState) }
