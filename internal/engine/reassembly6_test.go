package engine_test

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vrouter/vrouter/internal/packet"
)

// V10: an echo in fragments is answered, in as many as the link needs.
func TestReassembly6Echo(t *testing.T) {
	for _, dst := range []string{gateway6, hostIP6} {
		b := newBed(t)
		dual(b)
		data := make([]byte, 4000)
		for i := range data {
			data[i] = byte(i * 7)
		}
		in := icmp6(ns1IP6, dst, 128, 0, data...)
		parts := split6(in, 1500)
		b.ns1.Send(parts[2], parts[0])
		b.silent("ns1")
		b.ns1.Send(parts[1])
		whole := packet.FrameOf(in.Bytes()[:packet.EthernetLen+packet.IPv6MinLen])
		var reply []byte
		for i, f := range b.ns1.Sent() {
			ip := packet.IPv6(f.Payload())
			u := ip.Upper()
			if h := packet.FragmentHeader(ip[u.Fragment:]); u.Fragment != 40 || len(ip) > 1500 || h.Offset() != len(reply) || h.More() != (i < 2) {
				t.Fatalf("fragment % x", []byte(ip[:48]))
			}
			copy(whole.Bytes(), f.Bytes()[:packet.EthernetLen+packet.IPv6MinLen])
			reply = append(reply, ip[48:]...)
		}
		whole = packet.FrameOf(append(whole.Bytes(), reply...))
		ip := whole.Payload()
		binary.BigEndian.PutUint16(ip[4:], uint16(len(reply)))
		ip[6] = packet.ProtocolICMPv6
		echoes6(t, in, whole)
		b.reassembliesAre(1, 0, 0)
	}
}

// V10: what overlaps is dropped as a whole (RFC 5722); a fragment that says that it is
// whole is one packet, whatever else is under way (RFC 6946).
func TestReassembly6Refuses(t *testing.T) {
	whole := icmp6(ns1IP6, gateway6, 128, 0, make([]byte, 1996)...)
	part := func(from, to int, more byte) *packet.Frame {
		ip := packet.IPv6(whole.Payload())
		f := packet6(ns1IP6, gateway6, 44, 64, append([]byte{58, 0, byte(from >> 8), byte(from)&^7 | more, 0, 0, 0, 9}, ip.Payload()[from:min(to, 2000)]...))
		return f
	}
	for _, c := range []struct {
		name           string
		send           []*packet.Frame
		waiting, wrong uint64
	}{
		{"a_gap", []*packet.Frame{part(0, 800, 1), part(808, 2000, 0)}, 2, 0},
		{"overlap", []*packet.Frame{part(0, 800, 1), part(792, 1600, 1)}, 0, 2},
		{"two_lasts", []*packet.Frame{part(1600, 2000, 0), part(800, 1600, 0)}, 0, 2},
	} {
		inTime(t, "V10_"+c.name, func(b *bed) {
			dual(b)
			b.ns1.Send(c.send...)
			b.silent("ns1")
			b.dropsAre("ns1", map[bool]string{true: "reassembly_limit"}[c.wrong > 0], c.wrong)
			pass(31 * time.Second)
			if c.waiting > 0 { // its first fragment's source is told (RFC 8200 4.5)
				out := one(t, b.ns1)
				tells6(3, 1, 0)(t, c.send[0], out)
				b.dropsAre("ns1", "reassembly_timeout", c.waiting)
			}
		})
	}
	inTime(t, "V10_a_copy", func(b *bed) { // goes alone (RFC 8200 4.5)
		dual(b)
		b.ns1.Send(part(0, 800, 1), part(0, 800, 1))
		b.dropsAre("ns1", "reassembly_limit", 1)
		b.ns1.Send(part(800, 2000, 0))
		if len(b.ns1.Sent()) == 0 {
			b.t.Error("it is not answered")
		}
	})
	inTime(t, "V10_alone_and_whole", func(b *bed) {
		dual(b)
		alone := behind(ping6(ns1IP6, gateway6), 44, 0, 0, 0, 0, 0, 0, 9)
		b.ns1.Send(part(0, 800, 1), alone)
		echoes6(t, alone, one(t, b.ns1))
		b.ns1.Send(part(800, 2000, 0))
		if got := b.ns1.Sent(); len(got) != 2 {
			t.Errorf("the answer came in %d fragments", len(got))
		}
	})
	run6(t, []row{
		{name: "V10_not_a_multiple_of_8", from: "ns1", send: part(0, 804, 1), out: "ns1", check: tells6(4, 0, 4), reason: "ip6_bad_header"},
		{name: "V10_beyond_the_longest", from: "ns1", out: "ns1", check: tells6(4, 0, 42), reason: "ip6_bad_header",
			send: packet6(ns1IP6, gateway6, 44, 64, append([]byte{58, 0, 0xff, 0xf8, 0, 0, 0, 9}, make([]byte, 16)...))},
	})
}

// The longest echo there is.
func TestReassembly6Longest(t *testing.T) {
	b := newBed(t)
	dual(b)
	in := icmp6(ns1IP6, gateway6, 128, 0, bytes.Repeat([]byte{5}, 65531)...)
	b.ns1.Send(split6(in, 1500)...)
	total := 0
	for _, f := range b.ns1.Sent() {
		total += len(f.Payload()) - 48
	}
	if d := cmp.Diff(65535, total); d != "" {
		t.Error(d)
	}
}
