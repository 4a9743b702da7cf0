package e2e

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/vrouter/vrouter/internal/packet"
)

const (
	hostAddress6 = "fd00:192::11"
	farHost6     = "fd00:192::12"
	gateway6     = "fe80::ecee:eeff:feee:eeee"
	honest6      = "fd00:70:1::2"
	// martian6 are the reasons that an IPv6 address alone may be dropped for.
	martian6 = martian + "beyond_scope "
)

// address6 is a random one of a prefix of 64 bits.
func (x *attacker) address6(base string) string {
	a := netip.MustParseAddr(base).As16()
	binary.BigEndian.PutUint64(a[8:], x.Uint64())
	return netip.AddrFrom16(a).String()
}

// anyAddress6 is any at all.
func (x *attacker) anyAddress6() string {
	var a [16]byte
	copy(a[:], x.bytes(16))
	copy(a[:], [][]byte{nil, {0xfe, 0x80}, {0xff, 2}, {0xff, 5}, {0xfd, 0}, make([]byte, 15), append(make([]byte, 10), 0xff, 0xff)}[x.IntN(7)])
	return netip.AddrFrom16(a).String()
}

// ip6 is an IPv6 packet in a frame for the router; change spoils it.
func (x *attacker) ip6(src, dst string, next uint8, data []byte, change func(h []byte)) []byte {
	b := make([]byte, packet.IPv6MinLen, packet.IPv6MinLen+len(data))
	packet.PutIPv6(b, &packet.Header6{PayloadLen: len(data), NextHeader: next, HopLimit: 64, Src: netip.MustParseAddr(src), Dst: netip.MustParseAddr(dst)})
	b = append(b, data...)
	if change != nil {
		change(b)
	}
	return frameTo(x.to, x.from, packet.EtherTypeIPv6, b)
}

func (x *attacker) udp6(src, dst string) []byte {
	return x.ip6(src, dst, packet.ProtocolUDP, make([]byte, 26), nil)
}

// nd is a message of Neighbor Discovery about a target, from or about a station.
func (x *attacker) nd(typ byte, src, dst, target string, mac packet.MAC) []byte {
	m := packet.ND{
		Type: typ, Src: netip.MustParseAddr(src), Dst: netip.MustParseAddr(dst), Target: netip.MustParseAddr(target), MAC: mac,
		Router: x.IntN(2) == 0, Override: x.IntN(2) == 0,
	}
	b := make([]byte, m.Len())
	m.Put(b)
	to := x.to
	if m.Dst.IsMulticast() {
		a := m.Dst.As16()
		to = packet.MAC{0x33, 0x33, a[12], a[13], a[14], a[15]}
	}
	return frameTo(to, x.from, packet.EtherTypeIPv6, b)
}

func (x *attacker) solicits(src, target string, mac packet.MAC) []byte {
	return x.nd(packet.ICMPv6NeighborSolicitation, src, packet.SolicitedNode(netip.MustParseAddr(target)).String(), target, mac)
}

// near is the attacker's link-local address.
func (x *attacker) near() string {
	m := x.from
	return netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 8: m[0] ^ 2, 9: m[1], 10: m[2], 11: 0xff, 12: 0xfe, 13: m[3], 14: m[4], 15: m[5]}).String()
}

// icmp6 is a message of ICMPv6 with its checksum, of whatever hop limit.
func (x *attacker) icmp6(src, dst string, hops byte, message []byte) []byte {
	return x.ip6(src, dst, packet.ProtocolICMPv6, message, func(h []byte) {
		h[7] = hops
		packet.SetICMPv6Checksum(h, packet.IPv6MinLen)
	})
}

// routerOrRedirect is a router advertisement with a prefix, or a redirect.
func (x *attacker) routerOrRedirect() []byte {
	prefix := slices.Concat([]byte{3, 4, 64, 0xc0}, slices.Repeat([]byte{0xff}, 8), make([]byte, 4), x.bytes(16))
	m := slices.Concat([]byte{packet.ICMPv6RouterAdvertisement, 0, 0, 0, 64, 0, 0xff, 0xff}, make([]byte, 8), prefix)
	if x.IntN(2) == 0 {
		a := netip.MustParseAddr(x.near()).As16()
		m = slices.Concat([]byte{packet.ICMPv6Redirect, 0, 0, 0, 0, 0, 0, 0}, a[:], x.bytes(16))
	}
	return x.icmp6(x.near(), []string{"ff02::1", gateway6, hostAddress6}[x.IntN(3)], 255, m)
}

// fragment6 is a fragment header and data.
func (x *attacker) fragment6(id, offset int, more bool, n int) []byte {
	b := make([]byte, 8+n)
	b[0] = packet.ProtocolICMPv6
	binary.BigEndian.PutUint16(b[2:], uint16(offset))
	if more {
		b[3] |= 1
	}
	binary.BigEndian.PutUint32(b[4:], uint32(id))
	return b
}

// chain is headers of 8 bytes one behind the other, as many as fit.
func (x *attacker) chain() []byte {
	var b []byte
	for range 1 + x.IntN(170) {
		b = append(b, packet.HeaderDestination, 0, 1, 4, 0, 0, 0, 0)
	}
	return b
}

// attacks6 are those of IPv6.
var attacks6 = []attack{
	{name: "solicitations for the gateway", frame: func(x *attacker) []byte { return x.solicits(x.near(), gateway6, x.from) }},
	{name: "solicitations for a /64", reasons: "nd_ignored", frame: func(x *attacker) []byte {
		return x.solicits(x.own6, x.address6([]string{"fd00:192::", "fd00:70:1::", "fd00:99::"}[x.IntN(3)]), x.from)
	}},
	{name: "solicitations from spoofed senders", reasons: "nd_ignored", frame: func(x *attacker) []byte {
		return x.solicits(x.address6("fd00:70:1::"), []string{honest6, hostAddress6, gateway6}[x.IntN(3)], x.mac())
	}},
	{name: "forged advertisements", reasons: "nd_ignored", frame: func(x *attacker) []byte {
		who := []string{gateway6, honest6, farHost6, hostAddress6, x.address6("fd00:192::")}[x.IntN(5)]
		return x.nd(packet.ICMPv6NeighborAdvertisement, x.near(), []string{"ff02::1", gateway6, hostAddress6}[x.IntN(3)], who, x.from)
	}},
	{name: "router advertisements and redirects", reasons: "nd_ignored nd_malformed", frame: (*attacker).routerOrRedirect},
	{name: "malformed Neighbor Discovery", reasons: "nd_malformed nd_ignored ip_bad_length ip_bad_version ip6_bad_header rpf_failed local_unsupported " + martian6, frame: func(x *attacker) []byte {
		f := x.solicits(x.near(), gateway6, x.from)
		f[packet.EthernetLen+x.IntN(len(f)-packet.EthernetLen)] ^= byte(1 << x.IntN(8))
		return f
	}},
	{name: "neighbours of a /64 that are not there", reasons: "neighbor_unresolved neighbor_queue_full", frame: func(x *attacker) []byte { return x.udp6(x.own6, x.address6("fd00:192::")) }},
	{name: "hop limit 1", reasons: "ttl_exceeded", frame: func(x *attacker) []byte {
		return x.ip6(x.own6, farHost6, packet.ProtocolUDP, make([]byte, 26), func(h []byte) { h[7] = 1 })
	}},
	{name: "every IPv6 address", reasons: martian6 + "rpf_failed no_route local_unsupported", frame: func(x *attacker) []byte {
		if x.IntN(2) == 0 {
			return x.udp6(x.anyAddress6(), farHost6)
		}
		return x.udp6(x.own6, x.anyAddress6())
	}},
	{name: "hop-by-hop jumbograms", reasons: "ip6_bad_header", frame: func(x *attacker) []byte {
		jumbo := append([]byte{packet.ProtocolUDP, 0, 0xc2, 4, 0, 1, 0, 0}, make([]byte, 1400)...)
		return x.ip6(x.own6, farHost6, 0, jumbo, func(h []byte) { h[4], h[5] = 0, 0 })
	}},
	{name: "header chains without end", reasons: "ip6_bad_header", frame: func(x *attacker) []byte {
		return x.ip6(x.own6, []string{farHost6, hostAddress6, gateway6}[x.IntN(3)], packet.HeaderDestination, x.chain(), nil)
	}},
	{name: "first fragments of IPv6 for the gateway", reasons: "reassembly_limit reassembly_timeout", frame: func(x *attacker) []byte {
		return x.ip6(x.own6, gateway6, packet.HeaderFragment, x.fragment6(x.n, 0, true, 1400), nil)
	}},
	{name: "overlapping fragments of IPv6", reasons: "reassembly_limit reassembly_timeout ip6_bad_header", frame: func(x *attacker) []byte {
		return x.ip6(x.own6, hostAddress6, packet.HeaderFragment, x.fragment6(x.n/4, 8*x.IntN(8), true, 64), nil)
	}},
	{name: "IPv6 jumbo frames", reasons: "mtu_exceeded", frame: func(x *attacker) []byte {
		return x.ip6(x.own6, farHost6, packet.ProtocolUDP, make([]byte, 8900), nil)
	}},
	{name: "IPv6 garbage", reasons: "frame_too_short ip_too_short ip_bad_version ip_bad_length l2_broadcast ip6_bad_header nd_malformed rpf_failed " + martian6, frame: func(x *attacker) []byte {
		b := x.bytes(x.IntN(200))
		if len(b) > 0 && x.IntN(4) > 0 {
			b[0] = 0x60 | b[0]&15
		}
		return frameTo(x.to, x.from, packet.EtherTypeIPv6, b)
	}},

	{name: "solicitations from a /64", uplink: true, reasons: "nd_ignored", frame: func(x *attacker) []byte {
		return x.solicits(x.address6("fd00:192::"), hostAddress6, x.mac())
	}},
	{name: "forged advertisements of a /64", uplink: true, reasons: "nd_ignored", frame: func(x *attacker) []byte {
		return x.nd(packet.ICMPv6NeighborAdvertisement, x.near(), "ff02::1", x.address6("fd00:192::"), x.mac())
	}},
	{name: "IPv6 in IPv4 from strangers", uplink: true, reasons: "ipip_unknown_peer", frame: func(x *attacker) []byte {
		return x.ip(x.address("20.0.0.0", 24), hostAddress, packet.ProtocolIPv6, x.udp6("fd00:70:2::1", honest6)[packet.EthernetLen:], nil)
	}},
	{name: "IPv6 in IPv4 forged from a peer, spoofed inside", uplink: true, reasons: martian6 + "ipip_bad_inner no_route", frame: func(x *attacker) []byte {
		src := []string{honest6, hostAddress6, "::1", "ff02::1", gateway6, "fd00:70:2::1"}[x.IntN(6)]
		return x.ip(farHost, hostAddress, packet.ProtocolIPv6, x.udp6(src, x.address6("fd00:99::"))[packet.EthernetLen:], nil)
	}},
}
