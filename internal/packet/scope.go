package packet

import "net/netip"

var (
	// AllNodes and AllRouters are the groups of them on the link (RFC 4291 2.7.1).
	AllNodes   = netip.AddrFrom16([16]byte{0: 0xff, 1: 2, 15: 1})
	AllRouters = netip.AddrFrom16([16]byte{0: 0xff, 1: 2, 15: 2})

	solicitedNodes = netip.PrefixFrom(netip.AddrFrom16([16]byte{0: 0xff, 1: 2, 11: 1, 12: 0xff}), 104)
)

// SolicitedNode is the group on which who has an IPv6 address is asked for it (RFC 4291
// 2.7.1).
func SolicitedNode(a netip.Addr) netip.Addr {
	b, g := a.As16(), solicitedNodes.Addr().As16()
	copy(g[13:], b[13:])
	return netip.AddrFrom16(g)
}

// IsSolicitedNode says whether an address is such a group.
func IsSolicitedNode(a netip.Addr) bool { return solicitedNodes.Contains(a) }

// GroupMAC is the Ethernet address of a multicast group (RFC 2464 7).
func GroupMAC(group netip.Addr) MAC {
	b := group.As16()
	return MAC{0x33, 0x33, b[12], b[13], b[14], b[15]}
}

// LinkLocal is the address that a station gives itself on its link, by its hardware
// address (RFC 4291 appendix A, RFC 2464 5).
func LinkLocal(mac MAC) netip.Addr {
	return netip.AddrFrom16([16]byte{
		0: 0xfe, 1: 0x80, 8: mac[0] ^ 2, 9: mac[1], 10: mac[2], 11: 0xff, 12: 0xfe, 13: mac[3], 14: mac[4], 15: mac[5],
	})
}
