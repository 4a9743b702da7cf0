package forwarder

import (
	"encoding/binary"
	"net/netip"

	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/verdict"
)

// rpf lets a workload send from its own address alone: strict reverse-path
// filtering (RFC 3704 2.2), where the reverse path is one address.
func (x *path) rpf(p *Packet) verdict.Verdict {
	if !x.RPF || p.in.Kind != Workload {
		return pass
	}
	if p.ip.Src() != p.in.Address || packet.Quotes(p.ip) && x.speaksForOthers(p) {
		return verdict.Dropped(verdict.RPFFailed)
	}
	return pass
}

// speaksForOthers says whether a workload's ICMP error is about a packet of a tunnel that
// did not come to it: it is on no other tunnel's way, and could only forge what a router
// there would say. A first fragment that is too short to tell hides what it is about.
func (x *path) speaksForOthers(p *Packet) bool {
	quote := packet.Quoted(p.ip)
	if quote == nil {
		return p.ip.MF() && len(p.ip.Payload()) < packet.ICMPHeaderLen+packet.IPv4MinLen && packet.IsICMPError(p.ip)
	}
	if quote.Protocol() != packet.ProtocolIPIP || quote.Dst() == p.in.Address {
		return false
	}
	r := x.way(quote.Dst(), quote)
	return r == nil || r.Port != p.in.ID
}

// local takes what is for the router itself. On the uplink the host's own stack
// answers for the host, and has had its copy; where the host has a port, what is
// for the host goes there.
func (x *path) local(p *Packet) verdict.Verdict {
	dst := p.ip.Dst()
	if dst != x.Gateway && !x.isOwn(dst) {
		return pass
	}
	if p.in.Kind == Uplink {
		return x.about(p)
	}
	if dst != x.Gateway && x.leadsToHost(dst) {
		return pass
	}
	if p.ip.IsFragment() && p.ip.Protocol() == packet.ProtocolICMP {
		p.asked = verdict.Local
		return hold
	}
	if p.ip.IsFragment() || !isEchoRequest(p.ip) {
		return verdict.Dropped(verdict.LocalUnsupported)
	}
	p.frame.FinishChecksum()
	if packet.Sum(p.ip.Payload(), 0) != 0xffff {
		return verdict.Dropped(verdict.LocalUnsupported) // RFC 1122 3.2.2: a corrupt ICMP message is discarded
	}
	p.note = "answered: echo to the router"
	p.answer, p.kind = x.echoReply(p.ip), EchoReply
	return consume
}

// about takes an ICMP error about a packet of this host's tunnels, and leaves the rest
// to the host. No router on the way sends it through a tunnel.
func (x *path) about(p *Packet) verdict.Verdict {
	t, sent := x.tunnelError(p.ip)
	if t == nil || p.tunnel != nil {
		return verdict.Overheard(verdict.NotForRouter)
	}
	if !sent {
		p.tunnel, p.guessed, p.note = t, true, "no packet that it quotes was lately sent into the tunnel"
		return verdict.Overheard(verdict.NotForRouter)
	}
	p.tunnel, p.note = t, "taken: it is about a packet in one of this host's tunnels"
	return consume
}

func (x *path) leadsToHost(a netip.Addr) bool {
	r := x.fib.Lookup(a)
	return r != nil && x.port(r.Port) != nil && x.port(r.Port).Kind == Host
}

func isEchoRequest(ip packet.IPv4) bool {
	b := ip.Payload()
	return ip.Protocol() == packet.ProtocolICMP && len(b) >= packet.ICMPHeaderLen && b[0] == packet.ICMPEchoRequest && b[1] == 0
}

// echoReply answers an echo request with its identifier, sequence number and
// data, from the address it was sent to (RFC 1812 4.3.3.6).
func (x *path) echoReply(req packet.IPv4) *packet.Frame {
	data := req.Payload()
	f := x.borrow()
	f.Reset(packet.EthernetLen + packet.IPv4MinLen + len(data))
	ip := f.Payload()
	packet.PutIPv4(ip, &packet.Header{
		TOS: req.TOS(), TotalLen: len(ip), ID: x.idents.unique(), TTL: ownTTL,
		Protocol: packet.ProtocolICMP, Src: req.Dst(), Dst: req.Src(),
	})
	icmp := ip[packet.IPv4MinLen:]
	copy(icmp, data)
	icmp[0] = packet.ICMPEchoReply
	sum := packet.UpdateChecksum(binary.BigEndian.Uint16(icmp[2:]), packet.ICMPEchoRequest<<8, packet.ICMPEchoReply<<8)
	binary.BigEndian.PutUint16(icmp[2:], sum)
	return f
}
