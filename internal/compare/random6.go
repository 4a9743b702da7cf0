package compare

import (
	"encoding/binary"
	"net/netip"

	"github.com/vrouter/vrouter/internal/packet"
)

func (g *generator) packet6(src, dst netip.Addr, mtu int) []byte {
	h := packet.Header6{FlowLabel: uint32(g.number), HopLimit: g.ttl(), Src: src, Dst: dst}
	if g.one(4) {
		h.TrafficClass = byte(g.rng.Uint32())
	}
	room := mtu - packet.IPv6MinLen
	data := g.bytes(min(pick(g.rng, []int{0, 1, 8, g.rng.IntN(64), 1160 + g.rng.IntN(80), room - g.rng.IntN(10)}), room))
	next := byte(packet.ProtocolUDP)
	switch g.rng.IntN(7) {
	case 0, 1:
		next = pick(g.rng, []byte{packet.ProtocolTCP, packet.ProtocolGRE, packet.HeaderESP, packet.NoNextHeader, packet.ProtocolSCTP, 253})
	case 2:
		next = packet.ProtocolICMPv6
		data = g.icmp6(src, dst, pick(g.rng, []byte{1, 2, 3, 4, 100, 128, 129, 200}), byte(g.rng.IntN(8)), data)
	case 3:
		if len(data) >= packet.FragmentHeaderLen {
			next = packet.HeaderFragment
			packet.PutFragmentHeader(data, packet.ProtocolUDP, g.rng.IntN(8192)*8, g.one(2), g.rng.Uint32())
		}
	}
	if (next == packet.ProtocolTCP || next == packet.ProtocolUDP) && len(data) >= 8 {
		g.ports(data)
	}
	for range g.rng.IntN(3) {
		if len(data) >= 24 && next != packet.HeaderHopByHop {
			next, data = g.extend(next, data)
		}
	}
	h.NextHeader, h.PayloadLen = next, len(data)
	b := append(make([]byte, packet.IPv6MinLen), data...)
	packet.PutIPv6(b, &h)
	switch {
	case g.one(20):
		b[0] = byte(g.rng.Uint32())<<4 | b[0]&15
	case g.one(20):
		b = b[:len(b)-1-g.rng.IntN(min(40, len(b)-1))]
	case g.one(20):
		b = append(b, make([]byte, min(g.rng.IntN(60), mtu-len(b)))...)
	}
	return b
}

// extend puts a header of 8 bytes in front, in place of as many of the data's last.
func (g *generator) extend(next byte, data []byte) (byte, []byte) {
	kind := pick(g.rng, []byte{packet.HeaderDestination, packet.HeaderDestination, packet.HeaderRouting, packet.HeaderHopByHop})
	head := []byte{next, 0, pick(g.rng, []byte{1, 0x1e, 0x3e}), 4, 0, 0, 0, 0}
	if kind == packet.HeaderRouting {
		head[2], head[3] = pick(g.rng, []byte{0, 2, 253}), byte(g.rng.IntN(2))
	}
	if g.one(20) && kind != packet.HeaderHopByHop { // whose options Linux reads on the way
		head[1] = byte(g.rng.Uint32()) // its length
	}
	return kind, append(head, data[:len(data)-8]...)
}

func (g *generator) icmp6(src, dst netip.Addr, typ, code byte, data []byte) []byte {
	b := append(binary.BigEndian.AppendUint32([]byte{typ, code, 0, 0}, uint32(g.number)<<16|g.rng.Uint32()&0xffff), data[:max(0, len(data)-8)]...)
	if typ >= 128 && typ < 130 {
		b[1] = 0
	}
	p := append(make([]byte, packet.IPv6MinLen), b...)
	packet.PutIPv6(p, &packet.Header6{PayloadLen: len(b), NextHeader: packet.ProtocolICMPv6, Src: src, Dst: dst})
	packet.SetICMPv6Checksum(p, packet.IPv6MinLen)
	return p[packet.IPv6MinLen:]
}
