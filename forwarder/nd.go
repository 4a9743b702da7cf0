package forwarder

import (
	"net/netip"

	"github.com/vrouter/vrouter/arpproxy"
	"github.com/vrouter/vrouter/internal/ndproxy"
	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/verdict"
)

// ND is to IPv6 what ARP is to IPv4, but that it comes in IPv6 itself: behind check and
// decap, as nothing of it may come out of a tunnel.
var ND = &Step{
	Word: "nd", Help: "Neighbor Discovery is answered (the gateway's address, proxy) or learnt from; what is for a group of this link is taken",
	RFC: "RFC 4861, RFC 6980", Quiet: true,
	run: (*Path).nd, facts: noteFacts, say: saysND,
}

func (x *Path) nd(p *Packet) Verdict {
	if !p.six {
		return pass
	}
	return x.nd6(p)
}

func (x *Path) nd6(p *Packet) Verdict {
	kind := ndType(p.IP)
	if kind == 0 {
		if p.IP[24] != 0xff {
			return pass
		}
		p.note = ""
		return consume // what is said to a group is between others (RFC 4291 2.7.1, RFC 3810)
	}
	p.note = ""
	m, ok := packet.ParseND(packet.IPv6(p.IP))
	if !ok || p.From != nil {
		return p.refuse(verdict.NDMalformed)
	}
	if kind == packet.ICMPv6RouterSolicitation {
		p.note = "it asks for router advertisements, of which there are none"
		return consume
	}
	v := x.hearND(p, &m)
	x.learnND(p, &m)
	return v
}

// ndType is the type of a message of Neighbor Discovery, of which a first fragment
// counts as one; 0: it is none.
func ndType(ip packet.IP) byte {
	v6, at := packet.IPv6(ip), packet.IPv6MinLen
	switch v6.NextHeader() {
	case packet.ProtocolTCP, packet.ProtocolUDP:
		return 0
	case packet.ProtocolICMPv6:
	default:
		u := v6.Upper()
		if !u.OK || u.Protocol != packet.ProtocolICMPv6 || isLaterFragment(v6, u) {
			return 0
		}
		at = u.At
	}
	if at >= len(ip) || !packet.IsND(ip[at]) {
		return 0
	}
	return ip[at]
}

func isLaterFragment(ip packet.IPv6, u packet.Upper) bool {
	return u.Fragment != 0 && packet.FragmentHeader(ip[u.Fragment:]).Offset() != 0
}

// hearND notes how a message is answered, be it by silence.
func (x *Path) hearND(p *Packet, m *packet.ND) Verdict {
	c := p.add()
	c.Action, c.Out, c.Addr, c.MAC, c.Solicited = Answer, p.In, m.Src, m.MAC, m.Type == packet.ICMPv6NeighborSolicitation
	if m.MAC == (packet.MAC{}) {
		c.MAC = p.Frame.SrcMAC()
	}
	if m.Type == packet.ICMPv6NeighborAdvertisement {
		c.Addr = m.Target
	}
	if p.In.Kind == Uplink {
		return x.ndUplink(p, m, c)
	}
	return x.ndWorkload(p, m, c)
}

// ndWorkload answers for the gateway, the host and, by proxy, for what lies behind other
// ports.
func (x *Path) ndWorkload(p *Packet, m *packet.ND, c *Consequence) Verdict {
	c.Why = ndproxy.Decide(m, arpproxy.Facts{
		Gateway: x.Gateway6,
		Own:     x.isRouter(p.In, m.Target),
		Claimed: x.claimed(p.In, c.Addr, c.MAC),
		Leaves:  x.leaves(p.In, m.Target),
	})
	switch c.Why {
	case arpproxy.Ignored:
		p.note = whyNDIgnored(m)
		return verdict.Noise(verdict.NDIgnored)
	case arpproxy.Conflict:
		c.Frame, c.Made = x.Borrow(), NDAdvertisement
		ndproxy.PutAnnouncement(c.Frame, c.Addr, p.In.MAC)
	default:
		c.Frame, c.Made = x.Borrow(), NDAdvertisement
		ndproxy.PutReply(c.Frame, m, c.MAC, c.Why, p.In.LinkLocal, p.In.MAC)
	}
	p.note = answerNotes[c.Why]
	return consume
}

// whyNDIgnored says what becomes of a workload's message that gets no answer, as
// whyIgnored does.
func whyNDIgnored(m *packet.ND) string {
	switch {
	case m.Type == packet.ICMPv6NeighborAdvertisement:
		return "it is an advertisement, which needs no answer"
	case m.Type != packet.ICMPv6NeighborSolicitation:
		return "it is for hosts: the router takes no routes from it"
	case m.IsProbe(), m.Target == m.Src:
		return "it is about the address that the sender is going to have, or has, and nobody else does"
	}
	return ""
}

// ndUplink answers nothing: on the uplink the host's own stack speaks for the host's
// addresses, and nobody may claim a workload's. It takes what is said to us.
func (x *Path) ndUplink(p *Packet, m *packet.ND, c *Consequence) Verdict {
	switch {
	case x.claimed(p.In, c.Addr, c.MAC):
		c.Why, p.note = arpproxy.Conflict, "another station claims an address of this host, whose own stack answers"
		return consume
	case m.Type == packet.ICMPv6NeighborSolicitation && x.isRouter(p.In, m.Target):
		c.Why, p.note = arpproxy.Own, "learnt; the host's own stack answers"
		return consume
	case m.Type == packet.ICMPv6NeighborAdvertisement && x.isRouter(p.In, m.Dst):
		c.Why, p.note = arpproxy.Own, "learnt from an answer to this host"
		return consume
	}
	p.note = "it is between other stations of this link"
	return verdict.Noise(verdict.NDIgnored)
}

// learnND enters what a message says: a solicitation of its sender, who is known, or asks
// for us on the uplink (RFC 4861 7.2.3), an advertisement of its target (7.2.5). Nobody
// can claim the router's own addresses.
func (x *Path) learnND(p *Packet, m *packet.ND) {
	var who netip.Addr
	switch {
	case m.Type == packet.ICMPv6NeighborSolicitation && m.MAC != packet.MAC{}:
		who = m.Src
	case m.Type == packet.ICMPv6NeighborAdvertisement:
		who = m.Target
	}
	if !who.IsValid() || who.IsUnspecified() || x.isRouter(p.In, who) {
		return
	}
	c := p.add()
	c.Action, c.Addr, c.MAC, c.ByND, c.Solicited, c.Override = Learn, who, m.MAC, m.Type, m.Solicited, m.Override
	c.Create = p.In.Kind == Uplink && m.Type == packet.ICMPv6NeighborSolicitation && x.isRouter(p.In, m.Target) && x.onUplink(who)
}

func saysND(o *Seen) string {
	switch {
	case o.Kind == verdict.Consume && o.Note == "":
		if what := Business(o.Before); what != "" {
			return what + ", which is between others: taken in silence"
		}
		return "to a group of this link, which is between others: taken in silence"
	case o.Kind == verdict.Consume:
		return o.Note
	case o.Kind == verdict.Pass:
		return "not Neighbor Discovery"
	}
	return ""
}
