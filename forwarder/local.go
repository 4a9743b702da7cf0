package forwarder

import (
	"encoding/binary"
	"net/netip"

	"github.com/vrouter/vrouter/internal/ipv4"
	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/verdict"
)

// Local takes what is for the router itself. On the uplink the host's own stack
// answers for the host, and has had its copy; where the host has a port, what is
// for the host goes there.
var Local = &Step{
	Word: "local", Help: "what is for the router itself is taken: echo to the gateway's or the uplink's address",
	RFC: "RFC 1812 4.3.3.6, 5.2.3", RFC6: "RFC 4443 4.2, RFC 8200 4", Quiet: true,
	run: (*Path).local, facts: noteFacts, say: saysLocal,
}

func (x *Path) local(p *Packet) Verdict {
	if p.six {
		return x.local6(p)
	}
	ip := packet.IPv4(p.IP)
	dst := ip.Dst()
	if dst != x.Gateway && !x.isOwn(dst) {
		return pass
	}
	if p.In.Kind == Uplink {
		return x.localUplink(p)
	}
	if dst != x.Gateway && x.leadsToHost(dst) {
		return pass
	}
	if ip.IsFragment() && ip.Protocol() == packet.ProtocolICMP {
		p.note, p.add().Action = "", WaitRest
		return hold
	}
	if ip.IsFragment() || !isEchoRequest(ip) {
		return p.unsupported(tellsOfLocal(ip.Protocol()))
	}
	p.Frame.FinishChecksum()
	if packet.Sum(ip.Payload(), 0) != 0xffff {
		return p.unsupported(verdict.MeansNothing) // RFC 1122 3.2.2: a corrupt ICMP message is discarded
	}
	return p.echo(x.echoReply(ip))
}

// echo answers an echo request.
func (p *Packet) echo(reply *packet.Frame) Verdict {
	p.note = "answered: echo to the router"
	c := p.add()
	c.Action, c.Made, c.Frame = Answer, EchoReply, reply
	return consume
}

// unsupported refuses what the router itself does not speak, and says what its source is
// told.
func (p *Packet) unsupported(m Meaning) Verdict {
	p.tells = m
	return verdict.Dropped(verdict.LocalUnsupported)
}

// tellsOfLocal: what the router itself does not speak. A closed port is said with its
// own words, and ICMP is never answered with an error of protocol.
func tellsOfLocal(protocol byte) Meaning {
	switch protocol {
	case packet.ProtocolICMP:
		return verdict.MeansNothing
	case packet.ProtocolUDP:
		return verdict.MeansNoPort
	}
	return verdict.MeansNoProtocol
}

// localUplink takes an ICMP error about a packet of this host's tunnels, and leaves the
// rest to the host. No router on the way sends it through a tunnel.
func (x *Path) localUplink(p *Packet) Verdict {
	p.note = ""
	q := x.tunnelError(p.IP)
	if q.Tunnel != nil && p.From == nil && q.sent {
		x.takeTunnelError(p, &q)
		p.note = "taken: it is about a packet in one of this host's tunnels"
		return consume
	}
	p.add().Action = LeaveToHost
	if q.Tunnel != nil && p.From == nil {
		c := p.add()
		c.Action, c.Tunnel = Guess, q.Tunnel
		p.note = "no packet that it quotes was lately sent into the tunnel"
	}
	return verdict.Noise(verdict.NotForRouter)
}

func (x *Path) leadsToHost(a netip.Addr) bool {
	r := x.FIB.Lookup(a)
	return r != nil && x.Port(r.Port) != nil && x.Port(r.Port).Kind == Host
}

func isEchoRequest(ip packet.IPv4) bool {
	b := ip.Payload()
	return ip.Protocol() == packet.ProtocolICMP && len(b) >= packet.ICMPHeaderLen && b[0] == packet.ICMPEchoRequest && b[1] == 0
}

// echoReply answers an echo request with its identifier, sequence number and
// data, from the address it was sent to (RFC 1812 4.3.3.6).
func (x *Path) echoReply(req packet.IPv4) *packet.Frame {
	data := req.Payload()
	f := x.Borrow()
	f.Reset(packet.EthernetLen + packet.IPv4MinLen + len(data))
	ip := f.Payload()
	packet.PutIPv4(ip, &packet.Header{
		TOS: req.TOS(), TotalLen: len(ip), ID: x.Numbers.Next(nil), TTL: ipv4.OwnTTL,
		Protocol: packet.ProtocolICMP, Src: req.Dst(), Dst: req.Src(),
	})
	icmp := ip[packet.IPv4MinLen:]
	copy(icmp, data)
	icmp[0] = packet.ICMPEchoReply
	sum := packet.UpdateChecksum(binary.BigEndian.Uint16(icmp[2:]), packet.ICMPEchoRequest<<8, packet.ICMPEchoReply<<8)
	binary.BigEndian.PutUint16(icmp[2:], sum)
	return f
}

func saysLocal(o *Seen) string {
	ip := header(o.Before)
	switch {
	case o.Kind == verdict.Consume && o.Note == "":
		return finished
	case o.Kind == verdict.Consume:
		return o.Note
	case o.Kind == verdict.Hold:
		return waitsForRest
	case o.Reason == verdict.ReassemblyLimit:
		return o.Note
	case o.Reason == verdict.NotForRouter && o.Note != "":
		return o.Note
	case ip == nil:
		return ""
	case o.Reason == verdict.NotForRouter:
		return ip.Dst().String() + " is the host's own: its own stack takes it"
	case o.Kind == verdict.Drop:
		return ""
	}
	return ip.Dst().String() + " is not for the router to take"
}
