package packet

import "net/netip"

// IP is a packet of either family, from its IP header on: what both have to say, in
// one word each. What is a family's own is asked of its view, IPv4 or IPv6. Its methods
// need a whole header.
type IP []byte

// Version is 4 or 6.
func (p IP) Version() int { return int(p[0] >> 4) }

// Src is the source address.
func (p IP) Src() netip.Addr {
	if p.Version() == 4 {
		return IPv4(p).Src()
	}
	return IPv6(p).Src()
}

// Dst is the destination address.
func (p IP) Dst() netip.Addr {
	if p.Version() == 4 {
		return IPv4(p).Dst()
	}
	return IPv6(p).Dst()
}

// Len is the length of the whole packet in bytes, as its header says.
func (p IP) Len() int {
	if p.Version() == 4 {
		return IPv4(p).TotalLen()
	}
	return IPv6MinLen + IPv6(p).PayloadLen()
}

// HopLimit is the time to live, in hops.
func (p IP) HopLimit() byte {
	if p.Version() == 4 {
		return IPv4(p).TTL()
	}
	return IPv6(p).HopLimit()
}

// SetHopLimit changes it, and a checksum over it.
func (p IP) SetHopLimit(hops byte) {
	if p.Version() == 4 {
		IPv4(p).SetTTL(hops)
	} else {
		IPv6(p).SetHopLimit(hops)
	}
}

// TrafficClass is DSCP and ECN, RFC 2474 and 3168.
func (p IP) TrafficClass() byte {
	if p.Version() == 4 {
		return IPv4(p).TOS()
	}
	return IPv6(p).TrafficClass()
}

// SetECN changes the two ECN bits, and a checksum over them.
func (p IP) SetECN(ecn byte) {
	if p.Version() == 4 {
		IPv4(p).SetECN(ecn)
	} else {
		IPv6(p).SetECN(ecn)
	}
}

// Transport is what a packet carries behind its header, or behind all its extension
// headers: the protocol, where that begins, and whether the packet is a part of a
// datagram. Of a fragment but the first there is no header at that place.
func Transport(ip IP) (protocol byte, at int, fragment bool) {
	if ip.Version() == 4 {
		p := IPv4(ip)
		return p.Protocol(), p.HeaderLen(), p.IsFragment()
	}
	u := IPv6(ip).Upper()
	return u.Protocol, u.At, u.Fragment != 0 && FragmentHeader(ip[u.Fragment:]).IsFragment()
}

// Inside is the packet that one carries in IP-in-IP or, by all appearances, in VXLAN, as far as it
// is there; nil: none. Of a fragment but the first it is not known.
func Inside(ip IP) IP {
	protocol, at, _ := Transport(ip)
	if at < IPv4MinLen || at >= len(ip) {
		return nil
	}
	switch protocol {
	case ProtocolIPIP, ProtocolIPv6:
		return ip[at:]
	case ProtocolUDP:
		return VXLAN(ip[at:]).Inner()
	}
	return nil
}
