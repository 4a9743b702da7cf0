package trace

import (
	"encoding/binary"

	"github.com/vrouter/vrouter/internal/packet"
)

// selected says whether a frame is the one in so many that is recorded: by a hash of what stays the same on all of
// its way, so that routers that know nothing of each other choose the same packets (hash-based selection, RFC 5474 and
// RFC 5475 6.2.3). What finds neighbours is recorded in any case. An answer is chosen with what it answers, and an ICMP error with
// the packet that it quotes, where that shows.
func selected(frame []byte, oneIn uint64) bool {
	if len(frame) < packet.EthernetLen {
		return true
	}
	switch t := binary.BigEndian.Uint16(frame[12:]); t {
	case packet.EtherTypeIPv4, packet.EtherTypeIPv6:
		ip := innermost(frame[packet.EthernetLen:])
		if ip == nil {
			return true
		}
		key, always := keyOf(ip)
		return always || key%oneIn == 0
	}
	return true
}

// innermost is the packet that is in tunnels, or in an ICMP error; nil where headers are cut.
func innermost(b []byte) packet.IP {
	for range maxNested {
		if len(b) < packet.IPv4MinLen || b[0]>>4 == 6 && len(b) < packet.IPv6MinLen || b[0]>>4 != 4 && b[0]>>4 != 6 {
			return nil
		}
		ip := packet.IP(b)
		_, at, fragment := packet.Transport(ip)
		if fragment || at < packet.IPv4MinLen || at >= len(b) {
			return ip
		}
		inner := packet.Inside(ip)
		if inner == nil {
			inner = packet.Quoted(ip)
		}
		if inner == nil {
			return ip
		}
		b = inner
	}
	return nil
}

// keyOf is made of what is the same at each router, and of a packet and its answer: addresses and ports in no order, an
// echo's number, of TCP the place in the stream of bytes, to 64 KB, as superframes are cut and joined on the way.
func keyOf(ip packet.IP) (key uint64, always bool) {
	protocol, at, fragment := packet.Transport(ip)
	src, dst := ip.Src().As16(), ip.Dst().As16()
	key = uint64(protocol)
	for _, a := range [][16]byte{src, dst} {
		key += mix(binary.BigEndian.Uint64(a[:]) ^ mix(binary.BigEndian.Uint64(a[8:])))
	}
	var l4 []byte
	if !fragment && at <= len(ip) {
		l4 = ip[at:]
	}
	switch {
	case protocol == packet.ProtocolICMPv6 && len(l4) > 0 && packet.IsND(l4[0]):
		return 0, true
	case (protocol == packet.ProtocolICMP || protocol == packet.ProtocolICMPv6) && len(l4) >= packet.ICMPHeaderLen:
		return mix(key + uint64(binary.BigEndian.Uint32(l4[4:]))), false
	case protocol == packet.ProtocolTCP && len(l4) >= 8:
		return mix(key + ports(l4) + uint64(place(ip, at, l4))<<32), false
	}
	return mix(key + identification(ip, l4)), false
}

func ports(l4 []byte) uint64 {
	return uint64(binary.BigEndian.Uint16(l4)) + uint64(binary.BigEndian.Uint16(l4[2:]))
}

// place is where a segment's data belongs; of one that only acknowledges, where that which it is about does.
func place(ip packet.IP, at int, tcp []byte) uint32 {
	const syn, fin, ack = 2, 1, 16
	if len(tcp) >= packet.TCPMinLen && tcp[13]&ack != 0 && (tcp[13]&syn != 0 || tcp[13]&fin == 0 && ip.Len() <= at+int(tcp[12]>>4)*4 && ip.Len() >= at) {
		return (binary.BigEndian.Uint32(tcp[8:]) - 1) >> 16
	}
	return binary.BigEndian.Uint32(tcp[4:]) >> 16
}

// identification is that of an IPv4 datagram, or of a fragment of IPv6; where there is none, the start of what the packet
// carries behind eight bytes of header, checksums left out, as devices complete them.
func identification(ip packet.IP, l4 []byte) uint64 {
	if ip.Version() == 4 {
		if id := packet.IPv4(ip).ID(); id != 0 {
			return uint64(id)
		}
	} else if u := packet.IPv6(ip).Upper(); u.Fragment != 0 && u.Fragment+packet.FragmentHeaderLen <= len(ip) {
		return uint64(packet.FragmentHeader(ip[u.Fragment:]).ID())
	}
	n := uint64(ip.Len())
	if len(l4) >= 16 {
		n += mix(binary.BigEndian.Uint64(l4[8:]))
	}
	if len(l4) >= 4 {
		n += ports(l4)
	}
	return n
}

// mix spreads a number over all bits (the finaliser of splitmix64).
func mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}
