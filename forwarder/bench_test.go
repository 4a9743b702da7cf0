package forwarder_test

import (
	"encoding/binary"
	"net/netip"
	"strings"
	"testing"

	"github.com/gaissmai/bart"

	"github.com/vrouter/vrouter/forwarder"
	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/rib"
)

// BenchmarkForward is the path alone, without workers and their books, of which the
// benchmark of that name in internal/engine is: ns/op is the time of a packet.
func BenchmarkForward(b *testing.B) {
	ns1MAC, gatewayMAC, uplinkMAC, peerMAC := mac(1), mac(0xee), mac(11), mac(12)
	for _, c := range []struct {
		name     string
		in       int
		from, to string
		inner    []byte // with from and to outside
	}{
		{"to_uplink", 0, "10.70.1.1", "10.70.2.1", nil},
		{"from_uplink", 2, "10.70.2.1", "10.70.1.1", nil},
		{"encap", 0, "10.70.1.1", "10.70.3.1", nil},
		{"decap", 2, "192.168.0.12", "192.168.0.11", ip("10.70.3.1", "10.70.1.1", 1, 64, make([]byte, 8))},
		{"encap_vxlan", 0, "10.70.1.1", "10.70.5.1", nil},
		{"decap_vxlan", 2, "192.168.0.12", "192.168.0.11", vxlan(ip("10.70.5.1", "10.70.1.1", 1, 64, make([]byte, 8)))},
		{"drop", 0, "10.70.1.2", "10.70.2.1", nil},
		{"ipv6_to_uplink", 0, "fd00:70:1::1", "fd00:70:2::1", nil},
		{"ipv6_from_uplink", 2, "fd00:70:2::1", "fd00:70:1::1", nil},
		{"ipv6_encap_in_ipv4", 0, "fd00:70:1::1", "fd00:70:3::1", nil},
		{"ipv6_encap_in_ipv6", 0, "fd00:70:1::1", "fd00:70:4::1", nil},
		{"ipv6_decap_of_ipv4", 2, "192.168.0.12", "192.168.0.11", ip6("fd00:70:3::1", "fd00:70:1::1", 17, make([]byte, 8))},
		{"ipv6_decap_of_ipv6", 2, "fd00:192::12", "fd00:192::11", ip6("fd00:70:3::1", "fd00:70:1::1", 17, make([]byte, 8))},
		{"ipv6_encap_vxlan", 0, "fd00:70:1::1", "fd00:70:5::1", nil},
		{"ipv6_decap_vxlan", 2, "192.168.0.12", "192.168.0.11", vxlan(ip6("fd00:70:5::1", "fd00:70:1::1", 17, make([]byte, 8)))},
		{"ipv6_drop", 0, "fd00:70:1::2", "fd00:70:2::1", nil},
	} {
		b.Run(c.name, func(b *testing.B) {
			path := hostPath(b)
			if c.name[:4] == "ipv6" {
				dualPath(b, path)
			}
			if strings.HasSuffix(c.name, "vxlan") {
				path.VXLAN = forwarder.VXLAN{Port: packet.VXLANPort, VNI: 4096}
			}
			protocol, data := byte(17), make([]byte, 18)
			if c.inner != nil {
				protocol, data = 4, c.inner
				switch {
				case strings.HasSuffix(c.name, "vxlan"):
					protocol = packet.ProtocolUDP
				case data[0]>>4 == 6:
					protocol = 41
				}
			}
			dst, src := gatewayMAC, ns1MAC
			if c.in == 2 {
				dst, src = uplinkMAC, peerMAC
			}
			etherType, whole := []byte{8, 0}, []byte(nil)
			if netip.MustParseAddr(c.from).Is6() {
				etherType, whole = []byte{0x86, 0xdd}, ip6(c.from, c.to, protocol, data)
			} else {
				whole = ip(c.from, c.to, protocol, 64, data)
			}
			f := forwarder.FrameOf(append(append(append(dst[:], src[:]...), etherType...), whole...))
			var p forwarder.Packet
			g := f.Clone()
			b.ReportAllocs()
			for b.Loop() {
				g.Off, g.Len = f.Off, f.Len
				copy(g.Bytes(), f.Bytes())
				p.Begin(g, path.Ports[c.in])
				path.Run(&p, forwarder.RX)
			}
		})
	}
}

func mac(last byte) forwarder.MAC { return forwarder.MAC{2, 0, 0, 0, 0, last} }

// vxlan is a datagram with a packet in it, for the path's host.
func vxlan(inner []byte) []byte {
	b := append(make([]byte, packet.VXLANLen), inner...)
	h := packet.VXLANHeader{
		SrcPort: 50000, DstPort: packet.VXLANPort, Len: len(b), VNI: 4096,
		Dst: packet.VTEPMAC(netip.MustParseAddr("192.168.0.11")), EtherType: packet.EtherTypeIPv4,
	}
	if inner[0]>>4 == 6 {
		h.EtherType = packet.EtherTypeIPv6
	}
	packet.PutVXLAN(b, &h)
	return b
}

// ip is an IPv4 packet.
func ip(src, dst string, protocol, ttl byte, data []byte) []byte {
	b := append(make([]byte, 20), data...)
	b[0], b[8], b[9] = 0x45, ttl, protocol
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	from, to := netip.MustParseAddr(src).As4(), netip.MustParseAddr(dst).As4()
	copy(b[12:], from[:])
	copy(b[16:], to[:])
	forwarder.IPv4(b).SetChecksum()
	return b
}

// hostPath is the tutorial's first host: ns1, ns2 and the uplink, a peer and a tunnel to it.
func hostPath(b *testing.B) *forwarder.Path {
	addr, prefix := netip.MustParseAddr, netip.MustParsePrefix
	port := func(id int, name string, kind forwarder.Kind, m forwarder.MAC, a ...netip.Addr) *forwarder.Port {
		return &forwarder.Port{ID: id, PortConfig: forwarder.PortConfig{Name: name, Kind: kind, MAC: m, MTU: 1500, Addresses: a}}
	}
	routes := rib.NewTable()
	for _, r := range []rib.Route{
		{Prefix: prefix("10.70.1.1/32"), Dev: "ns1", Port: 0, Protocol: "workload", Source: rib.Workload},
		{Prefix: prefix("10.70.2.0/24"), Via: addr("192.168.0.12"), Dev: "ens160", Port: 2, Protocol: "static", Source: rib.Static},
		{Prefix: prefix("10.70.3.0/24"), Via: addr("192.168.0.12"), Dev: "ens160", Port: 2, Protocol: "static", Source: rib.Static, Encap: rib.IPIP},
		{Prefix: prefix("10.70.5.0/24"), Via: addr("192.168.0.12"), Dev: "ens160", Port: 2, Protocol: "static", Source: rib.Static, Encap: rib.VXLAN},
		{Prefix: prefix("192.168.0.0/24"), Dev: "ens160", Port: 2, Protocol: "kernel", Source: rib.Connected},
	} {
		if err := routes.Add(r); err != nil {
			b.Fatal(err)
		}
	}
	tunnels := new(bart.Table[*forwarder.Tunnel])
	tunnels.Insert(prefix("192.168.0.12/32"), &forwarder.Tunnel{Peer: addr("192.168.0.12"), Accept: true, AcceptVXLAN: true})
	return &forwarder.Path{
		State: &forwarder.State{
			Settings: forwarder.Settings{
				Gateway: addr("169.254.1.1"), Own: []netip.Addr{addr("192.168.0.11")}, RPF: true,
				Uplink: []forwarder.Subnet{{Prefix: prefix("192.168.0.0/24"), Address: addr("192.168.0.11")}},
			},
			Ports: []*forwarder.Port{
				port(0, "ns1", forwarder.Workload, mac(0xee), addr("10.70.1.1")), port(1, "ns2", forwarder.Workload, mac(0xee), addr("10.70.1.2")),
				port(2, "ens160", forwarder.Uplink, mac(11)),
			},
			Tunnels: tunnels,
		},
		FIB: routes.FIB(),
		Neighbors: new(forwarder.Neighbors).With(0, addr("10.70.1.1"), &forwarder.Neighbor{MAC: mac(1)}).
			With(2, addr("192.168.0.12"), &forwarder.Neighbor{MAC: mac(12)}),
		Numbers: new(counter),
	}
}

// ip6 is an IPv6 packet.
func ip6(src, dst string, next byte, data []byte) []byte {
	b := append(make([]byte, 40), data...)
	b[0], b[6], b[7] = 0x60, next, 64
	binary.BigEndian.PutUint16(b[4:], uint16(len(data)))
	from, to := netip.MustParseAddr(src).As16(), netip.MustParseAddr(dst).As16()
	copy(b[8:], from[:])
	copy(b[24:], to[:])
	return b
}

// dualPath gives the host the second family.
func dualPath(b *testing.B, x *forwarder.Path) {
	addr, prefix := netip.MustParseAddr, netip.MustParsePrefix
	x.Gateway6 = addr("fe80::ecee:eeff:feee:eeee")
	x.Own = append(x.Own, addr("fd00:192::11"), addr("fe80::11"))
	x.Uplink = append(x.Uplink, forwarder.Subnet{Prefix: prefix("fd00:192::/64"), Address: addr("fd00:192::11")})
	x.Ports[0].Addresses, x.Ports[0].LinkLocal = append(x.Ports[0].Addresses, addr("fd00:70:1::1")), x.Gateway6
	x.Ports[2].LinkLocal = addr("fe80::11")
	routes := rib.NewTable()
	for _, r := range []rib.Route{
		{Prefix: prefix("fd00:70:1::1/128"), Dev: "ns1", Port: 0, Protocol: "workload", Source: rib.Workload},
		{Prefix: prefix("fd00:70:2::/48"), Via: addr("fd00:192::12"), Dev: "ens160", Port: 2, Protocol: "static", Source: rib.Static},
		{Prefix: prefix("fd00:70:3::/48"), Via: addr("192.168.0.12"), Dev: "ens160", Port: 2, Protocol: "static", Source: rib.Static, Encap: rib.IPIP},
		{Prefix: prefix("fd00:70:4::/48"), Via: addr("fd00:192::12"), Dev: "ens160", Port: 2, Protocol: "static", Source: rib.Static, Encap: rib.IPIP},
		{Prefix: prefix("fd00:70:5::/48"), Via: addr("192.168.0.12"), Dev: "ens160", Port: 2, Protocol: "static", Source: rib.Static, Encap: rib.VXLAN},
		{Prefix: prefix("fd00:192::/64"), Dev: "ens160", Port: 2, Protocol: "kernel", Source: rib.Connected},
		{Prefix: prefix("192.168.0.0/24"), Dev: "ens160", Port: 2, Protocol: "kernel", Source: rib.Connected},
	} {
		if err := routes.Add(r); err != nil {
			b.Fatal(err)
		}
	}
	x.FIB = routes.FIB()
	x.Tunnels.Insert(prefix("fd00:192::12/128"), &forwarder.Tunnel{Peer: addr("fd00:192::12"), Accept: true})
	x.Neighbors = x.Neighbors.With(0, addr("fd00:70:1::1"), &forwarder.Neighbor{MAC: mac(1)}).With(2, addr("fd00:192::12"), &forwarder.Neighbor{MAC: mac(12)})
}
