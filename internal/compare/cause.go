package compare

import (
	"encoding/binary"

	"github.com/vrouter/vrouter/internal/packet"
)

// whose is the place in shots of that which a frame came because of; -1: none.
func whose(shots []*shot, f *frame) int {
	for i, s := range shots {
		if s.caused(f) {
			return i
		}
	}
	return -1
}

// caused says whether a frame came out because of the packet: it is the packet, an error about it, or an answer to it.
func (s *shot) caused(f *frame) bool {
	switch {
	case s.ip == nil:
		return f.ip == nil && s.answeredBy(f.bytes)
	case f.ip == nil:
		return false
	}
	ip := inside(f.ip)
	if len(ip) < packet.IPv6MinLen && ip.Version() == 6 || isND(s.ip) != isND(ip) {
		return false
	}
	if isND(s.ip) {
		return advertises(s.ip, ip)
	}
	if same(s.ip, ip) {
		return true
	}
	if q := quoted(ip); q != nil {
		return same(s.ip, q)
	}
	return s.ip.Version() == ip.Version() && s.ip.Src() == ip.Dst() && answers(s.ip, ip)
}

// inside is what a tunnel carries.
func inside(ip packet.IP) packet.IP {
	if inner, _ := tunnelled(ip); inner != nil {
		return inner
	}
	return ip
}

// tunnelled is what a tunnel carries, and which kind of tunnel it is; nil where there is none.
func tunnelled(ip packet.IP) (inner packet.IP, tunnel string) {
	protocol, _, fragment := packet.Transport(ip)
	if fragment || ip.Version() != 4 {
		return nil, ""
	}
	inner = whole(packet.Inside(ip))
	if inner == nil || protocol != packet.ProtocolUDP && (inner.Version() == 4) != (protocol == packet.ProtocolIPIP) {
		return nil, ""
	}
	return trimmed(inner), map[byte]string{packet.ProtocolIPIP: "ipip", packet.ProtocolIPv6: "6in4", packet.ProtocolUDP: "vxlan"}[protocol]
}

// same says whether two are one packet, or parts of it: on the way its header keeps what names it.
func same(a, b packet.IP) bool {
	if a.Version() != b.Version() || a.Src() != b.Src() || a.Dst() != b.Dst() {
		return false
	}
	if a.Version() == 4 {
		return packet.IPv4(a).ID() == packet.IPv4(b).ID() && packet.IPv4(a).Protocol() == packet.IPv4(b).Protocol()
	}
	return packet.IPv6(a).FlowLabel() == packet.IPv6(b).FlowLabel() && packet.IPv6(a).NextHeader() == packet.IPv6(b).NextHeader()
}

// quoted is the packet that an ICMP error is about.
func quoted(ip packet.IP) packet.IP {
	protocol, at, fragment := packet.Transport(ip)
	if fragment || at+8 > len(ip) || !packet.IsICMPError(ip) || protocol != packet.ProtocolICMP && protocol != packet.ProtocolICMPv6 {
		return nil
	}
	q := whole(ip[at+8:])
	if q == nil || q.Version() != ip.Version() {
		return nil
	}
	return q
}

// answers says whether b is what who received a says to it.
func answers(a, b packet.IP) bool {
	pa, i, fa := packet.Transport(a)
	pb, j, fb := packet.Transport(b)
	if pa != pb || fa || fb || i+8 > len(a) || j+8 > len(b) {
		return false
	}
	x, y := a[i:], b[j:]
	switch pa {
	case packet.ProtocolICMP, packet.ProtocolICMPv6:
		return binary.BigEndian.Uint32(x[4:]) == binary.BigEndian.Uint32(y[4:]) && x[0] != y[0]
	case packet.ProtocolTCP, packet.ProtocolUDP, packet.ProtocolSCTP, packet.ProtocolDCCP, packet.ProtocolUDPLite:
		return binary.BigEndian.Uint16(x) == binary.BigEndian.Uint16(y[2:]) && binary.BigEndian.Uint16(x[2:]) == binary.BigEndian.Uint16(y)
	}
	return a.Dst() == b.Src()
}

// isND says whether a packet is of Neighbor Discovery, or a report of who listens to groups.
func isND(ip packet.IP) bool {
	if ip.Version() != 6 {
		return false
	}
	protocol, at, fragment := packet.Transport(ip)
	return protocol == packet.ProtocolICMPv6 && !fragment && at < len(ip) && (packet.IsND(ip[at]) || packet.IsMLD(ip[at]))
}

// answeredBy says whether a frame answers an ARP request.
func (s *shot) answeredBy(b []byte) bool {
	const arp = packet.EthernetLen
	return len(b) >= arp+28 && len(s.frame) >= arp+28 && binary.BigEndian.Uint16(b[12:]) == packet.EtherTypeARP &&
		binary.BigEndian.Uint16(b[arp+6:]) == packet.ARPReply && string(b[arp+14:arp+18]) == string(s.frame[arp+24:arp+28])
}

// advertises says whether b tells what the neighbour solicitation a asks.
func advertises(a, b packet.IP) bool {
	_, i, _ := packet.Transport(a)
	_, j, _ := packet.Transport(b)
	return len(a) >= i+24 && len(b) >= j+24 && a[i] == packet.ICMPv6NeighborSolicitation && b[j] == packet.ICMPv6NeighborAdvertisement &&
		string(a[i+8:i+24]) == string(b[j+8:j+24])
}
