package link

import (
	"net/netip"
	"testing"

	"github.com/vrouter/vrouter/internal/packet"
)

// What a workload's stack leaves to the router comes as it left it: whole, of either family.
func TestTAPSuperframes(t *testing.T) {
	const size, data = 1000, 5000
	tcp := make([]byte, 20+data)
	tcp[12], tcp[13] = 5<<4, 0x10
	v4 := packet.FrameOf(append(make([]byte, packet.EthernetLen+packet.IPv4MinLen), tcp...))
	v4.SetEthernet(packet.MAC{2, 9}, packet.MAC{2, 8}, packet.EtherTypeIPv4)
	packet.PutIPv4(v4.Payload(), &packet.Header{TotalLen: v4.Len - packet.EthernetLen, TTL: 9, Protocol: packet.ProtocolTCP,
		Src: packet.IPv4Addr([]byte{10, 0, 0, 1}), Dst: packet.IPv4Addr([]byte{10, 0, 0, 2})})
	v4.Offload = packet.Offload{Flags: 1, GSOType: packet.GSOTCPv4, GSOSize: size, HeaderLen: 54, CsumStart: 34, CsumOffset: 16}
	v6 := packet.FrameOf(append(make([]byte, packet.EthernetLen+packet.IPv6MinLen), tcp...))
	v6.SetEthernet(packet.MAC{2, 9}, packet.MAC{2, 8}, packet.EtherTypeIPv6)
	packet.PutIPv6(v6.Payload(), &packet.Header6{PayloadLen: v6.Len - packet.EthernetLen - packet.IPv6MinLen, NextHeader: packet.ProtocolTCP, HopLimit: 9,
		Src: netip.MustParseAddr("fd00::1"), Dst: netip.MustParseAddr("fd00::2")})
	v6.Offload = packet.Offload{Flags: 1, GSOType: packet.GSOTCPv6, GSOSize: size, HeaderLen: 74, CsumStart: 54, CsumOffset: 16}
	for _, f := range []*packet.Frame{v4, v6} {
		if !f.Admit() { // which makes the sum of the pseudo-header
			t.Fatalf("%+v cannot be", f.Offload)
		}
	}

	w := newWire(t)
	poller, err := NewPoller()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { poller.Close() })
	if err := poller.Add(0, w.far); err != nil {
		t.Fatal(err)
	}
	far := &wire{t: t, poller: poller}
	for _, sent := range []*packet.Frame{v4, v6} {
		if n, err := w.socket.Write([]*packet.Frame{sent}); n != 1 {
			t.Fatal(err)
		}
		all, _ := far.read(1)
		got := all[0]
		if !got.Admit() || got.Offload.GSOType != sent.Offload.GSOType || got.Offload.GSOSize != size || got.Len != sent.Len {
			t.Errorf("%d bytes with %+v came as %d with %+v", sent.Len, sent.Offload, got.Len, got.Offload)
		}
	}
}
