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
	if x.RPF && p.in.Kind == Workload && p.ip.Src() != p.in.Address {
		return verdict.Dropped(verdict.RPFFailed)
	}
	return pass
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
		if p.tunnel = x.tunnelError(p.ip); p.tunnel == nil {
			return verdict.Noise(verdict.NotForRouter)
		}
		p.note = "taken: it is about a packet in one of this host's tunnels"
		return consume
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
		TOS: req.TOS(), TotalLen: len(ip), ID: x.nextID(), TTL: ownTTL,
		Protocol: packet.ProtocolICMP, Src: req.Dst(), Dst: req.Src(),
	})
	icmp := ip[packet.IPv4MinLen:]
	copy(icmp, data)
	icmp[0] = packet.ICMPEchoReply
	sum := packet.UpdateChecksum(binary.BigEndian.Uint16(icmp[2:]), packet.ICMPEchoRequest<<8, packet.ICMPEchoReply<<8)
	binary.BigEndian.PutUint16(icmp[2:], sum)
	return f
}
