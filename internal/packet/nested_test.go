package packet

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// layer is a header with what is different in it from packet to packet, built as a
// sender builds it.
type layer struct {
	kind  string // ip4, ip6, gre, udp, bytes
	plain []byte // bytes: what is repeated; ip4: options; ip6: extension headers
	next  byte   // ip6: the type of the first extension header
	flags uint16 // gre
	sum   bool   // udp: it has a checksum
	id    uint16
}

// nest is a stream of packets, each in the same headers.
type nest struct {
	etherType uint16
	layers    []layer
	tcp       bool
	flags     byte
	size      int
	data      []byte
}

func (n nest) count() int { return max(1, (len(n.data)+n.size-1)/n.size) }

// packet is the i-th one, as a wire carries it.
func (n nest) packet(i int) []byte {
	data := n.data[i*n.size : min((i+1)*n.size, len(n.data))]
	var b []byte
	protocol := byte(ProtocolUDP)
	if n.tcp {
		protocol = ProtocolTCP
		b = make([]byte, 32)
		binary.BigEndian.PutUint32(b[4:], 7000+uint32(i*n.size))
		b[12], b[13] = 8<<4, n.flags
		if i < n.count()-1 {
			b[13] &^= tcpFIN | tcpPSH
		}
		copy(b[20:], "\x01\x01\x08\x0atimestamp")
	} else {
		b = binary.BigEndian.AppendUint16(make([]byte, 4), uint16(8+len(data)))
		b = append(b, 0, 0)
	}
	b = append(b, data...)
	sumAt := map[byte]int{ProtocolTCP: 16, ProtocolUDP: 6}[protocol]
	etherType := uint16(0)
	for at := len(n.layers) - 1; at >= 0; at-- {
		switch l := n.layers[at]; l.kind {
		case "ip4":
			if sumAt > 0 {
				sumUp(b, sumAt, append([]byte{10, 1, 2, 3, 10, 4, 5, 6, 0, protocol}, byte(len(b)>>8), byte(len(b))))
			}
			ip := append([]byte{0x40 | byte(5+len(l.plain)/4), 3, 0, 0, 0, 0, 0x40, 0, 60, protocol, 0, 0, 10, 1, 2, 3, 10, 4, 5, 6}, l.plain...)
			binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)+len(b)))
			binary.BigEndian.PutUint16(ip[4:], l.id+uint16(i))
			sumUp(ip, 10, nil)
			b, protocol, etherType, sumAt = append(ip, b...), ProtocolIPIP, EtherTypeIPv4, 0
		case "ip6":
			addresses := []byte("fedcba9876543210source&destinat.")
			if sumAt > 0 {
				sumUp(b, sumAt, append(bytes.Clone(addresses), 0, 0, byte(len(b)>>8), byte(len(b)), 0, 0, 0, protocol))
			}
			ip := append([]byte{0x61, 2, 3, 4, 0, 0, protocol, 60}, addresses...)
			if extensions := bytes.Clone(l.plain); len(extensions) > 0 {
				ip[6], extensions[len(extensions)-8] = l.next, protocol
				ip = append(ip, extensions...)
			}
			binary.BigEndian.PutUint16(ip[4:], uint16(len(ip)-40+len(b)))
			b, protocol, etherType, sumAt = append(ip, b...), ProtocolIPv6, EtherTypeIPv6, 0
		case "gre":
			g := binary.BigEndian.AppendUint16(nil, l.flags)
			g = binary.BigEndian.AppendUint16(g, etherType)
			for _, bit := range []uint16{0x8000, 0x2000, 0x1000} {
				if l.flags&bit != 0 {
					g = append(g, 0, 0, 0, 0)
				}
			}
			if l.flags&0x1000 != 0 {
				binary.BigEndian.PutUint32(g[len(g)-4:], 90+uint32(i))
			}
			if b = append(g, b...); l.flags&0x8000 != 0 {
				sumUp(b, 4, nil)
			}
			protocol = ProtocolGRE
		case "udp":
			b = append(binary.BigEndian.AppendUint16([]byte{1, 2, 3, 4}, uint16(8+len(b))), append([]byte{0, 0}, b...)...)
			if protocol = ProtocolUDP; l.sum {
				sumAt = 6
			}
		case "bytes":
			b = append(bytes.Clone(l.plain), b...)
			etherType = 0x6558 // an Ethernet frame
		}
	}
	return append(binary.BigEndian.AppendUint16([]byte(dstMAC+srcMAC), n.etherType), b...)
}

// sumUp writes the checksum of b, computed word by word.
func sumUp(b []byte, at int, pseudo []byte) {
	b[at], b[at+1] = 0, 0
	sum := ^slowSum(b, slowSum(pseudo, 0))
	if sum == 0 && len(pseudo) > 0 {
		sum = 0xffff
	}
	binary.BigEndian.PutUint16(b[at:], sum)
}

// joined is the stream in one frame, as a kernel joins it: pending with the sum of the
// pseudo-header, or complete, with nothing said of where the transport header is.
func (n nest) joined(complete bool) *Frame {
	first := n.packet(0)
	h := len(first) - min(n.size, len(n.data))
	whole := n
	whole.size = max(1, len(n.data))
	f := FrameOf(append(whole.packet(0)[:h:h], n.data...))
	l4 := h - map[bool]int{true: 32, false: 8}[n.tcp]
	f.Offload = Offload{GSOType: GSOUDPL4, GSOSize: uint16(n.size), CsumOffset: udpChecksum, HeaderLen: uint16(f.Len)}
	if n.tcp {
		f.Offload.GSOType, f.Offload.CsumOffset = GSOTCPv4, tcpChecksum
		if n.layers[len(n.layers)-1].kind == "ip6" {
			f.Offload.GSOType = GSOTCPv6
		}
	}
	// Not the sum that the whole frame is to have: lists of frames come with the first one's.
	copy(f.Bytes()[l4+int(f.Offload.CsumOffset):][:2], first[l4+int(f.Offload.CsumOffset):])
	if complete {
		f.Offload.CsumOffset, f.Offload.Flags = 0, 2
		return f
	}
	f.Offload.CsumStart, f.Offload.Flags = uint16(l4), needsChecksum
	return f
}

// requireCut admits a superframe and cuts it, and requires the packets of the stream.
func (n nest) requireCut(t rapid.TB, f *Frame) {
	t.Helper()
	f.Admit()
	if !f.OffloadValid() {
		t.Fatalf("%v: %+v is taken for a lie", n, f.Offload)
	}
	if !f.Offload.IsGSO() {
		if f.FinishChecksum(); !bytes.Equal(f.Bytes(), n.packet(0)) || n.count() != 1 {
			t.Fatalf("%v: is\n% x\nwant\n% x", n, f.Bytes(), n.packet(0))
		}
		return
	}
	all := segments(t, f)
	if len(all) != n.count() {
		t.Fatalf("%v: %d packets, want %d", n, len(all), n.count())
	}
	for i, s := range all {
		if want := n.packet(i); !bytes.Equal(s.Bytes(), want) {
			t.Fatalf("%v: packet %d of %d is\n% x\nwant\n% x", n, i, len(all), s.Bytes(), want)
		}
	}
}

func drawNest(t *rapid.T) (n nest) {
	var ip func(depth int)
	add := func(l layer) { n.layers = append(n.layers, l) }
	ip = func(depth int) {
		id := rapid.Uint16().Draw(t, "id")
		if rapid.Bool().Draw(t, "ip6") {
			l := layer{kind: "ip6"}
			for _, next := range rapid.SliceOfN(rapid.SampledFrom([]byte{0, 43, 60}), 0, 2).Draw(t, "extensions") {
				if l.next, l.plain = next, append([]byte{l.next, 0, 1, 4, 0, 0, 0, 0}, l.plain...); len(l.plain) == 8 {
					l.plain[0] = 0
				}
			}
			add(l)
		} else {
			add(layer{kind: "ip4", id: id, plain: bytes.Repeat([]byte{1}, 4*rapid.IntRange(0, 10).Draw(t, "options"))})
		}
		if depth == 0 {
			return
		}
		switch rapid.SampledFrom([]string{"ip", "gre", "ethernet in gre", "vxlan", "gue", "other"}).Draw(t, "in it") {
		case "gre":
			add(layer{kind: "gre", flags: rapid.Uint16().Draw(t, "flags") & 0xb000})
		case "ethernet in gre":
			add(layer{kind: "gre", flags: rapid.Uint16().Draw(t, "flags") & 0xb000})
			add(layer{kind: "bytes", plain: append([]byte("sixsix"+"macmac"), 0x81, 0, 0, 77, 8, 0)})
		case "vxlan":
			add(layer{kind: "udp", sum: rapid.Bool().Draw(t, "sum")})
			add(layer{kind: "bytes", plain: []byte("\x08\x00\x00\x00\x00\x10\x00\x00ffffff111111\x08\x00")})
		case "gue":
			add(layer{kind: "udp", sum: rapid.Bool().Draw(t, "sum")})
		case "other":
			add(layer{kind: "udp", sum: rapid.Bool().Draw(t, "sum")})
			add(layer{kind: "bytes", plain: rapid.SliceOfN(rapid.Byte(), 2, 40).Draw(t, "options")})
			if last := &n.layers[len(n.layers)-1]; len(last.plain)%2 == 1 {
				last.plain = last.plain[1:]
			}
		}
		ip(depth - 1)
	}
	ip(rapid.IntRange(0, 2).Draw(t, "depth"))
	n.etherType = map[string]uint16{"ip4": EtherTypeIPv4, "ip6": EtherTypeIPv6}[n.layers[0].kind]
	for i, l := range n.layers { // an Ethernet header says what is in it
		if l.kind == "bytes" && l.plain[len(l.plain)-2] == 8 && n.layers[i+1].kind == "ip6" {
			n.layers[i].plain = append(bytes.Clone(l.plain[:len(l.plain)-2]), 0x86, 0xdd)
		}
	}
	n.tcp, n.flags = rapid.Bool().Draw(t, "tcp"), rapid.Byte().Draw(t, "flags")
	n.size = rapid.IntRange(8, 1400).Draw(t, "size")
	n.data = rapid.SliceOfN(rapid.Byte(), 1, 6000).Draw(t, "data")
	return n
}

func (n nest) headersLen() int { return len(n.packet(0)) - min(n.size, len(n.data)) }

// Whatever is in what, the packets that come out are those that went in.
func TestSegmentNested(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := drawNest(t)
		if n.headersLen() > maxHeaders || len(n.layers) > maxNested {
			t.Skip("more headers than anybody makes")
		}
		n.requireCut(t, n.joined(false))
		inUDP := slices.ContainsFunc(n.layers, func(l layer) bool { return l.kind == "udp" })
		if n.tcp || !inUDP { // without being told, UDP in UDP cannot be told from UDP
			n.requireCut(t, n.joined(true))
		}
	})
}

// The encapsulations of Linux, each as its receive offload joins them.
func TestSegmentTunnels(t *testing.T) {
	ip4, ip6 := layer{kind: "ip4", id: 500}, layer{kind: "ip6"}
	vxlan := layer{kind: "bytes", plain: []byte("\x08\x00\x00\x00\x00\x10\x00\x00ffffff111111\x08\x00")}
	geneve := layer{kind: "bytes", plain: append([]byte("\x02\x00\x65\x58\x00\x00\x07\x00option1!"), vxlan.plain[8:]...)}
	for name, layers := range map[string][]layer{
		"plain":             {ip4},
		"ipip":              {ip4, ip4},
		"sit":               {ip4, ip6},
		"gre":               {ip4, {kind: "gre"}, ip4},
		"gre with key":      {ip4, {kind: "gre", flags: 0x2000}, ip4},
		"gre with checksum": {ip4, {kind: "gre", flags: 0x8000}, ip4},
		"gre with all":      {ip4, {kind: "gre", flags: 0xb000}, ip6},
		"gretap":            {ip4, {kind: "gre"}, {kind: "bytes", plain: []byte("ffffff111111\x08\x00")}, ip4},
		"vxlan":             {ip4, {kind: "udp"}, vxlan, ip4},
		"vxlan, checksum":   {ip4, {kind: "udp", sum: true}, vxlan, ip4},
		"geneve":            {ip4, {kind: "udp", sum: true}, geneve, ip4},
		"fou":               {ip4, {kind: "udp", sum: true}, ip4},
		"gue":               {ip4, {kind: "udp"}, {kind: "bytes", plain: []byte{0, 4, 0, 0}}, ip4},
		"mpls in udp":       {ip4, {kind: "udp"}, {kind: "bytes", plain: []byte{0, 0x10, 1, 64}}, ip4},
		"ipip in vxlan":     {ip4, {kind: "udp"}, vxlan, ip4, ip4},
		"vxlan over ipv6":   {ip6, {kind: "udp", sum: true}, vxlan, ip4},
	} {
		for _, tcp := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, tcp %t", name, tcp), func(t *testing.T) {
				n := nest{etherType: EtherTypeIPv4, layers: layers, tcp: tcp, flags: tcpACK | tcpPSH, size: 1000, data: bytes.Repeat([]byte("12345"), 700)}
				if layers[0].kind == "ip6" {
					n.etherType = EtherTypeIPv6
				}
				n.requireCut(t, n.joined(false))
			})
		}
	}
}

// Headers that are longer than anybody makes are not repeated in each segment.
func TestSegmentLongHeaders(t *testing.T) {
	for options, want := range map[int]bool{256: true, 400: true, 418: true, 420: false, 1000: false, 60000: false} {
		n := nest{
			etherType: EtherTypeIPv4, tcp: true, size: 100, data: make([]byte, 1000),
			layers: []layer{{kind: "ip4"}, {kind: "udp"}, {kind: "bytes", plain: make([]byte, options)}, {kind: "ip4"}},
		}
		f := n.joined(false)
		if f.Admit(); f.OffloadValid() != want {
			t.Errorf("%d bytes of options, headers of %d: valid is %t", options, n.headersLen(), !want)
		}
		f = n.joined(true)
		if f.Admit(); f.OffloadValid() != want {
			t.Errorf("%d bytes of options, checksum made: valid is %t", options, !want)
		}
	}
}

// A superframe of BIG TCP is cut into superframes that an IP header can speak of, and
// these into the packets that it stands for.
func TestSplit(t *testing.T) {
	for name, layers := range map[string][]layer{
		"ipv4": {{kind: "ip4", id: 65000}}, "ipv6": {{kind: "ip6"}}, "in a tunnel": {{kind: "ip4"}, {kind: "udp", sum: true}, {kind: "ip4"}},
	} {
		t.Run(name, func(t *testing.T) {
			n := nest{etherType: EtherTypeIPv4, layers: layers, tcp: true, flags: tcpACK | tcpPSH, size: 1400, data: bytes.Repeat([]byte("0123456789"), 20000)}
			f := n.joined(false)
			f.Payload()[2], f.Payload()[3] = 0, 0 // as long as that cannot be said
			if name == "ipv6" {
				n.etherType = EtherTypeIPv6
				f = n.joined(false)
				f = jumbo(f)
			} else {
				IPv4(f.Payload()).SetChecksum()
			}
			if name == "in a tunnel" {
				f.Payload()[20+8+2], f.Payload()[20+8+3] = 0, 0
				IPv4(f.Payload()[28:]).SetChecksum()
			}
			if name == "ipv4" { // joined with its checksum complete
				f.Offload = Offload{Flags: 2, GSOType: GSOTCPv4, GSOSize: 1400}
			}
			var all, big []*Frame
			if !f.Admit() || !Split(f, func() *Frame { big = append(big, &Frame{}); return big[len(big)-1] }) {
				t.Fatal("it cannot be split")
			}
			for _, s := range big {
				if s.Len > EthernetLen+IPv4MaxLen {
					t.Errorf("a frame of %d bytes", s.Len)
				}
				if s.Admit(); s.Offload.IsGSO() {
					all = append(all, segments(t, s)...)
				} else {
					s.FinishChecksum()
					all = append(all, s)
				}
			}
			if len(all) != n.count() || len(big) != 4 {
				t.Fatalf("%d packets in %d frames, want %d in 4", len(all), len(big), n.count())
			}
			for i, s := range all {
				if want := n.packet(i); !bytes.Equal(s.Bytes(), want) {
					t.Fatalf("packet %d is\n% x\nwant\n% x", i, s.Bytes()[:100], want[:100])
				}
			}
		})
	}
}

// jumbo puts the jumbo payload option in, as a kernel does.
func jumbo(f *Frame) *Frame {
	b := f.Bytes()
	next := b[20]
	b[18], b[19], b[20] = 0, 0, 0
	option := binary.BigEndian.AppendUint32([]byte{next, 0, 0xc2, 4}, uint32(f.Len-54+8))
	g := FrameOf(slices.Concat(b[:54], option, b[54:]))
	g.Offload = f.Offload
	g.Offload.CsumStart += 8
	return g
}

// SCTP's checksum is CRC32c (RFC 9260 6.8), wherever the packet is.
func TestFinishChecksumSCTP(t *testing.T) {
	for name, layers := range map[string][]layer{"plain": {{kind: "ip4"}}, "ipip": {{kind: "ip4"}, {kind: "ip4"}}, "ipv6": {{kind: "ip6"}}} {
		t.Run(name, func(t *testing.T) {
			n := nest{etherType: EtherTypeIPv4, layers: layers, size: 100, data: []byte("tag-0000INIT and what is in it")}
			if name == "ipv6" {
				n.etherType = EtherTypeIPv6
			}
			f := FrameOf(n.packet(0))
			start := f.Len - len(n.data) - 8
			f.Bytes()[map[string]int{"plain": 23, "ipip": 43, "ipv6": 20}[name]] = ProtocolSCTP
			clear(f.Bytes()[start+8 : start+12])
			want := bytes.Clone(f.Bytes())
			binary.LittleEndian.PutUint32(want[start+8:], crc32.Checksum(want[start:], crc32.MakeTable(crc32.Castagnoli)))
			f.Offload = Offload{Flags: needsChecksum, CsumStart: uint16(start), CsumOffset: 8}
			if f.Plain() {
				t.Error("a device is to finish it, which is not told what it is")
			}
			if f.FinishChecksum(); !bytes.Equal(f.Bytes(), want) || f.Offload != (Offload{}) {
				t.Errorf("is\n% x\nwant\n% x", f.Bytes(), want)
			}
		})
	}
}
