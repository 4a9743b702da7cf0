package packet

import (
	"bytes"
	"slices"
	"testing"
)

func TestOffloadPutIsWhatParseOffloadReads(t *testing.T) {
	want := Offload{Flags: 1, GSOType: 0x81, HeaderLen: 0x0203, GSOSize: 0x0405, CsumStart: 0x0607, CsumOffset: 0x0809}
	var b [VnetLen]byte
	want.Put(b[:])
	if got := ParseOffload(b[:]); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestOffloadValid(t *testing.T) {
	tcp := gso{kind: GSOTCPv4, size: 1448, payload: 4000}
	tcp6 := gso{kind: GSOTCPv6, v6: true, size: 1428, payload: 4000}
	for _, c := range []struct {
		name   string
		g      gso
		change func(f *Frame)
		want   bool
	}{
		{"tcp", tcp, func(f *Frame) {}, true},
		{"udp", gso{kind: GSOUDPL4, size: 1000, payload: 4000}, func(f *Frame) {}, true},
		{"tcp with ecn", gso{kind: GSOTCPv4 | GSOECN, size: 1448, payload: 4000}, func(f *Frame) {}, true},
		{"udp with ecn", gso{kind: GSOUDPL4, size: 1000, payload: 4000}, func(f *Frame) { f.Offload.GSOType |= GSOECN }, false},
		{"tcp without data", gso{kind: GSOTCPv4, size: 1448}, func(f *Frame) {}, true},
		{"tcp in a tunnel", gso{kind: GSOTCPv4, size: 1448, payload: 4000, outer: 1}, func(f *Frame) {}, true},
		{"nothing to do", tcp, func(f *Frame) { f.Offload = Offload{} }, true},
		{"checksum alone", tcp, func(f *Frame) { f.Offload.GSOType = 0 }, true},
		{"checksum behind the end", tcp, func(f *Frame) { f.Offload.GSOType = 0; f.Offload.CsumStart = uint16(f.Len - 17) }, false},
		{"checksum at the end", tcp, func(f *Frame) { f.Offload.GSOType = 0; f.Offload.CsumStart = uint16(f.Len - 18) }, true},
		{"checksum in the ip header", tcp, func(f *Frame) { f.Offload.GSOType = 0; f.Offload.CsumStart = 33 }, false},
		{"checksum in the ip options", gso{kind: GSOTCPv4, size: 99, payload: 99, ipOpts: 8}, func(f *Frame) { f.Offload.GSOType = 0; f.Offload.CsumStart = 34 }, false},
		{"no segment size", tcp, func(f *Frame) { f.Offload.GSOSize = 0 }, false},
		{"no segment size, nor data", gso{kind: GSOTCPv4}, func(f *Frame) {}, false},
		{"the checksum is made", tcp, func(f *Frame) { f.Offload.Flags = 0 }, true},
		{"the checksum is right", tcp, func(f *Frame) { f.Offload.Flags, f.Offload.CsumStart = 2, 0 }, true},
		{"unknown kind", tcp, func(f *Frame) { f.Offload.GSOType = 3 }, false},
		{"unknown kind, the checksum is made", tcp, func(f *Frame) { f.Offload.GSOType, f.Offload.Flags = 3, 0 }, false},
		{"tcp over ipv6 that is over ipv4", tcp, func(f *Frame) { f.Offload.GSOType = GSOTCPv6 }, false},
		{"udp that is tcp, the checksum is made", tcp, func(f *Frame) { f.Offload.GSOType, f.Offload.Flags = GSOUDPL4, 0 }, false},
		{"udp that is tcp", tcp, func(f *Frame) { f.Offload.GSOType = GSOUDPL4 }, false},
		{"udp that is tcp, and its checksum where udp's is", tcp, func(f *Frame) { f.Offload.GSOType, f.Offload.CsumOffset = GSOUDPL4, udpChecksum }, false},
		{"checksum where tcp has none", tcp, func(f *Frame) { f.Offload.CsumOffset = 2000 }, false},
		{"transport header at the start", tcp, func(f *Frame) { f.Offload.CsumStart = 0 }, false},
		{"transport header not behind ip", tcp, func(f *Frame) { f.Offload.CsumStart += 4 }, false},
		{"tcp header too short", tcp, func(f *Frame) { f.Bytes()[34+12] = 4 << 4 }, false},
		{"tcp header behind the end", gso{kind: GSOTCPv4, size: 9, payload: 8}, func(f *Frame) { f.Bytes()[34+12] = 8 << 4 }, false},
		{"frame cut in the tcp header", tcp, func(f *Frame) { f.Trim(30) }, false},
		{"a fragment", tcp, func(f *Frame) { f.Payload()[6] = 0x20 }, false},
		{"tcp over ipv6", tcp6, func(f *Frame) {}, true},
		{"tcp over ipv6, cut", tcp6, func(f *Frame) { f.Trim(39) }, false},
		{"tcp over ipv4 that is over ipv6", tcp6, func(f *Frame) { f.Offload.GSOType = GSOTCPv4 }, false},
		{"checksum in the ipv6 header", tcp6, func(f *Frame) { f.Offload.GSOType = 0; f.Offload.CsumStart = 53 }, false},
		{"checksum behind the ipv6 header", tcp6, func(f *Frame) { f.Offload.GSOType = 0 }, true},
		{"a fragment of ipv6", tcp6, func(f *Frame) { f.Payload()[6] = HeaderFragment }, false},
		{"ipv6 in a tunnel", gso{kind: GSOTCPv6, v6: true, size: 1400, payload: 4000, outer: 1}, func(f *Frame) {}, true},
		{"the tunnel's header is cut", gso{kind: GSOTCPv4, size: 1448, payload: 4000, outer: 1}, func(f *Frame) { f.Payload()[20] = 0x44 }, false},
		{"headers in headers", gso{kind: GSOTCPv4, size: 1448, payload: 4000, outer: 7}, func(f *Frame) {}, true},
		{"more of them than anybody makes", gso{kind: GSOTCPv4, size: 1448, payload: 4000, outer: 8}, func(f *Frame) {}, false},
		{"more segments than memory should hold", gso{kind: GSOTCPv4, size: 1, payload: 60000}, func(f *Frame) {}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := c.g.frame()
			c.change(f)
			f.Admit()
			if got := f.OffloadValid(); got != c.want {
				t.Errorf("%+v: got %v, want %v", f.Offload, got, c.want)
			}
		})
	}
}

// What a frame that was read is made of, and what for.
func TestAdmit(t *testing.T) {
	tcp := gso{kind: GSOTCPv4, size: 1448, payload: 4000, tcpOpts: 12}
	whole := tcp.frame().Offload
	one := Offload{Flags: needsChecksum, CsumStart: 34, CsumOffset: tcpChecksum}
	for _, c := range []struct {
		name   string
		change func(f *Frame)
		want   Offload
	}{
		{"nothing to do", func(f *Frame) {}, whole},
		{"joined with the checksum of the first", func(f *Frame) { f.Bytes()[50]++; f.Offload.Flags = 2; f.Offload.CsumStart, f.Offload.CsumOffset = 0, 0 }, whole},
		{"pending with the sum of the first", func(f *Frame) { f.Bytes()[50]++ }, whole},
		{"a hint that is too long", func(f *Frame) { f.Offload.HeaderLen = 65535 }, Offload{needsChecksum, GSOTCPv4, 66, 1448, 34, tcpChecksum}},
		{"a hint that is right", func(f *Frame) { f.Offload.HeaderLen = 54 }, Offload{needsChecksum, GSOTCPv4, 54, 1448, 34, tcpChecksum}},
		{"a single packet", func(f *Frame) { f.Offload.GSOSize, f.Offload.HeaderLen = 4000, 99 }, one},
		{"the checksum alone", func(f *Frame) { f.Offload.GSOType, f.Offload.HeaderLen = 0, 65535 }, one},
		{"a checksum that is right", func(f *Frame) { f.Offload = Offload{Flags: 2} }, Offload{}},
		{"nonsense about nothing", func(f *Frame) { f.Offload = Offload{Flags: 4, HeaderLen: 9, GSOSize: 8, CsumStart: 7, CsumOffset: 6} }, Offload{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, want := tcp.frame(), tcp.frame()
			c.change(f)
			if f.Admit(); f.Offload != c.want || !f.OffloadValid() || !bytes.Equal(f.Bytes(), want.Bytes()) {
				t.Errorf("offload %+v, want %+v; checksum % x, want % x", f.Offload, c.want, f.Bytes()[50:52], want.Bytes()[50:52])
			}
		})
	}
}

// A priority tag is no part of the frame; another tag makes it another network's.
func TestAdmitTagged(t *testing.T) {
	for _, c := range []struct {
		tag   string
		taken bool
	}{
		{"\x81\x00\x00\x00", true}, {"\x81\x00\xe0\x00", true}, {"\x88\xa8\x10\x00", true},
		{"\x81\x00\xe0\x01", false}, {"\x81\x00\x08\x00", false}, {"\x88\xb5\x00\x00", false},
	} {
		want := gso{kind: GSOTCPv4, size: 1448, payload: 4000}.frame()
		tagged := FrameOf(slices.Concat(want.Bytes()[:12], []byte(c.tag), want.Bytes()[12:]))
		tagged.Offload = want.Offload
		tagged.Offload.Move(4)
		if !c.taken {
			want = tagged.Clone()
		}
		if tagged.Admit(); !bytes.Equal(tagged.Bytes(), want.Bytes()) || c.taken && tagged.Offload != want.Offload {
			t.Errorf("% x: % x, offload %+v", c.tag, tagged.Bytes()[:20], tagged.Offload)
		}
	}
	for n := range 18 { // too short for a tag
		f := FrameOf([]byte("dddddd" + "ssssss" + "\x81\x00\x00\x00\x08\x00")[:n])
		if f.Admit(); n < 18 && f.Len != n {
			t.Errorf("of %d bytes %d are left", n, f.Len)
		}
	}
}

// What every device can do, and what it would do wrong.
func TestPlain(t *testing.T) {
	tcp := gso{kind: GSOTCPv4, size: 1448, payload: 4000}
	for _, c := range []struct {
		name   string
		g      gso
		change func(f *Frame)
		want   bool
	}{
		{"tcp", tcp, func(f *Frame) {}, true},
		{"tcp with options", gso{kind: GSOTCPv4, size: 1448, payload: 4000, ipOpts: 8, tcpOpts: 12}, func(f *Frame) {}, true},
		{"a checksum of tcp", tcp, func(f *Frame) { f.Offload.GSOType = 0 }, true},
		{"udp of 64 segments", gso{kind: GSOUDPL4, size: 100, payload: 6400}, func(f *Frame) {}, true},
		{"udp of 65 segments", gso{kind: GSOUDPL4, size: 100, payload: 6401}, func(f *Frame) {}, false},
		{"a checksum of udp", gso{kind: GSOUDPL4, size: 100, payload: 6401}, func(f *Frame) { f.Offload.GSOType = 0 }, true},
		{"in a tunnel", gso{kind: GSOTCPv4, size: 1448, payload: 4000, outer: 1}, func(f *Frame) {}, false},
		{"a checksum in a tunnel", gso{kind: GSOTCPv4, size: 1448, payload: 4000, outer: 1}, func(f *Frame) { f.Offload.GSOType = 0 }, false},
		{"a checksum elsewhere", tcp, func(f *Frame) { f.Offload.GSOType, f.Offload.CsumOffset = 0, 4 }, false},
		{"of another protocol", tcp, func(f *Frame) { f.Offload.GSOType = 0; f.Payload()[9] = 253 }, false},
		{"tcp over ipv6", gso{kind: GSOTCPv6, v6: true, size: 1428, payload: 4000, tcpOpts: 12}, func(f *Frame) {}, true},
		{"udp over ipv6", gso{kind: GSOUDPL4, v6: true, size: 100, payload: 400}, func(f *Frame) {}, true},
		{"ipv6 in a tunnel", gso{kind: GSOTCPv6, v6: true, size: 1428, payload: 4000, outer: 1}, func(f *Frame) {}, false},
		{"behind extension headers", gso{kind: GSOTCPv6, v6: true, size: 1428, payload: 4000}, func(f *Frame) { f.Payload()[6] = HeaderDestination; f.Offload.CsumStart += 8 }, false},
		{"a CWR for each segment", gso{kind: GSOTCPv4, size: 1448, payload: 4000, flags: tcpCWR}, func(f *Frame) {}, false},
		{"a CWR for the first one", gso{kind: GSOTCPv4 | GSOECN, size: 1448, payload: 4000, flags: tcpCWR}, func(f *Frame) {}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := c.g.frame()
			c.change(f)
			if f.Plain() != c.want {
				t.Errorf("%+v: got %t", f.Offload, !c.want)
			}
		})
	}
}

func TestOnWireAndIPLen(t *testing.T) {
	for _, c := range []struct {
		name           string
		g              gso
		packets, bytes uint64
		ipLen          int
	}{
		{"not a superframe", gso{payload: 100}, 1, 142, 128},
		{"no data", gso{kind: GSOTCPv4, size: 1460}, 1, 54, 40},
		{"one full segment", gso{kind: GSOTCPv4, size: 1460, payload: 1460}, 1, 1514, 1500},
		{"one byte more", gso{kind: GSOTCPv4, size: 1460, payload: 1461}, 2, 1514 + 55, 1500},
		{"64 KB", gso{kind: GSOTCPv4, size: 1448, payload: 45 * 1448, tcpOpts: 12}, 45, 45 * 1514, 1500},
		{"udp", gso{kind: GSOUDPL4, size: 1000, payload: 2500}, 3, 2500 + 3*42, 1028},
		{"tcp over ipv6", gso{kind: GSOTCPv6, v6: true, size: 1428, payload: 3*1428 + 1, tcpOpts: 12}, 4, 3*1514 + 87, 1500},
		{"udp over ipv6", gso{kind: GSOUDPL4, v6: true, size: 1000, payload: 2500}, 3, 2500 + 3*62, 1048},
		{"ipv6 in a tunnel", gso{kind: GSOTCPv6, v6: true, size: 1408, payload: 2816, tcpOpts: 12, outer: 1}, 2, 2 * 1514, 1500},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := c.g.frame()
			packets, bytes := f.OnWire()
			if packets != c.packets || bytes != c.bytes || f.IPLen() != c.ipLen {
				t.Errorf("%d packets, %d bytes, of %d at the most; want %d, %d, %d", packets, bytes, f.IPLen(), c.packets, c.bytes, c.ipLen)
			}
		})
	}
}

func TestPrependAndStrip(t *testing.T) {
	f := gso{kind: GSOTCPv4, size: 100, payload: 300}.frame()
	f.Offload.HeaderLen = 54
	before := f.Clone()
	f.Prepend(20)
	if f.Len != before.Len+20 || f.Offload.CsumStart != 54 || f.Offload.HeaderLen != 74 {
		t.Errorf("length %d, offload %+v", f.Len, f.Offload)
	}
	if f.DstMAC() != before.DstMAC() || f.SrcMAC() != before.SrcMAC() || f.EtherType() != EtherTypeIPv4 {
		t.Errorf("the Ethernet header did not move along: % x", f.Bytes()[:EthernetLen])
	}
	f.Strip(20)
	if string(f.Bytes()) != string(before.Bytes()) || f.Offload != before.Offload {
		t.Error("stripping what was prepended gives another frame")
	}
}
