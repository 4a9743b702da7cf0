package engine_test

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/google/gopacket/layers"

	"github.com/vrouter/vrouter/forwarder"
	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/verdict"
	"github.com/vrouter/vrouter/rib"
)

// takes sends an error about a tunnel, which is taken.
func (b *bed) takes(f *packet.Frame) {
	b.t.Helper()
	was := b.books()
	b.uplink.Send(f)
	if now := b.books(); now.consumed != was.consumed+1 || now.received != was.received+1 {
		b.t.Errorf("it was not taken: %+v, then %+v", was, now)
	}
}

// T6: what the inner source hears about an error on the way (RFC 2003 4.1 to 4.5).
func TestTunnelRelaysErrors(t *testing.T) {
	type told struct{ typ, code uint8 }
	type fault struct {
		typ, code byte
		want      *told // nil: it stays here
		onUplink  *told // the same for a destination in the uplink's own subnet
	}
	network, host := &told{3, 0}, &told{3, 1}
	all := []fault{{3, 0, network, host}, {3, 1, host, host}, {3, 2, network, host}, {3, 3, nil, nil}, {3, 4, nil, nil}, {3, 5, nil, nil}}
	for code := byte(6); code <= 15; code++ {
		all = append(all, fault{3, code, host, host})
	}
	all = append(all, fault{11, 0, host, host}, fault{11, 1, host, host}, fault{12, 0, nil, nil}, fault{12, 1, nil, nil}, fault{4, 0, nil, nil},
		fault{5, 0, nil, nil}, fault{5, 1, nil, nil}, fault{40, 0, nil, nil})
	for _, c := range all {
		for to, want := range map[string]*told{tunnelIP: c.want, "192.168.0.70": c.onUplink} {
			t.Run(fmt.Sprintf("T6_type_%d_code_%d_to_%s", c.typ, c.code, to), func(t *testing.T) {
				b := newBed(t)
				tunnel(b)
				b.via("192.168.0.64/26", peerIP, rib.IPIP)
				in := ping(to)
				b.takes(about(c.typ, c.code, 0x7f00_0000, b.tunnelled(in)))
				if want == nil {
					b.silent("ns1")
				} else {
					out := one(t, b.ns1)
					tellsOf(want.typ, want.code)(t, in, out)
					if rest := out.Payload()[24:28]; !bytes.Equal(rest, make([]byte, 4)) {
						t.Errorf("its second word is % x, want 0", rest)
					}
				}
				b.silent("ns2")
				b.silent("ens160")
				b.dropsAre("ens160", "", 0)
			})
		}
	}
}

// What is quoted to the inner source is what the router on the way quoted.
func TestTunnelRelaysQuotes(t *testing.T) {
	for _, c := range []struct {
		name string
		in   *packet.Frame
		n    int // bytes that were quoted, of the outer packet
		want int // bytes that the inner source gets
	}{
		{"T6_quote_of_a_header_alone", ping(tunnelIP), 40, 20},
		{"T6_quote_of_8_bytes", ping(tunnelIP), 48, 28},
		{"T6_quote_with_options", withOptions(ping(tunnelIP), 148, 4, 0, 0), 52, 32},
		{"T6_quote_of_what_fits_in_576", sized(ns1MAC, ns1IP, tunnelIP, 1000), 548, 528},
		{"T6_quote_of_all", sized(ns1MAC, ns1IP, tunnelIP, 1000), 1020, 548},
		{"T6_quote_and_padding", withTTL(ping(tunnelIP), 2), 200, 38},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBed(t)
			tunnel(b)
			quote := append(bytes.Clone(b.tunnelled(c.in)), make([]byte, 200)...)[:c.n]
			b.takes(about(3, 1, 0, quote))
			if packet.IsICMPError(packet.IP(c.in.Payload()[:c.want])) {
				b.silent("ns1") // what is cut before its type may be an error itself
				return
			}
			out := packet.IPv4(one(t, b.ns1).Payload())
			if packet.Checksum(out[:20]) != 0 || packet.Checksum(out[20:]) != 0 || out[20] != 3 || out[21] != 1 {
				t.Errorf("% x", []byte(out[:28]))
			}
			if got, want := out[28:], c.in.Payload()[:c.want]; !bytes.Equal(got, want) {
				t.Errorf("the quote is\n% x, want\n% x", []byte(got), want)
			}
		})
	}
}

// T12: a router on the way need quote no more than 28 bytes (RFC 792), which have
// no inner address: they lower the path MTU, and nobody is told of a packet whose
// source they do not have.
func TestTunnelShortQuotes(t *testing.T) {
	for n := 28; n <= 70; n++ {
		t.Run(fmt.Sprintf("T12_quoting_%d", n), func(t *testing.T) {
			b := newBed(t)
			tunnel(b)
			in := withOptions(sized(ns1MAC, ns1IP, tunnelIP, 1400), 148, 4, 0, 0)
			b.takes(about(3, 1, 0, b.tunnelled(in)[:n]))
			if relayed := b.ns1.Sent(); (len(relayed) == 1) != (n >= 44) {
				t.Errorf("%d errors were relayed", len(relayed))
			}
			b.takes(about(3, 4, 1300, b.tunnelled(in)[:n]))
			b.pathIs(1300)
			b.silent("ns1")
			b.dropsAre("ens160", "", 0)
		})
	}
	for name, quote := range map[string]func(sent packet.IPv4) []byte{
		"padded":       func(sent packet.IPv4) []byte { return append(bytes.Clone(sent[:28]), make([]byte, 100)...) },
		"extended":     func(sent packet.IPv4) []byte { return extended(sent[:128]) },
		"short_header": func(sent packet.IPv4) []byte { return sent[:40] },
	} {
		t.Run("T12_"+name, func(t *testing.T) {
			b := newBed(t)
			tunnel(b)
			sent := b.tunnelled(sized(ns1MAC, ns1IP, tunnelIP, 1400))
			rest := 1300
			if name == "extended" {
				rest |= 128 / 4 << 16
			}
			b.takes(about(3, 4, rest, quote(sent)))
			b.pathIs(1300)
		})
	}
}

// T6: what follows a quote is no part of it (RFC 4884).
func TestTunnelExtendedErrors(t *testing.T) {
	for typ, code := range map[byte]byte{3: 1, 11: 0} {
		b := newBed(t)
		tunnel(b)
		in := sized(ns1MAC, ns1IP, tunnelIP, 1000)
		b.takes(about(typ, code, 128/4<<16, extended(b.tunnelled(in)[:128])))
		out := packet.IPv4(one(t, b.ns1).Payload())
		if got, want := out[28:], in.Payload()[:108]; !bytes.Equal(got, want) {
			t.Errorf("type %d: the quote is\n% x, want\n% x", typ, []byte(got), want)
		}
	}
}

// extended is a quote with an MPLS label stack behind it (RFC 4950 3).
func extended(quote []byte) []byte {
	return append(bytes.Clone(quote), 0x20, 0, 0xdf, 0xff, 0, 8, 1, 1, 0x12, 0x34, 0x51, 0x40)
}

// T6: relayed errors keep the rules of all errors (RFC 1812 4.3.2.7 and 8).
func TestTunnelRelayIsLimited(t *testing.T) {
	inTime(t, "T6_rate", func(b *bed) {
		tunnel(b)
		f := about(3, 1, 0, b.tunnelled(ping(tunnelIP)))
		flood := func() int {
			for range 300 {
				b.uplink.Send(f)
			}
			return len(b.ns1.Sent())
		}
		if n := flood(); n != 200 {
			b.t.Errorf("%d errors at once, want 200", n)
		}
		pass(100 * time.Millisecond)
		if n := flood(); n != 100 {
			b.t.Errorf("%d errors after a tenth of a second, want 100", n)
		}
		s := b.router.Stats()
		if s.Withheld["rate_limit"] != 300 || s.Told[forwarder.FamilyIPv4][verdict.MeansNoHost] != 300 {
			b.t.Errorf("withheld %v, sent %v", s.Withheld, s.Told)
		}
	})
	for _, c := range []struct {
		name  string
		inner *packet.Frame
		why   string
	}{
		{"T6_about_an_error", icmpOf(tunnelIP, 3, 1, make([]byte, 28)), "icmp_error"},
		{"T6_about_a_later_fragment", edited(ping(tunnelIP), func(ip packet.IPv4) { ip[7] = 9 }), "fragment"},
		{"T6_about_a_source_that_is_nobody", withSrc(ping(tunnelIP), "127.0.0.1"), "source"},
		{"T6_about_the_gateway", withSrc(ping(tunnelIP), gateway), "source"},
		{"T6_about_this_host", withSrc(ping(tunnelIP), hostIP), "source"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBed(t)
			tunnel(b)
			quote := append(bytes.Clone(b.tunnelled(ping(tunnelIP))[:20]), c.inner.Payload()...)
			b.takes(about(3, 1, 0, quote))
			for _, port := range []string{"ns1", "ns2", "ens160"} {
				b.silent(port)
			}
			if n := b.router.Stats().Withheld[c.why]; n != 1 {
				t.Errorf("%s counts %d, want 1", c.why, n)
			}
		})
	}
}

// T5 and T6: what no router can say of a packet of ours changes nothing.
func TestTunnelForgedErrors(t *testing.T) {
	quote := func(change func(q packet.IPv4)) func(packet.IPv4) []byte {
		return func(sent packet.IPv4) []byte { q := bytes.Clone(sent); change(q); return q }
	}
	to := func(at int, a string) func(packet.IPv4) []byte {
		return quote(func(q packet.IPv4) { copy(q[at:], addr(a).AsSlice()) })
	}
	for _, c := range []struct {
		name   string
		quote  func(sent packet.IPv4) []byte
		change func(ip packet.IPv4) // of the message; its header is made right again
	}{
		{"to_a_stranger", to(16, "192.168.0.13"), nil},
		{"to_a_workload", to(16, ns1IP), nil},
		{"from_another_source", to(12, peerIP), nil},
		{"from_a_workload", to(12, ns1IP), nil},
		{"protocol", quote(func(q packet.IPv4) { q[9] = 17 }), nil},
		{"version", quote(func(q packet.IPv4) { q[0] = 0x65 }), nil},
		{"options", quote(func(q packet.IPv4) { q[0] = 0x46 }), nil},
		{"a_later_fragment", quote(func(q packet.IPv4) { q[7] = 1 }), nil},
		{"inner_without_a_route", to(36, "10.99.0.1"), nil},
		{"inner_to_a_workload", to(36, ns2IP), nil},
		{"inner_plain_by_the_same_hop", to(36, farIP), nil},
		{"inner_through_another_tunnel", to(36, "10.70.5.1"), nil},
		{"inner_version", quote(func(q packet.IPv4) { q[20] = 0x65 }), nil},
		{"inner_header_length", quote(func(q packet.IPv4) { q[20] = 0x44 }), nil},
		{"inner_header_that_is_cut", quote(func(q packet.IPv4) { q[20] = 0x4f }), nil},
		{"checksum", nil, func(ip packet.IPv4) { ip[22] ^= 1 }},
		{"a_fragment_of_an_error", nil, func(ip packet.IPv4) { ip[6] = 0x20 }},
		{"another_protocol", nil, func(ip packet.IPv4) { ip[9] = 17 }},
		{"an_echo_reply", nil, func(ip packet.IPv4) { ip[22] += ip[20]; ip[20] = 0 }},
		{"length_under_the_header", nil, func(ip packet.IPv4) { ip[2], ip[3] = 0, 20 }},
	} {
		for rule, code := range map[string]byte{"T5": 4, "T6": 1} {
			t.Run(rule+"_"+c.name, func(t *testing.T) {
				b := newBed(t)
				tunnel(b)
				b.via("10.70.5.0/24", "192.168.0.13", rib.IPIP)
				sent := b.tunnelled(ping(tunnelIP))
				if c.quote != nil {
					sent = c.quote(sent)
				}
				f := about(3, code, 600, sent)
				if c.change != nil {
					f = edited(f, c.change)
				}
				b.unbelieved(f)
			})
		}
	}
	t.Run("T5_of_every_length", func(t *testing.T) {
		for n := range 28 {
			b := newBed(t)
			tunnel(b)
			sent := b.tunnelled(withOptions(ping(tunnelIP), 148, 4, 0, 0))
			b.unbelieved(about(3, 4, 30, sent[:n]))
		}
	})
	t.Run("T6_inner_shorter_than_its_header", func(t *testing.T) {
		for n := range 20 {
			b := newBed(t)
			tunnel(b)
			quote := bytes.Clone(b.tunnelled(ping(tunnelIP)))
			quote[22], quote[23], quote[29] = 0, byte(n), 17 // total length, protocol
			b.unbelieved(about(3, 1, 0, quote))
		}
	})
	t.Run("T5_a_tunnel_never_used", func(t *testing.T) {
		b := newBed(t)
		tunnel(b)
		b.resolve()
		b.unbelieved(about(3, 4, 600, ipip(hostIP, peerIP, ping(tunnelIP), nil).Payload()))
	})
	t.Run("T5_from_a_workload", func(t *testing.T) {
		b := newBed(t)
		tunnel(b)
		f := about(3, 4, 600, b.tunnelled(ping(tunnelIP)))
		f.SetEthernet(gatewayMAC, ns1MAC, packet.EtherTypeIPv4)
		b.ns1.Send(withSrc(f, ns1IP))
		b.silent("ns1")
		b.pathIs(1500)
		b.dropsAre("ns1", "rpf_failed", 1)
	})
}

// unbelieved sends an error that is not about any tunnel of ours.
func (b *bed) unbelieved(f *packet.Frame) {
	b.t.Helper()
	b.uplink.Send(f)
	for _, port := range []string{"ns1", "ns2", "ens160"} {
		b.silent(port)
	}
	b.pathIs(1500)
	b.dropsAre("ens160", "not_for_router", 1)
}

// T7: strangers, and inner packets of every bad kind.
func TestTunnelBadInner(t *testing.T) {
	inner := fromPeer()
	var rows []row
	for n := range len(inner.Payload()) {
		cut := frame(ether(peerMAC, uplinkMAC), ip4(peerIP, hostIP, layers.IPProtocolIPv4), payload(inner.Payload()[:n]))
		rows = append(rows, row{name: fmt.Sprintf("T7_inner_cut_after_%d", n), from: "ens160", send: cut, reason: "ipip_bad_inner"})
	}
	for _, src := range []string{hostIP, ns1IP, ns2IP, gateway, "0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255", "169.254.9.9"} {
		rows = append(rows, row{name: "T7_inner_from_" + src, from: "ens160", send: ipip(peerIP, hostIP, withSrc(inner, src), nil), reason: "ipip_bad_inner"})
	}
	for _, dst := range []string{gateway, "0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255", "169.254.9.9"} {
		rows = append(rows, row{name: "T7_inner_to_" + dst, from: "ens160", send: ipip(peerIP, hostIP, withDst(inner, dst), nil), reason: "ipip_bad_inner"})
	}
	deep := inner
	for range 10 {
		deep = ipip(peerIP, hostIP, deep, nil)
	}
	passing := inner
	for range 9 {
		passing = ipip(farIP, ns1IP, passing, nil)
	}
	long := edited(ipip(peerIP, hostIP, inner, nil), func(ip packet.IPv4) { ip[3]++ })
	part := edited(ipip("192.168.0.13", hostIP, inner, nil), func(ip packet.IPv4) { ip[6] = 0x20 })
	noRPF := func(b *bed) { b.settings.RPF = false; b.router.Configure(b.settings) }
	byNS1 := frame(ether(ns1MAC, gatewayMAC), ip4(ns1IP, peerIP, layers.IPProtocolIPv4), payload(inner.Payload()))
	run(t, append(rows,
		// Who is a peer is known by the address alone, on the uplink and from a workload that may send from any.
		row{name: "T7_a_stranger_in_a_peers_name", from: "ens160", send: broken(ipip(peerIP, hostIP, inner, nil), func(f *packet.Frame) { f.Bytes()[6] ^= 0x40 }), out: "ns1",
			check: func(t testing.TB, _, out *packet.Frame) { t.Helper(); toNS1(t, inner, out) }},
		row{name: "T9_a_workload_in_this_hosts_name", from: "ns1", send: withSrc(byNS1, hostIP), reason: "rpf_failed"},
		row{name: "T9_a_workload_in_this_hosts_name_without_rpf", from: "ns1", setup: noRPF, send: withSrc(byNS1, hostIP), out: "ens160"},
		row{name: "T9_a_workload_to_this_host", from: "ns1", setup: noRPF, send: withSrc(withDst(byNS1, hostIP), peerIP), out: "ens160", reason: "local_unsupported"},
		row{name: "T9_a_plain_packet_in_a_workloads_name", from: "ens160", send: withSrc(inner, ns2IP), out: "ns1"},
		row{name: "T7_outer_length_over_the_frame", from: "ens160", send: long, reason: "ip_bad_length"},
		row{name: "T7_nested_ten_deep", from: "ens160", send: deep, reason: "not_for_router"},
		row{name: "T7_one_layer_of_ten_is_ours", from: "ens160", send: ipip(peerIP, hostIP, passing, nil), out: "ns1",
			check: func(t testing.TB, _, out *packet.Frame) { t.Helper(); toNS1(t, passing, out) }},
		row{name: "T7_a_fragment_from_a_stranger", from: "ens160", send: part, reason: "ipip_unknown_peer"},
		row{name: "T7_to_a_workload", from: "ens160", send: ipip(peerIP, ns1IP, inner, nil), out: "ns1", check: toNS1},
		row{name: "T9_in_this_hosts_name", from: "ens160", send: withSrc(inner, hostIP), reason: "martian_source"},
		row{name: "T9_a_tunnel_in_this_hosts_name", from: "ens160", send: ipip(hostIP, hostIP, inner, nil), reason: "martian_source"},
		row{name: "T9_the_tunnels_own_packet_again", from: "ns1", setup: tunnel, send: frame(ether(ns1MAC, gatewayMAC), ip4(ns1IP, peerIP, layers.IPProtocolIPv4),
			payload(inner.Payload())), out: "ens160", check: toPeer},
	))
}
