package packet

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"pgregory.net/rapid"
)

const srcMAC, dstMAC = "\x02\x00\x00\x00\x01\x01", "\xee\xee\xee\xee\xee\xee"

// gso describes an offloaded frame to build.
type gso struct {
	kind    uint8 // GSOTCPv4 or GSOUDPL4, and GSOECN
	size    int
	payload int
	ipOpts  int // bytes of IPv4 options, a multiple of 4
	tcpOpts int // bytes of TCP options, a multiple of 4
	outer   int // IPv4 headers around the packet
	flags   byte
	id      uint16
	seq     uint32
	v6      bool // the packet is IPv6; what is around it is IPv4
}

// frame builds what the kernel hands over: one packet with the whole payload,
// whose transport checksum holds the pseudo-header's sum alone.
func (g gso) frame() *Frame {
	tcp := g.kind&^GSOECN == GSOTCPv4 || g.kind&^GSOECN == GSOTCPv6
	l4Len, protocol, sumAt := 8, byte(ProtocolUDP), 6
	if tcp {
		l4Len, protocol, sumAt = TCPMinLen+g.tcpOpts, ProtocolTCP, 16
	}
	l4 := make([]byte, l4Len+g.payload)
	binary.BigEndian.PutUint16(l4, 40000)
	binary.BigEndian.PutUint16(l4[2:], 5201)
	if tcp {
		binary.BigEndian.PutUint32(l4[4:], g.seq)
		l4[12], l4[13] = byte(l4Len/4)<<4, g.flags
		for i := range g.tcpOpts {
			l4[20+i] = 1 // No Operation
		}
	} else {
		binary.BigEndian.PutUint16(l4[4:], uint16(len(l4)))
	}
	for i := range g.payload {
		l4[l4Len+i] = byte(i * 7)
	}
	ip, inner, etherType := IP(g.ipv4(protocol, l4)), byte(ProtocolIPIP), "\x08\x00"
	if g.v6 {
		ip, inner, etherType = IP(extended(protocol, l4)), ProtocolIPv6, "\x86\xdd"
	}
	binary.BigEndian.PutUint16(ip[len(ip)-len(l4)+sumAt:], pseudoHeader(ip.addresses(), protocol, len(l4)))
	for range g.outer {
		ip, inner, etherType = IP(gso{id: g.id + 1000}.ipv4(inner, ip)), ProtocolIPIP, "\x08\x00"
	}
	f := FrameOf(append([]byte(dstMAC+srcMAC+etherType), ip...))
	f.Offload = Offload{
		Flags: needsChecksum, GSOType: g.kind, GSOSize: uint16(g.size),
		CsumStart: uint16(f.Len - len(l4)), CsumOffset: uint16(sumAt),
	}
	return f
}

func (g gso) ipv4(protocol byte, payload []byte) IPv4 {
	ip := make(IPv4, IPv4MinLen+g.ipOpts, IPv4MinLen+g.ipOpts+len(payload))
	PutIPv4(ip, &Header{
		TotalLen: len(ip) + len(payload), ID: g.id, DF: true, TTL: 64, Protocol: protocol,
		Src: IPv4Addr([]byte{10, 70, 1, 1}), Dst: IPv4Addr([]byte{10, 70, 2, 1}),
	})
	for i := range g.ipOpts {
		ip[IPv4MinLen+i] = 1
	}
	ip[0] = 0x40 | byte(len(ip)/4)
	ip.SetChecksum()
	return append(ip, payload...)
}

// segments cuts the frame, and checks that it says before how it will be cut.
func segments(t rapid.TB, f *Frame) []*Frame {
	t.Helper()
	if !f.OffloadValid() {
		t.Fatalf("the offload header %+v is not valid", f.Offload)
	}
	packets, wire := f.OnWire()
	ipLen := f.IPLen()
	var all []*Frame
	Segment(f, func() *Frame {
		s := &Frame{Buf: make([]byte, Headroom+EthernetLen+ipLen)}
		all = append(all, s)
		return s
	})
	sum, largest := 0, 0
	for _, s := range all {
		sum += s.Len
		largest = max(largest, s.Len-EthernetLen)
		if s.Offload != (Offload{}) {
			t.Fatalf("a segment has an offload header: %+v", s.Offload)
		}
	}
	if uint64(len(all)) != packets || uint64(sum) != wire || largest != ipLen {
		t.Fatalf("%d segments of %d bytes, the largest of %d; foretold were %d, %d, %d", len(all), sum, largest, packets, wire, ipLen)
	}
	return all
}

// verified decodes a segment, and checks lengths and checksums against what
// gopacket computes from the same fields.
func verified(t rapid.TB, s *Frame) gopacket.Packet {
	t.Helper()
	p := gopacket.NewPacket(s.Bytes(), layers.LayerTypeEthernet, gopacket.Default)
	if p.ErrorLayer() != nil {
		t.Fatalf("gopacket: %v", p.ErrorLayer().Error())
	}
	for at := EthernetLen; at < s.Len; {
		ip := IPv4(s.Bytes()[at:])
		if ip.TotalLen() != len(ip) || slowSum(ip[:ip.HeaderLen()], 0) != 0xffff {
			t.Fatalf("header % x: length should be %d, sum is %04x", []byte(ip[:ip.HeaderLen()]), len(ip), slowSum(ip[:ip.HeaderLen()], 0))
		}
		if at += ip.HeaderLen(); ip.Protocol() == ProtocolIPIP {
			continue
		}
		l4 := ip.Payload()
		pseudo := append(append([]byte{}, ip[12:20]...), 0, ip.Protocol(), byte(len(l4)>>8), byte(len(l4)))
		if sum := slowSum(append(pseudo, l4...), 0); sum != 0xffff {
			t.Fatalf("the transport checksum sums up to %04x", sum)
		}
		return p
	}
	t.Fatal("no transport header")
	return nil
}

func TestSegmentTCP(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := gso{
			kind: rapid.SampledFrom([]uint8{GSOTCPv4, GSOTCPv4 | GSOECN}).Draw(t, "kind"), size: rapid.IntRange(32, 1500).Draw(t, "size"),
			payload: rapid.IntRange(0, 20000).Draw(t, "payload"), ipOpts: 4 * rapid.IntRange(0, 10).Draw(t, "ip options"),
			tcpOpts: 4 * rapid.IntRange(0, 10).Draw(t, "tcp options"), outer: rapid.IntRange(0, 2).Draw(t, "outer headers"),
			flags: rapid.Byte().Draw(t, "flags"), id: rapid.Uint16().Draw(t, "id"), seq: rapid.Uint32().Draw(t, "seq"),
		}
		f := g.frame()
		h := f.Len - g.payload
		all := segments(t, f)
		var payload []byte
		for i, s := range all {
			p := verified(t, s)
			tcp := p.Layer(layers.LayerTypeTCP).(*layers.TCP)
			ips := innermost(p)
			if ips.Id != g.id+uint16(i) || ips.Flags != layers.IPv4DontFragment {
				t.Fatalf("segment %d: id %d, flags %s; the first is %d", i, ips.Id, ips.Flags, g.id)
			}
			if want := g.seq + uint32(len(payload)); tcp.Seq != want {
				t.Fatalf("segment %d: seq %d, want %d", i, tcp.Seq, want)
			}
			want := g.flags
			if i < len(all)-1 {
				want &^= tcpFIN | tcpPSH
			}
			if i > 0 && g.kind&GSOECN != 0 {
				want &^= tcpCWR
			}
			if got := s.Bytes()[int(f.Offload.CsumStart)+13]; got != want {
				t.Fatalf("segment %d of %d: flags %08b, want %08b", i, len(all), got, want)
			}
			payload = append(payload, s.Bytes()[h:]...)
		}
		if !bytes.Equal(payload, f.Bytes()[h:]) {
			t.Fatal("the payload is not the input's")
		}
	})
}

func TestSegmentUDP(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := gso{
			kind: GSOUDPL4, size: rapid.IntRange(16, 1500).Draw(t, "size"), payload: rapid.IntRange(0, 20000).Draw(t, "payload"),
			id: rapid.Uint16().Draw(t, "id"),
		}
		f := g.frame()
		var payload []byte
		for i, s := range segments(t, f) {
			p := verified(t, s)
			udp := p.Layer(layers.LayerTypeUDP).(*layers.UDP)
			if int(udp.Length) != s.Len-EthernetLen-IPv4MinLen || innermost(p).Id != g.id+uint16(i) {
				t.Fatalf("segment %d: length %d, id %d", i, udp.Length, innermost(p).Id)
			}
			payload = append(payload, udp.Payload...)
		}
		if !bytes.Equal(payload, f.Bytes()[f.Len-g.payload:]) {
			t.Fatal("the payload is not the input's")
		}
	})
}

func innermost(p gopacket.Packet) (ip *layers.IPv4) {
	for _, l := range p.Layers() {
		if x, ok := l.(*layers.IPv4); ok {
			ip = x
		}
	}
	return ip
}

// A checksum of zero is written as 0xffff: RFC 768 has zero mean that there is
// none, and for TCP both are the same number.
func TestFinishChecksum(t *testing.T) {
	f := gso{kind: GSOUDPL4, size: 100, payload: 2}.frame()
	f.Offload.GSOType, f.Offload.GSOSize = GSONone, 0
	l4 := f.Bytes()[f.Offload.CsumStart:]
	sum := ^slowSum(l4[:8], 0) // the two bytes of data that make the whole sum 0xffff
	l4[8], l4[9] = byte(sum>>8), byte(sum)
	f.FinishChecksum()
	if l4[6] != 0xff || l4[7] != 0xff {
		t.Errorf("the checksum is % x, want ff ff", l4[6:8])
	}
	before := bytes.Clone(f.Bytes())
	f.FinishChecksum()
	if !bytes.Equal(before, f.Bytes()) {
		t.Error("a frame that is finished was changed")
	}
}
