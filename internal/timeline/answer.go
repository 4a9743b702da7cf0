package timeline

import (
	"encoding/binary"

	"github.com/vrouter/vrouter/internal/packet"
)

// question is what a packet asks, and what its answer answers: the same value for both.
type question struct {
	key
	number uint32 // ICMP echo: identifier and sequence number; TCP: the sequence number that is acknowledged
}

// asks says whether a packet is one that is answered, and how the answer is known:
// an echo request by its number (RFC 792), a TCP segment by the acknowledgement of its
// last byte (RFC 9293 3.4), a UDP datagram by its flow.
func (p *piece) asks() (q question, ok bool) {
	q.key = key{src: p.src, dst: p.dst, proto: p.proto}
	switch {
	case p.isEcho(packet.ICMPEchoRequest, packet.ICMPv6EchoRequest):
		q.number = binary.BigEndian.Uint32(p.l4[4:])
		return q, true
	case p.proto == packet.ProtocolTCP && p.isTCP() && p.sequence() > 0:
		q.ports = binary.BigEndian.Uint32(p.l4)
		q.number = binary.BigEndian.Uint32(p.l4[4:]) + uint32(p.sequence())
		return q, true
	case p.proto == packet.ProtocolUDP:
		q.ports, ok = p.ports()
		return q, ok
	}
	return q, false
}

// answers is asks of the packet that this one is the answer to.
func (p *piece) answers() (q question, ok bool) {
	q.key = key{src: p.dst, dst: p.src, proto: p.proto}
	switch {
	case p.isEcho(packet.ICMPEchoReply, packet.ICMPv6EchoReply):
		q.number = binary.BigEndian.Uint32(p.l4[4:])
		return q, true
	case p.proto == packet.ProtocolTCP && p.isTCP():
		q.number = binary.BigEndian.Uint32(p.l4[8:])
	case p.proto != packet.ProtocolUDP:
		return q, false
	}
	ports, ok := p.ports()
	q.ports = ports<<16 | ports>>16
	return q, ok
}

// isEcho says whether it is one of a type of ICMP, or of ICMPv6.
func (p *piece) isEcho(kind, kind6 byte) bool {
	return len(p.l4) >= packet.ICMPHeaderLen &&
		(p.proto == packet.ProtocolICMP && p.l4[0] == kind || p.proto == packet.ProtocolICMPv6 && p.l4[0] == kind6)
}
