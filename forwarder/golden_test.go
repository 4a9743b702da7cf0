package forwarder_test

import (
	"github.com/google/gopacket/layers"

	"github.com/vrouter/vrouter/internal/link"
	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/rib"
)

// goldens are what a person reads of a packet; times are replaced by T.
var goldens = []struct {
	name  string
	setup func(b *bed)
	from  string
	send  *packet.Frame
	want  string
}{
	{"forwarded", nil, "ns1", ping(farIP), `
`},
	{"ttl_exceeded", nil, "ns1", withTTL(ping(farIP), 1), `
`},
	{"into_a_tunnel", tunnel, "ns1", edited(ping(tunnelIP), func(ip packet.IPv4) { ip[1] = 2 }), `
`},
	{"out_of_a_tunnel", nil, "ens160", ipip(peerIP, hostIP, fromPeer(), func(ip *layers.IPv4) { ip.TOS = 0xb8 }), `
`},
	{"superframe", nil, "ns1", fromNS1(ns2IP), `
`},
	{"fragments", func(b *bed) { b.setMTU("ens160", 1400) }, "ns1", sized(ns1MAC, ns1IP, farIP, 1500), `
`},
	{"arp", nil, "ns1", asks(ns1IP, gateway), `
`},
	{"arp_ignored", nil, "ns1", asks(ns1IP, "10.99.0.1"), `
`},
	{"echo_to_the_gateway", nil, "ns1", packet.FrameOf(append(ping(gateway).Bytes(), make([]byte, 8)...)), `
`},
	{"rpf_failed", nil, "ns1", withSrc(ping(farIP), ns2IP), `
`},
	{"mtu_exceeded", func(b *bed) { b.setMTU("ens160", 1400) }, "ns1", udpWithDF(), `
`},
	{"prohibit", func(b *bed) {
		b.route(rib.Route{Prefix: prefix("10.99.0.0/16"), Type: rib.Prohibit, Port: rib.NoPort, Protocol: "static", Source: rib.Static})
	}, "ns1", ping("10.99.0.1"), `
`},
	{"not_for_router", nil, "ens160", broken(fromPeer(), func(f *packet.Frame) { f.Bytes()[5] = 99 }), `
`},
	{"ip_bad_checksum", nil, "ens160", broken(fromPeer(), func(f *packet.Frame) { f.Payload()[10] ^= 1 }), `
`},
	{"tx_error", func(b *bed) { b.uplink.Fail = link.ErrQueueFull }, "ns1", ping(farIP), `
`},
	{"too_short", nil, "ns1", broken(ping(farIP), func(f *packet.Frame) { f.Len = 10 }), `
`},
}
