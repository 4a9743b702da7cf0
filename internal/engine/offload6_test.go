package engine_test

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/gopacket/layers"

	"github.com/vrouter/vrouter/internal/packet"
)

// superframe6 is superframe of IPv6.
func superframe6(from, to string) *packet.Frame {
	const segment6 = segment - 20
	ip := &layers.IPv6{Version: 6, NextHeader: layers.IPProtocolTCP, HopLimit: 64, SrcIP: addr(from).AsSlice(), DstIP: addr(to).AsSlice()}
	tcp := &layers.TCP{SrcPort: 40000, DstPort: 5201, Seq: 1000, ACK: true, PSH: true, Window: 500,
		Options: []layers.TCPOption{{OptionType: 1}, {OptionType: 1}, {OptionType: 8, OptionLength: 10, OptionData: make([]byte, 8)}}}
	_ = tcp.SetNetworkLayerForChecksum(ip)
	data := make([]byte, segment6*segments)
	for i := range data {
		data[i] = byte(i * 11)
	}
	eth := ether(ns1MAC, gatewayMAC)
	if from != ns1IP6 {
		eth = ether(peerMAC, uplinkMAC)
	}
	eth.EthernetType = layers.EthernetTypeIPv6
	f := frame(eth, ip, tcp, payload(data))
	l4 := packet.IPv6(f.Payload()).Payload()
	binary.BigEndian.PutUint16(l4[16:], packet.Sum(pseudo6(f.Payload(), len(l4)), 0))
	f.Offload = packet.Offload{Flags: 1, GSOType: packet.GSOTCPv6, GSOSize: segment6, CsumStart: 54, CsumOffset: 16}
	return f
}

// pseudo6 is the pseudo-header of TCP in an IPv6 packet.
func pseudo6(ip []byte, length int) []byte {
	return append(binary.BigEndian.AppendUint32(bytes.Clone(ip[8:40]), uint32(length)), 0, 0, 0, 6)
}

// V11: a superframe crosses whole where its port takes it.
func TestSuperframe6Whole(t *testing.T) {
	b := newBed(t)
	dual(b)
	b.offloads(b.ns2)
	in := superframe6(ns1IP6, ns2IP6)
	b.ns1.Send(in)
	out := one(t, b.ns2)
	if out.Offload != in.Offload {
		t.Errorf("offload %+v, want %+v", out.Offload, in.Offload)
	}
	toNS26(t, in, out)
	b.counted("ns1", "ns2", segments)
}

// V11: where it is cut, by a port or for a tunnel, each segment is right in itself.
func TestSuperframe6Cut(t *testing.T) {
	for name, c := range map[string]struct {
		to    string
		strip int
	}{"plain": {farIP6, 0}, "6in4": {"fd00:80::1", 20}, "6in6": {"fd00:82::1", 40}} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t)
			b.resolve()
			dual(b)
			routes6(b)
			b.router.Configure(b.settings)
			b.offloads(b.uplink)
			b.leaves(c.strip > 0, b.uplink)
			in := superframe6(ns1IP6, c.to)
			in.Offload.GSOSize -= 40 // as its source has heard of the tunnel
			b.ns1.Send(in)
			var data []byte
			for _, f := range b.uplink.Sent() {
				if len(f.Payload()) > 1500 || f.Offload != (packet.Offload{}) {
					t.Fatalf("%d bytes, offload %+v", len(f.Payload()), f.Offload)
				}
				f.Strip(c.strip)
				ip := packet.IPv6(f.Payload())
				l4 := ip.Payload()
				if ip.PayloadLen() != len(ip)-40 || ip.HopLimit() != 63 || packet.Checksum(append(pseudo6(ip, len(l4)), l4...)) != 0 {
					t.Fatalf("segment % x", []byte(ip[:60]))
				}
				if seq := binary.BigEndian.Uint32(l4[4:]); seq != 1000+uint32(len(data)) {
					t.Fatalf("sequence number %d behind %d bytes", seq, len(data))
				}
				data = append(data, l4[32:]...)
			}
			if d := cmp.Diff(in.Bytes()[in.Len-len(data):], data); d != "" || len(data) != (segment-20)*segments {
				t.Errorf("the segments do not make the stream of %d bytes", len(data))
			}
		})
	}
}
