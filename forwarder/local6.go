package forwarder

import (
	"encoding/binary"

	"github.com/vrouter/vrouter/internal/ipv6"
	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/verdict"
)

// local6 takes what IPv6 has for the router itself, header by header as its destination
// has to (RFC 8200 4). check has made sure that they end inside the packet.
func (x *Path) local6(p *Packet) Verdict {
	src, dst := packet.IPv6(p.IP).Src(), packet.IPv6(p.IP).Dst()
	switch {
	case !x.isRouter(p.In, dst):
		return pass
	case p.In.Kind == Uplink:
		return x.localUplink(p)
	case !x.isGateway(dst) && x.leadsToHost(dst) && !src.IsLinkLocalUnicast():
		return pass // what is from an address of the link ends here: the host's port is another link
	}
	return x.headers6(p)
}

func (x *Path) headers6(p *Packet) Verdict {
	ip := packet.IPv6(p.IP)
	next, at, named := ip.NextHeader(), packet.IPv6MinLen, 6
	if !ip.Upper().OK { // put together, it is another packet than check has seen
		return p.badHeader(verdict.MeansNothing, at)
	}
	for {
		n := 8
		if next == packet.HeaderHopByHop && at != packet.IPv6MinLen {
			return p.notSpoken(named) // RFC 8200 4: they come first, or are not known
		}
		switch next {
		case packet.HeaderHopByHop, packet.HeaderDestination:
			n += 8 * int(ip[at+1])
			if v := p.options(ip, at+2, at+n); v.Kind != verdict.Pass {
				return v
			}
		case packet.HeaderRouting: // of whatever type: the router follows none (RFC 5095 3)
			n += 8 * int(ip[at+1])
			if segmentsLeft := ip[at+3]; segmentsLeft != 0 {
				return p.badHeader(verdict.MeansBadField, at+2)
			}
		case packet.HeaderFragment:
			if packet.FragmentHeader(ip[at:]).IsFragment() {
				return p.fragment6(ip, at)
			}
		case packet.ProtocolICMPv6:
			return x.icmp6(p, ip, at)
		case packet.ProtocolUDP:
			return p.unsupported(verdict.MeansNoPort)
		case packet.NoNextHeader:
			return p.unsupported(verdict.MeansNothing)
		default:
			return p.notSpoken(named)
		}
		next, at, named = ip[at], at+n, at
	}
}

// notSpoken refuses what the router does not speak, and says where it is named.
func (p *Packet) notSpoken(named int) Verdict {
	p.limit = int32(named)
	return p.unsupported(verdict.MeansNoProtocol)
}

// fragment6 waits for the rest, unless a fragment, whose header is at a place, can be a part
// of nothing (RFC 8200 4.5): its length, and how far it reaches, are told its source.
func (p *Packet) fragment6(ip packet.IPv6, at int) Verdict {
	const payloadLenAt, offsetAt = 4, 2
	h, data := packet.FragmentHeader(ip[at:]), len(ip)-at-packet.FragmentHeaderLen
	switch {
	case h.More() && data%8 != 0:
		return p.badHeader(verdict.MeansBadField, payloadLenAt)
	case at-packet.IPv6MinLen+h.Offset()+data > packet.IPv6MaxLen-packet.IPv6MinLen:
		return p.badHeader(verdict.MeansBadField, at+offsetAt)
	}
	p.note, p.add().Action = "", WaitRest
	return hold
}

// badHeader refuses what the router cannot follow, and says where in the packet that is.
func (p *Packet) badHeader(m Meaning, at int) Verdict {
	p.tells, p.limit = m, int32(at)
	return verdict.Dropped(verdict.IP6BadHeader)
}

// The options that are known, and what is done about others, by the first two bits of
// their type (RFC 8200 4.2, RFC 2711 2.1).
const (
	optionPad1        = 0
	optionPadN        = 1
	optionRouterAlert = 5

	optionSkip = 0
	optionDrop = 1
)

// options looks at those in a part of the packet.
func (p *Packet) options(ip packet.IPv6, at, end int) Verdict {
	for at < end {
		kind := ip[at]
		if kind == optionPad1 {
			at++
			continue
		}
		if at+2 > end || at+2+int(ip[at+1]) > end {
			return p.badHeader(verdict.MeansBadField, at)
		}
		switch action := kind >> 6; {
		case kind == optionPadN, kind == optionRouterAlert, action == optionSkip:
		case action == optionDrop:
			return p.badHeader(verdict.MeansNothing, at)
		default:
			return p.badHeader(verdict.MeansBadOption, at)
		}
		at += 2 + int(ip[at+1])
	}
	return pass
}

// icmp6 answers an echo request (RFC 4443 4.2). Nobody is answered who cannot be one host.
func (x *Path) icmp6(p *Packet, ip packet.IPv6, at int) Verdict {
	b := ip[at:]
	if len(b) < packet.ICMPHeaderLen || b[0] != packet.ICMPv6EchoRequest || b[1] != 0 {
		return p.unsupported(verdict.MeansNothing)
	}
	p.Frame.FinishChecksum()
	if packet.ICMPv6Sum(ip, at) != 0xffff || words(ip[8:]).notOneHost() {
		return p.unsupported(verdict.MeansNothing)
	}
	return p.echo(x.echoReply6(ip, b))
}

// echoReply6 answers an echo request with its identifier, sequence number and data, from
// the address it was sent to.
func (x *Path) echoReply6(req packet.IPv6, data []byte) *packet.Frame {
	f := x.Borrow()
	f.Reset(packet.EthernetLen + packet.IPv6MinLen + len(data))
	ip := packet.IPv6(f.Payload())
	packet.PutIPv6(ip, &packet.Header6{
		TrafficClass: req.TrafficClass(), PayloadLen: len(data), NextHeader: packet.ProtocolICMPv6, HopLimit: ipv6.OwnHopLimit,
		Src: req.Dst(), Dst: req.Src(),
	})
	icmp := ip[packet.IPv6MinLen:]
	copy(icmp, data)
	icmp[0] = packet.ICMPv6EchoReply
	binary.BigEndian.PutUint16(icmp[2:], packet.UpdateChecksum(binary.BigEndian.Uint16(icmp[2:]), packet.ICMPv6EchoRequest<<8, packet.ICMPv6EchoReply<<8))
	return f
}
