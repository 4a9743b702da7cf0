package capture_test

import (
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"

	"github.com/vrouter/vrouter/internal/capture"
)

var (
	ip = []byte{0x45, 0, 0, 20, 0, 1, 0, 0, 64, 17, 0x66, 0x3d, 10, 70, 1, 1, 10, 70, 2, 1}
	// frame is the same in Ethernet.
	frame = append([]byte{0xee, 0xee, 0xee, 0xee, 0xee, 0xee, 2, 0, 0, 0, 0, 1, 8, 0}, ip...)
)

// pcap writes packets of one link type; each has lost so many bytes.
func pcap(t *testing.T, link layers.LinkType, lost int, packets ...[]byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := pcapgo.NewWriter(&b)
	if err := w.WriteFileHeader(65536, link); err != nil {
		t.Fatal(err)
	}
	for _, p := range packets {
		info := gopacket.CaptureInfo{Timestamp: time.Unix(1, 0), CaptureLength: len(p), Length: len(p) + lost}
		if err := w.WritePacket(info, p); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

// pcapng writes a frame for each interface.
func pcapng(t *testing.T, application string, interfaces ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	var w *pcapgo.NgWriter
	for i, name := range interfaces {
		of := pcapgo.NgInterface{Name: name, LinkType: layers.LinkTypeEthernet, SnapLength: 65536}
		var err error
		if w == nil {
			w, err = pcapgo.NewNgWriterInterface(&b, of, pcapgo.NgWriterOptions{SectionInfo: pcapgo.NgSectionInfo{Application: application}})
		} else {
			_, err = w.AddInterface(of)
		}
		if err == nil {
			err = w.WritePacket(gopacket.CaptureInfo{Timestamp: time.Unix(1, 0), CaptureLength: len(frame), Length: len(frame), InterfaceIndex: i}, frame)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func readAll(from io.Reader) (all []capture.Packet, err error) {
	r, err := capture.NewReader(from)
	if err != nil {
		return nil, err
	}
	for {
		p, err := r.Next()
		if err == io.EOF {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		all = append(all, *p)
	}
}

func TestLinkTypes(t *testing.T) {
	sll := func(kind byte) []byte {
		return append([]byte{0, kind, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0, 8, 0}, ip...)
	}
	cooked2 := func(kind byte, etherType uint16, payload []byte) []byte {
		return append([]byte{byte(etherType >> 8), byte(etherType), 0, 0, 0, 0, 0, 2, 0, 1, kind, 6, 2, 0, 0, 0, 0, 1, 0, 0}, payload...)
	}
	sll2 := cooked2(0, 0x0800, ip)
	to := func(dst ...byte) []byte { return append(dst, frame[6:]...) }
	igmp := append(bytes.Clone(ip[:16]), 239, 255, 1, 2)
	ip6 := append([]byte{0x60, 39: 0x16}, 1, 2)
	fromV6 := func(dst ...byte) []byte { return append(append(dst, 2, 0, 0, 0, 0, 1, 0x86, 0xdd), ip6...) }
	toNobody := append(make([]byte, 6), frame[6:]...)
	toAll := append(bytes.Repeat([]byte{0xff}, 6), frame[6:]...)
	for _, c := range []struct {
		name string
		link layers.LinkType
		data []byte
		want []capture.Packet
	}{
		{"Ethernet", layers.LinkTypeEthernet, frame, []capture.Packet{{Frame: frame}}},
		{"raw", 101, ip, []capture.Packet{{IP: ip}}},
		{"raw of OpenBSD", 12, ip, []capture.Packet{{IP: ip}}},
		{"IPv4", 228, ip, []capture.Packet{{IP: ip}}},
		{"loopback, little-endian", layers.LinkTypeNull, append([]byte{2, 0, 0, 0}, ip...), []capture.Packet{{IP: ip}}},
		{"loopback, big-endian", layers.LinkTypeLoop, append([]byte{0, 0, 0, 2}, ip...), []capture.Packet{{IP: ip}}},
		{"cooked, for this host", layers.LinkTypeLinuxSLL, sll(0), []capture.Packet{{Frame: toNobody}}},
		{"cooked, broadcast", layers.LinkTypeLinuxSLL, sll(1), []capture.Packet{{Frame: toAll}}},
		{"cooked, sent by this host", layers.LinkTypeLinuxSLL, sll(4), nil},
		{"cooked v2", 276 & 0xff, sll2, []capture.Packet{{Frame: toNobody}}},
		{"cooked v2, for another host", 276 & 0xff, cooked2(3, 0x0800, ip), []capture.Packet{{Frame: toNobody}}},
		{"cooked v2, sent by this host", 276 & 0xff, cooked2(4, 0x0800, ip), nil},
		{"cooked v2, multicast", 276 & 0xff, cooked2(2, 0x0800, igmp), []capture.Packet{{Frame: append(to(1, 0, 0x5e, 0x7f, 1, 2)[:14:14], igmp...)}}},
		{"cooked v2, multicast of IPv6", 276 & 0xff, cooked2(2, 0x86dd, ip6), []capture.Packet{{Frame: fromV6(0x33, 0x33, 0, 0, 0, 0x16)}}},
		{"cooked v2, multicast of a bridge", 276 & 0xff, cooked2(2, 4, nil), []capture.Packet{{Frame: []byte{1, 0x80, 0xc2, 0, 0, 0, 2, 0, 0, 0, 0, 1, 0, 4}}}},
		{"IPv6", 229, ip6, []capture.Packet{{IP: ip6}}},
		{"raw, of IPv6", 101, ip6, []capture.Packet{{IP: ip6}}},
		{"loopback, of IPv6", layers.LinkTypeNull, append([]byte{30, 0, 0, 0}, ip6...), []capture.Packet{{IP: ip6}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := readAll(bytes.NewReader(pcap(t, c.link, 0, c.data)))
			if d := cmp.Diff(c.want, got); d != "" || err != nil {
				t.Errorf("%v (-want +got):\n%s", err, d)
			}
		})
	}
}

func TestLengthOnTheWire(t *testing.T) {
	got, err := readAll(bytes.NewReader(pcap(t, 101, 1000, ip)))
	if err != nil || len(got) != 1 || got[0].Length != len(ip)+1000 {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestCompressed(t *testing.T) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	z.Write(pcap(t, layers.LinkTypeEthernet, 0, frame, frame))
	z.Close()
	if got, err := readAll(&b); err != nil || len(got) != 2 {
		t.Errorf("%d packets, %v", len(got), err)
	}
}

// Of a trace of vrouter's own only what came in is replayed.
func TestOwnTrace(t *testing.T) {
	interfaces := []string{"ns1 rx", "ens160 ttl", "ens160 neigh"}
	for application, want := range map[string]int{capture.Application: 1, "dumpcap": 3} {
		if got, err := readAll(bytes.NewReader(pcapng(t, application, interfaces...))); err != nil || len(got) != want {
			t.Errorf("of %s: %d packets, %v; want %d", application, len(got), err, want)
		}
	}
}

// Wherever a capture breaks off, what came before is read, and the error says
// where it was; between two packets nobody can tell.
func TestCutOff(t *testing.T) {
	for name, whole := range map[string][]byte{
		"pcap":   pcap(t, layers.LinkTypeEthernet, 0, frame, frame),
		"pcapng": pcapng(t, "dumpcap", "a", "a"),
	} {
		whole2, _ := readAll(bytes.NewReader(whole))
		if len(whole2) != 2 {
			t.Fatalf("%s: %d packets", name, len(whole2))
		}
		quiet := 0
		for n := range whole {
			got, err := readAll(bytes.NewReader(whole[:n]))
			if err == nil {
				quiet++
			}
			if err != nil && len(got) > 0 && !strings.Contains(err.Error(), "it breaks off after packet") {
				t.Errorf("%s, %d bytes: %v", name, n, err)
			}
		}
		if quiet > 4 { // behind the head, an interface or a packet
			t.Errorf("%s can be cut off at %d places without an error", name, quiet)
		}
	}
}

func TestNoCapture(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"", "it is empty"},
		{"root:x:0:0:root:/root:/bin/bash\n", "it is no capture"},
		{string(pcap(t, 105, 0, frame)), "its link type is 105"},
	} {
		if _, err := readAll(strings.NewReader(c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.20q: %v, want %q", c.text, err, c.want)
		}
	}
}

func TestHex(t *testing.T) {
	want := []*capture.Packet{{IP: ip}}
	inEthernet := []*capture.Packet{{Frame: frame, Exact: true}}
	bpdu, _ := hex.DecodeString("0180c2000000020000000001000442420300")
	ping6, _ := hex.DecodeString("6000000000083a01fd00007000010000" + "0000000000000001fd00007000020000" + "00000000000000018000000000010001")
	framed6 := append([]byte{0x6e, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 1, 0x86, 0xdd}, ping6...)
	inLength := []*capture.Packet{{Frame: bpdu, Exact: true}}
	for _, c := range []struct {
		name, text string
		want       []*capture.Packet
	}{
		{"tcpdump -x", "12:00:00.1 IP 10.70.1.1 > 10.70.2.1:  udp\n\t0x0000:  4500 0014 0001 0000 4011 663d 0a46 0101\n\t0x0010:  0a46 0201\n", want},
		{"tcpdump -XX", "\t0x0000:  eeee eeee eeee 0200 0000 0001 0800 4500  ..............E.\n\t0x0010:  0014 0001 0000 4011 663d 0a46 0101 0a46  ......@.f=.F...F\n\t0x0020:  0201                                     ..\n", inEthernet},
		{"xxd", "00000000: 4500 0014 0001 0000 4011 663d 0a46 0101  E.......@.f=.F..\n00000010: 0a46 0201                                .F..\n", want},
		{"hexdump -C", "00000000  45 00 00 14 00 01 00 00  40 11 66 3d 0a 46 01 01  |E.......@.f=.F..|\n00000010  0a 46 02 01                                       |.F..|\n00000014\n", want},
		{"Wireshark", "0000   45 00 00 14 00 01 00 00 40 11 66 3d 0a 46 01 01   E.......@.f=.F..\n0010   0a 46 02 01                                       .F..\n", want},
		{"digits", "450000140001000040 11663d0a4601010a460201\n", want},
		{"IPv6", "6000 0000 0008 3a01 fd00 0070 0001 0000 0000 0000 0000 0001 fd00 0070 0002 0000 0000 0000 0000 0001 8000 0000 0001 0001\n", []*capture.Packet{{IP: ping6}}},
		{"tcpdump -x, of IPv6", "IP6 fd00:70:1::1 > fd00:70:2::1: ICMP6, echo request, id 1, seq 1, length 8\n\t0x0000:  6000 0000 0008 3a01 fd00 0070 0001 0000\n" +
			"\t0x0010:  0000 0000 0000 0001 fd00 0070 0002 0000\n\t0x0020:  0000 0000 0000 0001 8000 0000 0001 0001\n", []*capture.Packet{{IP: ping6}}},
		{"IPv6 in Ethernet", hex.EncodeToString(framed6) + "\n", []*capture.Packet{{Frame: framed6, Exact: true}}},
		{"IPv6, cut short", hex.EncodeToString(ping6[:44]) + "\n", []*capture.Packet{{IP: ping6[:44]}}},
		{"a length in place of a type (IEEE 802.3)", "0180 c200 0000 0200 0000 0001 0004 4242 0300\n", inLength},
		{"two packets", "0x0000:  4500 0014 0001 0000 4011 663d 0a46 0101\n0x0010:  0a46 0201\n0x0000:  4500 0014 0001 0000 4011 663d 0a46 0101\n0x0010:  0a46 0201\n", append(want, want...)},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := capture.ReadHex(strings.NewReader(c.text))
			if d := cmp.Diff(c.want, got); d != "" || err != nil {
				t.Errorf("%v (-want +got):\n%s", err, d)
			}
		})
	}
}

func TestNoHex(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"", "there are no bytes in it"},
		{"hello world\n", "there are no bytes in it"},
		{"0x0000:  4500 0014\n0x0010:  0a46 0201\n", "some lines are missing"},
		{"01020304\n", "begin neither with an Ethernet header nor with one of IP"},
	} {
		if _, err := capture.ReadHex(strings.NewReader(c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want %q", c.text, err, c.want)
		}
	}
}

// Nothing in a file makes the reader panic, or go on for ever.
func FuzzCapture(f *testing.F) {
	f.Add([]byte("\xd4\xc3\xb2\xa1\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x01\x00\x00\x00"))
	f.Add([]byte("\x0a\x0d\x0d\x0a\x1c\x00\x00\x00\x4d\x3c\x2b\x1a\x01\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\x1c\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		all, err := readAll(bytes.NewReader(b))
		if len(all) > len(b) || err != nil && err.Error() == "" {
			t.Errorf("%d packets of %d bytes, %v", len(all), len(b), err)
		}
	})
}

func FuzzHex(f *testing.F) {
	f.Add("0x0000:  4500 0014 0001 0000 4011 663d 0a46 0101\n0x0010:  0a46 0201\n")
	f.Add("00000000  45 00 00 14 |E...|\n")
	f.Fuzz(func(t *testing.T, text string) {
		packets, err := capture.ReadHex(strings.NewReader(text))
		if err == nil && len(packets) == 0 {
			t.Error("neither packets nor an error")
		}
	})
}
