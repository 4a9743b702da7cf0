package trace

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/vrouter/vrouter/internal/packet"
)

func frameOf(etherType byte, ip []byte) []byte {
	head := []byte{2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x08, 0x00}
	if etherType == 6 {
		head[12], head[13] = 0x86, 0xdd
	}
	return append(head, ip...)
}

func four(protocol byte, parts ...[]byte) []byte {
	body := slices.Concat(parts...)
	b := make([]byte, packet.IPv4MinLen)
	packet.PutIPv4(b, &packet.Header{
		TotalLen: len(b) + len(body), TTL: 64, Protocol: protocol, Src: netip.MustParseAddr("10.70.1.1"), Dst: netip.MustParseAddr("10.70.2.1"),
	})
	return append(b, body...)
}

func six(src, dst string, next byte, parts ...[]byte) []byte {
	body := slices.Concat(parts...)
	b := make([]byte, packet.IPv6MinLen)
	packet.PutIPv6(b, &packet.Header6{
		PayloadLen: len(body), NextHeader: next, HopLimit: 64, Src: netip.MustParseAddr(src), Dst: netip.MustParseAddr(dst),
	})
	return append(b, body...)
}

func workloads(next byte, parts ...[]byte) []byte {
	return six("fd00:70:1::1", "fd00:70:2::1", next, parts...)
}

func nd(src, dst string, parts ...[]byte) []byte { return six(src, dst, 58, parts...) }

// summaries are frames of each kind, and what is said of them.
func summaries() []struct {
	frame []byte
	want  string
} {
	echo := []byte{128, 0, 0, 0, 0, 41, 0, 1}
	udp, tcp := []byte{4, 210, 0, 53, 0, 8, 0, 0}, append([]byte{0, 80, 4, 210, 0, 0, 0, 7, 0, 0, 0, 9, 0x50, 0x12}, make([]byte, 6)...)
	target := netip.MustParseAddr("fd00:70:1::1").AsSlice()
	const flow, lla, group = "fd00:70:1::1 > fd00:70:2::1", "fe80::ecee:eeff:feee:eeee", "ff02::1:ff00:1"
	type row = struct {
		frame []byte
		want  string
	}
	vxlan := func(etherType uint16, inner []byte) []byte {
		b := append(make([]byte, packet.VXLANLen), inner...)
		packet.PutVXLAN(b, &packet.VXLANHeader{SrcPort: 50000, DstPort: packet.VXLANPort, Len: len(b), VNI: 4096, EtherType: etherType})
		return b
	}
	return []row{
		{frameOf(4, four(17, vxlan(packet.EtherTypeIPv6, workloads(58, echo)))), "vxlan 10.70.1.1 > 10.70.2.1 vni 4096 / icmp6 echo request " + flow + " id 41 seq 1"},
		{frameOf(6, workloads(17, vxlan(packet.EtherTypeIPv4, four(17, udp)))), "vxlan " + flow + " vni 4096 / udp 10.70.1.1.1234 > 10.70.2.1.53"},
		{frameOf(4, four(17, vxlan(packet.EtherTypeARP, four(17, udp)))), "udp 10.70.1.1.50000 > 10.70.2.1.4789"},
		{frameOf(4, four(1, []byte{8, 0, 0, 0, 0, 41, 0, 1})), "icmp echo request 10.70.1.1 > 10.70.2.1 id 41 seq 1"},
		{frameOf(4, four(17, udp)), "udp 10.70.1.1.1234 > 10.70.2.1.53"},
		{frameOf(4, four(6, tcp)), "tcp 10.70.1.1.80 > 10.70.2.1.1234 S. seq 7"},
		{frameOf(4, four(6, tcp[:7])), "tcp 10.70.1.1.80 > 10.70.2.1.1234"},
		{frameOf(4, four(4, four(47))), "ipip 10.70.1.1 > 10.70.2.1 / proto 47 10.70.1.1 > 10.70.2.1"},
		{frameOf(4, []byte{0x55, 19: 0}), "proto 0 0.0.0.0 > 0.0.0.0"},
		{frameOf(4, []byte{0x45}), "ethertype 0x0800 02:00:00:00:00:01 > 02:00:00:00:00:02"},
		{frameOf(6, workloads(58)[:39]), "ethertype 0x86dd 02:00:00:00:00:01 > 02:00:00:00:00:02"},

		{frameOf(6, workloads(58, echo)), "icmp6 echo request " + flow + " id 41 seq 1"},
		{frameOf(6, workloads(58, []byte{129, 0, 0, 0, 0, 41, 0, 1})), "icmp6 echo reply " + flow + " id 41 seq 1"},
		{frameOf(6, workloads(58, echo[:7])), "icmp6 " + flow},
		{frameOf(6, workloads(17, udp)), "udp fd00:70:1::1.1234 > fd00:70:2::1.53"},
		{frameOf(6, workloads(6, tcp)), "tcp fd00:70:1::1.80 > fd00:70:2::1.1234 S. seq 7"},
		{frameOf(6, workloads(132, udp)), "proto 132 " + flow},
		{frameOf(6, workloads(59)), "proto 59 " + flow},
		{frameOf(6, append([]byte{0x50}, workloads(17, udp)[1:]...)), "ip6 " + flow},

		{frameOf(6, workloads(58, []byte{1, 0, 0, 0, 0, 0, 0, 0}, workloads(17, udp))), "icmp6 no route " + flow},
		{frameOf(6, workloads(58, []byte{1, 1, 0, 0, 0, 0, 0, 0})), "icmp6 administratively prohibited " + flow},
		{frameOf(6, workloads(58, []byte{1, 2, 0, 0, 0, 0, 0, 0})), "icmp6 beyond scope " + flow},
		{frameOf(6, workloads(58, []byte{1, 3, 0, 0, 0, 0, 0, 0})), "icmp6 address unreachable " + flow},
		{frameOf(6, workloads(58, []byte{1, 4, 0, 0, 0, 0, 0, 0})), "icmp6 port unreachable " + flow},
		{frameOf(6, workloads(58, []byte{1, 6, 0, 0, 0, 0, 0, 0})), "icmp6 unreachable (code 6) " + flow},
		{frameOf(6, workloads(58, []byte{2, 0, 0, 0, 0, 0, 5, 0})), "icmp6 packet too big " + flow + " mtu 1280"},
		{frameOf(6, workloads(58, []byte{3, 0, 0, 0, 0, 0, 0, 0})), "icmp6 time exceeded " + flow},
		{frameOf(6, workloads(58, []byte{3, 1, 0, 0, 0, 0, 0, 0})), "icmp6 reassembly time exceeded " + flow},
		{frameOf(6, workloads(58, []byte{4, 0, 0, 0, 0, 0, 0, 42})), "icmp6 parameter problem (code 0) " + flow + " at byte 42"},
		{frameOf(6, workloads(58, []byte{200, 3, 0, 0, 0, 0, 0, 0})), "icmp6 type 200 code 3 " + flow},

		{frameOf(6, nd(lla, group, []byte{135, 0, 0, 0, 0, 0, 0, 0}, target)), "icmp6 neighbor solicitation who has fd00:70:1::1 tell " + lla},
		{frameOf(6, nd("::", group, []byte{135, 0, 0, 0, 0, 0, 0, 0}, target)), "icmp6 neighbor solicitation is fd00:70:1::1 taken?"},
		{frameOf(6, nd(lla, "fe80::1", []byte{136, 0, 0, 0, 0xe0, 0, 0, 0}, target, []byte{2, 1, 2, 0, 0, 0, 0, 9})),
			"icmp6 neighbor advertisement fd00:70:1::1 is at 02:00:00:00:00:09 router solicited override"},
		{frameOf(6, nd(lla, "fe80::1", []byte{136, 0, 0, 0, 0x40, 0, 0, 0}, target)), "icmp6 neighbor advertisement fd00:70:1::1 is there solicited"},
		{frameOf(6, nd(lla, "ff02::2", []byte{133, 0, 0, 0, 0, 0, 0, 0})), "icmp6 router solicitation " + lla + " > ff02::2"},
		{frameOf(6, nd(lla, "ff02::1", []byte{134, 0, 0, 0, 0, 0, 0, 0})), "icmp6 router advertisement " + lla + " > ff02::1"},
		{frameOf(6, nd(lla, "ff02::1", []byte{137, 0, 0, 0, 0, 0, 0, 0}, target)), "icmp6 redirect " + lla + " > ff02::1 to fd00:70:1::1"},
		{frameOf(6, nd(lla, "ff02::1", []byte{135, 0, 0, 0, 0, 0, 0, 0})), "icmp6 type 135 code 0 " + lla + " > ff02::1"},
		{frameOf(6, nd(lla, "ff02::16", []byte{0x3a, 0, 5, 2, 0, 0, 1, 0})[:48]), "icmp6 type 58 code 0 " + lla + " > ff02::16"},
		{frameOf(6, six(lla, "ff02::16", 0, []byte{58, 0, 5, 2, 0, 0, 1, 0}, []byte{143, 0, 0, 0, 0, 0, 0, 0})),
			"icmp6 multicast listener report " + lla + " > ff02::16 with hop-by-hop"},

		{frameOf(6, workloads(44, []byte{17, 0, 0, 1, 0, 0, 0, 7}, udp)), "udp " + flow + " id 7 offset 0"},
		{frameOf(6, workloads(44, []byte{58, 0, 5, 0xa9, 0, 0, 0, 7}, udp)), "icmp6 " + flow + " id 7 offset 1448"},
		{frameOf(6, workloads(44, []byte{17, 0, 0, 0, 0, 0, 0, 7}, udp)), "udp fd00:70:1::1.1234 > fd00:70:2::1.53 with fragment (of one)"},
		{frameOf(6, workloads(60, []byte{44, 0, 1, 4, 0, 0, 0, 0}, []byte{17, 0, 0, 8, 0, 0, 0, 7}, udp)), "udp " + flow + " id 7 offset 8 with destination"},
		{frameOf(6, workloads(0, []byte{43, 0, 1, 4, 0, 0, 0, 0}, []byte{17, 0, 0, 1, 0, 0, 0, 0}, udp)),
			"udp fd00:70:1::1.1234 > fd00:70:2::1.53 with hop-by-hop, routing type 0 left 1"},
		{frameOf(6, workloads(60, []byte{17, 9, 1, 4, 0, 0, 0, 0})), "ip6 " + flow + " with destination, headers that end badly"},
		{frameOf(6, workloads(60, []byte{17, 0, 1})), "ip6 " + flow + " with headers that end badly"},

		{frameOf(4, four(41, workloads(58, echo))), "6in4 10.70.1.1 > 10.70.2.1 / icmp6 echo request " + flow + " id 41 seq 1"},
		{frameOf(6, workloads(41, workloads(17, udp))), "6in6 " + flow + " / udp fd00:70:1::1.1234 > fd00:70:2::1.53"},
		{frameOf(6, workloads(60, []byte{4, 0, 4, 1, 4, 1, 1, 0}, four(17, udp))), "4in6 " + flow + " with destination / udp 10.70.1.1.1234 > 10.70.2.1.53"},
	}
}

func TestSummary(t *testing.T) {
	for _, c := range summaries() {
		if got := summarise(c.frame); got.text != c.want {
			t.Errorf("%x:\n got %q\nwant %q", c.frame, got.text, c.want)
		}
	}
	s := summarise(frameOf(4, four(41, workloads(58, []byte{128, 0, 0, 0, 0, 41, 0, 1}))))
	if s.src != "fd00:70:1::1" || s.dst != "fd00:70:2::1" || s.proto != "icmp6" {
		t.Errorf("of the inner packet: %+v", s)
	}
}

// What is cut or forged is told as far as it goes, in one line.
func FuzzSummary(f *testing.F) {
	for _, c := range summaries() {
		f.Add(c.frame)
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		frame = frame[:len(frame):len(frame)]
		if s := summarise(frame); s.text == "" {
			t.Error("nothing is said")
		}
		_, _ = lengthOf(frame)
	})
}
