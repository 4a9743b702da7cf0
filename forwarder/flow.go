package forwarder

import (
	"encoding/binary"
	"math/bits"
	"net/netip"

	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/rib"
)

// RouteTo is the route of a packet to dst: the longest prefix that contains it (RFC
// 1812 5.2.4.3) and, where that has several next hops, the one of the packet's flow.
func (x *Path) RouteTo(dst netip.Addr, ip packet.IP) *rib.Route {
	r := x.lookup(dst)
	if r == nil || r.Multipath == nil {
		return r
	}
	return r.Multipath.Choose(x.hash(ip))
}

func (x *Path) hash(ip packet.IP) uint32 {
	if ip.Version() == 6 {
		return x.flowHash6(packet.IPv6(ip))
	}
	return x.flowHash(packet.IPv4(ip))
}

// flowHash is the same for all packets of a flow: those of equal addresses,
// protocol and ports. A fragment has no ports, or only the first one has, so all
// of them go by the rest. An ICMP error goes where the flow that it is about goes
// on its way back: to whoever sent what it quotes, of several that have one
// address (RFC 7690 3). The router's own address is a part of the hash, so that
// routers in a row don't all choose alike; nothing random is, so that a restart
// moves no flow.
func (x *Path) flowHash(ip packet.IPv4) uint32 {
	own := x.source(false).As4()
	addresses, protocol, ports := flowOf(ip)
	h := addresses ^ uint64(binary.BigEndian.Uint32(own[:]))*0x9e3779b97f4a7c15
	return uint32(mix(mix(h)^(uint64(protocol)<<32|uint64(ports))) >> 32)
}

// flowOf is what tells a packet's flow from others: source and destination, the
// protocol, and both ports. Of a first fragment that is quoted the ports count, as
// what comes the other way is whole, mostly.
func flowOf(ip packet.IPv4) (addresses uint64, protocol byte, port uint32) {
	if ip.IsFragment() {
		return binary.BigEndian.Uint64(ip[12:20]), ip.Protocol(), 0
	}
	if q := packet.IPv4(packet.Quoted(packet.IP(ip))); q != nil { // turned round
		return bits.RotateLeft64(binary.BigEndian.Uint64(q[12:20]), 32), q.Protocol(), bits.RotateLeft32(ports(q), 16)
	}
	return binary.BigEndian.Uint64(ip[12:20]), ip.Protocol(), ports(ip)
}

// ports are the first four bytes behind the header, where all protocols that have
// ports have them; 0 if they are not there.
func ports(ip packet.IPv4) uint32 {
	if b := ip.Payload(); hasPorts(ip.Protocol()) && ip.FragOffset() == 0 && len(b) >= 4 {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func hasPorts(protocol byte) bool {
	switch protocol {
	case packet.ProtocolTCP, packet.ProtocolUDP, packet.ProtocolDCCP, packet.ProtocolSCTP, packet.ProtocolUDPLite:
		return true
	}
	return false
}

// flowHash6 is flowHash of IPv6, and of its flow label, which all packets of a flow have,
// fragments too (RFC 6438 3). An error has that of the packet that it quotes.
func (x *Path) flowHash6(ip packet.IPv6) uint32 {
	from, to, u := words(ip[8:]), words(ip[24:]), ip.Upper()
	label, port := ip.FlowLabel(), uint32(0)
	switch fragment := u.Fragment != 0 && packet.FragmentHeader(ip[u.Fragment:]).IsFragment(); {
	case fragment:
	case packet.Quotes(packet.IP(ip)):
		if q := packet.IPv6(packet.Quoted(packet.IP(ip))); q != nil { // turned round
			from, to, u = words(q[24:]), words(q[8:]), q.Upper()
			label, port = q.FlowLabel(), bits.RotateLeft32(ports6(q, u), 16)
		}
	default:
		port = ports6(ip, u)
	}
	h := from.mix(to.mix(0))
	if own := x.source(true); own.IsValid() {
		b := own.As16()
		h ^= words(b[:]).lo * 0x9e3779b97f4a7c15
	}
	return uint32(mix(mix(h)^(uint64(u.Protocol)<<52|uint64(label)<<32|uint64(port))) >> 32)
}

func (a address6) mix(h uint64) uint64 { return mix(mix(h^a.hi) ^ a.lo) }

// ports6 is ports of IPv6.
func ports6(ip packet.IPv6, u packet.Upper) uint32 {
	if hasPorts(u.Protocol) && !isLaterFragment(ip, u) && u.At+4 <= len(ip) {
		return binary.BigEndian.Uint32(ip[u.At:])
	}
	return 0
}

// mix lets each bit of its argument change each bit of its result with a chance
// of one half, nearly (the finalizer of MurmurHash3, which is in the public domain).
func mix(h uint64) uint64 {
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	h = (h ^ h>>33) * 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}
