package forwarder

import (
	"github.com/vrouter/vrouter/arpproxy"
	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/verdict"
	"github.com/vrouter/vrouter/rib"
)

// ARP takes ARP and lets IPv4 go on.
var ARP = &Step{
	Word: "arp", Help: "ARP is answered (the gateway's address, proxy) or learnt from; IPv4 goes on",
	RFC: "RFC 826, RFC 1027", Quiet: true,
	run: (*Path).arp, facts: noteFacts, say: saysARP,
}

func (x *Path) arp(p *Packet) Verdict {
	switch p.Frame.EtherType() {
	case packet.EtherTypeIPv4:
		return pass
	case packet.EtherTypeARP:
	default:
		return verdict.Dropped(verdict.UnknownEthertype)
	}
	m, ok := packet.ParseARP(p.Frame.Payload())
	if !ok {
		return verdict.Dropped(verdict.ARPMalformed)
	}
	v := x.arpFrom(p, &m)
	x.learn(p, &m)
	return v
}

func (x *Path) arpFrom(p *Packet, m *packet.ARPMessage) Verdict {
	if p.In.Kind == Uplink {
		return x.arpUplink(p, m)
	}
	return x.arpWorkload(p, m)
}

// arpWorkload answers for the gateway, the host and, by proxy, for what lies
// behind other ports.
func (x *Path) arpWorkload(p *Packet, m *packet.ARPMessage) Verdict {
	c := p.add()
	c.Action, c.Made, c.Out = Answer, ARPReply, p.In
	c.ARP = arpproxy.Decide(m, arpproxy.Facts{
		Gateway: x.Gateway,
		Own:     x.isOwn(m.TargetIP),
		Leaves:  x.leaves(p.In, m),
	})
	if c.ARP == arpproxy.Ignored {
		return verdict.Dropped(verdict.ARPIgnored)
	}
	p.note = arpNotes[c.ARP]
	c.Frame = x.borrow()
	arpproxy.PutReply(c.Frame, m, p.In.MAC)
	return consume
}

var arpNotes = [arpproxy.NumAnswers]string{
	arpproxy.Gateway: "answered: it is the gateway, which the router itself is",
	arpproxy.Own:     "answered: it is an address of this host",
	arpproxy.Proxy:   "answered by proxy: the route to it leaves by another port",
}

// leaves says whether a packet to the target would be forwarded, and by another
// port: what may not be forwarded (check) is not to be claimed either.
func (x *Path) leaves(in *Port, m *packet.ARPMessage) bool {
	target := m.TargetIP.As4()
	if notOneHost(target[:]) || isLinkLocal(target[:]) {
		return false
	}
	r := x.FIB.Lookup(m.TargetIP)
	if r == nil || r.Type != rib.Unicast {
		return false
	}
	if r.Multipath != nil {
		r = r.Multipath.Choose(0) // no flow is known: the first next hop
	}
	return r.Port != in.ID && x.Port(r.Port) != nil
}

// arpUplink answers nothing: on the uplink the host's own stack speaks for the
// host's addresses, and nobody may claim a workload's. It takes what is said to us.
func (x *Path) arpUplink(p *Packet, m *packet.ARPMessage) Verdict {
	own := x.isOwn(m.TargetIP)
	if m.Op == packet.ARPRequest {
		c := p.add()
		c.Action, c.ARP = Answer, arpproxy.Ignored
		if own {
			c.ARP = arpproxy.Own
		}
	}
	if !own {
		return verdict.Dropped(verdict.ARPIgnored)
	}
	p.note = "learnt from a reply to this host"
	if m.Op == packet.ARPRequest {
		p.note = "learnt; the host's own stack answers"
	}
	return consume
}

// learn enters what an ARP message says about its sender: for a neighbour that
// is known, or one that asks for us on the uplink (RFC 826). Probes have no
// sender, and nobody can claim the router's own addresses.
func (x *Path) learn(p *Packet, m *packet.ARPMessage) {
	if m.IsProbe() || m.SenderIP == x.Gateway || x.isOwn(m.SenderIP) {
		return
	}
	c := p.add()
	c.Action, c.Addr, c.MAC = Learn, m.SenderIP, m.SenderMAC
	c.Create = p.In.Kind == Uplink && m.Op == packet.ARPRequest && x.isOwn(m.TargetIP) && x.onUplink(m.SenderIP)
}

func noteFacts(p *Packet, f *Facts) { f.Note = p.note }

func saysARP(o *Seen) string {
	switch o.Kind {
	case verdict.Consume:
		return o.Note
	case verdict.Pass:
		return "not ARP"
	}
	return ""
}
