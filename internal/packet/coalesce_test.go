package packet

import (
	"bytes"
	"encoding/binary"
	"testing"

	"pgregory.net/rapid"
)

// roomy copies a frame into a buffer of the largest size, as a port reads it.
func roomy(f *Frame) *Frame {
	g := NewFrame()
	g.Reset(f.Len)
	copy(g.Bytes(), f.Bytes())
	g.Offload = f.Offload
	return &g
}

// asDevice leaves the checksum of a TCP segment to the device.
func asDevice(f *Frame) {
	ip := IP(f.Payload())
	_, at, _ := Transport(ip)
	tcp := ip[at:]
	binary.BigEndian.PutUint16(tcp[tcpChecksum:], pseudoHeader(ip.addresses(), ProtocolTCP, len(tcp)))
	f.Offload = Offload{Flags: needsChecksum, CsumStart: uint16(EthernetLen + at), CsumOffset: tcpChecksum}
}

// resum makes both checksums of a changed TCP segment right.
func resum(f *Frame) {
	if f.EtherType() == EtherTypeIPv4 {
		IPv4(f.Payload()).SetChecksum()
	}
	asDevice(f)
	f.FinishChecksum()
}

// changesNothing coalesces, and holds a refusal to leaving all as it was.
func changesNothing(t rapid.TB, f, next *Frame) bool {
	t.Helper()
	was, wasNext := f.Clone(), next.Clone()
	joined := Coalesce(f, next)
	if !bytes.Equal(next.Bytes(), wasNext.Bytes()) || next.Offload != wasNext.Offload {
		t.Fatal("the second frame was changed")
	}
	if !joined && (f.Off != was.Off || f.Offload != was.Offload || !bytes.Equal(f.Bytes(), was.Bytes())) {
		t.Fatal("it answers false, and the first frame was changed")
	}
	return joined
}

// cut is the packets that a frame stands for, with their checksums made.
func cut(t rapid.TB, f *Frame) []*Frame {
	t.Helper()
	if f.Offload.IsGSO() {
		return segments(t, f)
	}
	g := f.Clone()
	g.FinishChecksum()
	return []*Frame{g}
}

// same compares segments. A checksum of 0 and one of 0xffff are one number.
func same(t rapid.TB, want, got []*Frame) {
	t.Helper()
	if len(want) != len(got) {
		t.Fatalf("%d segments, want %d", len(got), len(want))
	}
	for i := range want {
		w, g := bytes.Clone(want[i].Bytes()), bytes.Clone(got[i].Bytes())
		for _, b := range [][]byte{w, g} {
			if at := EthernetLen + map[byte]int{4: IPv4MinLen, 6: IPv6MinLen}[b[14]>>4] + tcpChecksum; len(b) > at+2 && b[at] == 0xff && b[at+1] == 0xff {
				b[at], b[at+1] = 0, 0
			}
		}
		if !bytes.Equal(w, g) {
			t.Fatalf("segment %d differs:\n got % x\nwant % x", i, g[:min(80, len(g))], w[:min(80, len(w))])
		}
	}
}

func drawGSO(t *rapid.T) gso {
	v6 := rapid.Bool().Draw(t, "IPv6")
	return gso{
		kind: map[bool]uint8{false: GSOTCPv4, true: GSOTCPv6}[v6], v6: v6, size: rapid.IntRange(1, 3000).Draw(t, "size"), tcpOpts: 4 * rapid.IntRange(0, 10).Draw(t, "options"),
		payload: rapid.IntRange(1, 30000).Draw(t, "payload"), flags: tcpACK | rapid.SampledFrom([]byte{0, tcpPSH}).Draw(t, "flags"),
		id: rapid.Uint16().Draw(t, "id"), seq: rapid.Uint32().Draw(t, "seq"),
	}
}

// What is cut and coalesced in order is one frame, and cut again gives the same.
func TestCoalesceUndoesSegment(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := drawGSO(t)
		g.size = max(g.size, g.payload/200)
		all := segments(t, g.frame())
		head := roomy(all[0])
		for i, s := range all {
			s = roomy(s)
			if rapid.IntRange(0, 3).Draw(t, "device") == 0 {
				asDevice(s)
			}
			if i == 0 {
				head = s
			} else if !changesNothing(t, head, s) {
				t.Fatalf("segment %d of %d was not joined", i, len(all))
			}
		}
		if packets, _ := head.OnWire(); packets != uint64(len(all)) {
			t.Fatalf("the frame counts as %d packets, want %d", packets, len(all))
		}
		ip := IP(head.Payload())
		_, at, _ := Transport(ip)
		if len(all) > 1 && (int(head.Offload.HeaderLen) != EthernetLen+at+TCPMinLen+g.tcpOpts || head.Offload.GSOType != g.kind) {
			t.Fatalf("offload %+v", head.Offload)
		}
		if ip.Len() != len(ip) || !g.v6 && slowSum(ip[:IPv4MinLen], 0) != 0xffff {
			t.Fatalf("header % x", []byte(ip[:at]))
		}
		same(t, all, cut(t, head))
	})
}

// A superframe takes what follows it, and a superframe never follows anything.
func TestCoalesceSuperframes(t *testing.T) {
	g := gso{kind: GSOTCPv4, size: 100, payload: 700, flags: tcpACK, id: 7}
	all := segments(t, g.frame())
	first := g
	first.payload = 500
	head := roomy(first.frame())
	if !Coalesce(head, all[5]) || !Coalesce(head, all[6]) {
		t.Fatal("a superframe did not take what follows it")
	}
	same(t, all, cut(t, head))
	rest := gso{kind: GSOTCPv4, size: 100, payload: 200, flags: tcpACK, id: 8, seq: 100}
	if changesNothing(t, roomy(all[0]), rest.frame()) {
		t.Error("a superframe was joined to a segment")
	}
}

// Two segments of one stream, and what keeps them apart.
func TestCoalesceRefuses(t *testing.T) {
	flag := func(bit byte) func(a, b *Frame) {
		return func(_, b *Frame) { b.Payload()[IPv4MinLen+13] |= bit }
	}
	ip := func(at int, x byte) func(a, b *Frame) { return func(_, b *Frame) { b.Payload()[at] ^= x } }
	for _, c := range []struct {
		name   string
		change func(a, b *Frame)
	}{
		{"another source", ip(15, 1)}, {"another destination", ip(19, 1)}, {"another source port", ip(21, 1)}, {"another destination port", ip(23, 1)},
		{"a gap", ip(27, 1)}, {"a repetition", func(a, b *Frame) { copy(b.Payload()[24:28], a.Payload()[24:28]) }},
		{"another acknowledgement", ip(31, 1)}, {"another window", ip(35, 1)}, {"another urgent pointer", ip(39, 1)},
		{"another option", ip(43, 1)}, {"another dscp", ip(1, 4)}, {"congestion experienced", ip(1, 3)}, {"another ttl", ip(8, 1)},
		{"another df", ip(6, 0x40)}, {"reserved flag", ip(6, 0x80)}, {"a fragment", ip(6, 0x20)}, {"a later fragment", ip(7, 1)},
		{"the same id", ip(5, 15)}, {"an id two on", ip(5, 1)}, {"another protocol", ip(9, 17)},
		{"another header length", func(_, b *Frame) { b.Payload()[32] = 5 << 4 }},
		{"a reserved tcp bit", ip(32, 1)}, {"a header length that is too short", func(a, b *Frame) { a.Payload()[32], b.Payload()[32] = 4<<4, 4<<4 }},
		{"fin", flag(1)}, {"syn", flag(2)}, {"rst", flag(4)}, {"urg", flag(0x20)}, {"ece", flag(0x40)}, {"cwr", flag(0x80)},
		{"fin before", func(a, _ *Frame) { a.Payload()[33] |= 1 }}, {"cwr in both", func(a, b *Frame) { a.Payload()[33] |= 0x80; b.Payload()[33] |= 0x80 }},
		{"no ack", func(a, b *Frame) { a.Payload()[33], b.Payload()[33] = 0, 0 }},
		{"after a push", func(a, _ *Frame) { a.Payload()[33] |= tcpPSH }},
		{"other stations", func(_, b *Frame) { b.Bytes()[11] ^= 1 }}, {"arp", func(_, b *Frame) { b.Bytes()[13] = 6; b.Payload()[0] = 0 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			all := segments(t, gso{kind: GSOTCPv4, size: 100, payload: 200, flags: tcpACK, id: 7, tcpOpts: 12}.frame())
			a, b := roomy(all[0]), all[1]
			c.change(a, b)
			for _, f := range []*Frame{a, b} {
				if f.Payload()[0] == 0x45 && f.Payload()[9] == ProtocolTCP {
					resum(f)
				}
			}
			if changesNothing(t, a, b) {
				t.Error("they were joined")
			}
		})
	}
}

// The same of IPv6.
func TestCoalesceRefusesIPv6(t *testing.T) {
	ip := func(at int, x byte) func(a, b *Frame) { return func(_, b *Frame) { b.Payload()[at] ^= x } }
	for _, c := range []struct {
		name   string
		change func(a, b *Frame)
		want   bool
	}{
		{"what follows", func(_, _ *Frame) {}, true},
		{"another source", ip(23, 1), false}, {"another source far away", ip(8, 1), false}, {"another destination", ip(39, 1), false},
		{"another port", ip(41, 1), false}, {"a gap", ip(47, 1), false}, {"another acknowledgement", ip(51, 1), false}, {"another option", ip(63, 1), false},
		{"another dscp", ip(1, 0x40), false}, {"congestion experienced", ip(1, 0x30), false}, {"another flow label", ip(3, 1), false},
		{"another hop limit", ip(7, 1), false}, {"fin", ip(53, tcpFIN), false}, {"cwr", ip(53, tcpCWR), false},
		{"after a push", func(a, _ *Frame) { a.Payload()[53] |= tcpPSH }, false},
		{"another next header", ip(6, ProtocolTCP^ProtocolUDP), false},
		{"another protocol in both", func(a, b *Frame) { a.Payload()[6], b.Payload()[6] = 253, 253 }, false},
		{"a wrong checksum", func(_, b *Frame) { b.Bytes()[b.Len-1] ^= 1 }, false},
		{"a checksum that is another's", func(_, b *Frame) { asDevice(b); b.Offload.CsumStart = EthernetLen + IPv4MinLen }, false},
		{"extension headers", func(a, b *Frame) {
			for _, f := range []*Frame{a, b} {
				copy(f.Buf[f.Off-8:], f.Bytes()[:54])
				f.Off, f.Len = f.Off-8, f.Len+8
				f.Payload()[6] = HeaderDestination
				copy(f.Payload()[40:], extension(ProtocolTCP, 8))
				IPv6(f.Payload()).setPayloadLen(f.Len - 54)
			}
		}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			all := segments(t, gso{kind: GSOTCPv6, v6: true, size: 100, payload: 200, flags: tcpACK, tcpOpts: 12}.frame())
			a, b := roomy(all[0]), all[1]
			c.change(a, b)
			for _, f := range []*Frame{a, b} {
				if f.Payload()[6] == ProtocolTCP && f.Offload == (Offload{}) && c.name != "a wrong checksum" {
					resum(f)
				}
			}
			if changesNothing(t, a, b) != c.want {
				t.Errorf("they were joined: %t", !c.want)
			}
		})
	}
}

func TestCoalesceRefusesByLength(t *testing.T) {
	pair := func(first, second int) (*Frame, *Frame) {
		g := gso{kind: GSOTCPv4, size: first, payload: first, flags: tcpACK, id: 7}
		a := segments(t, g.frame())[0]
		g.size, g.payload, g.seq, g.id = second, second, uint32(first), 8
		return roomy(a), segments(t, g.frame())[0]
	}
	for _, c := range []struct {
		name          string
		first, second int
		change        func(a, b *Frame)
		want          bool
	}{
		{"as long", 100, 100, nil, true},
		{"shorter", 100, 1, nil, true},
		{"longer", 100, 101, nil, false},
		{"no data behind", 100, 0, nil, false},
		{"65535 bytes", 40000, 65535 - 40040, nil, true},
		{"65536 bytes", 40000, 65536 - 40040, nil, false},
		{"just room", 100, 100, func(a, _ *Frame) { a.Buf = a.Buf[:a.Off+a.Len+100] }, true},
		{"no room", 100, 100, func(a, _ *Frame) { a.Buf = a.Buf[:a.Off+a.Len+99] }, false},
		{"wrong checksum before", 100, 100, func(a, _ *Frame) { a.Bytes()[a.Len-1] ^= 1 }, false},
		{"wrong checksum behind", 100, 100, func(_, b *Frame) { b.Bytes()[b.Len-1] ^= 1 }, false},
		{"checksum that is another's", 100, 100, func(_, b *Frame) { asDevice(b); b.Offload.CsumStart += 4 }, false},
		{"checksum begun wrongly", 100, 100, func(_, b *Frame) { asDevice(b); b.Payload()[IPv4MinLen+tcpChecksum] ^= 1 }, false},
		{"options before", 100, 100, func(a, _ *Frame) { a.Payload()[0] = 0x46 }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, b := pair(c.first, max(c.second, 1))
			if c.second == 0 {
				b.Trim(IPv4MinLen + TCPMinLen)
				binary.BigEndian.PutUint16(b.Payload()[2:], IPv4MinLen+TCPMinLen)
				resum(b)
			}
			if c.change != nil {
				c.change(a, b)
			}
			if got := changesNothing(t, a, b); got != c.want {
				t.Errorf("joined: %v, want %v", got, c.want)
			}
		})
	}
	t.Run("after a short one", func(t *testing.T) {
		a, b := pair(100, 60)
		if !Coalesce(a, b) {
			t.Fatal("the short one was not joined")
		}
		binary.BigEndian.PutUint32(b.Payload()[24:], 160)
		b.Payload()[5] = 9
		resum(b)
		if changesNothing(t, a, b) {
			t.Error("joined behind a short segment")
		}
	})
}

// A superframe of any other kind takes nothing.
func TestCoalesceOddSuperframes(t *testing.T) {
	next := gso{kind: GSOTCPv4, size: 100, payload: 100, flags: tcpACK, id: 8, seq: 100}
	for _, c := range []struct {
		name string
		g    gso
		next func(g *gso)
	}{
		{"fin", gso{flags: tcpACK | tcpFIN}, nil},
		{"cwr", gso{kind: GSOTCPv4 | GSOECN, flags: tcpACK | tcpCWR}, nil},
		{"pushed", gso{flags: tcpACK | tcpPSH}, nil},
		{"ip options", gso{flags: tcpACK, ipOpts: 4}, nil},
		{"in a tunnel", gso{flags: tcpACK, outer: 1}, nil},
		{"udp", gso{kind: GSOUDPL4}, nil},
		{"tcp options", gso{flags: tcpACK, tcpOpts: 8}, nil},
		{"no data", gso{flags: tcpACK, payload: -1}, func(g *gso) { g.seq, g.id = 0, 7 }},
		{"as many segments as there may be", gso{flags: tcpACK, size: 1, payload: maxSegments},
			func(g *gso) { g.size, g.payload, g.seq, g.id = 1, 1, maxSegments, 7+maxSegments }},
	} {
		t.Run(c.name, func(t *testing.T) {
			g, n := c.g, next
			g.id, g.kind = 7, max(g.kind, GSOTCPv4)
			if g.size == 0 {
				g.size, g.payload = 100, 100*(1+g.payload)
			}
			if c.next != nil {
				c.next(&n)
			}
			b := segments(t, n.frame())[0]
			if changesNothing(t, roomy(g.frame()), b) {
				t.Error("joined")
			}
		})
	}
}
