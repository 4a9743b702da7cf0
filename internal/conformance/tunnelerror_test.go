package conformance

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// A kind of tunnel, by which of the addresses in it are IPv6, and its end.
type tunnelKind struct {
	name, encap string
	inner       string // beyond the tunnel
	end         string
}

var tunnelKinds = []tunnelKind{
	{"IPv6 in IPv4", "ipip", "fd00:71::1", peerIP}, {"IPv4 in IPv6", "ipip", "10.71.0.1", peerIP6}, {"IPv6 in IPv6", "ipip", "fd00:72::1", peerIP6},
	{"IPv4 in VXLAN", "vxlan", "10.73.0.1", peerIP}, {"IPv6 in VXLAN", "vxlan", "fd00:73::1", peerIP}, {"IPv4 in VXLAN over IPv6", "vxlan", "10.74.0.1", peerIP6}, {"IPv6 in VXLAN over IPv6", "vxlan", "fd00:74::1", peerIP6},
}

// tunnelErrorRows are what routers on the way of a tunnel say of it (T5, T6, T12).
var tunnelErrorRows = []row{
	{
		id: "X2a", rule: "path MTU and relayed errors as T5, T6 and T12 say, in both families", source: "RFC 2003 4, 5.1, RFC 2473 7, 8, RFC 4213 3.2, 3.4, RFC 7348 4.3",
		counted: "tunnel_path_mtu_bytes", options: options{six: true, tunnels: kindRoutes()}, cases: kindCases(),
	},
}

func kindRoutes() (all []route) {
	for _, k := range tunnelKinds {
		to := k.inner + "/32"
		if k.six() {
			to = k.inner + "/128"
		}
		all = append(all, route{to: to, via: k.end, encap: k.encap})
	}
	return all
}

func kindCases() (all []testCase) {
	for i, k := range tunnelKinds {
		// A tunnel's path MTU is its peer's: each case has a smaller one to tell than the one before.
		mtu := 1480 - 20*i
		all = append(all,
			testCase{name: k.name + ": the path MTU", notHere: noSit, test: func(b *Bench) { b.pathMTU(k, mtu) }},
			testCase{name: k.name + ": what is said of the outer packet", notHere: noSit, test: func(b *Bench) { b.relays(k) }},
			testCase{name: k.name + ": of what nobody has sent", notHere: noSit, test: func(b *Bench) { b.doubts(k) }})
	}
	return all
}

func isSix(a string) bool { return len(ip6(a)) == 16 }

func (k tunnelKind) six() bool   { return isSix(k.inner) }
func (k tunnelKind) over6() bool { return isSix(k.end) }

// header is all that is put around a packet.
func (k tunnelKind) header() (n int) {
	n = 20
	if k.over6() {
		n = 40
	}
	if k.encap == "vxlan" {
		n += 8 + 8 + 14
	}
	return n
}

// packet is one of n bytes from ns1 into the tunnel, that nobody may cut.
func (k tunnelKind) packet(n int) []byte {
	if k.six() {
		return ip6Packet{src: ns1IP6, dst: k.inner, next: 253, flow: 0x12345, data: pattern(n - 40)}.bytes()
	}
	return ipPacket{src: ns1IP, dst: k.inner, proto: 253, flags: 2, data: pattern(n - 20)}.bytes()
}

// sends has ns1 send a packet, and is what left for the tunnel.
func (b *Bench) sends(k tunnelKind, ip []byte) (outer []byte) {
	frame, on := b.ns1.to(ip), forwarded
	if k.six() {
		frame, on = b.ns1.to6(ip), forwarded6
	}
	b.exchange(b.ns1, [][]byte{frame}, want{b.up, "a packet in a tunnel: " + k.name, func(f []byte) error {
		if len(f) != 14+k.header()+len(ip) || !slices.Equal(f[14+k.header():], on(ip)) {
			return fmt.Errorf("the packet is not in it")
		}
		outer = slices.Clone(f[14:])
		return nil
	}})
	return outer
}

// error is what a router on the way says to this host about an outer packet.
func (k tunnelKind) error(b *Bench, typ4, code4, typ6, code6 byte, mtu int, quote []byte) []byte {
	if k.over6() {
		return b.up.to6(ip6Packet{src: "fd00:1::1", dst: hostIP6, next: protoICMP6, data: icmp6("fd00:1::1", hostIP6, typ6, code6, uint32(mtu), quote[:min(len(quote), 1232)])}.bytes())
	}
	return b.up.to(ipPacket{src: "10.1.2.3", dst: hostIP, proto: protoICMP, data: icmp(typ4, code4, uint32(mtu), quote[:min(len(quote), 548)])}.bytes())
}

// pathMTU lowers it, by 28 bytes of an outer packet of IPv4 (T12).
func (b *Bench) pathMTU(k tunnelKind, mtu int) {
	quote := b.sends(k, k.packet(mtu+20-k.header()))
	if !k.over6() {
		quote = quote[:28]
	}
	b.exchange(b.up, [][]byte{k.error(b, 3, 4, 2, 0, mtu, quote)})
	fits := mtu - k.header()
	b.sends(k, k.packet(fits))
	if ip := k.packet(fits + 1); k.six() {
		b.one6(b.ns1, ip, icmp6About(b.ns1, 2, 0, uint32(fits), ip))
	} else {
		b.one(b.ns1, ip, icmpAbout(b.ns1, 3, 4, uint32(fits), ip))
	}
	b.dropped(b.ns1, "mtu_exceeded", 1)
}

// relays requires that Host Unreachable goes on to the inner source.
func (b *Bench) relays(k tunnelKind) {
	ip := k.packet(200)
	quote := b.sends(k, ip)
	about := icmpAbout
	if k.six() {
		about = func(at *port, _, _ byte, rest uint32, ip []byte) want { return icmp6About(at, 1, 3, rest, ip) }
	}
	b.exchange(b.up, [][]byte{k.error(b, 3, 1, 1, 3, 0, quote)}, about(b.ns1, 3, 1, 0, ip))
}

// doubts requires that what quotes another packet than was sent changes nothing.
func (b *Bench) doubts(k tunnelKind) {
	quote := b.sends(k, k.packet(1200))
	if k.over6() {
		quote[3] ^= 0x55 // the flow label
	} else {
		binary.BigEndian.PutUint16(quote[4:], binary.BigEndian.Uint16(quote[4:])+0x5555)
		seal(quote)
	}
	b.exchange(b.up, [][]byte{k.error(b, 3, 1, 1, 3, 0, quote), k.error(b, 3, 4, 2, 0, 1280, quote)})
	b.dropped(b.up, "not_for_router", 2)
}
