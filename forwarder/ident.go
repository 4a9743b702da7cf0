package forwarder

import (
	"encoding/binary"
	"net/netip"

	"github.com/vrouter/vrouter/internal/packet"
)

// Numbers are the identifications of datagrams that the router makes, and that may be cut
// on their way: whoever runs the path draws them. t is the tunnel that they go into; nil:
// they are the router's own.
type Numbers interface {
	// Next is one that no other datagram between the same hosts has for as long as can be
	// (RFC 6864 4.2).
	Next(t *Tunnel) uint16
	// Gave says whether a number was given out lately, and Lately how many were.
	Gave(t *Tunnel, id uint16) bool
	Lately(t *Tunnel) uint32
}

// NumbersInARow are Numbers of which several goroutines draw at once.
type NumbersInARow interface {
	// NextOf is the first of n numbers as of Next, one after the other.
	NextOf(t *Tunnel, n int) uint16
}

// Numbers32 are Numbers of 32 bits, as fragments of IPv6 have them (RFC 8200 4.5).
type Numbers32 interface {
	Next32(t *Tunnel) uint32
}

func (x *Path) number32(t *Tunnel) uint32 {
	if n, ok := x.Numbers.(Numbers32); ok {
		return n.Next32(t)
	}
	return uint32(x.Numbers.Next(t))
}

// numbers are the next n, for the segments of a superframe: the first of them.
func (x *Path) numbers(t *Tunnel, n int) uint16 {
	if n > 1 {
		if row, ok := x.Numbers.(NumbersInARow); ok {
			return row.NextOf(t, n)
		}
	}
	first := x.Numbers.Next(t)
	for range n - 1 {
		x.Numbers.Next(t)
	}
	return first
}

// Keys number outer packets that may not be cut on their way, and so need no number of
// their own (RFC 6864 4.1). Nobody can name one who has not seen it: what an ICMP error
// quotes tells whether its sender has. The first one is that of now; the other one was
// until lately.
type Keys [2]uint64

// Number is that of an outer packet: that of what it carries, moved by what the key says for its
// ends and its length. So segments of one frame are numbered one after the other.
func (k *Keys) Number(src, dst netip.Addr, length int, number uint16) uint16 {
	s, d := src.As4(), dst.As4()
	ends := uint64(binary.BigEndian.Uint32(s[:]))<<32 | uint64(binary.BigEndian.Uint32(d[:]))
	return number + shift(k[0], ends, length)
}

// numberOf is what an outer packet is numbered by: the inner one's identification or, of
// VXLAN, the port that it comes from. Either is in the first 8 bytes behind the outer header,
// which every quote has (RFC 792).
func numberOf(inner packet.IP, port uint16) uint16 {
	if port != 0 {
		return port
	}
	return idOf(inner)
}

// idOf is the identification of a packet; IPv6 has none, and the end of its flow label is
// as good.
func idOf(ip packet.IP) uint16 {
	if ip.Version() == 6 {
		return binary.BigEndian.Uint16(ip[2:])
	}
	return packet.IPv4(ip).ID()
}

func shift(key, ends uint64, length int) uint16 {
	return uint16(mix(mix(key^ends)^uint64(length)) >> 48)
}

// Gave says whether an outer packet that somebody quotes has a number that was given out
// lately, or one of the few that follow it.
func (k *Keys) Gave(outer packet.IPv4, number, few uint16) bool {
	ends := binary.BigEndian.Uint64(outer[12:20])
	for _, key := range k {
		if outer.ID()-number-shift(key, ends, outer.TotalLen()) <= few {
			return true
		}
	}
	return false
}

// label is the flow label of an outer packet of IPv6, which has no number: the same for all
// packets of a flow (RFC 6438 3), and such that nobody can name one who has not seen it.
func (x *Path) label(src, end netip.Addr, inner packet.IP) uint32 {
	const bits = 20
	s, d := src.As16(), end.As16()
	ends := words(s[:]).mix(words(d[:]).mix(x.Secret))
	return uint32(mix(ends^uint64(x.hash(inner))) >> (64 - bits))
}
