package engine

import (
	"bytes"
	"fmt"
	"time"

	"github.com/vrouter/vrouter/arpproxy"
	"github.com/vrouter/vrouter/forwarder"
	"github.com/vrouter/vrouter/internal/neigh"
	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/trace"
	"github.com/vrouter/vrouter/internal/verdict"
)

// DryRun takes frames along the packet path as the router is at one moment, and lists
// what a worker would carry out. It sends nothing, counts nothing and changes nothing.
// One goroutine at a time uses it.
type DryRun struct {
	router  *Router
	state   *state
	path    forwarder.Path
	numbers *foreseen

	records []*trace.Record // of this packet, and of those that it causes
	sent    []trace.Sent    // what of them leaves
	alone   bool            // without those that it causes
	packet  transit         // of Way, as is the next
	record  trace.Record
}

// What becomes of a packet that waits in vain.
const (
	ifNobodyAnswers = "if nobody answers"
	ifRestIsLate    = "if the rest does not come"
)

// DryRun begins one.
func (r *Router) DryRun() *DryRun {
	d := &DryRun{router: r, state: r.state.Load(), numbers: &foreseen{Router: r}}
	d.path = forwarder.Path{State: &d.state.State, FIB: r.rib.FIB(), Numbers: d.numbers, Secret: r.secret}
	return d
}

// Settings are those of that moment.
func (d *DryRun) Settings() forwarder.Settings { return d.state.Settings }

// Ports are those of that moment.
func (d *DryRun) Ports() (list []forwarder.PortConfig) {
	for _, p := range d.state.ports {
		if p != nil {
			list = append(list, p.PortConfig)
		}
	}
	return list
}

func (d *DryRun) port(name string) (*port, error) {
	for _, p := range d.state.ports {
		if p != nil && p.Name == name {
			return p, nil
		}
	}
	return nil, fmt.Errorf("no port %q; `vrouter show ports` lists them", name)
}

// Explain returns what would happen to a frame that comes in by a port and, in
// records behind it, to what the router would send because of it. The frame is the
// caller's, and is changed.
func (d *DryRun) Explain(port string, f *packet.Frame) ([]*trace.Record, error) {
	d.alone = false
	err := d.take(port, f)
	return d.records, err
}

// Sent are the frames that would leave because of what was explained last.
func (d *DryRun) Sent() []trace.Sent { return d.sent }

// Way returns the way that Explain would tell of, and nothing of what the router
// would send because of the frame.
func (d *DryRun) Way(port string, f *packet.Frame) (trace.Way, error) {
	d.alone = true
	if err := d.take(port, f); err != nil {
		return 0, err
	}
	return d.records[0].Way(), nil
}

func (d *DryRun) take(port string, f *packet.Frame) error {
	in, err := d.port(port)
	if err != nil {
		return err
	}
	d.path.Neighbors, d.path.Keys = d.router.neighbors.Snapshot(), *d.router.idents.keys.Load()
	d.numbers.drawn, d.records, d.sent = map[*numbers]uint32{}, nil, nil
	t := &transit{}
	if d.alone {
		t = &d.packet
	}
	t.Begin(f, in.Port)
	t.books = books{in: in}
	d.explain(t, forwarder.RX, 0, "")
	d.path.Release(scratchMax)
	return nil
}

// explain makes a record of a packet, and of what it causes.
func (d *DryRun) explain(t *transit, from *forwarder.Step, cause uint64, when string) {
	if t.rec = &d.record; !d.alone {
		t.rec = &trace.Record{}
	}
	in := ""
	if t.In != nil {
		in = t.In.Name
	}
	t.watch()
	t.rec.Begin(uint64(len(d.records)+1), t.start.UnixNano(), in, t.Frame)
	t.rec.Cause, t.rec.When = cause, when
	d.records = append(d.records, t.rec)
	d.run(t, from)
}

func (d *DryRun) run(t *transit, from *forwarder.Step) {
	switch v := d.path.Run(&t.Packet, from); v.Kind {
	case verdict.Pass:
		d.list(t, "")
		if c := t.Sent(); len(t.Extra()) > 0 {
			t.note(&c)
		}
		t.Judged(&t.Packet, forwarder.TX, v)
		d.leaves(t, false)
	case verdict.Hold:
		d.held(t)
	default:
		d.list(t, "")
	}
}

// held tells what a packet would wait for, and what becomes of it if it does so in vain.
func (d *DryRun) held(t *transit) {
	if c := t.Due(forwarder.WaitRest); c != nil {
		d.fragment(t, *c)
		return
	}
	if c := t.Due(forwarder.SendProbe); c != nil {
		t.note(c)
	}
	waits, ask := *t.Due(forwarder.WaitNext), *t.Due(forwarder.Ask)
	switch h := d.router.neighbors.Peek(time.Now(), waits.Out.ID, waits.Addr, t.size()); {
	case h.Known: // since this began
		d.path.Neighbors, t.Waited = d.router.neighbors.Snapshot(), true
		d.run(t, forwarder.Neigh)
		return
	case h.Refused:
		d.refuse(t, verdict.NeighborQueueFull)
		if h.Ask {
			d.due(t, ask, "", "")
		}
		return
	case !h.Ask:
		ask.Withheld = forwarder.TooSoon
	}
	t.Judged(&t.Packet, t.At(), verdict.Verdict{Kind: verdict.Hold})
	t.note(&waits)
	d.leaves(t, true)
	d.due(t, ask, "", "")
	d.later(t, verdict.NeighborUnresolved, fmt.Sprintf("%s %d requests", ifNobodyAnswers, neigh.Tries))
}

// fragment tells what becomes of a fragment for the router itself.
func (d *DryRun) fragment(t *transit, waits forwarder.Consequence) {
	whole, why, then := d.router.fragments.judge(t, d.path.Borrow)
	switch {
	case why != "":
		t.Because(why)
		d.refuse(t, verdict.ReassemblyLimit)
		return
	case whole != nil:
		t.Replace(whole)
		d.run(t, t.At())
		return
	}
	t.Judged(&t.Packet, t.At(), verdict.Verdict{Kind: verdict.Hold})
	d.due(t, waits, "", ": "+then.String())
	d.later(t, verdict.ReassemblyTimeout, fmt.Sprintf("%s within %.0f s", ifRestIsLate, ReassemblyTimeout.Seconds()))
}

// refuse ends the way of a packet that cannot wait.
func (d *DryRun) refuse(t *transit, r verdict.Reason) {
	d.path.Refuse(&t.Packet, t.At(), r)
	d.list(t, "")
}

// later tells what follows if a packet waits in vain.
func (d *DryRun) later(t *transit, r verdict.Reason, when string) {
	q := &transit{Packet: t.Keep(), books: books{in: t.in, rec: t.rec}}
	d.path.Refuse(&q.Packet, t.At(), r)
	t.rec.AddDue(trace.Due{Drop: r, When: when})
	d.list(q, when)
}

// list tells what would be carried out because of a packet.
func (d *DryRun) list(t *transit, when string) {
	for _, c := range t.Consequences() {
		note := ""
		switch c.Action {
		case forwarder.Lower, forwarder.Relay:
			if !c.Tunnel.Owner.(*tunnelBook).guesses.allows(time.Now(), guessRate, guessBurst) {
				c.Withheld = forwarder.Unbelieved
			}
		}
		switch c.Action {
		case forwarder.Tell, forwarder.Relay:
			if when == "" && c.Withheld == forwarder.NotWithheld && !t.in.limiter.allows(time.Now(), icmpRate, icmpBurst) {
				c.Withheld = forwarder.RateLimited
			}
		case forwarder.Answer:
			if c.Why == arpproxy.Conflict && c.Frame != nil && !t.in.defence.allows(time.Now(), defenceRate, 1) {
				c.Withheld = forwarder.TooSoon
			}
		case forwarder.Learn:
			known, waiting := d.router.neighbors.WouldLearn(t.In.ID, c.Addr, c.ByND == 0)
			if !known && !c.Create {
				continue
			}
			if waiting > 0 && c.MAC != (packet.MAC{}) {
				note = fmt.Sprintf(": %d packets that wait for it go on", waiting)
			}
		}
		d.due(t, c, when, note)
	}
}

// due tells one consequence, and what is made because of it.
func (d *DryRun) due(t *transit, c forwarder.Consequence, when, note string) {
	t.rec.AddDue(trace.Due{Consequence: c, When: when, Note: note})
	if when == "" {
		when = t.rec.When
	}
	if d.alone || c.Withheld != forwarder.NotWithheld {
		return
	}
	q := &transit{}
	if from := d.path.Compose(&q.Packet, &t.Packet, &c); from != nil {
		d.explain(q, from, t.rec.ID, when)
	}
}

// leaves keeps the frames of a packet that is sent, or that waits for its next hop.
func (d *DryRun) leaves(t *transit, waits bool) {
	if d.alone {
		return
	}
	for i := -1; i < len(t.Extra()); i++ {
		f := t.Frame
		if i >= 0 {
			f = t.Extra()[i]
		}
		d.sent = append(d.sent, trace.Sent{Packet: t.rec.ID, Port: t.Out.Name, NextHop: t.NextHop, Waits: waits, Frame: bytes.Clone(f.Bytes())})
	}
}
