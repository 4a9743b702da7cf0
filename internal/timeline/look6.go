package timeline

import (
	"bytes"
	"encoding/binary"
	"hash/fnv"
	"net/netip"

	"github.com/vrouter/vrouter/internal/packet"
)

// piece6 is pieceOf of IPv6, which has no identification but in fragments. What stands in its
// place is made of what no router changes (RFC 8200 3, RFC 6437): the flow label, the length and,
// of an ICMPv6 message, its first bytes without the checksum.
func piece6(b []byte, packets int) (p piece) {
	ip := packet.IPv6(b)
	u := ip.Upper()
	if m, ok := resolution(ip, u); ok {
		return m
	}
	p = piece{src: ip.Src(), dst: ip.Dst(), proto: int(u.Protocol), ttl: ip.HopLimit(), packets: max(1, packets)}
	begin, end := u.At, packet.IPv6MinLen+ip.PayloadLen()
	if u.Fragment != 0 {
		h := packet.FragmentHeader(b[u.Fragment:])
		p.fragment, p.id, p.lo = h.IsFragment(), h.ID(), h.Offset()
		begin = u.Fragment + packet.FragmentHeaderLen
	}
	p.hi = p.lo + max(0, end-begin)
	if p.lo == 0 && u.At <= min(end, len(b)) && u.OK {
		p.l4 = b[u.At:min(end, len(b))]
	}
	if !p.fragment {
		p.id = p.digest(ip)
	}
	return p
}

// digest is made of what a packet has at each host.
func (p *piece) digest(ip packet.IPv6) uint32 {
	var b [12]byte
	binary.BigEndian.PutUint32(b[:], ip.FlowLabel())
	binary.BigEndian.PutUint16(b[4:], uint16(ip.PayloadLen()))
	if len(p.l4) >= packet.ICMPHeaderLen && p.proto == packet.ProtocolICMPv6 {
		copy(b[6:], p.l4[:2])
		copy(b[8:], p.l4[4:8])
	}
	h := fnv.New32a()
	h.Write(b[:])
	return h.Sum32()
}

// resolution is a solicitation or an advertisement of Neighbor Discovery, as ARP's request and
// reply are told. It need not be as a router requires it.
func resolution(ip packet.IPv6, u packet.Upper) (p piece, ok bool) {
	const length = 24
	if !u.OK || u.Protocol != packet.ProtocolICMPv6 || u.Fragment != 0 || len(ip) < u.At+length {
		return p, false
	}
	p = piece{proto: isND, id: uint32(ip[u.At]), ttl: ip.HopLimit(), hi: length, l4: ip[u.At : u.At+length], packets: 1}
	target := netip.AddrFrom16([16]byte(p.l4[8:24]))
	switch ip[u.At] {
	case packet.ICMPv6NeighborSolicitation:
		p.src, p.dst = ip.Src(), target
	case packet.ICMPv6NeighborAdvertisement:
		p.src, p.dst = target, ip.Dst()
	default:
		return piece{}, false
	}
	return p, true
}

// sameOptions compares what the segments of a superframe have in common in their headers: the
// window and the options, such as timestamps, by which a segment that is sent again is another one.
func sameOptions(a, b []byte) bool {
	n, m := min(int(a[12]>>4)*4, len(a)), min(int(b[12]>>4)*4, len(b))
	return n == m && bytes.Equal(a[14:16], b[14:16]) && bytes.Equal(a[packet.TCPMinLen:max(n, packet.TCPMinLen)], b[packet.TCPMinLen:max(m, packet.TCPMinLen)])
}
