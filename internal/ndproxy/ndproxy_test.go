package ndproxy

import (
	"net/netip"
	"testing"

	"github.com/vrouter/vrouter/arpproxy"
	"github.com/vrouter/vrouter/internal/packet"
)

var (
	gateway  = netip.MustParseAddr("fe80::ecee:eeff:feee:eeee")
	workload = netip.MustParseAddr("fd00:70:1::1")
	other    = netip.MustParseAddr("fd00:70:2::1")
	near     = netip.MustParseAddr("fe80::1")
	nobody   = netip.IPv6Unspecified()

	workloadMAC = packet.MAC{2, 0, 0, 0, 1, 1}
	gatewayMAC  = packet.MAC{0xee, 0xee, 0xee, 0xee, 0xee, 0xee}
)

func TestDecide(t *testing.T) {
	const ask, tell = packet.ICMPv6NeighborSolicitation, packet.ICMPv6NeighborAdvertisement
	for _, c := range []struct {
		name           string
		typ            byte
		sender, target netip.Addr
		own, leaves    bool
		want           arpproxy.Answer
	}{
		{"gateway", ask, workload, gateway, false, false, arpproxy.Gateway},
		{"gateway, whatever the routes", ask, workload, gateway, false, true, arpproxy.Gateway},
		{"gateway that is the host's too", ask, near, gateway, true, false, arpproxy.Gateway},
		{"host", ask, workload, other, true, false, arpproxy.Own},
		{"host, with a route", ask, workload, other, true, true, arpproxy.Own},
		{"host's link-local address", ask, workload, near, true, false, arpproxy.Own},
		{"proxy", ask, workload, other, false, true, arpproxy.Proxy},
		{"no route, or one back", ask, workload, other, false, false, arpproxy.Ignored},
		{"what is on the link alone", ask, workload, near, false, true, arpproxy.Ignored},
		{"the asker's own", ask, workload, workload, false, true, arpproxy.Ignored},
		{"probe for the gateway", ask, nobody, gateway, false, false, arpproxy.Gateway},
		{"probe for the host", ask, nobody, other, true, true, arpproxy.Own},
		{"probe, never by proxy", ask, nobody, other, false, true, arpproxy.Ignored},
		{"probe for itself", ask, nobody, workload, false, false, arpproxy.Ignored},
		{"advertisement about the gateway", tell, workload, gateway, false, true, arpproxy.Ignored},
		{"advertisement to the host", tell, workload, other, true, true, arpproxy.Ignored},
		{"router solicitation", packet.ICMPv6RouterSolicitation, near, netip.Addr{}, false, false, arpproxy.Ignored},
		{"redirect", packet.ICMPv6Redirect, near, other, true, true, arpproxy.Ignored},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := packet.ND{Type: c.typ, Src: c.sender, MAC: workloadMAC, Target: c.target}
			if got := Decide(&m, arpproxy.Facts{Gateway: gateway, Own: c.own, Leaves: c.leaves}); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestDecideClaims(t *testing.T) {
	for _, typ := range []byte{packet.ICMPv6NeighborSolicitation, packet.ICMPv6NeighborAdvertisement} {
		for _, target := range []netip.Addr{gateway, workload, other} {
			m := packet.ND{Type: typ, Src: gateway, MAC: workloadMAC, Target: target}
			if got := Decide(&m, arpproxy.Facts{Gateway: gateway, Claimed: true, Own: true, Leaves: true}); got != arpproxy.Conflict {
				t.Errorf("type %d about %s: %s, want %s", typ, target, got, arpproxy.Conflict)
			}
		}
	}
}

// RFC 4861 7.2.4 and 7.2.8: an owner overrides what is known, a proxy does not; who has
// no address yet hears it with all.
func TestPutReply(t *testing.T) {
	for _, c := range []struct {
		name   string
		sender netip.Addr
		why    arpproxy.Answer
		to     packet.MAC
		want   packet.ND
	}{
		{"gateway", workload, arpproxy.Gateway, workloadMAC, packet.ND{Src: gateway, Dst: workload, Solicited: true, Override: true}},
		{"proxy", workload, arpproxy.Proxy, workloadMAC, packet.ND{Src: near, Dst: workload, Solicited: true}},
		{"probe", nobody, arpproxy.Own, packet.MAC{0x33, 0x33, 0, 0, 0, 1}, packet.ND{Src: gateway, Dst: packet.AllNodes, Override: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := packet.ND{Type: packet.ICMPv6NeighborSolicitation, Src: c.sender, Dst: packet.SolicitedNode(gateway), Target: gateway}
			var f packet.Frame
			PutReply(&f, &m, workloadMAC, c.why, near, gatewayMAC)
			c.want.Type, c.want.Target, c.want.MAC, c.want.Router = packet.ICMPv6NeighborAdvertisement, gateway, gatewayMAC, true
			got, ok := packet.ParseND(packet.IPv6(f.Payload()))
			if !ok || got != c.want || f.DstMAC() != c.to || f.SrcMAC() != gatewayMAC || f.EtherType() != packet.EtherTypeIPv6 {
				t.Errorf("%s > %s: %+v, %v\nwant %+v", f.SrcMAC(), f.DstMAC(), got, ok, c.want)
			}
		})
	}
}

func TestPutAnnouncement(t *testing.T) {
	var f packet.Frame
	PutAnnouncement(&f, gateway, gatewayMAC)
	want := packet.ND{
		Type: packet.ICMPv6NeighborAdvertisement, Src: gateway, Dst: packet.AllNodes, Target: gateway, MAC: gatewayMAC, Router: true, Override: true,
	}
	got, ok := packet.ParseND(packet.IPv6(f.Payload()))
	if !ok || got != want || f.DstMAC() != (packet.MAC{0x33, 0x33, 0, 0, 0, 1}) || f.SrcMAC() != gatewayMAC {
		t.Errorf("%s > %s: %+v, want %+v", f.SrcMAC(), f.DstMAC(), got, want)
	}
}
