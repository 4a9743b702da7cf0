package packet

import (
	"encoding/binary"
	"net/netip"
)

// Protocol numbers.
const (
	ProtocolICMP = 1
	ProtocolIPIP = 4
	ProtocolTCP  = 6
	ProtocolUDP  = 17
	ProtocolIPv6 = 41
	ProtocolGRE  = 47

	ProtocolICMPv6  = 58
	ProtocolDCCP    = 33
	ProtocolSCTP    = 132
	ProtocolUDPLite = 136
)

// TCPMinLen is the length in bytes of a TCP header without options.
const TCPMinLen = 20

const (
	flagDF     = 0x4000
	flagMF     = 0x2000
	fragOffset = 0x1fff
)

// IPv4 is a view on a packet's bytes, from its IPv4 header on. Its methods need
// a whole header, which the step check has made sure of.
type IPv4 []byte

// Version is 4.
func (p IPv4) Version() int { return int(p[0] >> 4) }

// HeaderLen in bytes, options included.
func (p IPv4) HeaderLen() int { return int(p[0]&15) * 4 }

// TOS is DSCP and ECN, RFC 2474 and 3168.
func (p IPv4) TOS() byte { return p[1] }

// TotalLen in bytes, header included.
func (p IPv4) TotalLen() int { return int(binary.BigEndian.Uint16(p[2:])) }

// ID of the datagram, for reassembly.
func (p IPv4) ID() uint16 { return binary.BigEndian.Uint16(p[4:]) }

// DF: don't fragment.
func (p IPv4) DF() bool { return p.fragField()&flagDF != 0 }

// MF: more fragments follow.
func (p IPv4) MF() bool { return p.fragField()&flagMF != 0 }

// FragOffset is where this fragment's payload belongs, in bytes.
func (p IPv4) FragOffset() int { return int(p.fragField()&fragOffset) * 8 }

// IsFragment says whether the packet is a part of a datagram.
func (p IPv4) IsFragment() bool { return p.fragField()&(flagMF|fragOffset) != 0 }

func (p IPv4) fragField() uint16 { return binary.BigEndian.Uint16(p[6:]) }

// TTL is the time to live, in hops.
func (p IPv4) TTL() byte { return p[8] }

// Protocol of the payload.
func (p IPv4) Protocol() byte { return p[9] }

// HeaderChecksum as it stands in the packet.
func (p IPv4) HeaderChecksum() uint16 { return binary.BigEndian.Uint16(p[10:]) }

// Src is the source address.
func (p IPv4) Src() netip.Addr { return netip.AddrFrom4([4]byte(p[12:16])) }

// Dst is the destination address.
func (p IPv4) Dst() netip.Addr { return netip.AddrFrom4([4]byte(p[16:20])) }

// Payload is what follows the header, up to the total length, as far as it is
// there: a quote in an ICMP error is cut short.
func (p IPv4) Payload() []byte { return p[p.HeaderLen():max(p.HeaderLen(), min(p.TotalLen(), len(p)))] }

// SetTTL changes the TTL and, by RFC 1624, the checksum.
func (p IPv4) SetTTL(ttl byte) {
	old := binary.BigEndian.Uint16(p[8:])
	p[8] = ttl
	p.updateChecksum(old, uint16(ttl)<<8|old&0xff) // not read back, as that would wait for what was written
}

// SetECN changes the two ECN bits and the checksum.
func (p IPv4) SetECN(ecn byte) {
	old := binary.BigEndian.Uint16(p)
	p[1] = byte(old)&^3 | ecn
	p.updateChecksum(old, old&^3|uint16(ecn))
}

func (p IPv4) updateChecksum(old, new uint16) {
	binary.BigEndian.PutUint16(p[10:], UpdateChecksum(p.HeaderChecksum(), old, new))
}

// SetChecksum computes the header's checksum afresh.
func (p IPv4) SetChecksum() {
	p[10], p[11] = 0, 0
	binary.BigEndian.PutUint16(p[10:], ^p.HeaderSum())
}

// HeaderSum is the Internet checksum's sum over the header: 0xffff if its checksum is right.
func (p IPv4) HeaderSum() uint16 {
	if p.HeaderLen() == IPv4MinLen {
		return sum20(p)
	}
	return Sum(p[:p.HeaderLen()], 0)
}

// setFragment writes length, offset in bytes and the MF flag; DF is left alone.
// The checksum is the caller's to set.
func (p IPv4) setFragment(totalLen, offset int, more bool) {
	binary.BigEndian.PutUint16(p[2:], uint16(totalLen))
	field := p.fragField()&flagDF | uint16(offset/8)
	if more {
		field |= flagMF
	}
	binary.BigEndian.PutUint16(p[6:], field)
}

// Header is what PutIPv4 writes: an IPv4 header without options.
type Header struct {
	TOS      byte
	TotalLen int
	ID       uint16
	DF       bool
	TTL      byte
	Protocol byte
	Src, Dst netip.Addr
}

// PutIPv4 writes a 20-byte header with its checksum into b. The sum is made of what is
// written, as reading that back at once would wait for it.
func PutIPv4(b []byte, h *Header) {
	b = b[:IPv4MinLen]
	src, dst := h.Src.As4(), h.Dst.As4()
	first := 0x45<<24 | uint32(h.TOS)<<16 | uint32(uint16(h.TotalLen))
	second, third := uint32(h.ID)<<16, uint32(h.TTL)<<24|uint32(h.Protocol)<<16
	if h.DF {
		second |= flagDF
	}
	fourth, fifth := binary.BigEndian.Uint32(src[:]), binary.BigEndian.Uint32(dst[:])
	sum := uint64(first) + uint64(second) + uint64(third) + uint64(fourth) + uint64(fifth)
	sum = sum>>32 + sum&0xffffffff
	sum = sum>>16 + sum&0xffff
	sum = sum>>16 + sum&0xffff
	binary.BigEndian.PutUint32(b, first)
	binary.BigEndian.PutUint32(b[4:], second)
	binary.BigEndian.PutUint32(b[8:], third|uint32(^uint16(sum)))
	binary.BigEndian.PutUint32(b[12:], fourth)
	binary.BigEndian.PutUint32(b[16:], fifth)
}

// IPv4Addr reads four bytes.
func IPv4Addr(b []byte) netip.Addr { return netip.AddrFrom4([4]byte(b)) }
