package engine_test

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/vrouter/vrouter/internal/link"
	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/verdict"
)

// row is one rule: a frame goes in by one port, and comes out of one port or of
// none; every other port is silent, and nothing is dropped but for the reason.
type row struct {
	name   string
	setup  func(b *bed)
	from   string // "ns1", "ns2" or "ens160"
	send   *packet.Frame
	out    string                                    // port of the one frame that comes out; "": none does
	check  func(t testing.TB, in, out *packet.Frame) // what that frame is
	reason string                                    // for which the packet is dropped
}

func run(t *testing.T, rows []row) {
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			b := r.bed(t)
			b.port(r.from).Send(r.send)
			r.judge(b)
		})
	}
}

// bed is where the row is played.
func (r *row) bed(t testing.TB) *bed {
	b := newBed(t)
	b.resolve()
	if r.setup != nil {
		r.setup(b)
	}
	return b
}

// judge says whether all is as it is to be.
func (r *row) judge(b *bed) {
	b.t.Helper()
	for _, name := range []string{"ns1", "ns2", "ens160"} {
		if name != r.out {
			b.silent(name)
		} else if got := one(b.t, b.port(name)); r.check != nil {
			r.check(b.t, r.send, got)
		}
	}
	b.dropsAre(r.from, r.reason, 1)
}

func (b *bed) port(name string) *link.Memory {
	switch name {
	case "ns1":
		return b.ns1
	case "ns2":
		return b.ns2
	}
	return b.uplink
}

func (b *bed) silent(name string) {
	b.t.Helper()
	for _, f := range b.port(name).Sent() {
		b.t.Errorf("%s should be silent, and sent %s", name, decode(f))
	}
}

// dropsAre holds the drop counters of a port to one reason, "" for none at all.
func (b *bed) dropsAre(port, reason string, n uint64) {
	b.t.Helper()
	want, got := map[string]uint64{}, map[string]uint64{}
	if reason != "" {
		want[reason] = n
	}
	for _, r := range verdict.Reasons() {
		if n := b.dropped(port, r.String()); n != 0 {
			got[r.String()] = n
		}
	}
	if d := cmp.Diff(want, got); d != "" {
		b.t.Errorf("drops at %s (-want +got):\n%s", port, d)
	}
}

// edited is a copy of a frame with its IPv4 header changed, and the checksum
// made right again.
func edited(f *packet.Frame, change func(ip packet.IPv4)) *packet.Frame {
	f = f.Clone()
	ip := packet.IPv4(f.Payload())
	change(ip)
	ip.SetChecksum()
	return f
}

// broken is a copy of a frame with its bytes changed.
func broken(f *packet.Frame, change func(f *packet.Frame)) *packet.Frame {
	f = f.Clone()
	change(f)
	return f
}

func withTTL(f *packet.Frame, ttl byte) *packet.Frame {
	return edited(f, func(ip packet.IPv4) { ip[8] = ttl })
}

func withSrc(f *packet.Frame, src string) *packet.Frame {
	return edited(f, func(ip packet.IPv4) { copy(ip[12:], addr(src).AsSlice()) })
}

func withDst(f *packet.Frame, dst string) *packet.Frame {
	return edited(f, func(ip packet.IPv4) { copy(ip[16:], addr(dst).AsSlice()) })
}

// withOptions puts IPv4 options in; they are padded to a multiple of four bytes.
func withOptions(f *packet.Frame, options ...byte) *packet.Frame {
	for len(options)%4 != 0 {
		options = append(options, 0)
	}
	b := bytes.Clone(f.Bytes()[:packet.EthernetLen+packet.IPv4MinLen])
	b = append(append(b, options...), f.Payload()[packet.IPv4MinLen:]...)
	return edited(packet.FrameOf(b), func(ip packet.IPv4) {
		ip[0] += byte(len(options) / 4)
		ip[2], ip[3] = byte(len(ip)>>8), byte(len(ip))
	})
}

// fromPeer is an echo reply from the other host's workload to ns1, as it comes
// by the uplink.
func fromPeer() *packet.Frame {
	reply := echo(1)
	reply.TypeCode = layers.CreateICMPv4TypeCode(0, 0)
	return frame(ether(peerMAC, uplinkMAC), ip4(farIP, ns1IP, layers.IPProtocolICMPv4), reply)
}

// forwarded checks that a frame is what came in, for one hop further: TTL,
// checksum and Ethernet header differ, and nothing else (RFC 1812 4.2.2).
func forwarded(src, dst packet.MAC) func(testing.TB, *packet.Frame, *packet.Frame) {
	return func(t testing.TB, in, out *packet.Frame) {
		t.Helper()
		if out.SrcMAC() != src || out.DstMAC() != dst || out.EtherType() != packet.EtherTypeIPv4 {
			t.Errorf("sent %s > %s, want %s > %s", out.SrcMAC(), out.DstMAC(), src, dst)
		}
		ip := packet.IPv4(in.Payload())
		want := withTTL(in, ip.TTL()-1).Payload()[:ip.TotalLen()]
		if d := cmp.Diff(want, out.Payload()); d != "" {
			t.Errorf("the packet changed (-want +got):\n%s", d)
		}
	}
}

var (
	toPeer = forwarded(uplinkMAC, peerMAC)
	toNS1  = forwarded(gatewayMAC, ns1MAC)
	toNS2  = forwarded(gatewayMAC, ns2MAC)
)

// tellsOf checks an ICMP error: its type and code, from the host to the source
// of the packet that it quotes as it came (RFC 1812 4.3.2.3-5).
func tellsOf(typ, code uint8) func(testing.TB, *packet.Frame, *packet.Frame) {
	return func(t testing.TB, in, out *packet.Frame) {
		t.Helper()
		p := decode(out)
		ip, icmp := p.Layer(layers.LayerTypeIPv4).(*layers.IPv4), p.Layer(layers.LayerTypeICMPv4).(*layers.ICMPv4)
		was := packet.IPv4(in.Payload())
		if icmp.TypeCode != layers.CreateICMPv4TypeCode(typ, code) {
			t.Errorf("got %s, want %d/%d", icmp.TypeCode, typ, code)
		}
		if ip.SrcIP.String() != hostIP || ip.DstIP.String() != was.Src().String() || ip.TOS != 0xc0 || ip.TTL != 64 {
			t.Errorf("%s > %s, tos %02x, ttl %d", ip.SrcIP, ip.DstIP, ip.TOS, ip.TTL)
		}
		if packet.Checksum(ip.Contents) != 0 || packet.Checksum(ip.Payload) != 0 {
			t.Error("a checksum is wrong")
		}
		want := was[:min(was.TotalLen(), 576-28)]
		if d := cmp.Diff([]byte(want), icmp.Payload); d != "" {
			t.Errorf("the quote is not the packet as it came (-want +got):\n%s", d)
		}
	}
}

func payload(b []byte) gopacket.Payload { return b }
