package e2e

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"strings"

	"github.com/vrouter/vrouter/internal/packet"
)

// floodFrames is how many different frames a flood repeats.
const floodFrames = 4096

// attack is a flood by one port, and all the reasons its packets may be dropped for.
type attack struct {
	name    string
	uplink  bool   // from the other end of the uplink, else from a workload
	reasons string // "" if none is to be dropped
	frame   func(x *attacker) []byte
}

// attacker makes frames.
type attacker struct {
	*rand.Rand
	from, to packet.MAC // its station and the router's
	own      string     // its address
	own6     string     // and of IPv6
	n        int        // frames made
}

func (x *attacker) address(base string, bits int) string {
	b := netip.MustParseAddr(base).As4()
	n := binary.BigEndian.Uint32(b[:]) | x.Uint32()&(1<<bits-1)
	binary.BigEndian.PutUint32(b[:], n)
	return netip.AddrFrom4(b).String()
}

// ip is a packet in a frame for the router; change spoils it before its checksum is made.
func (x *attacker) ip(src, dst string, proto uint8, data []byte, change func(h []byte)) []byte {
	b := make([]byte, packet.IPv4MinLen, packet.IPv4MinLen+len(data))
	b = append(b, data...)
	packet.PutIPv4(b, &packet.Header{TotalLen: len(b), TTL: 64, Protocol: proto, ID: uint16(x.n), Src: netip.MustParseAddr(src), Dst: netip.MustParseAddr(dst)})
	if change != nil {
		change(b)
		packet.IPv4(b[:packet.IPv4MinLen]).SetChecksum()
	}
	return frameTo(x.to, x.from, packet.EtherTypeIPv4, b)
}

func (x *attacker) udp(src, dst string) []byte {
	return x.ip(src, dst, packet.ProtocolUDP, make([]byte, 26), nil)
}

func (x *attacker) arp(op uint16, senderMAC packet.MAC, sender, target string) []byte {
	b := make([]byte, packet.ARPLen)
	m := packet.ARPMessage{Op: op, SenderMAC: senderMAC, SenderIP: netip.MustParseAddr(sender), TargetIP: netip.MustParseAddr(target)}
	m.Put(b)
	return frameTo(broadcast, x.from, packet.EtherTypeARP, b)
}

func (x *attacker) mac() (m packet.MAC) {
	binary.BigEndian.PutUint32(m[2:], x.Uint32())
	m[0] = 2
	return m
}

func (x *attacker) bytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(x.Uint32())
	}
	return b
}

func fragment(offset int, more bool) func(h []byte) {
	return func(h []byte) {
		binary.BigEndian.PutUint16(h[6:], uint16(offset/8))
		if more {
			h[6] |= 0x20
		}
	}
}

// tunnelled is a packet in another one.
func (x *attacker) tunnelled(outer string, inner []byte) []byte {
	return x.ip(outer, hostAddress, packet.ProtocolIPIP, inner, nil)
}

func (x *attacker) inner(src, dst string) []byte { return x.udp(src, dst)[packet.EthernetLen:] }

// icmpAbout is an ICMP error about a packet of a tunnel, as far as anybody can forge one.
func (x *attacker) icmpAbout(typ, code byte, rest uint32) []byte {
	quote := x.ip(hostAddress, farHost, packet.ProtocolIPIP, x.inner(honest, there), nil)[packet.EthernetLen:]
	m := make([]byte, packet.ICMPHeaderLen+len(quote))
	packet.PutICMPError(m, typ, code, rest, quote)
	return x.ip(x.address("192.168.0.0", 8), hostAddress, packet.ProtocolICMP, m, nil)
}

func (x *attacker) optioned() []byte {
	words := 1 + x.IntN(10)
	options := x.bytes(4 * words)
	options[0] = []byte{0, 1, 7, 0x44, 0x83, 0x89, 0x94, 0x9e}[x.IntN(8)]
	return x.ip(x.own, farHost, packet.ProtocolUDP, append(options, make([]byte, 16)...), func(h []byte) {
		h[0] = 0x45 + byte(words)
		packet.IPv4(h).SetChecksum()
	})
}

const (
	farHost = "192.168.0.12"
	honest  = "10.70.1.2" // another workload
	// martian are the reasons that an address alone may be dropped for.
	martian = "martian_source martian_destination link_local "
)

var attacks = []attack{
	{name: "ARP for the gateway", frame: func(x *attacker) []byte { return x.arp(1, x.from, x.own, "169.254.1.1") }},
	{name: "ARP for random addresses", reasons: "arp_ignored", frame: func(x *attacker) []byte { return x.arp(1, x.from, x.own, x.address("0.0.0.0", 32)) }},
	{name: "ARP from spoofed senders", reasons: "arp_ignored", frame: func(x *attacker) []byte { return x.arp(1, x.mac(), x.address("10.70.0.0", 16), honest) }},
	{name: "gratuitous ARP and replies", reasons: "arp_ignored", frame: func(x *attacker) []byte {
		who := []string{"169.254.1.1", honest, farHost, hostAddress}[x.IntN(4)]
		return x.arp(uint16(1+x.IntN(2)), x.from, who, who)
	}},
	{name: "malformed ARP", reasons: "arp_malformed arp_ignored", frame: func(x *attacker) []byte {
		f := x.arp(1, x.from, x.own, "169.254.1.1")
		f[14+x.IntN(8)] ^= byte(1 << x.IntN(8))
		return f[:14+x.IntN(29)]
	}},
	{name: "no route", reasons: "no_route", frame: func(x *attacker) []byte { return x.udp(x.own, x.address("20.0.0.0", 24)) }},
	{name: "neighbours that are not there", reasons: "neighbor_unresolved neighbor_queue_full martian_destination local_unsupported",
		frame: func(x *attacker) []byte { return x.udp(x.own, x.address("192.168.0.0", 16)) }},
	{name: "time to live 1", reasons: "ttl_exceeded", frame: func(x *attacker) []byte {
		return x.ip(x.own, farHost, packet.ProtocolUDP, make([]byte, 26), func(h []byte) { h[8] = 1 })
	}},
	{name: "every source address", reasons: martian + "rpf_failed", frame: func(x *attacker) []byte { return x.udp(x.address("0.0.0.0", 32), farHost) }},
	{name: "another workload's address and MAC", reasons: "rpf_failed", frame: func(x *attacker) []byte { return x.udp(honest, farHost) }},
	{name: "first fragments for the gateway", reasons: "reassembly_limit reassembly_timeout", frame: func(x *attacker) []byte {
		return x.ip(x.own, "169.254.1.1", packet.ProtocolICMP, make([]byte, 1400), fragment(0, true))
	}},
	{name: "overlapping fragments", reasons: "reassembly_limit reassembly_timeout", frame: func(x *attacker) []byte {
		x.n /= 4 // four of one datagram
		return x.ip(x.own, "169.254.1.1", packet.ProtocolICMP, make([]byte, 64), fragment(8*x.IntN(8), true))
	}},
	{name: "tiny fragments", reasons: "reassembly_limit reassembly_timeout", frame: func(x *attacker) []byte {
		return x.ip(x.own, hostAddress, packet.ProtocolICMP, make([]byte, 8), fragment(8*x.IntN(8000), true))
	}},
	{name: "fragments for others", reasons: "", frame: func(x *attacker) []byte {
		return x.ip(x.own, farHost, packet.ProtocolUDP, make([]byte, 8), fragment(8*x.IntN(8000), true))
	}},
	{name: "options of all kinds", reasons: "ip_bad_checksum", frame: (*attacker).optioned},
	{name: "garbage", reasons: "frame_too_short unknown_ethertype not_for_router arp_malformed ip_too_short ip_bad_version ip_bad_header_length ip_bad_length ip_bad_checksum l2_broadcast " + martian + "rpf_failed",
		frame: func(x *attacker) []byte {
			f := frameTo(x.to, x.from, packet.EtherTypeIPv4, x.bytes(x.IntN(200)))
			if x.IntN(2) == 0 {
				copy(f[12:], x.bytes(2))
			}
			return f
		}},
	{name: "broadcast and multicast", reasons: "l2_broadcast martian_destination", frame: func(x *attacker) []byte {
		f := x.udp(x.own, []string{"255.255.255.255", "224.0.0.251", "192.168.255.255", farHost}[x.IntN(4)])
		copy(f, [][]byte{broadcast[:], {1, 0, 0x5e, 0, 0, 0xfb}}[x.IntN(2)])
		return f
	}},
	{name: "jumbo frames", reasons: "mtu_exceeded", frame: func(x *attacker) []byte {
		return x.ip(x.own, farHost, packet.ProtocolUDP, make([]byte, 8900), func(h []byte) { h[6] |= 0x40 })
	}},
	{name: "IP-in-IP by a workload", reasons: "rpf_failed local_unsupported", frame: func(x *attacker) []byte { return x.tunnelled(x.own, x.inner(there, honest)) }},

	{name: "no route", uplink: true, reasons: "no_route", frame: func(x *attacker) []byte { return x.udp(farHost, x.address("20.0.0.0", 24)) }},
	{name: "ICMP errors about tunnels", uplink: true, reasons: "not_for_router martian_source", frame: func(x *attacker) []byte {
		rest := []uint32{0, 67, 68, 576, 1300, 65535}[x.IntN(6)]
		kind := [][2]byte{{3, 4}, {3, 4}, {3, 1}, {3, 0}, {3, 2}, {11, 0}, {12, 0}}[x.IntN(7)]
		return x.icmpAbout(kind[0], kind[1], rest)
	}},
	{name: "IP-in-IP from strangers", uplink: true, reasons: "ipip_unknown_peer", frame: func(x *attacker) []byte {
		return x.tunnelled(x.address("20.0.0.0", 24), x.inner(there, honest))
	}},
	{name: "IP-in-IP forged from a peer, nested", uplink: true, reasons: "ipip_bad_inner ipip_unknown_peer not_for_router local_unsupported no_route rpf_failed",
		frame: func(x *attacker) []byte {
			inner := x.tunnelled(farHost, x.tunnelled(farHost, x.inner(there, honest))[packet.EthernetLen:])
			return x.tunnelled(farHost, inner[packet.EthernetLen:])
		}},
	{name: "IP-in-IP forged from a peer, spoofed inside", uplink: true, reasons: martian + "ipip_bad_inner no_route", frame: func(x *attacker) []byte {
		return x.tunnelled(farHost, x.inner([]string{honest, hostAddress, "127.0.0.1", "224.0.0.1"}[x.IntN(4)], x.address("20.0.0.0", 24)))
	}},
	{name: "fragments of tunnels", uplink: true, reasons: "reassembly_limit reassembly_timeout", frame: func(x *attacker) []byte {
		return x.ip(farHost, hostAddress, packet.ProtocolIPIP, make([]byte, 1400), fragment(0, true))
	}},
	{name: "garbage", uplink: true, reasons: "frame_too_short unknown_ethertype arp_malformed arp_ignored ip_too_short ip_bad_version ip_bad_header_length ip_bad_length ip_bad_checksum",
		frame: func(x *attacker) []byte { return frameTo(x.to, x.from, packet.EtherTypeIPv4, x.bytes(x.IntN(200))) }},
}

func (a attack) allows(reason string) bool {
	for _, r := range strings.Fields(a.reasons) {
		if r == reason {
			return true
		}
	}
	return false
}
