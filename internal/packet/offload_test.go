package packet

import "testing"

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
	for _, c := range []struct {
		name   string
		g      gso
		change func(f *Frame)
		want   bool
	}{
		{"tcp", tcp, func(f *Frame) {}, true},
		{"udp", gso{kind: GSOUDPL4, size: 1000, payload: 4000}, func(f *Frame) {}, true},
		{"tcp with ecn", gso{kind: GSOTCPv4 | GSOECN, size: 1448, payload: 4000}, func(f *Frame) {}, true},
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
		{"no checksum", tcp, func(f *Frame) { f.Offload.Flags = 0 }, false},
		{"unknown kind", tcp, func(f *Frame) { f.Offload.GSOType = 3 }, false},
		{"tcp over ipv6", tcp, func(f *Frame) { f.Offload.GSOType = 4 }, false},
		{"udp that is tcp", tcp, func(f *Frame) { f.Offload.GSOType = GSOUDPL4 }, false},
		{"checksum where tcp has none", tcp, func(f *Frame) { f.Offload.CsumOffset = 2000 }, false},
		{"transport header not behind ip", tcp, func(f *Frame) { f.Offload.CsumStart += 4 }, false},
		{"tcp header too short", tcp, func(f *Frame) { f.Bytes()[34+12] = 4 << 4 }, false},
		{"tcp header behind the end", gso{kind: GSOTCPv4, size: 9, payload: 8}, func(f *Frame) { f.Bytes()[34+12] = 8 << 4 }, false},
		{"frame cut in the tcp header", tcp, func(f *Frame) { f.Trim(30) }, false},
		{"a fragment", tcp, func(f *Frame) { f.Payload()[6] = 0x20 }, false},
		{"the tunnel's header is cut", gso{kind: GSOTCPv4, size: 1448, payload: 4000, outer: 1}, func(f *Frame) { f.Payload()[20] = 0x44 }, false},
		{"more segments than memory should hold", gso{kind: GSOTCPv4, size: 1, payload: 60000}, func(f *Frame) {}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := c.g.frame()
			c.change(f)
			if got := f.OffloadValid(); got != c.want {
				t.Errorf("%+v: got %v, want %v", f.Offload, got, c.want)
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
