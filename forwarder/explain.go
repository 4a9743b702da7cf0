package forwarder

import (
	"fmt"
	"time"

	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/trace"
	"github.com/vrouter/vrouter/internal/verdict"
)

// Explain takes a frame through the pipeline as if it came in by a port, and
// returns what would happen to it and, in records behind it, to what the router
// would send because of it. It sends nothing, counts nothing and changes nothing.
// The frame is the caller's, and is changed.
func (r *Router) Explain(port string, f *packet.Frame) ([]*trace.Record, error) {
	w := newWriter(r)
	w.begin()
	var in *Port
	for _, p := range w.path.ports {
		if p != nil && p.Name == port {
			in = p
		}
	}
	if in == nil {
		return nil, fmt.Errorf("no port %q; `vrouter show ports` lists them", port)
	}
	e := &explanation{path: &w.path}
	packets, _ := f.OnWire()
	e.explain(&Packet{frame: f, in: in, weight: packets}, port, verdict.RX)
	return e.records, nil
}

// explanation is a run without ports: each packet gets a record.
type explanation struct {
	path    *path
	records []*trace.Record
}

func (e *explanation) explain(p *Packet, in string, from verdict.Step) {
	p.dry, p.rec, p.watched, p.start = true, &trace.Record{}, true, time.Now()
	p.rec.Begin(uint64(len(e.records)+1), p.start.UnixNano(), in, p.frame)
	if len(e.records) > 0 {
		p.rec.Cause = 1
	}
	e.records = append(e.records, p.rec)
	v := e.path.run(p, from)
	switch v.Kind {
	case verdict.Hold:
		e.held(p)
	case verdict.Pass:
		p.settle(verdict.TX, pass)
	case verdict.Consume:
		if p.answer != nil {
			e.answer(p)
		}
	case verdict.Drop:
		e.dropped(p, v.Reason)
	}
}

// held tells what a packet would wait for.
func (e *explanation) held(p *Packet) {
	if p.asked != 0 {
		p.note = "a fragment: kept until the rest of its datagram has come"
		p.settle(p.asked, consume)
		return
	}
	p.unknown = true
	p.settle(verdict.Neigh, pass)
	p.settle(verdict.TX, pass)
}

func (e *explanation) answer(p *Packet) {
	if p.kind == ARPReply {
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
