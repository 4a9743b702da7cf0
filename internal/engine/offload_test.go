package engine_test

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/gopacket/layers"

	"github.com/vrouter/vrouter/internal/packet"
)

const (
	segment  = 1448
	segments = 45
)

// partial makes a frame one whose transport checksum is left to the device: the
// field holds the pseudo-header's sum.
func partial(f *packet.Frame, offset uint16) *packet.Frame {
	ip := packet.IPv4(f.Payload())
	f.Offload = packet.Offload{Flags: 1, CsumStart: uint16(packet.EthernetLen + ip.HeaderLen()), CsumOffset: offset}
	l4 := ip.Payload()
	pseudo := append(bytes.Clone(ip[12:20]), 0, ip.Protocol(), byte(len(l4)>>8), byte(len(l4)))
	binary.BigEndian.PutUint16(l4[offset:], packet.Sum(pseudo, 0))
	return f
}

// superframe is 64 KB of TCP from one workload to another, as a kernel that
// offloads hands it over: 45 packets on the wire.
func superframe(eth *layers.Ethernet, from, to string) *packet.Frame {
	ip := ip4(from, to, layers.IPProtocolTCP)
	ip.Flags = layers.IPv4DontFragment
	tcp := &layers.TCP{SrcPort: 40000, DstPort: 5201, Seq: 1000, ACK: true, PSH: true, Window: 500,
		Options: []layers.TCPOption{{OptionType: 1}, {OptionType: 1}, {OptionType: 8, OptionLength: 10, OptionData: make([]byte, 8)}}}
	_ = tcp.SetNetworkLayerForChecksum(ip)
	data := make([]byte, segment*segments)
	for i := range data {
		data[i] = byte(i * 11)
	}
	f := partial(frame(eth, ip, tcp, payload(data)), 16)
	f.Offload.GSOType, f.Offload.GSOSize = packet.GSOTCPv4, segment
	return f
}

func fromNS1(to string) *packet.Frame { return superframe(ether(ns1MAC, gatewayMAC), ns1IP, to) }

// checkSegments checks the packets that were made of a superframe: one TCP
// stream, in order, each right in itself. Outer headers are taken off before.
func checkSegments(t testing.TB, in *packet.Frame, out []*packet.Frame) {
	t.Helper()
	if len(out) != segments {
		t.Fatalf("%d packets, want %d", len(out), segments)
	}
	var data []byte
	for i, f := range out {
		ip := packet.IPv4(f.Payload())
		l4 := ip.Payload()
		pseudo := append(bytes.Clone(ip[12:20]), 0, ip.Protocol(), byte(len(l4)>>8), byte(len(l4)))
		if packet.Checksum(ip[:20]) != 0 || packet.Checksum(append(pseudo, l4...)) != 0 || ip.TTL() != 63 || ip.ID() != 7+uint16(i) {
			t.Fatalf("segment %d: header % x", i, []byte(ip[:20]))
		}
		tcp := decode(f).Layer(layers.LayerTypeTCP).(*layers.TCP)
		if tcp.Seq != 1000+uint32(len(data)) || tcp.PSH != (i == segments-1) || f.Offload != (packet.Offload{}) {
			t.Fatalf("segment %d: seq %d, psh %v, offload %+v", i, tcp.Seq, tcp.PSH, f.Offload)
		}
		data = append(data, tcp.Payload...)
	}
	if !bytes.Equal(data, in.Bytes()[in.Len-segment*segments:]) {
		t.Error("the segments do not make the stream")
	}
}

// counted checks the books: packets as they are on the wire, in and out.
func (b *bed) counted(in, out string, packets uint64) {
	b.t.Helper()
	for _, p := range b.router.Stats().Ports {
		forwarded, consumed, _ := p.Received.Ended()
		if n := p.Received.Packets - consumed; p.Name == in && (n != packets || forwarded != packets) {
			b.t.Errorf("%s: %d packets received, %d forwarded, want %d", in, n, forwarded, packets)
		}
		if p.Name == out && p.TxPackets != packets {
			b.t.Errorf("%s: %d packets sent, want %d", out, p.TxPackets, packets)
		}
	}
	b.dropsAre(in, "", 0)
}

func TestOffloadPassesUnchanged(t *testing.T) {
	b := newBed(t)
	b.offloads(b.ns2)
	in := fromNS1(ns2IP)
	b.ns1.Send(in)
	out := one(t, b.ns2)
	toNS2(t, in, out)
	if out.Offload != in.Offload {
		t.Errorf("offload %+v, want %+v", out.Offload, in.Offload)
	}
	b.counted("ns1", "ns2", segments)
	for _, p := range b.router.Stats().Ports {
		if want := uint64(segments * (14 + 20 + 32 + segment)); p.Name == "ns1" && p.Received.Bytes != want || p.Name == "ns2" && p.TxBytes != want {
			t.Errorf("%s: %d bytes received, %d sent, want %d", p.Name, p.Received.Bytes, p.TxBytes, want)
		}
	}
}

func TestOffloadIsSegmented(t *testing.T) {
	b := newBed(t)
	in := fromNS1(ns2IP)
	b.ns1.Send(in)
	checkSegments(t, in, b.ns2.Sent())
	b.counted("ns1", "ns2", segments)
}

// A virtio header cannot speak of IP-in-IP, whatever the port can do.
func TestOffloadIntoTunnel(t *testing.T) {
	for _, offload := range []bool{false, true} {
		b := newBed(t)
		b.resolve()
		tunnel(b)
		b.uplink.Offload = offload
		b.setMTU("ens160", 1520)
		in := fromNS1(tunnelIP)
		b.ns1.Send(in)
		out := b.uplink.Sent()
		for _, f := range out {
			if outer := packet.IPv4(f.Payload()); outer.Protocol() != 4 || outer.TotalLen() != 20+20+32+segment || !outer.DF() || packet.Checksum(outer[:20]) != 0 {
				t.Errorf("outer header % x", []byte(outer[:20]))
			}
			f.Strip(20)
		}
		checkSegments(t, in, out)
		b.dropsAre("ns1", "", 0)
	}
}

// What comes out of a tunnel is a superframe again, its offsets moved.
func TestOffloadOutOfTunnel(t *testing.T) {
	for _, offload := range []bool{false, true} {
		b := newBed(t)
		b.resolve()
		b.leaves(offload, b.ns1)
		inner := superframe(ether(peerMAC, uplinkMAC), farIP, ns1IP)
		in := ipip(peerIP, hostIP, inner, nil)
		in.Offload = inner.Offload
		in.Offload.CsumStart += 20
		b.uplink.Send(in)
		if !offload {
			checkSegments(t, inner, b.ns1.Sent())
		} else if out := one(t, b.ns1); out.Offload != inner.Offload {
			t.Errorf("offload %+v, want %+v", out.Offload, inner.Offload)
		} else {
			toNS1(t, inner, out)
		}
		b.counted("ens160", "ns1", segments)
	}
}

// In transit an offloaded IP-in-IP frame is cut, with both its headers.
func TestOffloadInTunnelInTransit(t *testing.T) {
	b := newBed(t)
	b.resolve()
	b.offloads(b.ns1)
	b.setMTU("ns1", 1520)
	inner := superframe(ether(peerMAC, uplinkMAC), "10.5.5.5", "10.6.6.6")
	in := ipip(farIP, ns1IP, inner, nil)
	in.Offload = inner.Offload
	in.Offload.CsumStart += 20
	b.uplink.Send(in)
	out := b.ns1.Sent()
	for i, f := range out {
		if outer := packet.IPv4(f.Payload()); outer.TTL() != 63 || outer.TotalLen() != len(outer) || outer.ID() != 7+uint16(i) || packet.Checksum(outer[:20]) != 0 {
			t.Errorf("outer header % x", []byte(outer[:20]))
		}
		f.Strip(20)
		packet.IPv4(f.Payload()).SetTTL(63) // it is not the inner that was forwarded
	}
	checkSegments(t, inner, out)
	b.counted("ens160", "ns1", segments)
}

func TestOffloadMTU(t *testing.T) {
	run(t, []row{
		{name: "F7_segments_fit", from: "ns1", setup: func(b *bed) { b.offloads(b.uplink) }, send: fromNS1(farIP), out: "ens160", check: toPeer},
		{name: "F7_segments_too_big", from: "ns1", setup: func(b *bed) { b.setMTU("ens160", 1400) }, send: partial(udpWithDF(), 6),
			out: "ns1", check: func(t testing.TB, in, out *packet.Frame) { t.Helper(); tellsOf(3, 4)(t, in, out) }, reason: "mtu_exceeded"},
	})
	b := newBed(t)
	b.resolve()
	b.setMTU("ens160", 1400)
	in := fromNS1(farIP)
	b.ns1.Send(in)
	one(t, b.ns1)
	b.dropsAre("ns1", "mtu_exceeded", segments)
	whole := edited(in, func(ip packet.IPv4) { ip[6] = 0 })
	b.ns1.Send(whole)
	if n := len(b.uplink.Sent()); n != 2*segments {
		t.Errorf("%d fragments of %d segments that are too big, want two each", n, segments)
	}
}

func udpWithDF() *packet.Frame {
	return edited(sized(ns1MAC, ns1IP, farIP, 1500), func(ip packet.IPv4) { ip[6] = 0x40 })
}

// A checksum alone is left to the port, or finished for it. In a tunnel it is
// finished: a device that judges by the outer protocol would not find it.
func TestOffloadChecksum(t *testing.T) {
	for _, offload := range []bool{false, true} {
		b := newBed(t)
		b.resolve()
		tunnel(b)
		b.leaves(offload, b.ns2, b.uplink)
		for _, c := range []struct {
			to    string
			via   string
			outer int
		}{{ns2IP, "ns2", 0}, {farIP, "ens160", 0}, {tunnelIP, "ens160", 20}} {
			in := partial(sized(ns1MAC, ns1IP, c.to, 300), 6)
			b.ns1.Send(in)
			out := one(t, b.port(c.via))
			want := packet.Offload{}
			if offload && c.outer == 0 {
				want = in.Offload
			}
			if d := cmp.Diff(want, out.Offload); d != "" {
				t.Errorf("to %s (-want +got):\n%s", c.to, d)
			}
			out.FinishChecksum()
			in.FinishChecksum()
			out.Strip(c.outer)
			if d := cmp.Diff(withTTL(in, 63).Payload(), out.Payload()); d != "" {
				t.Errorf("to %s (-want +got):\n%s", c.to, d)
			}
		}
	}
}

// A virtio header that lies costs the packet, and nobody else anything.
func TestOffloadLies(t *testing.T) {
	lie := func(change func(f *packet.Frame)) *packet.Frame { return broken(fromNS1(ns2IP), change) }
	padded := packet.FrameOf(append(ping(ns2IP).Bytes(), make([]byte, 100)...))
	padded.Offload = packet.Offload{Flags: 1, CsumStart: 100, CsumOffset: 16} // in the padding
	outer := ipip(peerIP, hostIP, fromPeer(), nil)
	outer.Offload = packet.Offload{Flags: 1, CsumStart: 34, CsumOffset: 6} // in what is going to be the header
	empty := lie(func(f *packet.Frame) {
		f.Trim(52)
		f.Payload()[2], f.Payload()[3] = 0, 52
		packet.IPv4(f.Payload()).SetChecksum()
	})
	run(t, []row{
		{name: "checksum_behind_the_end", from: "ns1", send: lie(func(f *packet.Frame) { f.Offload.CsumStart = 65535 }), reason: "frame_too_short"},
		{name: "checksum_in_the_header", from: "ns1", send: lie(func(f *packet.Frame) { f.Offload.GSOType, f.Offload.CsumStart = 0, 20 }), reason: "frame_too_short"},
		{name: "checksum_in_the_padding", from: "ns1", send: padded, reason: "frame_too_short"},
		{name: "checksum_in_the_inner_header", from: "ens160", send: outer, reason: "frame_too_short"},
		{name: "checksum_of_no_segment", from: "ns1", send: lie(func(f *packet.Frame) { f.Offload.CsumOffset = 30000 }), reason: "frame_too_short"},
		{name: "unknown_kind", from: "ns1", send: lie(func(f *packet.Frame) { f.Offload.GSOType = 3 }), reason: "frame_too_short"},
		{name: "no_size", from: "ns1", send: lie(func(f *packet.Frame) { f.Offload.GSOSize = 0 }), reason: "frame_too_short"},
		{name: "a_size_of_one", from: "ns1", send: lie(func(f *packet.Frame) { f.Offload.GSOSize = 1 }), reason: "frame_too_short"},
		{name: "udp_that_is_tcp", from: "ns1", send: lie(func(f *packet.Frame) { f.Offload.GSOType, f.Offload.CsumOffset = packet.GSOUDPL4, 6 }), reason: "frame_too_short"},
		{name: "a_fragment", from: "ns1", send: edited(fromNS1(ns2IP), func(ip packet.IPv4) { ip[6] = 0x20 }), reason: "frame_too_short"},
		{name: "no_data_is_one_packet", from: "ns1", send: empty, out: "ns2"},
	})
}
