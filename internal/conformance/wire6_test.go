package conformance

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
)

const (
	typeIPv6 = 0x86dd

	protoICMP6  = 58
	nextNone    = 59
	nextHop     = -1 // stands for 0, as 0 stands for UDP here
	nextDest    = 60
	nextRouting = 43
	nextAuth    = 51
	nextFragm   = 44

	ndSolicitation  = 135
	ndAdvertisement = 136
	ndSource        = 1 // link-layer address options
	ndTarget        = 2
)

func ip6(s string) []byte { return netip.MustParseAddr(s).AsSlice() }

// ip6Packet describes an IPv6 packet to be built.
type ip6Packet struct {
	src, dst string
	class    byte
	flow     uint32
	hops     int // 0: 64; -1: 0
	next     int // 0: UDP; nextHop: 0
	data     []byte
}

func (p ip6Packet) bytes() []byte {
	if p.next == 0 {
		p.next = protoUDP
		if p.data == nil {
			p.data = udp6(p.src, p.dst, 40000, 40001, []byte("conformance"))
		}
	}
	b := make([]byte, 40, 40+len(p.data))
	binary.BigEndian.PutUint32(b, 6<<28|uint32(p.class)<<20|p.flow)
	binary.BigEndian.PutUint16(b[4:], uint16(len(p.data)))
	b[6], b[7] = byte(max(p.next, 0)), 64
	if p.hops != 0 {
		b[7] = byte(max(p.hops, 0))
	}
	copy(b[8:], ip6(p.src))
	copy(b[24:], ip6(p.dst))
	return append(b, p.data...)
}

// forwarded6 is the packet one hop on: the hop limit is one lower, and nothing else has
// changed; what is behind the payload is no part of it.
func forwarded6(ip []byte) []byte {
	b := slices.Clone(ip[:40+int(binary.BigEndian.Uint16(ip[4:]))])
	b[7]--
	return b
}

// sum6 is the checksum of RFC 8200 8.1.
func sum6(src, dst []byte, proto byte, data []byte) uint16 {
	b := slices.Concat(src, dst, binary.BigEndian.AppendUint32(nil, uint32(len(data))), []byte{0, 0, 0, proto}, data)
	return inetSum(b)
}

func udp6(src, dst string, from, to uint16, data []byte) []byte {
	b := udp(from, to, data)
	binary.BigEndian.PutUint16(b[6:], sum6(ip6(src), ip6(dst), protoUDP, b))
	return b
}

// icmp6 is an ICMPv6 message with its checksum.
func icmp6(src, dst string, typ, code byte, rest uint32, data []byte) []byte {
	b := binary.BigEndian.AppendUint32([]byte{typ, code, 0, 0}, rest)
	b = append(b, data...)
	binary.BigEndian.PutUint16(b[2:], sum6(ip6(src), ip6(dst), protoICMP6, b))
	return b
}

func echo6(src, dst string, id, seq uint16, data []byte) []byte {
	return icmp6(src, dst, 128, 0, uint32(id)<<16|uint32(seq), data)
}

// ndMessage is a neighbour solicitation or advertisement.
type ndMessage struct {
	typ              byte
	src, dst, target string
	flags            byte // 0x80 router, 0x40 solicited, 0x20 override
	option           byte // 0: none
	mac              mac
}

func (m ndMessage) bytes() []byte {
	data := ip6(m.target)
	if m.option != 0 {
		data = slices.Concat(data, []byte{m.option, 1}, m.mac[:])
	}
	return ip6Packet{
		src: m.src, dst: m.dst, hops: 255, next: protoICMP6, data: icmp6(m.src, m.dst, m.typ, 0, uint32(m.flags)<<24, data),
	}.bytes()
}

// solicitedNode is the group on which a target is asked for.
func solicitedNode(target string) string {
	a, g := netip.MustParseAddr(target).As16(), netip.MustParseAddr("ff02::1:ff00:0").As16()
	copy(g[13:], a[13:])
	return netip.AddrFrom16(g).String()
}

// groupMAC is where a frame to an IPv6 group goes.
func groupMAC(group string) mac {
	b := ip6(group)
	return mac{0x33, 0x33, b[12], b[13], b[14], b[15]}
}

// linkLocal is the address that a station gives itself.
func linkLocal(m mac) string {
	return netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 8: m[0] ^ 2, 9: m[1], 10: m[2], 11: 0xff, 12: 0xfe, 13: m[3], 14: m[4], 15: m[5]}).String()
}

// extension puts a header of 8 bytes times n+1 in front of data.
func extension(next byte, n byte, body []byte, data []byte) []byte {
	b := make([]byte, 8+8*int(n))
	b[0], b[1] = next, n
	copy(b[2:], body)
	return append(b, data...)
}

// fragment6 is a fragment header and what it is in front of.
func fragment6(next byte, id uint32, offset int, more bool, data []byte) []byte {
	b := make([]byte, 8, 8+len(data))
	b[0] = next
	binary.BigEndian.PutUint16(b[2:], uint16(offset))
	if more {
		b[3] |= 1
	}
	binary.BigEndian.PutUint32(b[4:], id)
	return append(b, data...)
}

// isICMP6 says whether a frame has an ICMPv6 message of one of these types right behind its
// header, or behind hop-by-hop options.
func isICMP6(f []byte, types ...byte) bool {
	if len(f) < 14+48 || binary.BigEndian.Uint16(f[12:]) != typeIPv6 {
		return false
	}
	next, at := f[20], 54
	if next == 0 {
		next, at = f[54], at+8+8*int(f[55])
	}
	return next == protoICMP6 && at < len(f) && slices.Contains(types, f[at])
}

func describe6(p []byte) string {
	s := fmt.Sprintf("IPv6 %v > %v next %d hops %d payload %d", netip.AddrFrom16([16]byte(p[8:24])), netip.AddrFrom16([16]byte(p[24:40])), p[6], p[7], binary.BigEndian.Uint16(p[4:]))
	if p[6] == protoICMP6 && len(p) >= 48 {
		s += fmt.Sprintf(" ICMPv6 %d/%d rest %x", p[40], p[41], p[44:48])
	}
	return s + " " + hex.EncodeToString(p[:min(len(p), 96)])
}
