package engine_test

import (
	"encoding/binary"
	"math/rand/v2"

	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/rib"
)

// routes6 are of every kind: plain, into each kind of tunnel, and to nowhere.
func routes6(b *bed) {
	b.via("fd00:80::/32", peerIP, rib.IPIP)
	b.via("fd00:81::/32", "fd00:192::77", rib.None) // nobody is there
	b.via("fd00:82::/32", peerIP6, rib.IPIP)
	b.via("10.83.0.0/16", peerIP6, rib.IPIP)
	for to, kind := range map[string]rib.Type{"fd00:90::/32": rib.Blackhole, "fd00:91::/32": rib.Unreachable, "fd00:92::/32": rib.Prohibit} {
		b.route(rib.Route{Prefix: prefix(to), Type: kind, Port: rib.NoPort, Protocol: "static", Source: rib.Static})
	}
	b.settings.Ends = append(b.settings.Ends, addr(peerIP6))
}

// anyFrame6 is anyFrame of IPv6.
func anyFrame6(r *rand.Rand, outer packet.IP) (in string, f *packet.Frame) {
	in = pick(r, "ns1", "ens160")
	switch r.IntN(16) {
	case 0, 1:
		f = anyND(r, in)
	case 2, 3:
		return anyPart6(r)
	case 4:
		return anySuperframe6(r)
	case 5:
		return "ens160", anyTunnelError6(r, outer)
	default:
		f = anyPacket6(r, in)
		if k := pick(r, tunnelKinds...); in == "ens160" && r.IntN(4) == 0 {
			if !k.six {
				f = fromPeer()
			}
			f = k.around(pick(r, k.end, k.end, k.end, k.self), k.self, f, byte(r.IntN(4)))
		}
	}
	return in, spoilt(r, f)
}

func anyPacket6(r *rand.Rand, in string) *packet.Frame {
	addresses := []string{ns1IP6, ns2IP6, farIP6, "fd00:80::1", "fd00:81::9", "fd00:82::1", "fd00:90::1", "fd00:91::1", "fd00:92::1", "fd00:99::1",
		gateway6, hostIP6, peerIP6, hostLink, peerLink, ns1Link, "::1", "::", "ff02::1", "ff0e::5", "::ffff:10.70.1.1"}
	src := pick(r, ns1IP6, ns1IP6, ns1IP6, pick(r, addresses...))
	dst := pick(r, ns2IP6, farIP6, "fd00:80::1", "fd00:82::1", pick(r, addresses...), pick(r, addresses...))
	if in == "ens160" {
		src, dst = pick(r, farIP6, farIP6, farIP6, pick(r, addresses...)), pick(r, ns1IP6, ns2IP6, pick(r, addresses...))
	}
	data := make([]byte, pick(r, 0, 8, 56, 1232, 1400, 1440, 1452, 1461))
	f := packet6(src, dst, pick[byte](r, 6, 17, 58, 58, 59, 253), pick[byte](r, 64, 64, 64, 0, 1, 2, 255), data)
	if ip := packet.IPv6(f.Payload()); ip.NextHeader() == 58 && len(data) >= 8 {
		data = ip.Payload()
		data[0], data[5] = pick[byte](r, 128, 128, 128, 129, 1, 2, 3, 4, 135, 143, 200), byte(r.IntN(256))
		packet.SetICMPv6Checksum(ip, 40)
	}
	if in == "ens160" {
		f.SetEthernet(uplinkMAC, peerMAC, packet.EtherTypeIPv6)
	} else {
		f.SetEthernet(gatewayMAC, ns1MAC, packet.EtherTypeIPv6)
	}
	switch r.IntN(12) {
	case 0:
		f = behind(f, pick[byte](r, 0, 60), 0, pick[byte](r, 1, 5, 0x1e, 0x5e, 0x9e, 0xde), 4, 0, 0, 0, 0)
	case 1:
		f = behind(f, 43, 0, 0, byte(r.IntN(2)), 0, 0, 0, 0)
	case 2:
		f = behind(f, 44, 0, 0, pick[byte](r, 0, 1, 0x58, 0x59), 0, 0, 0, byte(r.IntN(3)))
	}
	return f
}

func anyND(r *rand.Rand, in string) *packet.Frame {
	mac, from := ns1MAC, pick(r, ns1IP6, ns1Link, "::", ns2IP6, gateway6)
	if in == "ens160" {
		mac, from = peerMAC, pick(r, peerIP6, peerIP6, peerLink, "::", "fd00:192::77", "fd00:192::77", "fd00:192::50", hostIP6)
	}
	target := pick(r, gateway6, hostIP6, hostLink, farIP6, ns1IP6, ns2IP6, "fd00:90::1", "fd00:99::1", peerLink)
	if r.IntN(3) > 0 {
		return solicits(mac, from, target, packet.MAC{})
	}
	if from == "::" {
		from = target
	}
	return advertises(mac, from, pick(r, hostIP6, "ff02::1", gateway6), packet.MAC{}, r.IntN(2) == 0, r.IntN(2) == 0)
}

// anyPart6 is anyPart of IPv6.
func anyPart6(r *rand.Rand) (in string, f *packet.Frame) {
	in, whole := "ns1", icmp6(ns1IP6, gateway6, 128, 0, make([]byte, 3000)...)
	if r.IntN(2) == 0 {
		in, whole = "ens160", tunnelKinds[2].around(peerIP6, hostIP6, icmp6(farIP6, ns1IP6, 129, 0, make([]byte, 1300)...), 0)
	}
	f = pick(r, split6(whole, 1280)...)
	ip := f.Payload()
	ip[47] = byte(r.IntN(3))
	if r.IntN(20) == 0 {
		binary.BigEndian.PutUint16(ip[42:], 0xfff8)
	}
	return in, f
}

// anySuperframe6 is anySuperframe of IPv6.
func anySuperframe6(r *rand.Rand) (in string, f *packet.Frame) {
	if r.IntN(2) == 0 {
		return "ens160", superframe6(farIP6, pick(r, ns1IP6, ns2IP6))
	}
	f = superframe6(ns1IP6, pick(r, farIP6, ns2IP6, "fd00:80::1", "fd00:82::1", "fd00:81::9", "fd00:99::1"))
	if r.IntN(3) == 0 {
		f = withHops(f, 1)
	}
	return "ns1", f
}

// anyTunnelError6 is anyTunnelError of IPv6.
func anyTunnelError6(r *rand.Rand, lately packet.IP) *packet.Frame {
	k := tunnelKinds[1+r.IntN(2)]
	quote := []byte(k.around(hostIP6, pick(r, peerIP6, "fd00:192::99"), k.out(200), 0).Payload())
	if lately != nil && lately.Version() == 6 && r.IntN(3) > 0 {
		quote = lately
	}
	return k.error(0, 0, pick[byte](r, 1, 2, 3, 4), byte(r.IntN(7)), pick(r, 0, 1280, 1400), quote[:min(len(quote), pick(r, 40, 48, 88, 1232))])
}
