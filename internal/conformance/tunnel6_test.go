package conformance

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
)

const (
	noSit     = "Here Linux has no sit device; internal/peer asks a kernel that has"
	tunnelIP6 = "fd00:71::1"
	protoIPv6 = 41
)

var tunnelled6 = options{six: true, tunnels: []route{{to: "fd00:71::/48", via: peerIP}}}

// tunnelRows6 are IPv6 in IPv4, as they are on the wire.
var tunnelRows6 = []row{
	{
		id: "X1", rule: "IPv6 in IPv4: protocol 41, the inner Packet Too Big never under 1,280; outer fragments put together", source: "RFC 4213 3",
		counted: "tunnel_transmit_packets_total tunnel_receive_packets_total ipip_unknown_peer ipip_bad_inner", options: tunnelled6,
		cases: []testCase{
			{name: "into the tunnel", notHere: noSit, test: func(b *Bench) {
				for _, n := range []int{0, 1, 700, 1440} {
					ip := ip6Packet{src: ns1IP6, dst: tunnelIP6, next: 253, flow: 0x12345, data: pattern(n)}.bytes()
					b.one6(b.ns1, ip, b.inIPv4(forwarded6(ip), 0))
				}
			}},
			{name: "out of the tunnel", notHere: noSit, test: func(b *Bench) {
				ip := ip6Packet{src: tunnelIP6, dst: ns1IP6, next: 253, data: pattern(100)}.bytes()
				b.one(b.up, ipPacket{src: peerIP, dst: hostIP, proto: protoIPv6, data: ip}.bytes(), routed6(b.ns1, ip))
			}},
			{name: "out of the tunnel, in fragments", notHere: noSit, test: func(b *Bench) {
				ip := ip6Packet{src: tunnelIP6, dst: ns1IP6, next: 253, data: pattern(1400)}.bytes()
				b.exchange(b.up, [][]byte{
					b.up.to(ipPacket{src: peerIP, dst: hostIP, proto: protoIPv6, id: 7, flags: 1, data: ip[:800]}.bytes()),
					b.up.to(ipPacket{src: peerIP, dst: hostIP, proto: protoIPv6, id: 7, offset: 800, data: ip[800:]}.bytes()),
				}, routed6(b.ns1, ip))
			}},
			{name: "too big for it", notHere: noSit, test: func(b *Bench) {
				ip := ip6Packet{src: ns1IP6, dst: tunnelIP6, next: 253, data: pattern(1441)}.bytes()
				b.one6(b.ns1, ip, icmp6About(b.ns1, 2, 0, 1480, ip))
				b.dropped(b.ns1, "mtu_exceeded", 1)
			}},
			{name: "from a stranger", notHere: noSit, test: func(b *Bench) {
				ip := ip6Packet{src: tunnelIP6, dst: ns1IP6}.bytes()
				b.one(b.up, ipPacket{src: peer13IP, dst: hostIP, proto: protoIPv6, data: ip}.bytes())
				b.dropped(b.up, "ipip_unknown_peer", 1)
			}},
			{name: "what is in it is no IPv6 packet, or one that may not be forwarded", notHere: noSit, test: func(b *Bench) {
				bad := [][]byte{
					pattern(60), ip6Packet{src: tunnelIP6, dst: ns1IP6}.bytes()[:39], ipPacket{src: farIP, dst: ns1IP}.bytes(),
					ip6Packet{src: "::1", dst: ns1IP6}.bytes(), ip6Packet{src: hostIP6, dst: ns1IP6}.bytes(), ip6Packet{src: "fe80::1", dst: ns1IP6}.bytes(),
				}
				for _, inner := range bad {
					b.one(b.up, ipPacket{src: peerIP, dst: hostIP, proto: protoIPv6, data: inner}.bytes())
				}
				b.dropped(b.up, "ipip_bad_inner", len(bad))
			}},
			{name: "Neighbor Discovery comes out of no tunnel", notHere: noSit, test: func(b *Bench) {
				m := ndMessage{typ: ndAdvertisement, src: peerIP6, dst: hostIP6, target: peerIP6, flags: overrideFlag, option: ndTarget, mac: peer13MAC}
				b.must(b.up.send(b.up.to(ipPacket{src: peerIP, dst: hostIP, proto: protoIPv6, data: m.bytes()}.bytes())))
				b.settle(b.up)
				b.tolerate(dropSeries(b.up, "nd_malformed"))
				b.tolerate(dropSeries(b.up, "ipip_bad_inner"))
				ip := ip6Packet{src: ns1IP6, dst: farIP6}.bytes()
				b.one6(b.ns1, ip, routed6(b.up, ip))
			}},
		},
	},
	{
		id: "X2", rule: "traffic class and ECN through it as RFC 6040 4.2 has them; the hop limit once at each end", source: "RFC 6040 4, RFC 2983", counted: "ipip_ecn", options: tunnelled6,
		cases: []testCase{
			{name: "the class is copied out", notHere: noSit, test: func(b *Bench) {
				for _, class := range []byte{0, 1, 2, 3, 0xb8, 0xff} {
					ip := ip6Packet{src: ns1IP6, dst: tunnelIP6, class: class}.bytes()
					b.one6(b.ns1, ip, b.inIPv4(forwarded6(ip), class))
				}
			}},
			{name: "ECN at the exit", notHere: noSit, test: func(b *Bench) {
				for _, c := range []struct{ outer, inner, becomes byte }{{0, 0, 0}, {0, 1, 1}, {0, 2, 2}, {0, 3, 3}, {1, 1, 1}, {2, 1, 1}, {1, 2, 1}, {2, 2, 2}, {3, 1, 3}, {3, 2, 3}, {3, 3, 3}} {
					ip := ip6Packet{src: tunnelIP6, dst: ns1IP6, class: 0xb8 | c.inner}.bytes()
					due := forwarded6(ip)
					due[1] = due[1]&^0x30 | c.becomes<<4
					b.one(b.up, ipPacket{src: peerIP, dst: hostIP, proto: protoIPv6, tos: c.outer, data: ip}.bytes(), exactly(b.ns1, b.ns1.from6(due)))
				}
			}},
			{name: "congestion of what cannot say so: dropped", notHere: noSit, test: func(b *Bench) {
				ip := ip6Packet{src: tunnelIP6, dst: ns1IP6}.bytes()
				b.one(b.up, ipPacket{src: peerIP, dst: hostIP, proto: protoIPv6, tos: 3, data: ip}.bytes())
				b.dropped(b.up, "ipip_ecn", 1)
			}},
			{name: "the hop limit", notHere: noSit, test: func(b *Bench) {
				ip := ip6Packet{src: ns1IP6, dst: tunnelIP6, hops: 1}.bytes()
				b.one6(b.ns1, ip, icmp6About(b.ns1, 3, 0, 0, ip))
				b.dropped(b.ns1, "ttl_exceeded", 1)
				ip = ip6Packet{src: tunnelIP6, dst: ns1IP6, hops: 2}.bytes()
				b.one(b.up, ipPacket{src: peerIP, dst: hostIP, proto: protoIPv6, ttl: 1, data: ip}.bytes(), routed6(b.ns1, ip))
			}},
		},
	},
}

// inIPv4 is a packet in an outer header of this host's to the peer. Its identification, and
// whether it may be cut, are the router's to choose.
func (b *Bench) inIPv4(inner []byte, tos byte) want {
	return want{b.up, "IPv6 in IPv4: " + describe(b.up.from6(inner)), func(f []byte) error {
		if len(f) < 34 || !bytes.Equal(f[:14], b.up.from(nil)) {
			return fmt.Errorf("it is no packet of the router's to this station")
		}
		ip := f[14:]
		due := ipPacket{src: hostIP, dst: peerIP, tos: tos, proto: protoIPv6, data: inner, id: binary.BigEndian.Uint16(ip[4:]), flags: ip[6] >> 5 & 2}.bytes()
		if !slices.Equal(ip, due) {
			return fmt.Errorf("this is due: %s", describe(b.up.from(due)))
		}
		return nil
	}}
}
