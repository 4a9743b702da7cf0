package forwarder

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/vrouter/vrouter/internal/packet"
)

// Business names what others say to a group of stations, by the start of the frame;
// "" if it is an IP packet of which nothing is known.
func Business(frame []byte) string {
	if len(frame) < packet.EthernetLen {
		return ""
	}
	switch t := binary.BigEndian.Uint16(frame[12:]); {
	case t == packet.EtherTypeIPv4:
		return groupPacket(packet.IPv4(header(frame)))
	case t == packet.EtherTypeIPv6:
		return groupPacket6(packet.IPv6(header(frame)))
	case etherTypes[t] != "":
		return etherTypes[t]
	case t < minEtherType:
		return llc(frame)
	default:
		return fmt.Sprintf("a frame of ethertype 0x%04x to a group", t)
	}
}

// minEtherType is where types begin; below, it is a length (IEEE 802.3 3.2.6).
const minEtherType = 0x600

var etherTypes = map[uint16]string{
	packet.EtherTypeARP: "ARP", 0x88cc: "LLDP of a station on the link", 0x8809: "LACP, or another slow protocol",
	0x8808: "flow control of Ethernet", 0x888e: "a log-in by IEEE 802.1X", 0x893a: "IEEE 1905.1", 0x88e1: "HomePlug", 0x8912: "HomePlug",
	0x9000: "a loop test of a switch", 0x8899: "a loop test of a switch", 0x0842: "a call to wake a station up",
}

// llc names a frame with a length, by whom it is for (IEEE 802.1D 7.12.6) or by the
// service access point (IEEE 802.2).
func llc(frame []byte) string {
	const spanningTree = 0x42
	switch dst := packet.MAC(frame); {
	case dst == packet.MAC{0x01, 0x00, 0x0c, 0xcc, 0xcc, 0xcd}, len(frame) > packet.EthernetLen && frame[packet.EthernetLen] == spanningTree:
		return "the spanning tree of a bridge"
	case dst == packet.MAC{0x01, 0x00, 0x0c, 0xcc, 0xcc, 0xcc}:
		return "CDP, or another protocol of a switch"
	}
	return "a frame of IEEE 802.2 to a group"
}

// groupPacket names what IPv4 says to many.
func groupPacket(ip packet.IPv4) string {
	if ip == nil || ip.HeaderLen() < packet.IPv4MinLen || ip.HeaderLen() > len(ip) {
		return ""
	}
	switch ip.Protocol() {
	case 2:
		return "IGMP"
	case 89:
		return "OSPF"
	case 103:
		return "PIM"
	case 112:
		return "VRRP"
	case packet.ProtocolUDP:
		if p := ip.Payload(); ip.FragOffset() == 0 && len(p) >= 4 {
			if name := groupPorts[binary.BigEndian.Uint16(p[2:])]; name != "" {
				return name
			}
		}
	}
	switch dst := ip.Dst(); {
	case dst.IsMulticast():
		return "multicast to " + dst.String()
	case dst == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return "a broadcast"
	}
	return ""
}

// groupPacket6 names what IPv6 says to many.
func groupPacket6(ip packet.IPv6) string {
	if ip == nil || ip[24] != 0xff {
		return ""
	}
	u := ip.Upper()
	if rest := ip[min(u.At, len(ip)):]; u.OK && !isLaterFragment(ip, u) && len(rest) >= 4 {
		switch {
		case u.Protocol == packet.ProtocolICMPv6 && packet.IsMLD(rest[0]):
			return "MLD"
		case u.Protocol == packet.ProtocolICMPv6 && icmp6Names[rest[0]] != "":
			return icmp6Names[rest[0]]
		case u.Protocol == 89:
			return "OSPF"
		case u.Protocol == 103:
			return "PIM"
		case u.Protocol == 112:
			return "VRRP"
		case u.Protocol == packet.ProtocolUDP && groupPorts[binary.BigEndian.Uint16(rest[2:])] != "":
			return groupPorts[binary.BigEndian.Uint16(rest[2:])]
		}
	}
	return "multicast to " + ip.Dst().String()
}

var icmp6Names = map[byte]string{
	packet.ICMPv6RouterSolicitation: "a router solicitation", packet.ICMPv6RouterAdvertisement: "a router advertisement",
	packet.ICMPv6NeighborSolicitation: "a neighbour solicitation", packet.ICMPv6NeighborAdvertisement: "a neighbour advertisement",
	packet.ICMPv6Redirect: "a redirect",
}

var groupPorts = map[uint16]string{
	67: "DHCP", 68: "DHCP", 521: "RIPng", 546: "DHCPv6", 547: "DHCPv6", 137: "NetBIOS", 138: "NetBIOS", 1900: "SSDP", 1985: "HSRP", 3702: "WS-Discovery", 5353: "mDNS", 5355: "LLMNR",
}
