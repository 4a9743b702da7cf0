package forwarder

import (
	"net/netip"

	"github.com/vrouter/vrouter/arpproxy"
	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/verdict"
	"github.com/vrouter/vrouter/rib"
)

// ARP takes ARP and lets IP go on.
var ARP = &Step{
	Word: "arp", Help: "ARP is answered (the gateway's address, proxy) or learnt from; IP goes on",
	RFC: "RFC 826, RFC 1027", Quiet: true,
	run: (*Path).arp, facts: noteFacts, say: saysARP,
}

func (x *Path) arp(p *Packet) Verdict {
	etherType := p.Frame.EtherType()
	switch etherType {
	case packet.EtherTypeIPv4:
		return pass
	case packet.EtherTypeIPv6:
		p.six = true
		return pass
	}
	p.note = ""
	if etherType != packet.EtherTypeARP {
		return p.foreign()
	}
	m, ok := packet.ParseARP(p.Frame.Payload())
	if !ok {
		return p.refuse(verdict.ARPMalformed)
	}
	v := x.hear(p, &m)
	x.learn(p, &m)
	return v
}

// foreign judges a frame of another protocol. What goes to a group is between others,
// such as bridges (IEEE 802.1D 7.12.3): it is taken in silence. What goes to all stations, or to this one, is dropped.
func (p *Packet) foreign() Verdict {
	if dst := p.Frame.DstMAC(); dst.IsGroup() && dst != packet.Broadcast {
		return consume
	}
	return p.refuse(verdict.UnknownEthertype)
}

// hear notes how a message is answered, be it by silence.
func (x *Path) hear(p *Packet, m *packet.ARPMessage) Verdict {
	c := p.add()
	c.Action, c.Out, c.Addr, c.MAC, c.Asked = Answer, p.In, m.SenderIP, m.SenderMAC, m.Op == packet.ARPRequest
	if p.In.Kind == Uplink {
		return x.arpUplink(p, m, c)
	}
	return x.arpWorkload(p, m, c)
}

// arpWorkload answers for the gateway, the host and, by proxy, for what lies
// behind other ports.
func (x *Path) arpWorkload(p *Packet, m *packet.ARPMessage, c *Consequence) Verdict {
	c.Why = arpproxy.Decide(m, arpproxy.Facts{
		Gateway: x.Gateway,
		Own:     x.isOwn(m.TargetIP),
		Claimed: x.claimed(p.In, m.SenderIP, m.SenderMAC),
		Leaves:  x.leaves(p.In, m.TargetIP),
	})
	switch c.Why {
	case arpproxy.Ignored:
		p.note = whyIgnored(m)
		return verdict.Noise(verdict.ARPIgnored)
	case arpproxy.Conflict:
		c.Frame, c.Made = x.Borrow(), ARPRequest
		arpproxy.PutAnnouncement(c.Frame, m.SenderIP, p.In.MAC)
	default:
		c.Frame, c.Made = x.Borrow(), ARPReply
		arpproxy.PutReply(c.Frame, m, p.In.MAC)
	}
	p.note = answerNotes[c.Why]
	return consume
}

// answerNotes are why somebody is answered, be it by ARP or by Neighbor Discovery.
var answerNotes = [arpproxy.NumAnswers]string{
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

// claimed says whether another station, who says that it has an address, has one of the
// router's: the gateway's, which is on no uplink, or one of the host's, whose own stack
// has them behind its port.
func (x *Path) claimed(in *Port, a netip.Addr, mac packet.MAC) bool {
	if x.isGateway(a) {
		return in.Kind != Uplink && mac != in.MAC
	}
	return in.Kind != Host && x.isRouter(in, a) && mac != in.MAC
}

// arpUplink answers nothing: on the uplink the host's own stack speaks for the
// host's addresses, and nobody may claim a workload's. It takes what is said to us.
func (x *Path) arpUplink(p *Packet, m *packet.ARPMessage, c *Consequence) Verdict {
	if x.claimed(p.In, m.SenderIP, m.SenderMAC) {
		c.Why, p.note = arpproxy.Conflict, "another station claims an address of this host, whose own stack answers"
		return consume
	}
	if !x.isOwn(m.TargetIP) {
		p.note = "it is between other stations of this link"
		return verdict.Noise(verdict.ARPIgnored)
	}
	c.Why = arpproxy.Own
	p.note = "learnt from a reply to this host"
	if m.Op == packet.ARPRequest {
		p.note = "learnt; the host's own stack answers"
	}
	return consume
}

// leaves says whether a packet to the target would be forwarded, and by another
// port: what may not be forwarded (check) is not to be claimed either.
func (x *Path) leaves(in *Port, target netip.Addr) bool {
	if !isOneHost(target) || target.IsLinkLocalUnicast() {
		return false
	}
	r := x.FIB.Lookup(target)
	if r == nil || r.Type != rib.Unicast {
		return false
	}
	if r.Multipath != nil {
		r = r.Multipath.Choose(0) // no flow is known: the first next hop
	}
	return r.Port != in.ID && x.Port(r.Port) != nil
}

// learn enters what an ARP message says about its sender: for a neighbour that
// is known, or one that asks for us on the uplink (RFC 826). Probes have no
// sender, and nobody can claim the router's own addresses.
func (x *Path) learn(p *Packet, m *packet.ARPMessage) {
	if m.IsProbe() || x.isRouter(p.In, m.SenderIP) {
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
		if o.Note == "" {
			return Business(o.Before) + ", which is between others: taken in silence"
		}
		return o.Note
	case verdict.Pass:
		return "not ARP"
	}
	return ""
}
