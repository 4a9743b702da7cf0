package link

import (
	"bytes"
	"net/netip"
	"slices"
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
	stamped := packet.FrameOf(v4.Bytes()) // with timestamps, for which a part of the data will do
	stamped.Payload()[packet.IPv4MinLen+12] = 8 << 4
	stamped.Offload = v4.Offload
	stamped.Offload.HeaderLen += 12
	for _, f := range []*packet.Frame{v4, v6, stamped} {
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
	for _, way := range []struct {
		name  string
		from  Port
		to    *wire
		other *packet.Frame
	}{{"to the TAP", w.socket, far, v6}, {"to the packet socket", w.far, w, stamped}} {
		for i, sent := range []*packet.Frame{v4, v4, way.other, way.other, way.other, v4, v4} {
			if n, err := way.from.Write([]*packet.Frame{sent.Clone()}); n != 1 {
				t.Fatal(err)
			}
			all, _ := way.to.read(1)
			got := all[0]
			if !got.Admit() || got.Offload.GSOType != sent.Offload.GSOType || got.Offload.GSOSize != size || !bytes.Equal(got.Bytes(), sent.Bytes()) {
				t.Errorf("%s: %d bytes with %+v came as %d with %+v", way.name, sent.Len, sent.Offload, got.Len, got.Offload)
			}
			// The data of the second one of its kind is aligned.
			at := way.to.datas[len(way.to.datas)-1]
			if slices.Contains([]int{1, 3, 4, 6}, i) && at%packet.Alignment != 0 {
				t.Errorf("%s, superframe %d: its data is at %d", way.name, i, at)
			}
		}
	}
}
