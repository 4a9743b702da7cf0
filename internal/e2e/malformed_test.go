package e2e

import (
	"encoding/binary"
	"net/netip"
	"os"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/workload"
)

var (
	gatewayMAC = packet.MAC{0xee, 0xee, 0xee, 0xee, 0xee, 0xee}
	broadcast  = packet.MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
)

// Whatever a workload puts on its wire is counted once, with its reason.
func TestMalformedFrames(t *testing.T) {
	ns, w1 := newHost(t), newNamespace(t)
	startRouter(t, ns, "/run/vrouter/vrouter.sock", withNamespace(string(w1))+"routes: [{to: 10.70.9.0/24, type: blackhole}, {to: 10.70.8.0/24, type: prohibit}, {to: 10.70.7.0/24, type: unreachable}]\n")
	before := scrape(t, ns)
	want := series{}
	for _, c := range malformed(packet.MAC(macOf(t, w1, "eth0"))) {
		sendRaw(t, w1, "eth0", c.frames)
		want[key("drop_packets_total", `port="w1"`, `reason="`+c.reason+`"`)] += float64(len(c.frames))
	}
	dropped := func() series {
		grown := scrape(t, ns).since(before)
		for k := range grown {
			if !slices.Contains(grown.labels("drop_packets_total{"), k) {
				delete(grown, k)
			}
		}
		return grown
	}
	var got series
	defer func() {
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("drops (-want +got):\n%s", d)
		}
	}()
	eventually(t, "all frames are counted", func() bool {
		got = dropped()
		return cmp.Equal(want, got)
	})
	now := scrape(t, ns)
	if n := now[key("accounting_imbalance_packets")]; n != 0 {
		t.Errorf("imbalance of %v packets", n)
	}
	wantEcho(t, w1, "169.254.1.1", 64) // the router is none the worse
}

type bad struct {
	reason string
	frames [][]byte
}

// malformed are frames of a workload with this MAC, by the reason they are dropped for.
func malformed(mac packet.MAC) []bad {
	// ip is a good frame, changed, with its checksum made right again; raw is one whose checksum is not.
	raw := func(change func(frame, header []byte)) []byte {
		f := frameTo(gatewayMAC, mac, packet.EtherTypeIPv4, datagram())
		change(f, f[packet.EthernetLen:])
		return f
	}
	ip := func(change func(header []byte)) []byte {
		return raw(func(_, h []byte) {
			change(h)
			packet.IPv4(h[:packet.IPv4MinLen]).SetChecksum()
		})
	}
	address := func(at int, a string) []byte {
		return ip(func(h []byte) { copy(h[at:], netip.MustParseAddr(a).AsSlice()) })
	}
	src := func(a string) []byte { return address(12, a) }
	dst := func(a string) []byte { return address(16, a) }
	arp := func(change func([]byte)) []byte {
		b := make([]byte, packet.ARPLen)
		m := packet.ARPMessage{Op: packet.ARPRequest, SenderMAC: mac, SenderIP: netip.MustParseAddr(here), TargetIP: netip.MustParseAddr("169.254.1.1")}
		m.Put(b)
		change(b)
		return frameTo(broadcast, mac, packet.EtherTypeARP, b)
	}
	six := func(src, dst string, next, hops byte, body ...byte) []byte {
		b := make([]byte, packet.IPv6MinLen)
		packet.PutIPv6(b, &packet.Header6{PayloadLen: len(body), NextHeader: next, HopLimit: hops, Src: netip.MustParseAddr(src), Dst: netip.MustParseAddr(dst)})
		return frameTo(gatewayMAC, mac, packet.EtherTypeIPv6, append(b, body...))
	}
	return []bad{
		{"not_for_router", [][]byte{raw(func(f, _ []byte) { copy(f, []byte{2, 0, 0, 0, 0, 9}) })}},
		{"unknown_ethertype", [][]byte{frameTo(gatewayMAC, mac, 0x88cc, nil), frameTo(broadcast, mac, 0x88b5, make([]byte, 40))}},
		{"arp_malformed", [][]byte{arp(func(b []byte) { b[1] = 6 }), arp(func(b []byte) { b[4] = 8 }), frameTo(broadcast, mac, packet.EtherTypeARP, make([]byte, 27))}},
		{"arp_ignored", [][]byte{arp(func(b []byte) { copy(b[24:], []byte{10, 70, 1, 99}) })}}, // nobody's
		{"ip_too_short", [][]byte{frameTo(gatewayMAC, mac, packet.EtherTypeIPv4, datagram()[:19]), frameTo(gatewayMAC, mac, packet.EtherTypeIPv4, nil)}},
		{"ip_bad_version", [][]byte{raw(func(_, h []byte) { h[0] = 0x65 }), frameTo(broadcast, mac, packet.EtherTypeIPv6, make([]byte, 40))}},
		{"ip6_bad_header", [][]byte{six("fd00:70:1::1", "fd00:70:2::1", packet.HeaderDestination, 64, packet.ProtocolUDP, 9, 1, 4, 0, 0, 0, 0)}},
		{"beyond_scope", [][]byte{six("fe80::7", "fd00:70:2::1", packet.ProtocolUDP, 64, 0, 1, 0, 2, 0, 8, 0, 0)}},
		{"nd_malformed", [][]byte{six("fe80::7", "fe80::ecee:eeff:feee:eeee", packet.ProtocolICMPv6, 64, append([]byte{packet.ICMPv6NeighborSolicitation, 0, 0, 0, 0, 0, 0, 0}, make([]byte, 16)...)...)}},
		{"ip_bad_header_length", [][]byte{raw(func(_, h []byte) { h[0] = 0x44 })}},
		{"ip_bad_length", [][]byte{ip(func(h []byte) { h[3] = 19 }), ip(func(h []byte) { h[2] = 1 })}},
		{"ip_bad_checksum", [][]byte{raw(func(_, h []byte) { h[10] ^= 1 })}},
		{"l2_broadcast", [][]byte{raw(func(f, _ []byte) { copy(f, broadcast[:]) })}},
		{"martian_source", [][]byte{src("0.0.0.0"), src("127.0.0.1"), src("224.0.0.1"), src("255.255.255.255")}},
		{"martian_destination", [][]byte{dst("0.0.0.1"), dst("127.0.0.1"), dst("224.0.0.5"), dst("240.0.0.1"), dst("255.255.255.255")}},
		{"link_local", [][]byte{src("169.254.7.7"), dst("169.254.7.7")}},
		{"rpf_failed", [][]byte{src("10.70.1.7")}},
		{"ttl_exceeded", [][]byte{ip(func(h []byte) { h[8] = 1; copy(h[16:], []byte{192, 168, 0, 12}) })}},
		{"no_route", [][]byte{dst("8.8.8.8")}},
		{"blackhole", [][]byte{dst("10.70.9.1")}},
		{"prohibit", [][]byte{dst("10.70.8.1")}},
		{"unreachable", [][]byte{dst("10.70.7.1")}},
		{"local_unsupported", [][]byte{dst("169.254.1.1")}},
	}
}

// datagram is a good one of UDP, to nobody in particular.
func datagram() []byte {
	b := make([]byte, packet.IPv4MinLen+8)
	packet.PutIPv4(b, &packet.Header{
		TotalLen: len(b), TTL: 64, Protocol: packet.ProtocolUDP,
		Src: netip.MustParseAddr(here), Dst: netip.MustParseAddr("8.8.8.8"),
	})
	binary.BigEndian.PutUint16(b[packet.IPv4MinLen+4:], 8) // its length; no checksum (RFC 768)
	return b
}

func frameTo(dst, src packet.MAC, etherType uint16, payload []byte) []byte {
	f := packet.FrameOf(append(make([]byte, packet.EthernetLen), payload...))
	f.SetEthernet(dst, src, etherType)
	return f.Bytes()
}

func macOf(t *testing.T, ns workload.Namespace, name string) (mac []byte) {
	t.Helper()
	in(t, ns, func() error {
		return withLink(name, func(l netlink.Link) error {
			mac = l.Attrs().HardwareAddr
			return nil
		})
	})
	return mac
}

// sendRaw puts frames on an interface's wire as they are.
func sendRaw(t *testing.T, ns workload.Namespace, name string, frames [][]byte) {
	t.Helper()
	in(t, ns, func() error {
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return os.NewSyscallError("socket", err)
		}
		defer unix.Close(fd)
		return withLink(name, func(l netlink.Link) error {
			for _, f := range frames {
				if err := unix.Sendto(fd, f, 0, &unix.SockaddrLinklayer{Ifindex: l.Attrs().Index}); err != nil {
					return os.NewSyscallError("sendto", err)
				}
			}
			return nil
		})
	})
}
