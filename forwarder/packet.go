package forwarder

import (
	"net/netip"
	"time"

	"github.com/vrouter/vrouter/arpproxy"
	"github.com/vrouter/vrouter/internal/neigh"
	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/trace"
	"github.com/vrouter/vrouter/internal/verdict"
	"github.com/vrouter/vrouter/rib"
)

// Origin says who made a packet.
type Origin uint8

const (
	Received   Origin = iota // read from a port
	ARPRequest               // the rest is made by the router
	ARPReply
	EchoReply
	ICMPError
	numOrigins
)

// NumOrigins counts Received too.
const NumOrigins = int(numOrigins)

var originWords = [NumOrigins]string{Received: "received", ARPRequest: "arp_request", ARPReply: "arp_reply", EchoReply: "echo_reply", ICMPError: "icmp_error"}

// String is the word of the metrics.
func (o Origin) String() string { return originWords[o] }

// Packet is a frame on its way, with what the steps found out about it.
type Packet struct {
	frame  *packet.Frame
	extra  []*packet.Frame // what fragmentation or segmentation made of it besides frame
	in     *Port           // nil if the router made it
	origin Origin
	weight uint64      // packets on the wire, when it was received
	bytes  uint64      // of them
	edited trace.Steps // so far

	ip        packet.IPv4     // from check on
	route     *rib.Route      // from route on
	out       *Port           // from route on
	nextHop   netip.Addr      // from route on; through a tunnel, from encap on
	limit     int             // from mtu on: bytes of IP that fit through the next link
	ipLen     int             // from mtu on: bytes of IP that came there, of the largest segment
	neighbor  *neigh.Neighbor // from neigh on
	dry       bool            // explain: nothing is counted, and nothing changes
	unknown   bool            // explain: the next hop would be asked for
	lowered   bool            // ttl has lowered the TTL
	asked     verdict.Step    // the step that asks for the rest of a fragment's datagram; rx: none
	heard     arpproxy.Answer // of step arp
	guessed   bool            // it quotes no packet of the tunnel that it says to be about
	outer     int             // bytes of outer header that encap has put in front
	fragments int             // how many mtu cut it into; 0: none

	tunnel *Tunnel // that it came out of or went into, or is about

	arp    packet.ARPMessage // of step arp
	note   string            // why arp or local took it: a constant
	answer *packet.Frame     // what the router says to it
	kind   Origin            // of the answer

	queue  *queue         // it came by, where it is counted; nil: it is not, or it has waited
	late   *ledger        // where it is counted since it has waited; nil: it has not
	failed verdict.Reason // why a frame of it was not sent

	watched bool // somebody wants to know when each step ended
	sampled bool
	start   time.Time
	last    time.Duration
	rec     *trace.Record
}

// settle notes the verdict of a step: the one place where packets are counted
// and recorded.
func (p *Packet) settle(s verdict.Step, v verdict.Verdict) {
	if v.Kind == verdict.Edit {
		p.edited = p.edited.With(s)
		if p.tunnel != nil && !p.dry {
			p.tunnel.count(p, s)
		}
	}
	if p.watched {
		p.observe(s, v)
	}
	if v.Kind.Ends() || s == verdict.TX {
		p.end(s, v)
	}
}

// end counts a packet by the way that it has taken.
func (p *Packet) end(s verdict.Step, v verdict.Verdict) {
	way := trace.WayOf(p.edited, s, v)
	switch {
	case p.queue != nil:
		p.queue.counts.Ways.add(way, p.weight)
		p.countRoute()
	case p.late != nil:
		p.late.countLate(p.waitsFor(), way, p.weight)
	default:
		return
	}
	if v.Kind == verdict.Drop && p.in.wants(v) {
		p.keepRecord(way)
	}
}

// keepRecord has the record of a dropped packet kept; one that nobody has watched
// is made now.
func (p *Packet) keepRecord(way trace.Way) {
	hub := p.in.hub
	if p.rec != nil {
		hub.Keep(p.rec.Copy())
		return
	}
	hub.Keep(trace.Recall(hub.NextID(), time.Now().UnixNano(), p.in.Name, p.frame, way, p.facts))
}

// countRoute counts a packet at the route that was found for it, once: when its way
// ends or it begins to wait, so that it is the worker of its queue that counts.
func (p *Packet) countRoute() {
	if p.route != nil {
		p.queue.worker.routes.count(p.route, p.weight, p.bytes)
	}
}

// observe records when a step ended and what it did.
func (p *Packet) observe(s verdict.Step, v verdict.Verdict) {
	now := time.Since(p.start)
	if p.sampled {
		p.queue.counts.Durations[s].observe(now - p.last)
	}
	if p.rec != nil {
		p.rec.Add(s, v, now.Nanoseconds(), p.facts(s), p.frame)
	}
	p.last = time.Since(p.start) // the recording itself is not the next step's time
}

// facts are what a step decided by, for those who read the trace.
func (p *Packet) facts(s verdict.Step) (f trace.Facts) {
	switch s {
	case verdict.RX:
		if p.in != nil {
			f.MAC = p.in.MAC
		}
	case verdict.ARP, verdict.Check, verdict.Decap, verdict.Local:
		f.Note = p.note
	case verdict.RPF:
		if p.in != nil {
			f.Addr = p.in.Address
		}
	case verdict.Route:
		if p.route != nil {
			f.Route = p.route
		}
	case verdict.MTU:
		f.Fit, f.Size, f.Pieces, f.MTU = p.limit, p.ipLen, p.fragments, p.out.MTU
		if p.route.Encap == rib.IPIP {
			f.Outer = packet.IPv4MinLen
		}
	case verdict.Neigh:
		f.Addr = p.nextHop
		if p.neighbor != nil {
			if at, ok := p.neighbor.Confirmed(); ok {
				f.Age = time.Since(at)
			}
		}
		if p.unknown {
			f.Note = " is not known: it is asked for, and the packet waits"
		}
		if p.late != nil {
			f.Note = ", after waiting for its ARP reply"
		}
	case verdict.TX:
		if p.out != nil && p.failed == verdict.None {
			p.rec.Out = p.out.Name
		}
	}
	return f
}
