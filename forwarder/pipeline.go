// Package forwarder is the packet path: it reads frames from ports, takes each
// through the steps of one pipeline, and writes it to another port. Live traffic
// and `explain` run the same pipeline.
//
// To follow a packet, start at worker.run in worker.go, which reads a batch, then
// read the table below from top to bottom.
package forwarder

import (
	"github.com/vrouter/vrouter/internal/neigh"
	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/verdict"
	"github.com/vrouter/vrouter/rib"
)

// steps is the packet path, in the order in which a packet meets it. A step
// judges and rewrites the packet; it does no I/O, reads no clock, takes no lock,
// counts nothing and calls no other step: that is the loop's (run).
//
// The last step, tx, has no function: its verdict is the kernel's, when the
// batch is written (worker.flush).
var steps = [verdict.TX]func(*path, *Packet) verdict.Verdict{
	verdict.RX:    (*path).rx,    // rx.go
	verdict.ARP:   (*path).arp,   // arp.go
	verdict.Check: (*path).check, // check.go
	verdict.Decap: (*path).decap, // tunnel.go
	verdict.RPF:   (*path).rpf,   // local.go
	verdict.Local: (*path).local, // local.go
	verdict.Route: (*path).route, // route.go
	verdict.TTL:   (*path).ttl,   // route.go
	verdict.MTU:   (*path).mtu,   // mtu.go
	verdict.Encap: (*path).encap, // tunnel.go
	verdict.Neigh: (*path).neigh, // neigh.go
}

// The verdicts without a reason.
var (
	pass    = verdict.Verdict{Kind: verdict.Pass}
	edit    = verdict.Verdict{Kind: verdict.Edit}
	consume = verdict.Verdict{Kind: verdict.Consume}
	hold    = verdict.Verdict{Kind: verdict.Hold}
)

// path is what the steps see: the snapshots of one batch, and scratch memory of
// the worker that runs them.
type path struct {
	*state
	fib        *rib.FIB
	neighbors  *neigh.Snapshot
	idents     *idents         // of what the router makes itself
	scratch    []*packet.Frame // frames the router makes in this batch
	scratchLen int
}

// run takes a packet through the steps, from one of them on, until one ends its
// way. pass means that the packet is ready to be sent; hold, that it waits for
// its next hop, or for the rest of its datagram, and has had no verdict of that
// step yet.
func (x *path) run(p *Packet, from verdict.Step) verdict.Verdict {
	for s := from; s < verdict.TX; s++ {
		v := steps[s](x, p)
		if v.Kind == verdict.Hold {
			return v
		}
		p.settle(s, v)
		if v.Kind.Ends() {
			return v
		}
	}
	return pass
}

// scratchKept is the largest buffer in bytes that stays with the scratch memory: a
// packet of any Ethernet, jumbo frames among them, costs no allocation.
const scratchKept = 10 << 10

// borrow lends an empty frame, until the batch is written. Its buffer grows with what
// it is used for: of the largest size, a thousand of them would be 64 MB.
func (x *path) borrow() *packet.Frame {
	if x.scratchLen == len(x.scratch) {
		x.scratch = append(x.scratch, &packet.Frame{})
	}
	f := x.scratch[x.scratchLen]
	x.scratchLen++
	f.Reset(0)
	return f
}

// giveBack ends the loan of all frames. What had to be larger than any link's packet is
// no longer kept.
func (x *path) giveBack() {
	for _, f := range x.scratch[:x.scratchLen] {
		if len(f.Buf) > scratchKept {
			f.Buf = nil
		}
	}
	x.scratchLen = 0
}
