package packet

import (
	"net/netip"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

func TestPutIPv6(t *testing.T) {
	b := make([]byte, 44)
	for i := range b {
		b[i] = 0xee
	}
	PutIPv6(b, &Header6{
		TrafficClass: 0xb9, FlowLabel: 0xfff12345, PayloadLen: 1234, NextHeader: ProtocolIPIP, HopLimit: 64,
		Src: netip.MustParseAddr("fe80::1%eth0"), Dst: netip.MustParseAddr("fd00:192::12"),
	})
	ip := IPv6(b)
	if ip.Version() != 6 || ip.TrafficClass() != 0xb9 || ip.FlowLabel() != 0x12345 || ip.PayloadLen() != 1234 || ip.NextHeader() != 4 ||
		ip.HopLimit() != 64 || ip.Src().String() != "fe80::1" || ip.Dst().String() != "fd00:192::12" {
		t.Errorf("wrote % x", b)
	}
	if b[40] != 0xee {
		t.Error("more than 40 bytes were written")
	}
	l := gopacket.NewPacket(b[:40], layers.LayerTypeIPv6, gopacket.NoCopy).Layer(layers.LayerTypeIPv6).(*layers.IPv6)
	if l.TrafficClass != 0xb9 || l.FlowLabel != 0x12345 || l.Length != 1234 || l.NextHeader != layers.IPProtocolIPv4 || l.HopLimit != 64 {
		t.Errorf("gopacket reads %+v", l)
	}
	ip.SetECN(2)
	if ip.SetHopLimit(9); ip.TrafficClass() != 0xba || ip.FlowLabel() != 0x12345 || ip.HopLimit() != 9 || ip.Version() != 6 {
		t.Errorf("changed to % x", b)
	}
}

// What both families have is asked in the same words.
func TestIP(t *testing.T) {
	v4 := make(IP, 24)
	PutIPv4(v4, &Header{TOS: 0xb9, TotalLen: 22, TTL: 7, Protocol: ProtocolUDP, Src: IPv4Addr([]byte{10, 70, 1, 1}), Dst: IPv4Addr([]byte{10, 70, 2, 1})})
	v6 := make(IP, 44)
	PutIPv6(v6, &Header6{TrafficClass: 0xb9, PayloadLen: 2, HopLimit: 7, NextHeader: ProtocolUDP, Src: netip.MustParseAddr("fd00::1"), Dst: netip.MustParseAddr("fd00::2")})
	for _, c := range []struct {
		ip           IP
		version, len int
		src, dst     string
	}{{v4, 4, 22, "10.70.1.1", "10.70.2.1"}, {v6, 6, 42, "fd00::1", "fd00::2"}} {
		ip := c.ip
		if ip.Version() != c.version || ip.Len() != c.len || ip.Src().String() != c.src || ip.Dst().String() != c.dst || ip.TrafficClass() != 0xb9 || ip.HopLimit() != 7 {
			t.Errorf("% x", []byte(ip))
		}
		ip.SetHopLimit(6)
		if ip.SetECN(3); ip.TrafficClass() != 0xbb || ip.HopLimit() != 6 || c.version == 4 && slowSum(ip[:20], 0) != 0xffff {
			t.Errorf("changed to % x", []byte(ip))
		}
	}
}

func TestScopes(t *testing.T) {
	gateway := MAC{0xee, 0xee, 0xee, 0xee, 0xee, 0xee}
	if got := LinkLocal(gateway).String(); got != "fe80::ecee:eeff:feee:eeee" {
		t.Error(got)
	}
	a := netip.MustParseAddr("fd00::1:2ab:cdef")
	group := SolicitedNode(a)
	if group.String() != "ff02::1:ffab:cdef" || !IsSolicitedNode(group) || IsSolicitedNode(AllNodes) || IsSolicitedNode(netip.MustParseAddr("ff02::1:feab:cdef")) {
		t.Error(group)
	}
	if got := GroupMAC(group).String(); got != "33:33:ff:ab:cd:ef" {
		t.Error(got)
	}
	if AllNodes.String() != "ff02::1" || AllRouters.String() != "ff02::2" {
		t.Error(AllNodes, AllRouters)
	}
}
