package forwarder

import (
	"fmt"

	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/verdict"
)

// Neigh writes the Ethernet header: from the port's own address to the next hop's.
// While that is not known the packet waits, and while those that have waited are not sent.
var Neigh = &Step{
	Word: "neigh", Help: "the next hop's hardware address goes into the Ethernet header", RFC: "RFC 826, RFC 1122 2.3.2", RFC6: "RFC 4861 7.2.2",
	run: (*Path).neigh, facts: neighFacts, say: saysNeigh,
}

func (x *Path) neigh(p *Packet) Verdict {
	n := x.neighborAt(p.Out.ID, p.NextHop)
	if n == nil || n.Queued() && !p.Waited {
		p.Neighbor = n
		c := p.add()
		c.Action, c.Addr, c.Out = WaitNext, p.NextHop, p.Out
		c = p.add()
		c.Action, c.Addr, c.Out = Ask, p.NextHop, p.Out
		return hold
	}
	p.Neighbor = n
	p.Frame.SetStations(n.MAC, p.Out.MAC)
	for _, f := range p.extra {
		f.SetStations(n.MAC, p.Out.MAC)
	}
	return edit
}

func neighFacts(p *Packet, f *Facts) {
	f.Addr, f.Known = p.NextHop, p.Neighbor
	if p.Waited {
		f.Note = ", after waiting for its ARP reply"
		if p.NextHop.Is6() {
			f.Note = ", after waiting for its advertisement"
		}
	}
}

func saysNeigh(o *Seen) string {
	switch {
	case o.Kind == verdict.Drop:
		return "next hop " + o.Addr.String()
	case o.Kind == verdict.Hold && o.Age > 0:
		return o.Addr.String() + " has become known: the packet waits until those that have waited are sent"
	case o.Kind == verdict.Hold:
		return o.Addr.String() + " is not known: it is asked for, and the packet waits"
	case len(o.After) < packet.EthernetLen:
		return o.Addr.String() + o.Note
	}
	text := fmt.Sprintf("%s is %s", o.Addr, packet.MAC(o.After))
	if o.Age > 0 {
		text += ", confirmed " + ago(o.Age)
	}
	return text + o.Note
}
