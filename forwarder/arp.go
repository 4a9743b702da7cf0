package forwarder

import (
	"time"

	"github.com/vrouter/vrouter/arpproxy"
	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/verdict"
	"github.com/vrouter/vrouter/rib"
)

// DefendInterval is how seldom the router defends its addresses on a port (RFC 5227 1.1).
const (
	DefendInterval = 10 * time.Second
	defenceRate    = float64(time.Second) / float64(DefendInterval) // a second
)

// arp takes ARP and lets IPv4 go on. Whatever it learns is entered by the worker,
// afterwards: p.arp.
func (x *path) arp(p *Packet) verdict.Verdict {
	switch p.frame.EtherType() {
	case packet.EtherTypeIPv4:
		return pass
	case packet.EtherTypeARP:
	default:
		return p.foreign()
	}
	m, ok := packet.ParseARP(p.frame.Payload())
	if !ok {
		return p.refuse(verdict.ARPMalformed)
	}
	p.arp = m
	if p.in.Kind == Uplink {
		return x.arpUplink(p)
	}
	return x.arpWorkload(p)
}

// foreign judges a frame of another protocol. What goes to a group is between others,
// such as bridges (IEEE 802.1D 7.12.3) or hosts of IPv6 (RFC 2464 7): it is taken in
// silence. What goes to all stations, or to this one, is dropped.
func (p *Packet) foreign() verdict.Verdict {
	if dst := p.frame.DstMAC(); dst.IsGroup() && dst != packet.Broadcast {
		return consume
	}
	return p.refuse(verdict.UnknownEthertype)
}

// arpWorkload answers for the gateway, the host and, by proxy, for what lies
// behind other ports.
func (x *path) arpWorkload(p *Packet) verdict.Verdict {
	p.heard = arpproxy.Decide(&p.arp, arpproxy.Facts{
		Gateway: x.Gateway,
		Own:     x.isOwn(p.arp.TargetIP),
		Claimed: x.claimed(p),
		Leaves:  x.leaves(p),
	})
	switch p.heard {
	case arpproxy.Ignored:
		p.note = whyIgnored(&p.arp)
		return verdict.Overheard(verdict.ARPIgnored)
	case arpproxy.Conflict:
		p.answer, p.kind = x.borrow(), ARPRequest
		arpproxy.PutAnnouncement(p.answer, p.arp.SenderIP, p.in.MAC)
	default:
		p.answer, p.kind = x.borrow(), ARPReply
		arpproxy.PutReply(p.answer, &p.arp, p.in.MAC)
	}
	p.note = arpNotes[p.heard]
	return consume
}

var arpNotes = [arpproxy.NumAnswers]string{
	arpproxy.Gateway:  "answered: it is the gateway, which the router itself is",
	arpproxy.Own:      "answered: it is an address of this host",
	arpproxy.Proxy:    "answered by proxy: the route to it leaves by another port",
	arpproxy.Conflict: "another station claims an address of the router, which defends it once in ten seconds",
}

// whyIgnored says what becomes of a workload's message that gets no answer, for who
// wonders: only one that asks for somebody else may be wrong about whom.
func whyIgnored(m *packet.ARPMessage) string {
	switch {
	case m.Op != packet.ARPRequest:
		return "it is a reply, which needs no answer"
	case m.IsProbe(), m.TargetIP == m.SenderIP:
		return "it is about the address that the sender is going to have, or has, and nobody else does"
	}
	return ""
}

// claimed says whether another station says that it has an address of the router's:
// of the gateway's, which is on no uplink, and of the host's, whose own stack has them
// behind its port.
func (x *path) claimed(p *Packet) bool {
	m := &p.arp
	gateway := m.SenderIP == x.Gateway && p.in.Kind != Uplink
	own := x.isOwn(m.SenderIP) && p.in.Kind != Host
	return (gateway || own) && m.SenderMAC != p.in.MAC
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
	if x.claimed(p) {
		p.heard, p.note = arpproxy.Conflict, "another station claims an address of this host, whose own stack answers"
		return consume
	}
	if !x.isOwn(p.arp.TargetIP) {
		p.note = "it is between other stations of this link"
		return verdict.Overheard(verdict.ARPIgnored)
	}
	p.heard = arpproxy.Own
	p.note = "learnt from a reply to this host"
	if p.arp.Op == packet.ARPRequest {
		p.note = "learnt; the host's own stack answers"
	}
	return consume
}

// hear counts an ARP request by its answer, and learns from every message.
func (w *worker) hear(p *Packet) {
	switch m := &p.arp; {
	case m.Op == 0: // none
		return
	case m.Op == packet.ARPRequest:
		p.in.arpRequests[p.heard].Add(1)
	}
	if p.heard == arpproxy.Conflict {
		w.complain(p)
	}
	w.learn(p)
}

// complain tells of a claim to an address of the router (RFC 5227 2.4 (c)): of the
// first one, and whenever there are twice as many.
func (w *worker) complain(p *Packet) {
	if n := p.in.conflicts.Add(1); n&(n-1) == 0 {
		w.router.log.Warn("another station claims an address of this router: find out who has that MAC, and give it an address of its own",
			"port", p.in.Name, "address", p.arp.SenderIP, "mac", p.arp.SenderMAC, "claims", n)
	}
}

// learn enters what an ARP message says about its sender: for a neighbour that
// is known, or one that asks for us on the uplink (RFC 826). Probes have no
// sender, and nobody can claim the router's own addresses.
func (w *worker) learn(p *Packet) {
	m := &p.arp
	if m.IsProbe() || m.SenderIP == w.path.Gateway || w.path.isOwn(m.SenderIP) {
		return
	}
	create := p.in.Kind == Uplink && m.Op == packet.ARPRequest &&
		w.path.isOwn(m.TargetIP) && w.path.onUplink(m.SenderIP)
	_, released := w.router.neighbors.Learn(w.now(), p.in.ID, m.SenderIP, m.SenderMAC, create)
	w.resume(released)
}
