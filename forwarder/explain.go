package forwarder

import (
	"fmt"
	"time"

	"github.com/vrouter/vrouter/arpproxy"
	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/trace"
	"github.com/vrouter/vrouter/internal/verdict"
)

// DryRun takes frames through the pipeline as the router is at one moment. It sends
// nothing, counts nothing and changes nothing. One goroutine at a time uses it.
type DryRun struct {
	path   path
	parts  *reassembler
	packet Packet // of Way, as is the next
	record trace.Record
}

// DryRun begins one.
func (r *Router) DryRun() *DryRun {
	return &DryRun{path: path{state: r.state.Load(), fib: r.rib.FIB(), neighbors: r.neighbors.Snapshot(), idents: r.idents}, parts: &r.fragments}
}

// Ports are those of that moment.
func (d *DryRun) Ports() (list []PortConfig) {
	for _, p := range d.path.ports {
		if p != nil {
			list = append(list, p.PortConfig)
		}
	}
	return list
}

func (d *DryRun) port(name string) (*Port, error) {
	for _, p := range d.path.ports {
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
	in, err := d.port(port)
	if err != nil {
		return nil, err
	}
	e := &explanation{path: &d.path, parts: d.parts}
	packets, _ := f.OnWire()
	e.explain(&Packet{frame: f, in: in, weight: packets}, port, verdict.RX)
	d.path.giveBack()
	return e.records, nil
}

// Way returns the way that Explain would tell of, and nothing of what the router
// would send because of the frame.
func (d *DryRun) Way(port string, f *packet.Frame) (trace.Way, error) {
	in, err := d.port(port)
	if err != nil {
		return 0, err
	}
	d.packet = Packet{frame: f, in: in, weight: 1, extra: d.packet.extra[:0], rec: &d.record}
	e := explanation{path: &d.path, parts: d.parts, alone: true}
	e.run(&d.packet, port, verdict.RX)
	d.path.giveBack()
	return d.record.Way(), nil
}

// explanation is a run without ports: each packet gets a record.
type explanation struct {
	path    *path
	parts   *reassembler
	records []*trace.Record
	alone   bool // without what the router would send
}

func (e *explanation) explain(p *Packet, in string, from verdict.Step) {
	p.rec = &trace.Record{}
	e.records = append(e.records, p.rec)
	e.run(p, in, from)
}

func (e *explanation) run(p *Packet, in string, from verdict.Step) {
	p.dry, p.watched, p.start = true, true, time.Now()
	p.rec.Begin(uint64(max(1, len(e.records))), p.start.UnixNano(), in, p.frame)
	if len(e.records) > 1 {
		p.rec.Cause = 1
	}
	e.conclude(p, e.path.run(p, from))
}

// conclude tells what would follow from a verdict.
func (e *explanation) conclude(p *Packet, v verdict.Verdict) {
	switch v.Kind {
	case verdict.Hold:
		e.held(p)
	case verdict.Pass:
		p.settle(verdict.TX, pass)
	case verdict.Consume:
		quiet := p.heard == arpproxy.Conflict && !p.in.defence.allows(p.start, defenceRate, 1)
		if p.answer != nil && !e.alone && !quiet {
			e.answer(p)
		}
	case verdict.Drop:
		if !e.alone {
			e.dropped(p, v.Reason)
		}
	}
}

// held tells what a packet would wait for. A fragment goes on if the others have come.
func (e *explanation) held(p *Packet) {
	if from := p.asked; from != 0 {
		whole, why := e.parts.judge(p, e.path.borrow)
		switch {
		case why != "":
			v := verdict.Dropped(verdict.ReassemblyLimit)
			p.note = why
			p.settle(from, v)
			e.conclude(p, v)
		case whole != nil:
			p.frame, p.ip, p.asked = whole, packet.IPv4(whole.Payload()), verdict.RX
			e.conclude(p, e.path.run(p, from))
		default:
			p.note = "a fragment: kept until the rest of its datagram has come"
			p.settle(from, consume)
		}
		return
	}
	p.unknown = true
	p.settle(verdict.Neigh, pass)
	p.settle(verdict.TX, pass)
}

func (e *explanation) answer(p *Packet) {
	if p.kind != EchoReply {
		e.explain(&Packet{frame: p.answer, origin: p.kind, weight: 1, out: p.in}, "", verdict.TX)
		return
	}
	e.originate(p.answer, p.kind)
}

// originate takes a packet of the router's own by way of the route.
func (e *explanation) originate(f *packet.Frame, kind Origin) {
	f.SetEthernet(packet.MAC{}, packet.MAC{}, packet.EtherTypeIPv4)
	e.explain(&Packet{frame: f, ip: packet.IPv4(f.Payload()), origin: kind, weight: 1}, "", verdict.Route)
}

func (e *explanation) dropped(p *Packet, reason verdict.Reason) {
	icmp, due := p.errorFor(reason)
	if p.origin != Received || !due {
		return
	}
	if _, ok := e.path.mayTell(p); !ok {
		return
	}
	e.originate(e.path.icmpError(p, icmp), ICMPError)
}
