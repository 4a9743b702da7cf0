package conformance

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
)

type mac [6]byte

var (
	broadcastMAC = mac{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	gatewayMAC   = mac{0xee, 0xee, 0xee, 0xee, 0xee, 0xee}
	peerMAC      = mac{2, 0, 0, 0, 0, 0x12} // 192.168.0.12, and 192.168.0.1
	peer13MAC    = mac{2, 0, 0, 0, 0, 0x13} // 192.168.0.13
	peer14MAC    = mac{2, 0, 0, 0, 0, 0x14} // 192.168.0.14, if a row lets it answer
)

func (m mac) String() string { return hex.EncodeToString(m[:]) }

func ip4(s string) []byte {
	a := netip.MustParseAddr(s).As4()
	return a[:]
}

const (
	typeIPv4 = 0x0800
	typeARP  = 0x0806

	protoICMP = 1
	protoTCP  = 6
	protoUDP  = 17
)

// eth puts an Ethernet header in front of a payload.
func eth(dst, src mac, typ uint16, payload []byte) []byte {
	f := append(append([]byte{}, dst[:]...), src[:]...)
	return append(binary.BigEndian.AppendUint16(f, typ), payload...)
}

// inetSum is RFC 1071, written as plainly as can be.
func inetSum(b []byte) uint16 {
	sum := uint32(0)
	for i, x := range b {
		sum += uint32(x) << (8 * (1 - i%2))
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}

// ipPacket describes an IPv4 packet to be built.
type ipPacket struct {
	src, dst string
	tos      byte
	id       uint16
	flags    byte // 1 MF, 2 DF, 4 reserved
	offset   int  // bytes
	ttl      int  // 0: 64; -1: 0
	proto    byte // 0: UDP
	options  []byte
	data     []byte // nil: a small UDP datagram
}

func (p ipPacket) bytes() []byte {
	if p.proto == 0 {
		p.proto = protoUDP
	}
	if p.data == nil {
		p.data = udp(40000, 40001, []byte("conformance"))
	}
	hl := 20 + len(p.options)
	b := make([]byte, hl, hl+len(p.data))
	b[0], b[1] = 0x40|byte(hl/4), p.tos
	binary.BigEndian.PutUint16(b[2:], uint16(hl+len(p.data)))
	binary.BigEndian.PutUint16(b[4:], p.id)
	binary.BigEndian.PutUint16(b[6:], uint16(p.flags)<<13|uint16(p.offset/8))
	b[8], b[9] = 64, p.proto
	if p.ttl != 0 {
		b[8] = byte(max(p.ttl, 0))
	}
	copy(b[12:], ip4(p.src))
	copy(b[16:], ip4(p.dst))
	copy(b[20:], p.options)
	return seal(append(b, p.data...))
}

// seal writes the right header checksum.
func seal(ip []byte) []byte {
	ip[10], ip[11] = 0, 0
	binary.BigEndian.PutUint16(ip[10:], inetSum(ip[:int(ip[0]&15)*4]))
	return ip
}

// forwarded is the packet one hop on: the TTL is one lower, the checksum fits,
// and nothing else has changed (rows F1, F3, F4).
func forwarded(ip []byte) []byte {
	b := append([]byte{}, ip[:binary.BigEndian.Uint16(ip[2:])]...)
	b[8]--
	return seal(b)
}

// udp is a datagram without a checksum, which RFC 768 allows.
func udp(src, dst uint16, data []byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, src)
	b = binary.BigEndian.AppendUint16(b, dst)
	b = binary.BigEndian.AppendUint16(b, uint16(8+len(data)))
	return append(append(b, 0, 0), data...)
}

// tcpSYN is a TCP header that asks for a connection; its checksum is of no concern here.
func tcpSYN(src, dst uint16) []byte {
	b := make([]byte, 20)
	binary.BigEndian.PutUint16(b, src)
	binary.BigEndian.PutUint16(b[2:], dst)
	b[12], b[13] = 5<<4, 2
	return b
}

// icmp is an ICMP message with its checksum.
func icmp(typ, code byte, rest uint32, data []byte) []byte {
	b := binary.BigEndian.AppendUint32([]byte{typ, code, 0, 0}, rest)
	b = append(b, data...)
	binary.BigEndian.PutUint16(b[2:], inetSum(b))
	return b
}

func echo(id, seq uint16, data []byte) []byte { return icmp(8, 0, uint32(id)<<16|uint32(seq), data) }

// pattern is n bytes that are not all alike.
func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + i>>8)
	}
	return b
}

// arpMessage is ARP for IPv4 over Ethernet (RFC 826).
type arpMessage struct {
	op                 uint16
	senderMAC          mac
	senderIP, targetIP string
	targetMAC          mac
}

func (m arpMessage) bytes() []byte {
	b := binary.BigEndian.AppendUint16([]byte{0, 1, 8, 0, 6, 4}, m.op)
	b = append(append(b, m.senderMAC[:]...), ip4(m.senderIP)...)
	return append(append(b, m.targetMAC[:]...), ip4(m.targetIP)...)
}

// describe says in a line what a frame is, for those who read a failure.
func describe(f []byte) string {
	if len(f) < 14 {
		return "a frame of " + hex.EncodeToString(f)
	}
	p := f[14:]
	head := fmt.Sprintf("%x > %x ", f[6:12], f[:6])
	switch typ := binary.BigEndian.Uint16(f[12:]); {
	case typ == typeARP && len(p) >= 28:
		return head + fmt.Sprintf("ARP op %d sender %x %v target %x %v", p[7], p[8:14], netip.AddrFrom4([4]byte(p[14:18])), p[18:24], netip.AddrFrom4([4]byte(p[24:28])))
	case typ == typeIPv4 && len(p) >= 20:
		s := fmt.Sprintf("IPv4 %v > %v proto %d ttl %d tos %#x length %d", netip.AddrFrom4([4]byte(p[12:16])), netip.AddrFrom4([4]byte(p[16:20])), p[9], p[8], p[1], len(p))
		if hl := int(p[0]&15) * 4; p[9] == protoICMP && len(p) >= hl+2 {
			s += fmt.Sprintf(" ICMP %d/%d", p[hl], p[hl+1])
		}
		return head + s + " " + hex.EncodeToString(p[:min(len(p), 64)])
	case typ == typeIPv6 && len(p) >= 40:
		return head + describe6(p)
	default:
		return head + fmt.Sprintf("type %#x ", typ) + hex.EncodeToString(p[:min(len(p), 64)])
	}
}
