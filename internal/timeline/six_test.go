package timeline_test

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/timeline"
	"github.com/vrouter/vrouter/internal/trace"
)

// Records of two hosts as they would make them of IPv6: the packet as it comes and as it
// leaves. What a router does with it is others' to test.
const (
	wa, wb     = "fd00:70:1::1", "fd00:70:2::1"
	hostA6     = "fd00:192::11"
	hostB6     = "fd00:192::12"
	viaB, viaA = "fd00:70:2::1/128 via fd00:192::12 dev ens160", "fd00:70:1::1/128 via fd00:192::11 dev ens160"
)

var (
	uplinkA, uplinkB = packet.MAC{2, 0, 0, 0, 0, 11}, packet.MAC{2, 0, 0, 0, 0, 12}
	workA, workB     = packet.MAC{2, 0, 0, 0, 1, 1}, packet.MAC{2, 0, 0, 0, 2, 1}
)

// six is an IPv6 packet of what its next header says.
func six(src, dst string, next byte, flow uint32, body ...byte) []byte {
	b := make([]byte, packet.IPv6MinLen)
	packet.PutIPv6(b, &packet.Header6{FlowLabel: flow, PayloadLen: len(body), NextHeader: next, HopLimit: 64, Src: addr(src), Dst: addr(dst)})
	return append(b, body...)
}

// hops is the packet further on.
func hops(ip []byte, n byte) []byte {
	ip = slices.Clone(ip)
	if ip[0]>>4 == 6 {
		ip[7] -= n
	} else {
		packet.IPv4(ip).SetTTL(packet.IPv4(ip).TTL() - n)
	}
	return ip
}

func ethernet(dst, src packet.MAC, ip []byte) *trace.Frame {
	f := packet.FrameOf(append(make([]byte, packet.EthernetLen), ip...))
	etherType := uint16(packet.EtherTypeIPv6)
	if ip[0]>>4 == 4 {
		etherType = packet.EtherTypeIPv4
	}
	f.SetEthernet(dst, src, etherType)
	b := f.Bytes()
	return &trace.Frame{Bytes: b[:min(len(b), 160)], Length: len(b)}
}

// log is what the two hosts record, by a clock that goes on with each record.
type log struct {
	a, b []*trace.Packet
	now  time.Time
}

func (l *log) add(host string, in, out string, came, left *trace.Frame, route string, more ...func(*trace.Packet)) *trace.Packet {
	list := &l.a
	if host == "b" {
		list = &l.b
	}
	l.now = l.now.Add(time.Millisecond)
	p := &trace.Packet{
		ID: uint64(len(*list) + 1), Host: host, Time: l.now, In: in, Out: out, Outcome: trace.Forwarded, Frame: came, Packets: 1,
		Steps: []trace.Step{{Step: "route", Verdict: "pass", Route: route}, {Step: "ttl", Verdict: "edit", NS: 1000, Frame: left}, {Step: "tx", Verdict: "pass", NS: 2000}},
	}
	for _, m := range more {
		m(p)
	}
	*list = append(*list, p)
	return p
}

// sends is what a's workload sends to b's, as it is in a's records.
func (l *log) sends(ip []byte, more ...func(*trace.Packet)) {
	l.add("a", "ns1", "ens160", ethernet(gatewayMAC, workA, ip), ethernet(uplinkB, uplinkA, hops(ip, 1)), viaB, more...)
}

// gets is the same in b's.
func (l *log) gets(ip []byte, more ...func(*trace.Packet)) {
	l.add("b", "ens160", "ns1", ethernet(uplinkB, uplinkA, hops(ip, 1)), ethernet(workB, gatewayMAC, hops(ip, 2)), "fd00:70:2::1/128 dev ns1", more...)
}

func (l *log) across(ip []byte) { l.sends(ip); l.gets(ip) }

// back is what b's workload sends to a's.
func (l *log) back(ip []byte) {
	l.add("b", "ns1", "ens160", ethernet(gatewayMAC, workB, ip), ethernet(uplinkA, uplinkB, hops(ip, 1)), viaA)
	l.add("a", "ens160", "ns1", ethernet(uplinkA, uplinkB, hops(ip, 1)), ethernet(workA, gatewayMAC, hops(ip, 2)), "fd00:70:1::1/128 dev ns1")
}

// tunnelled is what goes from a to b in another packet, whose header the function puts around.
func (l *log) tunnelled(ip []byte, around func([]byte) []byte) {
	outer := around(hops(ip, 1))
	l.add("a", "ns1", "ens160", ethernet(gatewayMAC, workA, ip), ethernet(uplinkB, uplinkA, outer), viaB)
	l.add("b", "ens160", "ns1", ethernet(uplinkB, uplinkA, outer), ethernet(workB, gatewayMAC, hops(ip, 2)), "fd00:70:2::1/128 dev ns1")
}

func cut(packets int) func(*trace.Packet) { return func(p *trace.Packet) { p.Packets = packets } }

func dropped(reason string) func(*trace.Packet) {
	return func(p *trace.Packet) { p.Out, p.Outcome, p.Reason = "", trace.Dropped, reason }
}

func ping6(seq byte) []byte { return six(wa, wb, 58, 7, 128, 0, seq, seq, 0, 41, 0, seq, 1, 2, 3, 4) }
func pong6(seq byte) []byte { return six(wb, wa, 58, 9, 129, 0, seq, seq, 0, 41, 0, seq, 1, 2, 3, 4) }

func udp6(flow uint32, text string) []byte {
	return six(wa, wb, 17, flow, append([]byte{0x13, 0x88, 0, 53, 0, byte(8 + len(text)), 1, 2}, text...)...)
}

// tcp6 is a segment of so many bytes with a timestamp.
func tcp6(seq uint32, length int, stamp byte) []byte {
	h := make([]byte, 32+length)
	binary.BigEndian.PutUint32(h, 80<<16|9999)
	binary.BigEndian.PutUint32(h[4:], seq)
	h[11], h[12], h[13], h[15] = 7, 8<<4, 16, 99
	copy(h[20:], []byte{1, 1, 8, 10, 0, 0, 0, stamp, 0, 0, 0, 1})
	return six(wa, wb, 6, 7, h...)
}

func fragment6(id uint32, offset int, more bool, body string) []byte {
	h := make([]byte, packet.FragmentHeaderLen)
	packet.PutFragmentHeader(h, 17, offset, more, id)
	return six(wa, wb, 44, 7, append(h, body...)...)
}

func in4(id uint16) func([]byte) []byte {
	return func(ip []byte) []byte {
		b := make([]byte, packet.IPv4MinLen)
		packet.PutIPv4(b, &packet.Header{TotalLen: len(b) + len(ip), ID: id, TTL: 64, Protocol: 41, Src: addr("192.168.0.11"), Dst: addr("192.168.0.12")})
		return append(b, ip...)
	}
}

// in6 has the option of RFC 2473 4.1.1, as a kernel sends it.
func in6(protocol byte) func([]byte) []byte {
	return func(ip []byte) []byte {
		return six(hostA6, hostB6, 60, 0, append([]byte{protocol, 0, 4, 1, 4, 1, 1, 0}, ip...)...)
	}
}

func four() []byte {
	b := make([]byte, packet.IPv4MinLen+8)
	packet.PutIPv4(b, &packet.Header{TotalLen: len(b), ID: 5, TTL: 64, Protocol: 17, Src: addr("10.70.1.1"), Dst: addr("10.70.2.1")})
	return b
}

// nd is a message between the two hosts.
func nd(kind byte, src, dst, target netip.Addr, from, to packet.MAC) *trace.Frame {
	f := packet.NewFrame()
	packet.PutND(&f, &packet.ND{Type: kind, Src: src, Dst: dst, Target: target, MAC: from, Solicited: kind == 136}, from, to)
	return &trace.Frame{Bytes: f.Bytes(), Length: f.Len}
}

func options6(clock string) timeline.Options {
	o := timeline.Options{Within: within}
	for _, h := range []struct {
		name string
		mac  packet.MAC
		work []string
	}{{"a", uplinkA, []string{wa, "10.70.1.1"}}, {"b", uplinkB, []string{wb, "10.70.2.1"}}} {
		host := timeline.Host{Name: h.name, Uplinks: []string{"ens160"}, MACs: []packet.MAC{h.mac}, Clock: clock}
		for _, w := range h.work {
			host.Workloads = append(host.Workloads, addr(w))
		}
		o.Hosts = append(o.Hosts, host)
	}
	return o
}

func TestJoin6(t *testing.T) {
	const lost = "packet a ns1>ens160 unseen b; unseen"
	for _, c := range []struct {
		name string
		run  func(l *log)
		want []string
	}{
		{"a ping and its reply", func(l *log) { l.across(ping6(1)); l.back(pong6(1)) }, []string{pingPath + pongPath + " delivered arrived"}},
		{"its reply is lost", func(l *log) {
			l.across(ping6(1))
			l.add("b", "ns1", "ens160", ethernet(gatewayMAC, workB, pong6(1)), ethernet(uplinkA, uplinkB, hops(pong6(1), 1)), viaA)
		}, []string{pingPath + " reply b ns1>ens160 unseen a; delivered lost"}},
		{"pings, one of them lost", func(l *log) { l.across(ping6(1)); l.sends(ping6(2)); l.across(ping6(3)) },
			[]string{pingPath + " delivered none", lost, pingPath + " delivered none"}},
		{"by a router on the way", func(l *log) {
			l.sends(udp6(7, "hello"))
			l.add("b", "ens160", "ns1", ethernet(uplinkB, packet.MAC{2, 9}, hops(udp6(7, "hello"), 2)), ethernet(workB, gatewayMAC, hops(udp6(7, "hello"), 3)), "")
		}, []string{pingPath + " delivered"}},
		{"a device completes the checksum", func(l *log) {
			whole := udp6(7, "hello")
			l.sends(whole)
			whole[46], whole[47] = 0x77, 0x77
			l.gets(whole)
		}, []string{pingPath + " delivered"}},
		{"told apart by what is in them", func(l *log) { l.sends(udp6(7, "one")); l.sends(udp6(7, "two")); l.gets(udp6(7, "two")) },
			[]string{lost, pingPath + " delivered"}},
		{"told apart by the flow label", func(l *log) { l.sends(udp6(7, "one")); l.sends(udp6(8, "one")); l.gets(udp6(8, "one")) },
			[]string{lost, pingPath + " delivered"}},
		{"told apart by the length alone", func(l *log) {
			long, short := udp6(7, strings.Repeat("x", 200)), udp6(7, strings.Repeat("x", 199))
			long[45], short[45] = 0, 0
			l.sends(long)
			l.sends(short)
			l.gets(short)
		}, []string{lost, pingPath + " delivered"}},
		{"of one next header, told by flow and length", func(l *log) { l.across(six(wa, wb, 132, 7, 1, 2, 3)); l.sends(six(wa, wb, 132, 7, 1, 2)) },
			[]string{pingPath + " delivered", lost}},

		{"alike, and all there", func(l *log) {
			for range 3 {
				l.across(udp6(7, "same"))
			}
		}, slices.Repeat([]string{pingPath + " delivered"}, 3)},
		{"alike, and one is missing: which?", func(l *log) { l.sends(udp6(7, "same")); l.across(udp6(7, "same")); l.across(udp6(7, "other")) },
			[]string{pingPath + " ambiguous", "packet a ns1>ens160 unseen b; ambiguous", pingPath + " delivered"}},
		{"alike, and they end differently", func(l *log) {
			l.across(udp6(7, "same"))
			l.sends(udp6(7, "same"))
			l.gets(udp6(7, "same"), dropped("neighbor_unresolved"))
		}, []string{pingPath + " ambiguous", "packet a ns1>ens160; packet b ens160> from a; ambiguous"}},
		{"alike inside, told apart by the tunnel's identification", func(l *log) {
			same := udp6(7, "same")
			l.add("a", "ns1", "ens160", ethernet(gatewayMAC, workA, same), ethernet(uplinkB, uplinkA, in4(1)(hops(same, 1))), viaB)
			l.tunnelled(same, in4(2))
		}, []string{lost, pingPath + " delivered"}},

		{"TCP", func(l *log) { l.across(tcp6(1000, 10, 1)); l.across(tcp6(1010, 10, 2)) }, slices.Repeat([]string{pingPath + " delivered"}, 2)},
		{"a segment is lost, and sent again with another timestamp", func(l *log) { l.sends(tcp6(1000, 10, 1)); l.across(tcp6(1000, 10, 2)) },
			[]string{lost, pingPath + " delivered"}},
		{"a superframe as segments", func(l *log) {
			l.sends(tcp6(1000, 3000, 1), cut(3))
			for i := range uint32(3) {
				l.gets(tcp6(1000+1000*i, 1000, 1))
			}
		}, []string{pingPath + strings.Repeat(" packet b ens160>ns1 from a;", 2) + " delivered"}},
		{"a segment of a superframe is lost", func(l *log) {
			l.sends(tcp6(1000, 3000, 1), cut(3))
			l.gets(tcp6(1000, 1000, 1))
			l.gets(tcp6(3000, 1000, 1))
		}, []string{"packet a ns1>ens160 unseen b; packet b ens160>ns1 from a; packet b ens160>ns1 from a; unseen"}},
		{"segments are joined on the way", func(l *log) {
			l.sends(tcp6(1000, 1000, 1))
			l.sends(tcp6(2000, 1000, 1))
			l.gets(tcp6(1000, 2000, 1), cut(2))
		}, []string{pingPath + " packet a ns1>ens160; delivered"}},

		{"fragments", func(l *log) {
			l.across(fragment6(70000, 0, true, "12345678"))
			l.across(fragment6(70000, 8, false, "tail"))
		},
			[]string{pingPath + " " + pingPath + " delivered"}},
		{"fragments of another datagram, one of them lost", func(l *log) {
			l.across(fragment6(70000, 0, true, "12345678"))
			l.sends(fragment6(70000, 8, false, "tail"))
			l.across(fragment6(70000+65536, 8, false, "tail"))
		}, []string{pingPath + " packet a ns1>ens160 unseen b; unseen", pingPath + " delivered"}},

		{"in IPv4", func(l *log) { l.tunnelled(ping6(1), in4(1)); l.back(pong6(1)) }, []string{pingPath + pongPath + " delivered arrived"}},
		{"in IPv6", func(l *log) { l.tunnelled(ping6(1), in6(41)); l.back(pong6(1)) }, []string{pingPath + pongPath + " delivered arrived"}},
		{"IPv4 in IPv6", func(l *log) { l.tunnelled(four(), in6(4)) }, []string{pingPath + " delivered"}},

		{"a question by UDP", func(l *log) {
			l.across(udp6(7, "who?"))
			l.back(six(wb, wa, 17, 8, 0, 53, 0x13, 0x88, 0, 10, 0, 0, 'm', 'e'))
		}, []string{pingPath + pongPath + " delivered arrived"}},
		{"the hop limit ends at the second host", func(l *log) {
			l.sends(udp6(7, "far"))
			l.gets(udp6(7, "far"), dropped("ttl_exceeded"))
			told := six(hostB6, wa, 58, 0, append([]byte{3, 0, 0, 0, 0, 0, 0, 0}, hops(udp6(7, "far"), 1)...)...)
			l.add("b", "", "ens160", ethernet(uplinkA, uplinkB, told), nil, viaA, func(p *trace.Packet) { p.Cause = 1 })
			l.add("a", "ens160", "ns1", ethernet(uplinkA, uplinkB, told), ethernet(workA, gatewayMAC, hops(told, 1)), "")
		}, []string{"packet a ns1>ens160; packet b ens160> from a; caused b >ens160; caused a ens160>ns1 from b; dropped ttl_exceeded"}},
		{"an error from a router on the way", func(l *log) {
			l.sends(tcp6(1000, 2000, 1))
			told := six("fd00:192::1", wa, 58, 0, append([]byte{2, 0, 0, 0, 0, 0, 5, 0}, hops(tcp6(1000, 2000, 1), 2)[:80]...)...)
			l.add("a", "ens160", "ns1", ethernet(uplinkA, packet.MAC{2, 9}, told), ethernet(workA, gatewayMAC, hops(told, 1)), "")
		}, []string{"packet a ns1>ens160 unseen b; caused a ens160>ns1; unseen"}},
		{"Neighbor Discovery first", func(l *log) {
			to := addr(hostB6)
			l.sends(ping6(1))
			ask := nd(135, addr("fe80::11"), packet.SolicitedNode(to), to, uplinkA, packet.MAC{})
			l.add("a", "", "ens160", ask, nil, "", func(p *trace.Packet) { p.Cause = 1 })
			l.add("b", "ens160", "", ask, nil, "", func(p *trace.Packet) { p.Outcome = trace.Consumed })
			l.add("a", "ens160", "", nd(136, to, addr("fe80::11"), to, uplinkB, uplinkA), nil, "", func(p *trace.Packet) { p.Outcome = trace.Consumed })
			l.gets(ping6(1))
		}, []string{pingPath + " caused a >ens160; caused b ens160> from a; caused a ens160>; delivered none"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := &log{now: time.Unix(5000, 0)}
			c.run(l)
			for name, records := range orders(l.a, l.b) {
				var got []string
				for _, w := range join(options6("one"), records) {
					got = append(got, outline(w))
				}
				if d := gocmp.Diff(c.want, got); d != "" {
					t.Errorf("%s (-want +got):\n%s", name, d)
				}
			}
		})
	}
}

// Which of several alike it was is not said: no time on the wire, no clock compared by it, and a note.
func TestAlikeIsSaid(t *testing.T) {
	l := &log{now: time.Unix(5000, 0)}
	for range 2 {
		l.across(udp6(7, "same"))
	}
	l.across(udp6(7, "other"))
	ways := join(options6(""), slices.Concat(l.a, l.b))
	if len(ways) != 3 {
		t.Fatalf("%d ways", len(ways))
	}
	for i, w := range ways {
		notes, at := strings.Join(w.Notes, "\n"), w.Packets[1]
		told := strings.Contains(notes, "one of 2 packets alike")
		if alike := i < 2; told != alike || (at.WireNS == nil) != alike || at.From != "a" {
			t.Errorf("way %d: from %q, on the wire %v, notes %q", i, at.From, at.WireNS, notes)
		}
		var text strings.Builder
		if err := (timeline.Text{Within: within}).Write(&text, w); err != nil || strings.Contains(text.String(), "a > b  +") == (i < 2) {
			t.Errorf("way %d: %v\n%s", i, err, text.String())
		}
	}
}

// Nothing in a record makes the joiner panic, or lose one.
func FuzzJoin(f *testing.F) {
	l := &log{now: time.Unix(5000, 0)}
	l.across(ping6(1))
	l.tunnelled(udp6(7, "hello"), in4(1))
	l.tunnelled(four(), in6(4))
	l.across(fragment6(7, 8, true, "12345678"))
	l.across(tcp6(1000, 100, 1))
	for _, p := range slices.Concat(l.a, l.b) {
		f.Add(p.Frame.Bytes, p.Frame.Bytes, 1)
		f.Add(p.Frame.Bytes, p.Steps[1].Frame.Bytes, 3)
	}
	f.Fuzz(func(t *testing.T, came, left []byte, packets int) {
		l := &log{now: time.Unix(5000, 0)}
		for range 2 {
			l.add("a", "ns1", "ens160", &trace.Frame{Bytes: came, Length: len(came)}, &trace.Frame{Bytes: left, Length: len(left)}, viaB, cut(packets))
			l.add("b", "ens160", "ns1", &trace.Frame{Bytes: left, Length: len(left)}, &trace.Frame{Bytes: came, Length: len(came)}, "", cut(packets/2))
		}
		n := 0
		for _, w := range join(options6(""), slices.Concat(l.a, l.b)) {
			n += len(w.Packets)
		}
		if n != 4 {
			t.Errorf("%d of 4 records are shown", n)
		}
	})
}
