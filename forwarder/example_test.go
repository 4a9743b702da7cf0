package forwarder_test

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/vrouter/vrouter/forwarder"
	"github.com/vrouter/vrouter/rib"
)

// A workload sends two datagrams: one goes on to the uplink, the other one has nowhere
// to go. Nothing is sent and nothing counted: what is to be done is said.
func Example() {
	addr, prefix := netip.MustParseAddr, netip.MustParsePrefix
	ns1 := &forwarder.Port{ID: 0, PortConfig: forwarder.PortConfig{
		Name: "ns1", MAC: forwarder.MAC{0xee, 0xee, 0xee, 0xee, 0xee, 0xee}, MTU: 1500, Addresses: []netip.Addr{addr("10.70.1.1")},
	}}
	uplink := &forwarder.Port{ID: 1, PortConfig: forwarder.PortConfig{
		Name: "ens160", Kind: forwarder.Uplink, MAC: forwarder.MAC{2, 0, 0, 0, 0, 11}, MTU: 1500,
	}}
	routes := rib.NewTable()
	if err := routes.Add(rib.Route{
		Prefix: prefix("10.70.2.0/24"), Via: addr("192.168.0.12"), Dev: "ens160", Port: uplink.ID, Protocol: "static", Source: rib.Static,
	}); err != nil {
		fmt.Println(err)
	}
	neighbors := new(forwarder.Neighbors).With(uplink.ID, addr("192.168.0.12"), &forwarder.Neighbor{MAC: forwarder.MAC{2, 0, 0, 0, 0, 12}})
	path := forwarder.Path{
		State: &forwarder.State{
			Settings: forwarder.Settings{Gateway: addr("169.254.1.1"), Own: []netip.Addr{addr("192.168.0.11")}, RPF: true},
			Ports:    []*forwarder.Port{ns1, uplink},
		},
		FIB: routes.FIB(), Neighbors: neighbors,
		Numbers: new(counter),
	}
	for _, dst := range []byte{2, 3} {
		var p forwarder.Packet
		p.Begin(datagram(dst), ns1)
		v := path.Run(&p, forwarder.RX)
		fmt.Println(strings.TrimSpace(fmt.Sprint(v.Kind, " at ", p.At(), " ", v.Reason)))
		if p.Out != nil {
			fmt.Println("by", p.Out.Name, "to", p.NextHop, "ttl", p.IP.HopLimit())
		}
		for _, c := range p.Consequences() {
			fmt.Println(c.Said())
		}
	}
	// Output:
	// pass at tx
	// by ens160 to 192.168.0.12 ttl 63
	// drop at route no_route
	// tells 10.70.1.1: no route
}

// datagram is one of 20 bytes, from 10.70.1.1 to 10.70.dst.1.
func datagram(dst byte) *forwarder.Frame {
	b := []byte{
		0xee, 0xee, 0xee, 0xee, 0xee, 0xee, 2, 0, 0, 0, 1, 1, 8, 0,
		0x45, 0, 0, 20, 0, 1, 0, 0, 64, 253, 0, 0, 10, 70, 1, 1, 10, 70, dst, 1,
	}
	forwarder.IPv4(b[14:]).SetChecksum()
	return forwarder.FrameOf(b)
}

// counter numbers datagrams one after the other, and remembers none.
type counter uint16

func (n *counter) Next(*forwarder.Tunnel) uint16 {
	*n++
	return uint16(*n)
}

func (*counter) Gave(*forwarder.Tunnel, uint16) bool { return false }

func (*counter) Lately(*forwarder.Tunnel) uint32 { return 0 }
