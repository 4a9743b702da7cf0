package forwarder

import (
	"github.com/vrouter/vrouter/arpproxy"
	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/verdict"
	"github.com/vrouter/vrouter/rib"
)

// arp takes ARP and lets IPv4 go on. Whatever it learns is entered by the worker,
// afterwards: p.arp.
func (x *path) arp(p *Packet) verdict.Verdict {
	switch p.frame.EtherType() {
	case packet.EtherTypeIPv4:
		return pass
	case packet.EtherTypeARP:
	default:
		return verdict.Dropped(verdict.UnknownEthertype)
	}
	m, ok := packet.ParseARP(p.frame.Payload())
	if !ok {
		return verdict.Dropped(verdict.ARPMalformed)
	}
	p.arp = m
	if p.in.Kind == Uplink {
		return x.arpUplink(p)
	}
	return x.arpWorkload(p)
}

// arpWorkload answers for the gateway, the host and, by proxy, for what lies
// behind other ports.
func (x *path) arpWorkload(p *Packet) verdict.Verdict {
	answer := arpproxy.Decide(&p.arp, arpproxy.Facts{
		Gateway: x.Gateway,
		Own:     x.isOwn(p.arp.TargetIP),
		Leaves:  x.leaves(p),
	})
	p.countARP(answer)
	if answer == arpproxy.Ignored {
		return verdict.Dropped(verdict.ARPIgnored)
	}
	p.note = arpNotes[answer]
	p.answer, p.kind = x.borrow(), ARPReply
	arpproxy.PutReply(p.answer, &p.arp, p.in.MAC)
	return consume
}

var arpNotes = [arpproxy.NumAnswers]string{
	arpproxy.Gateway: "answered: it is the gateway, which the router itself is",
	arpproxy.Own:     "answered: it is an address of this host",
	arpproxy.Proxy:   "answered by proxy: the route to it leaves by another port",
}

// leaves says whether a packet to the target would be forwarded, and by another
// port: what may not be forwarded (check) is not to be claimed either.
func (x *path) leaves(p *Packet) bool {
	target := p.arp.TargetIP.As4()
	if notOneHost(target[:]) || isLinkLocal(target[:]) {
		return false
	}
	r := x.fib.Lookup(p.arp.TargetIP)
	if r == nil || r.Type != rib.Unicast {
		return false
	}
	if r.Multipath != nil {
		r = r.Multipath.Choose(0) // no flow is known: the first next hop
	}
	return r.Port != p.in.ID && x.port(r.Port) != nil
}

// arpUplink answers nothing: on the uplink the host's own stack speaks for the
// host's addresses, and nobody may claim a workload's. It takes what is said to us.
func (x *path) arpUplink(p *Packet) verdict.Verdict {
	own := x.isOwn(p.arp.TargetIP)
	if p.arp.Op == packet.ARPRequest {
		if own {
			p.countARP(arpproxy.Own)
		} else {
			p.countARP(arpproxy.Ignored)
		}
	}
	if !own {
		return verdict.Dropped(verdict.ARPIgnored)
	}
	p.note = "learnt from a reply to this host"
	if p.arp.Op == packet.ARPRequest {
		p.note = "learnt; the host's own stack answers"
	}
	return consume
}

func (p *Packet) countARP(a arpproxy.Answer) {
	if !p.dry {
		p.in.arpRequests[a].Add(1)
	}
}

// learn enters what an ARP message says about its sender: for a neighbour that
// is known, or one that asks for us on the uplink (RFC 826). Probes have no
// sender, and nobody can claim the router's own addresses.
func (w *worker) learn(p *Packet) {
	m := &p.arp
	if m.Op == 0 || m.IsProbe() || m.SenderIP == w.path.Gateway || w.path.isOwn(m.SenderIP) {
		return
	}
	create := p.in.Kind == Uplink && m.Op == packet.ARPRequest &&
		w.path.isOwn(m.TargetIP) && w.path.onUplink(m.SenderIP)
	_, released := w.router.neighbors.Learn(w.now(), p.in.ID, m.SenderIP, m.SenderMAC, create)
	w.resume(released)
}
