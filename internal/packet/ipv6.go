package packet

import (
	"encoding/binary"
	"net/netip"
)

// IPv6MaxLen is the length in bytes of the longest packet that is no jumbogram.
const IPv6MaxLen = IPv6MinLen + 65535

// IPv6 is a view on a packet's bytes, from its IPv6 header on. Its methods need
// a whole header, which the step check has made sure of.
type IPv6 []byte

// Version is 6.
func (p IPv6) Version() int { return int(p[0] >> 4) }

// TrafficClass is DSCP and ECN, RFC 2474 and 3168.
func (p IPv6) TrafficClass() byte { return p[0]<<4 | p[1]>>4 }

// FlowLabel is 20 bits that the packets of a flow have in common (RFC 6437); 0 is none.
func (p IPv6) FlowLabel() uint32 { return binary.BigEndian.Uint32(p) & 0xfffff }

// PayloadLen in bytes is all that follows the header, extension headers included.
func (p IPv6) PayloadLen() int { return int(binary.BigEndian.Uint16(p[4:])) }

// NextHeader says what follows the header. What the packet carries, Upper says.
func (p IPv6) NextHeader() byte { return p[6] }

// HopLimit is the time to live, in hops.
func (p IPv6) HopLimit() byte { return p[7] }

// Src is the source address.
func (p IPv6) Src() netip.Addr { return netip.AddrFrom16([16]byte(p[8:24])) }

// Dst is the destination address.
func (p IPv6) Dst() netip.Addr { return netip.AddrFrom16([16]byte(p[24:40])) }

// Payload is what follows the header, up to the payload length, as far as it is
// there: a quote in an ICMPv6 error is cut short.
func (p IPv6) Payload() []byte { return p[IPv6MinLen:p.end()] }

// end is where the packet ends, or is cut.
func (p IPv6) end() int { return min(IPv6MinLen+p.PayloadLen(), len(p)) }

// SetHopLimit changes the hop limit.
func (p IPv6) SetHopLimit(hops byte) { p[7] = hops }

// SetECN changes the two ECN bits.
func (p IPv6) SetECN(ecn byte) { p[1] = p[1]&^0x30 | ecn<<4 }

// setPayloadLen writes it.
func (p IPv6) setPayloadLen(n int) { binary.BigEndian.PutUint16(p[4:], uint16(n)) }

// Header6 is what PutIPv6 writes: an IPv6 header.
type Header6 struct {
	TrafficClass byte
	FlowLabel    uint32
	PayloadLen   int
	NextHeader   byte
	HopLimit     byte
	Src, Dst     netip.Addr
}

// PutIPv6 writes a 40-byte header into b.
func PutIPv6(b []byte, h *Header6) {
	b = b[:IPv6MinLen]
	binary.BigEndian.PutUint32(b, 6<<28|uint32(h.TrafficClass)<<20|h.FlowLabel&0xfffff)
	binary.BigEndian.PutUint16(b[4:], uint16(h.PayloadLen))
	b[6], b[7] = h.NextHeader, h.HopLimit
	src, dst := h.Src.As16(), h.Dst.As16()
	copy(b[8:], src[:])
	copy(b[24:], dst[:])
}
