package engine_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"regexp"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vrouter/vrouter/forwarder"
	"github.com/vrouter/vrouter/internal/engine"
	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/trace"
	"github.com/vrouter/vrouter/rib"
)

const tunnelIP6 = "fd00:70:3::1" // a workload beyond a tunnel to the other host

// tunnelKind is a tunnel of VXLAN, or one in which one family at least is IPv6.
type tunnelKind struct {
	name      string
	six       bool   // what it carries
	end, self string // its ends
	encap     rib.Encap
}

var tunnelKinds = []tunnelKind{
	{"6in4", true, peerIP, hostIP, rib.IPIP}, {"4in6", false, peerIP6, hostIP6, rib.IPIP}, {"6in6", true, peerIP6, hostIP6, rib.IPIP},
	{"4inVXLAN", false, peerIP, hostIP, rib.VXLAN}, {"6inVXLAN", true, peerIP, hostIP, rib.VXLAN},
	{"4inVXLAN6", false, peerIP6, hostIP6, rib.VXLAN}, {"6inVXLAN6", true, peerIP6, hostIP6, rib.VXLAN},
}

// setup has the way to tunnelIP and tunnelIP6 go through the tunnel.
func (k tunnelKind) setup(b *bed) {
	k.hear(b)
	b.via("10.70.3.0/24", k.end, k.encap)
	b.via("fd00:70:3::/48", k.end, k.encap)
}

// hear has what comes out of the tunnel be unpacked.
func (k tunnelKind) hear(b *bed) {
	if k.encap == rib.VXLAN {
		b.settings.VXLAN = forwarder.VXLAN{Port: packet.VXLANPort, VNI: 4096, Peers: b.settings.Peers}
		b.router.Configure(b.settings)
	}
}

// reason is what the same has as its own name in each encapsulation.
func (k tunnelKind) reason(what string) string { return k.encap.String() + "_" + what }

func (k tunnelKind) protocol() byte {
	if k.encap == rib.VXLAN {
		return packet.ProtocolUDP
	}
	if k.six {
		return packet.ProtocolIPv6
	}
	return packet.ProtocolIPIP
}

// header is the length of the outer headers.
func (k tunnelKind) header() int { return forwarder.OuterLen(k.encap, addr(k.end)) }

// ipHeader is that of the outer IP header.
func (k tunnelKind) ipHeader() int { return forwarder.OuterLen(rib.IPIP, addr(k.end)) }

// out is a packet of n bytes from ns1 into the tunnel, that nobody may cut.
func (k tunnelKind) out(n int) *packet.Frame {
	if k.six {
		return datagram6(ns1IP6, tunnelIP6, n)
	}
	return withDF(sized(ns1MAC, ns1IP, tunnelIP, n))
}

// in is a packet to ns1 as it comes out of the tunnel.
func (k tunnelKind) in() *packet.Frame {
	if k.six {
		return fromFar()
	}
	return fromPeer()
}

// around puts an outer header around a packet that came from the other host; options go
// between them.
func (k tunnelKind) around(src, dst string, inner *packet.Frame, tos byte, options ...byte) *packet.Frame {
	data := append(bytes.Clone(options), inner.Payload()...)
	if k.encap == rib.VXLAN {
		data = append(make([]byte, packet.VXLANLen), data...)
		h := packet.VXLANHeader{
			SrcPort: 50000, DstPort: packet.VXLANPort, Len: len(data), VNI: 4096,
			Dst: packet.VTEPMAC(addr(dst)), Src: packet.VTEPMAC(addr(src)), EtherType: packet.EtherTypeIPv4,
		}
		if k.six {
			h.EtherType = packet.EtherTypeIPv6
		}
		packet.PutVXLAN(data, &h)
	}
	f := &packet.Frame{}
	f.Reset(packet.EthernetLen + k.ipHeader() + len(data))
	if ip := f.Payload(); addr(src).Is6() {
		f.SetEthernet(uplinkMAC, peerMAC, packet.EtherTypeIPv6)
		next := k.protocol()
		if len(options) > 0 {
			next = packet.HeaderDestination
		}
		packet.PutIPv6(ip, &packet.Header6{TrafficClass: tos, PayloadLen: len(data), NextHeader: next, HopLimit: 9, Src: addr(src), Dst: addr(dst)})
	} else {
		f.SetEthernet(uplinkMAC, peerMAC, packet.EtherTypeIPv4)
		packet.PutIPv4(ip, &packet.Header{TOS: tos, TotalLen: len(ip), ID: 9, TTL: 9, Protocol: k.protocol(), Src: addr(src), Dst: addr(dst)})
	}
	copy(f.Payload()[k.ipHeader():], data)
	return f
}

// hop is a packet one hop further.
func hop(f *packet.Frame) []byte {
	ip := packet.IP(f.Clone().Payload())
	ip.SetHopLimit(ip.HopLimit() - 1)
	return ip[:ip.Len()]
}

// wraps checks what the tunnel makes of a packet; df is that of IPv4.
func (k tunnelKind) wraps(df bool) func(testing.TB, *packet.Frame, *packet.Frame) {
	return func(t testing.TB, in, out *packet.Frame) {
		t.Helper()
		outer, was := packet.IP(out.Payload()), packet.IP(in.Payload())
		protocol, at, fragment := packet.Transport(outer)
		if protocol != k.protocol() || at != k.ipHeader() || fragment || outer.HopLimit() != 64 || outer.Len() != len(outer) ||
			outer.Src() != addr(k.self) || outer.Dst() != addr(k.end) || outer.TrafficClass() != was.TrafficClass() || out.DstMAC() != peerMAC {
			t.Errorf("outer header % x", []byte(outer[:k.header()]))
		}
		if k.encap == rib.VXLAN {
			k.isVXLAN(t, outer)
		}
		if v4 := packet.IPv4(outer); outer.Version() == 4 && (v4.DF() != df || packet.Checksum(v4[:20]) != 0 || out.EtherType() != packet.EtherTypeIPv4) {
			t.Errorf("outer header % x, want DF %v", []byte(v4[:20]), df)
		}
		if v6 := packet.IPv6(outer); outer.Version() == 6 && (v6.FlowLabel() == 0 || out.EtherType() != packet.EtherTypeIPv6) {
			t.Errorf("outer header % x", []byte(v6[:40]))
		}
		if d := cmp.Diff(hop(in), []byte(outer[k.header():])); d != "" {
			t.Errorf("the inner packet changed (-want +got):\n%s", d)
		}
	}
}

// isVXLAN checks the headers between the outer IP header and the inner packet.
func (k tunnelKind) isVXLAN(t testing.TB, outer packet.IP) {
	t.Helper()
	v, etherType := packet.VXLAN(outer[k.ipHeader():]), uint16(packet.EtherTypeIPv4)
	if k.six {
		etherType = packet.EtherTypeIPv6
	}
	if v.SrcPort() < 49152 || v.DstPort() != 4789 || v.Len() != len(v) || !v.HasVNI() || v.VNI() != 4096 || v[8] != 8 || v.EtherType() != etherType ||
		v.DstMAC() != packet.VTEPMAC(addr(k.end)) || v.SrcMAC() != packet.VTEPMAC(addr(k.self)) {
		t.Errorf("headers % x", []byte(v[:packet.VXLANLen]))
	}
	if sum := binary.BigEndian.Uint16(v[6:]); outer.Version() == 4 && sum != 0 || outer.Version() == 6 && (sum == 0 || !sumIsRight6(packet.IPv6(outer))) {
		t.Errorf("checksum %04x", sum)
	}
}

// sumIsRight6 checks the datagram's checksum, over the pseudo-header too.
func sumIsRight6(ip packet.IPv6) bool {
	pseudo := append(bytes.Clone(ip[8:40]), 0, 0, ip[4], ip[5], 0, 0, 0, packet.ProtocolUDP)
	return packet.Sum(ip[packet.IPv6MinLen:], packet.Sum(pseudo, 0)) == 0xffff
}

func (k tunnelKind) tells(typ4, code4, typ6, code6 uint8, rest uint32) func(testing.TB, *packet.Frame, *packet.Frame) {
	if k.six {
		return tells6(typ6, code6, rest)
	}
	if typ4 == 3 && code4 == 4 {
		return tooBig(int(rest))
	}
	return tellsOf(typ4, code4)
}

func TestTunnel6(t *testing.T) {
	for _, k := range tunnelKinds {
		run6(t, k.encapRows())
		run6(t, k.decapRows())
		run6(t, k.ecnRows())
	}
}

func (k tunnelKind) encapRows() []row {
	narrow := func(mtu int) func(b *bed) { return func(b *bed) { k.setup(b); b.setMTU("ens160", mtu) } }
	loop := func(b *bed) { k.hear(b); b.via(k.end+"/"+fmt.Sprint(addr(k.end).BitLen()), k.end, k.encap) }
	lost := func(b *bed) {
		k.hear(b)
		b.via("10.70.3.0/24", "fd00:9::9", k.encap)
		b.via("fd00:70:3::/48", "10.9.9.9", k.encap)
	}
	most := 1500 - k.header()
	hops := func(n byte) *packet.Frame {
		return broken(k.out(100), func(f *packet.Frame) { packet.IP(f.Payload()).SetHopLimit(n) })
	}
	rows := []row{
		{name: "T1_outer_header", setup: k.setup, send: k.out(100), out: "ens160", check: k.wraps(true)},
		{name: "T3_hop_limit_1", setup: k.setup, send: hops(1), out: "ns1", check: k.tells(11, 0, 3, 0, 0), reason: "ttl_exceeded"},
		{name: "T4_what_just_fits", setup: k.setup, send: k.out(most), out: "ens160", check: k.wraps(true)},
		{name: "T4_too_big", setup: k.setup, send: k.out(most + 1), out: "ns1", check: k.tells(3, 4, 2, 0, uint32(most)), reason: "mtu_exceeded"},
		{name: "T9_no_way_to_the_end", setup: lost, send: k.out(100), out: "ns1", check: k.tells(3, 0, 1, 0, 0), reason: "no_route"},
	}
	if k.six && addr(k.end).Is6() {
		rows = append(rows, row{name: "T9_to_the_tunnels_end", setup: loop, send: ping6(ns1IP6, k.end), reason: "ipip_loop"})
	}
	if k.six {
		rows = append(rows,
			row{name: "X1_never_told_less_than_1280", setup: narrow(1280 + k.header() - 1), send: k.out(1281), out: "ns1", check: tells6(2, 0, 1280), reason: "mtu_exceeded"},
			row{name: "X1_df_is_clear_at_1280", setup: narrow(1280 + k.header()), send: k.out(1280), out: "ens160", check: k.wraps(false)},
			row{name: "X1_df_is_set_above", setup: narrow(1281 + k.header()), send: k.out(1280), out: "ens160", check: k.wraps(true)})
	}
	return k.named(rows, "ns1")
}

func (k tunnelKind) named(rows []row, from string) []row {
	for i := range rows {
		rows[i].name, rows[i].from = k.name+"_"+rows[i].name, from
	}
	return rows
}

func (k tunnelKind) decapRows() []row {
	inner := k.in()
	of := func(f *packet.Frame) *packet.Frame { return k.around(k.end, k.self, f, 0) }
	bad := func(change func(ip []byte)) *packet.Frame {
		return of(broken(inner, func(f *packet.Frame) { change(f.Payload()) }))
	}
	unpacked := func(t testing.TB, _, out *packet.Frame) {
		t.Helper()
		if d := cmp.Diff(hop(inner), out.Payload()); d != "" || out.DstMAC() != ns1MAC {
			t.Errorf("to %s: the inner packet changed (-want +got):\n%s", out.DstMAC(), d)
		}
	}
	stranger, empty := "192.168.0.13", of(broken(inner, func(f *packet.Frame) { f.Trim(0) }))
	if addr(k.end).Is6() {
		stranger = "fd00:192::13"
	}
	rows := []row{
		{name: "T7_from_a_peer", send: of(inner), out: "ns1", check: unpacked},
		{name: "T7_padded", send: packet.FrameOf(append(of(inner).Bytes(), 1, 2, 3, 4)), out: "ns1", check: unpacked},
		{name: "T7_unknown_peer", send: k.around(stranger, k.self, inner, 0), reason: k.reason("unknown_peer")},
		{name: "T7_inner_empty", send: empty, reason: k.reason("bad_inner")},
		{name: "T7_inner_version", send: bad(func(ip []byte) { ip[0] ^= 0x20 }), reason: k.reason("bad_inner")},
		{name: "T2_the_inner_dscp_stays", send: k.around(k.end, k.self, inner, 0x28), out: "ns1", check: unpacked},
		{name: "T7_inner_hop_limit_0", send: bad(func(ip []byte) { setHops(ip, 0) }), reason: "ipip_inner_ttl_zero"},
	}
	if addr(k.end).Is6() && k.encap == rib.IPIP {
		limit := []byte{k.protocol(), 0, 4, 1, 4, 1, 1, 0} // as Linux sends it (RFC 2473 4.1.1)
		rows = append(rows, row{name: "T7_encapsulation_limit", send: k.around(k.end, k.self, inner, 0, limit...), out: "ns1", check: unpacked})
	}
	if k.six {
		for name, f := range map[string]*packet.Frame{
			"length": bad(func(ip []byte) { ip[4] = 1 }), "headers": behind(inner, 60, 9, 1, 4, 0, 0, 0, 0),
			"source_loopback": withSrc6(inner, "::1"), "source_link_local": withSrc6(inner, peerLink), "source_nobody": withSrc6(inner, "::"),
			"of_a_workload": withSrc6(inner, ns2IP6), "of_this_host": withSrc6(inner, hostIP6), "to_a_link": withDst6(inner, gateway6), "to_a_group": withDst6(inner, "ff02::1"),
			"discovery": solicits(peerMAC, "fe80::9", gateway6, packet.MAC{}),
		} {
			if name != "length" {
				f = of(f)
			}
			rows = append(rows, row{name: "T7_inner_" + name, send: f, reason: k.reason("bad_inner")})
		}
		forged := nd(&packet.ND{Type: 136, Src: addr(farIP6), Dst: addr(ns1IP6), Target: addr(peerIP6), MAC: ns2MAC, Override: true, Solicited: true}, peerMAC, uplinkMAC)
		rows = append(rows, row{name: "N2_advertised_through_a_tunnel", send: of(forged), reason: "nd_malformed"})
	}
	if k.encap == rib.VXLAN {
		rows = append(rows, k.vxlanRows()...)
	}
	for i := range rows {
		if rows[i].setup == nil {
			rows[i].setup = k.hear
		}
	}
	return k.named(rows, "ens160")
}

// vxlanRows are what only VXLAN can have wrong (RFC 7348 4, 5).
func (k tunnelKind) vxlanRows() (rows []row) {
	at := packet.EthernetLen + k.ipHeader()
	good := k.around(k.end, k.self, k.in(), 0)
	unpacked := func(t testing.TB, _, out *packet.Frame) {
		t.Helper()
		if d := cmp.Diff(hop(k.in()), out.Payload()); d != "" {
			t.Errorf("(-want +got):\n%s", d)
		}
	}
	for _, c := range []struct {
		name   string
		at     int // from the header of UDP on
		b      []byte
		reason string // "": it is unpacked
	}{
		{"no_identifier", 8, []byte{0}, "vxlan_bad_header"},
		{"longer_than_it_is", 4, []byte{0x7f}, "vxlan_bad_header"},
		{"length_of_nothing", 4, []byte{0, 7}, "vxlan_bad_header"},
		{"length_of_half_a_header", 4, []byte{0, 15}, "vxlan_bad_header"},
		{"length_without_a_frame", 4, []byte{0, 16}, "vxlan_bad_inner"},
		{"another_network", 14, []byte{1}, "vxlan_unknown_vni"},
		{"to_another_station", 16, []byte{2, 0}, "vxlan_bad_inner"},
		{"to_all_stations", 16, []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, "vxlan_bad_inner"},
		{"arp", 28, []byte{8, 6}, "vxlan_bad_inner"},
		{"a_vlan", 28, []byte{0x81, 0}, "vxlan_bad_inner"},
		{"another_family", 28, map[bool][]byte{false: {0x86, 0xdd}, true: {8, 0}}[k.six], "vxlan_bad_inner"},
		{"other_flags", 8, []byte{0xff, 1, 2, 3}, ""},
		{"a_reserved_byte", 15, []byte{7}, ""},
		{"a_checksum", 6, []byte{1, 2}, ""},
		{"any_port_from", 0, []byte{0, 1}, ""},
		{"another_port", 2, []byte{0, 53}, "not_for_router"},
	} {
		r := row{name: "X3_" + c.name, send: broken(good, func(f *packet.Frame) { copy(f.Bytes()[at+c.at:], c.b) }), reason: c.reason}
		if c.reason == "" {
			r.out, r.check = "ns1", unpacked
		}
		rows = append(rows, r)
	}
	if addr(k.end).Is4() { // as a kernel on the same machine leaves it
		rows = append(rows, row{name: "X3_a_checksum_that_is_pending", send: partial(good.Clone(), 6), out: "ns1", check: unpacked})
	}
	off := func(*bed) {}
	return append(rows, row{name: "X3_none_is_spoken", setup: off, send: good, reason: "not_for_router"})
}

func setHops(ip packet.IP, n byte) { ip.SetHopLimit(n) }

// RFC 6040 4.2 knows no family.
func (k tunnelKind) ecnRows() (rows []row) {
	for inner, outs := range ecnOut {
		for outer, want := range outs {
			in := broken(k.in(), func(f *packet.Frame) { packet.IP(f.Payload()).SetECN(byte(inner)) })
			r := row{name: fmt.Sprintf("T2_ecn_inner_%d_outer_%d", inner, outer), send: k.around(k.end, k.self, in, 0xb8|byte(outer))}
			if want < 0 {
				r.reason = "ipip_ecn"
			} else {
				r.out = "ns1"
				r.check = func(t testing.TB, _, out *packet.Frame) {
					t.Helper()
					packet.IP(in.Payload()).SetECN(byte(want))
					if d := cmp.Diff(hop(in), out.Payload()); d != "" {
						t.Errorf("(-want +got):\n%s", d)
					}
				}
			}
			r.setup = k.hear
			rows = append(rows, r)
		}
	}
	return k.named(rows, "ens160")
}

// each runs a test on a bed with each kind of tunnel.
func eachTunnel(t *testing.T, test func(t *testing.T, b *bed, k tunnelKind)) {
	for _, k := range tunnelKinds {
		t.Run(k.name, func(t *testing.T) {
			b := newBed(t)
			b.resolve()
			dual(b)
			k.setup(b)
			test(t, b, k)
		})
	}
}

// error is an ICMP error of a router on the tunnel's way to this host, that quotes a packet.
func (k tunnelKind) error(typ4, code4, typ6, code6 byte, rest int, quote []byte) *packet.Frame {
	if !addr(k.end).Is6() {
		return about(typ4, code4, rest, quote[:min(len(quote), 548)])
	}
	quote = quote[:min(len(quote), 1232)]
	f := icmp6(peerIP6, hostIP6, typ6, code6, append(binary.BigEndian.AppendUint32(nil, uint32(rest)), quote...)...)
	return withSrc6sum(f, "fd00:1:2::3")
}

func withSrc6sum(f *packet.Frame, src string) *packet.Frame {
	f = withSrc6(f, src)
	packet.SetICMPv6Checksum(f.Payload(), packet.IPv6MinLen)
	return f
}

func (b *bed) path6(k tunnelKind) (p engine.PathMTU, refused uint64) {
	for _, t := range b.router.Stats().Tunnels {
		if t.Peer == addr(k.end) {
			return t.PathMTU, t.Refused
		}
	}
	b.t.Fatal("there is no such tunnel")
	return p, 0
}

// T5: the path MTU goes down, and the next packet that is too big is told what fits.
func TestTunnel6PathMTU(t *testing.T) {
	eachTunnel(t, func(t *testing.T, b *bed, k tunnelKind) {
		b.ns1.Send(k.out(1430))
		quote := bytes.Clone(one(t, b.uplink).Payload())
		b.uplink.Send(k.error(3, 4, 2, 0, 1400, quote))
		if p, refused := b.path6(k); p.Bytes != 1400 || refused != 0 {
			t.Fatalf("path MTU %+v, %d refused", p, refused)
		}
		b.silent("ns1")
		in := k.out(1400 - k.header() + 1)
		b.ns1.Send(in)
		k.tells(3, 4, 2, 0, uint32(1400-k.header()))(t, in, one(t, b.ns1))
		b.ns1.Send(k.out(1400 - k.header()))
		k.wraps(true)(t, k.out(1400-k.header()), one(t, b.uplink))
	})
}

// X1: a path that carries less than 1,280 bytes of IPv6 is told of as 1,280: routers cut
// the outer packet, and where that is IPv6, who made it.
func TestTunnel6LeastPathMTU(t *testing.T) {
	eachTunnel(t, func(t *testing.T, b *bed, k tunnelKind) {
		if !k.six {
			return
		}
		b.ns1.Send(k.out(1430))
		b.uplink.Send(k.error(3, 4, 2, 0, 600, bytes.Clone(one(t, b.uplink).Payload())))
		in := k.out(1281)
		b.ns1.Send(in)
		tells6(2, 0, 1280)(t, in, one(t, b.ns1))
		in = k.out(1280)
		b.ns1.Send(in)
		out := b.uplink.Sent()
		if addr(k.end).Is4() {
			if p, _ := b.path6(k); p.Bytes != 600 || len(out) != 1 {
				t.Fatalf("path MTU %+v, %d frames", p, len(out))
			}
			k.wraps(false)(t, in, out[0])
			return
		}
		if p, _ := b.path6(k); p.Bytes != 1280 || len(out) != 2 {
			t.Fatalf("path MTU %+v, %d frames", p, len(out))
		}
		var whole []byte
		for i, f := range out {
			ip := packet.IPv6(f.Payload())
			u := ip.Upper()
			h := packet.FragmentHeader(ip[u.Fragment:])
			if len(ip) > 1280 || u.Fragment != 40 || h.Offset() != len(whole) || h.More() != (i == 0) || ip.Dst() != addr(k.end) || f.DstMAC() != peerMAC {
				t.Errorf("fragment % x", []byte(ip[:48]))
			}
			whole = append(whole, ip[48:]...)
		}
		if d := cmp.Diff(hop(in), whole[k.header()-k.ipHeader():]); d != "" {
			t.Errorf("(-want +got):\n%s", d)
		}
	})
}

// T5: who has not seen a packet cannot make the tunnel smaller, whatever he guesses.
func TestTunnel6ForgedErrors(t *testing.T) {
	eachTunnel(t, func(t *testing.T, b *bed, k tunnelKind) {
		b.ns1.Send(k.out(1430))
		quote := one(t, b.uplink).Payload()
		for range 50 {
			forged := bytes.Clone(quote)
			if forged[3]++; addr(k.end).Is4() {
				forged[3]--
				forged[5]++
			}
			if addr(k.end).Is4() && k.encap == rib.VXLAN { // which counts on where it is of a superframe, but from the flow's own port
				forged[5]--
				forged[packet.IPv4MinLen+1]++
			}
			quote = forged
			b.uplink.Send(k.error(3, 4, 2, 0, 1400, forged))
		}
		if p, refused := b.path6(k); p.Bytes != 1500 || refused != 50 {
			t.Errorf("path MTU %+v, %d refused", p, refused)
		}
		b.dropsAre("ens160", "not_for_router", 50)
	})
}

// T6: what routers say of the outer packet is told to the source of the inner one.
func TestTunnel6RelayedErrors(t *testing.T) {
	for _, c := range []struct {
		name                     string
		typ4, code4, typ6, code6 byte
		wants4, wants6           byte // code of type 3, of type 1
		silent                   bool
	}{
		{"no_route", 3, 0, 1, 0, 0, 0, false},
		{"unreachable", 3, 1, 1, 3, 1, 3, false},
		{"prohibited", 3, 13, 1, 1, 1, 3, false},
		{"time_exceeded", 11, 0, 3, 0, 1, 3, false},
		{"not_assembled", 11, 1, 3, 1, 1, 3, false},
		{"no_protocol", 3, 2, 4, 1, 0, 0, false},
		{"port", 3, 3, 1, 4, 0, 0, true}, // of UDP it says that there is no VXLAN, as no_protocol does of IP-in-IP
		{"a_field", 12, 0, 4, 0, 0, 0, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			eachTunnel(t, func(t *testing.T, b *bed, k tunnelKind) {
				in := k.out(200)
				b.ns1.Send(in)
				b.uplink.Send(k.error(c.typ4, c.code4, c.typ6, c.code6, 0, bytes.Clone(one(t, b.uplink).Payload())))
				if c.silent && !(c.name == "port" && k.encap == rib.VXLAN) {
					b.silent("ns1")
					return
				}
				k.tells(3, c.wants4, 1, c.wants6, 0)(t, in, one(t, b.ns1))
			})
		})
	}
}

// T8: fragments of outer packets are put together, those of IPv6 with options or without.
func TestTunnel6Reassembly(t *testing.T) {
	eachTunnel(t, func(t *testing.T, b *bed, k tunnelKind) {
		inner := sized(peerMAC, farIP, ns1IP, 1340)
		if k.six {
			inner = datagram6(farIP6, ns1IP6, 1340)
		}
		outer := map[string]*packet.Frame{"": k.around(k.end, k.self, inner, 0)}
		cut := split
		if addr(k.end).Is6() {
			cut = split6
			outer["behind options"] = behind(k.around(k.end, k.self, inner, 0), packet.HeaderDestination, 0, 1, 4, 0, 0, 0, 0)
		}
		done := uint64(0)
		for name, whole := range outer {
			b.uplink.Send(whole.Clone())
			if d := cmp.Diff(hop(inner), one(t, b.ns1).Payload()); d != "" {
				t.Errorf("whole %s (-want +got):\n%s", name, d)
			}
			parts := cut(whole, 600)
			b.uplink.Send(parts[1], parts[0])
			b.silent("ns1")
			b.uplink.Send(parts[2:]...)
			if d := cmp.Diff(hop(inner), one(t, b.ns1).Payload()); d != "" {
				t.Errorf("%d fragments %s (-want +got):\n%s", len(parts), name, d)
			}
			done++
			b.reassembliesAre(done, 0, 0)
		}
	})
}

// split6 cuts an IPv6 packet behind its first header, as its source would.
func split6(f *packet.Frame, mtu int) (parts []*packet.Frame) {
	f = f.Clone()
	packet.Fragment6(f, mtu, 77, func() *packet.Frame {
		parts = append(parts, &packet.Frame{})
		return parts[len(parts)-1]
	})
	return append([]*packet.Frame{f}, parts...)
}

// What a workload sends to this host's port of VXLAN is a datagram as any other, even from an address that is a peer's.
func TestWorkloadsOwnVXLAN(t *testing.T) {
	for _, peer := range []string{peerIP, ns1IP} {
		b := newBed(t)
		b.resolve()
		b.settings.VXLAN = forwarder.VXLAN{Port: packet.VXLANPort, VNI: 4096, Peers: []netip.Addr{addr(peer)}}
		b.router.Configure(b.settings)
		k := tunnelKind{"4inVXLAN", false, peerIP, hostIP, rib.VXLAN}
		in := k.around(ns1IP, hostIP, k.in(), 0)
		in.SetEthernet(gatewayMAC, ns1MAC, packet.EtherTypeIPv4)
		b.ns1.Send(in)
		tellsOf(3, 3)(t, in, one(t, b.ns1))
		b.dropsAre("ns1", "local_unsupported", 1)
	}
}

// T5: the kernel numbers the segments of a superframe in VXLAN one after the other. What is said of
// one is believed where the quote has the inner packet, and with it the port that belongs to its
// flow; of 28 bytes (RFC 792) the number itself has to be right.
func TestVXLANSegmentNumbers(t *testing.T) {
	for _, c := range []struct {
		name   string
		behind uint16 // the number of what was sent
		quote  int
		want   int // the path MTU
	}{
		{"the_packet", 0, 548, 1400}, {"the_packet_in_28_bytes", 0, 28, 1400},
		{"a_segment", 44, 548, 1400}, {"a_segment_in_28_bytes", 44, 28, 1500},
		{"behind_the_last_segment", 64, 548, 1500}, {"in_front_of_it", 0xffff, 548, 1500},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, k := newBed(t), tunnelKinds[3]
			b.resolve()
			dual(b)
			k.setup(b)
			b.ns1.Send(k.out(1430))
			quote := packet.IPv4(bytes.Clone(one(t, b.uplink).Payload()))
			binary.BigEndian.PutUint16(quote[4:], quote.ID()+c.behind)
			quote.SetChecksum()
			b.uplink.Send(about(3, 4, 1400, quote[:c.quote]))
			if p, _ := b.path6(k); p.Bytes != c.want {
				t.Errorf("path MTU %+v, want %d", p, c.want)
			}
		})
	}
}

// The trace tells the headers around the packet, and the rule that is VXLAN's own.
func TestTraceTextOfVXLAN(t *testing.T) {
	inTime(t, "both ways", func(b *bed) {
		k := tunnelKinds[3]
		b.resolve()
		dual(b)
		k.setup(b)
		l := b.listen(trace.Options{}, "")
		b.ns1.Send(ping(tunnelIP))
		b.uplink.Send(k.around(peerIP, hostIP, fromPeer(), 0))
		got := text(t, records(l))
		for _, line := range []string{
			`  encap  \+0.0µs  edit  192\.168\.0\.11:\d{5} > 192\.168\.0\.12:4789 vxlan vni 4096 ttl 64, 88 bytes, for 02:76:c0:a8:00:0c  RFC 7348 5\n`,
			`#2 .* vxlan 192\.168\.0\.12 > 192\.168\.0\.11 vni 4096 / .*\n`,
			`  decap  \+0.0µs  edit  from 192\.168\.0\.12: 10\.70\.2\.1 > 10\.70\.1\.1 ttl 64, \d+ bytes  RFC 7348 5, RFC 6040 4\.2\n`,
		} {
			if !regexp.MustCompile(line).MatchString(got) {
				t.Errorf("no %s in\n%s", line, got)
			}
		}
	})
}
