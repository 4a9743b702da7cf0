package engine_test

import (
	"slices"
	"testing"
	"time"

	"github.com/vrouter/vrouter/arpproxy"
	"github.com/vrouter/vrouter/forwarder"
	"github.com/vrouter/vrouter/internal/engine"
	"github.com/vrouter/vrouter/internal/neigh"
	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/rib"
)

func TestND(t *testing.T) {
	run6(t, solicitationRows())
	run6(t, malformed6Rows())
	run6(t, proxy6Rows())
	run6(t, silent6Rows())
}

// answers checks an advertisement of the router to ns1, with its hop limit, flags and
// option; to is zero if it is for all (RFC 4861 7.2.4).
func answers(src, target, dst string, to packet.MAC, solicited, override bool) func(testing.TB, *packet.Frame, *packet.Frame) {
	return func(t testing.TB, _, out *packet.Frame) {
		t.Helper()
		want := packet.ND{
			Type: packet.ICMPv6NeighborAdvertisement, Src: addr(src), Dst: addr(dst), Target: addr(target), MAC: gatewayMAC,
			Router: true, Solicited: solicited, Override: override,
		}
		if to == (packet.MAC{}) {
			to = packet.GroupMAC(want.Dst)
		}
		m, ok := packet.ParseND(out.Payload())
		if !ok || m != want || out.DstMAC() != to || out.SrcMAC() != gatewayMAC || out.Len != 14+40+32 {
			t.Errorf("%s > %s, %d bytes: %+v, want %+v", out.SrcMAC(), out.DstMAC(), out.Len, m, want)
		}
	}
}

// N1 and N3: the router's own addresses.
func solicitationRows() []row {
	noRoutes := func(b *bed) {
		for _, r := range b.rib.Routes() {
			_ = b.rib.Delete(r.Prefix, r.Source, r.Metric)
		}
	}
	all := packet.MAC{}
	gatewayTo := func(dst string) func(testing.TB, *packet.Frame, *packet.Frame) {
		return answers(gateway6, gateway6, dst, ns1MAC, true, true)
	}
	bare := broken(solicits(ns1MAC, ns1Link, gateway6, gatewayMAC), func(f *packet.Frame) {
		f.Trim(64)
		ip := packet.IPv6(f.Payload())
		ip[5] = 24
		packet.SetICMPv6Checksum(ip, 40)
	})
	return []row{
		{name: "N1_multicast", from: "ns1", send: solicits(ns1MAC, ns1IP6, gateway6, all), out: "ns1", check: gatewayTo(ns1IP6)},
		{name: "N1_unicast", from: "ns1", send: solicits(ns1MAC, ns1Link, gateway6, gatewayMAC), out: "ns1", check: gatewayTo(ns1Link)},
		{name: "N1_unicast_without_an_option", from: "ns1", send: bare, out: "ns1", check: gatewayTo(ns1Link)},
		{name: "N1_without_any_route", from: "ns1", setup: noRoutes, send: solicits(ns1MAC, ns1Link, gateway6, all), out: "ns1", check: gatewayTo(ns1Link)},
		{name: "N1_from_a_stranger", from: "ns1", send: solicits(ns1MAC, "fd00:dead::1", gateway6, all), out: "ns1", check: gatewayTo("fd00:dead::1")},
		{name: "N1_the_host", from: "ns1", send: solicits(ns1MAC, ns1IP6, hostIP6, all), out: "ns1", check: answers(hostIP6, hostIP6, ns1IP6, ns1MAC, true, true)},
		{name: "N1_not_on_the_uplink", from: "ens160", send: solicits(peerMAC, peerLink, gateway6, all), reason: "nd_ignored"},
		{name: "N1_the_hosts_own_stack", from: "ens160", send: solicits(peerMAC, peerIP6, hostIP6, all)},
		{name: "N3_the_gateway", from: "ns1", send: solicits(ns1MAC, "::", gateway6, all), out: "ns1", check: answers(gateway6, gateway6, "ff02::1", all, false, true)},
		{name: "N3_the_host", from: "ns1", send: solicits(ns1MAC, "::", hostIP6, all), out: "ns1", check: answers(hostIP6, hostIP6, "ff02::1", all, false, true)},
		{name: "N3_its_own", from: "ns1", send: solicits(ns1MAC, "::", ns1IP6, all), reason: "nd_ignored"},
		{name: "N3_others", from: "ns1", send: solicits(ns1MAC, "::", farIP6, all), reason: "nd_ignored"},
		{name: "N3_link_local", from: "ns1", send: solicits(ns1MAC, "::", ns1Link, all), reason: "nd_ignored"},
	}
}

// N2: RFC 4861 7.1.1 and 7.1.2, RFC 6980.
func malformed6Rows() (rows []row) {
	good := solicits(ns1MAC, ns1Link, gateway6, packet.MAC{})
	bad := func(change func(ip packet.IPv6)) *packet.Frame {
		return edited6(good, func(ip packet.IPv6) {
			change(ip)
			packet.SetICMPv6Checksum(ip, 40)
		})
	}
	for name, f := range map[string]*packet.Frame{
		"hop_limit_254":       bad(func(ip packet.IPv6) { ip[7] = 254 }),
		"checksum":            edited6(good, func(ip packet.IPv6) { ip[42] ^= 1 }),
		"code_1":              bad(func(ip packet.IPv6) { ip[41] = 1 }),
		"option_of_length_0":  bad(func(ip packet.IPv6) { ip[65] = 0 }),
		"option_too_long":     bad(func(ip packet.IPv6) { ip[65] = 2 }),
		"multicast_target":    bad(func(ip packet.IPv6) { ip[48] = 0xff }),
		"nobody_with_options": bad(func(ip packet.IPv6) { clear(ip[8:24]) }),
		"nobody_to_one":       solicits(ns1MAC, "::", gateway6, gatewayMAC),
		"in_a_fragment":       behind(good, 44, 0, 0, 1, 0, 0, 0, 7),
		"alone_in_a_fragment": behind(good, 44, 0, 0, 0, 0, 0, 0, 7),
		"too_short":           broken(icmp6(ns1Link, gateway6, 135, 0, make([]byte, 19)...), func(f *packet.Frame) { f.Payload()[7] = 255 }),
		"solicited_to_all":    advertises(ns1MAC, ns1Link, "ff02::1", packet.MAC{}, true, true),
		"on_the_way":          icmp6(ns1IP6, farIP6, 135, 0, append(make([]byte, 4), addr(farIP6).AsSlice()...)...),
	} {
		rows = append(rows, row{name: "N2_" + name, from: "ns1", send: f, reason: "nd_malformed"})
	}
	return rows
}

// N4: as A4.
func proxy6Rows() []row {
	wide := func(b *bed) { b.via("fd00:70::/32", peerIP6, rib.None) }
	back := func(b *bed) {
		b.route(rib.Route{Prefix: prefix("fd00:70:1::/48"), Dev: "ns1", Port: 0, Source: rib.Static})
	}
	hole := func(b *bed) {
		b.route(rib.Route{Prefix: prefix("fd00:70:9::/48"), Type: rib.Blackhole, Port: rib.NoPort, Source: rib.Static})
	}
	proxied := func(target string) func(testing.TB, *packet.Frame, *packet.Frame) {
		return answers(gateway6, target, ns1IP6, ns1MAC, true, false)
	}
	return []row{
		{name: "N4_far", from: "ns1", send: solicits(ns1MAC, ns1IP6, farIP6, packet.MAC{}), out: "ns1", check: proxied(farIP6)},
		{name: "N4_far_unicast", from: "ns1", send: solicits(ns1MAC, ns1IP6, farIP6, gatewayMAC), out: "ns1", check: proxied(farIP6)},
		{name: "N4_another_workload", from: "ns1", send: solicits(ns1MAC, ns1IP6, ns2IP6, packet.MAC{}), out: "ns1", check: proxied(ns2IP6)},
		{name: "N4_by_a_shorter_prefix", from: "ns1", setup: wide, send: solicits(ns1MAC, ns1IP6, "fd00:70:8::1", packet.MAC{}), out: "ns1", check: proxied("fd00:70:8::1")},
		{name: "N4_without_a_route", from: "ns1", send: solicits(ns1MAC, ns1IP6, "fd00:dead::1", packet.MAC{}), reason: "nd_ignored"},
		{name: "N4_a_blackhole", from: "ns1", setup: hole, send: solicits(ns1MAC, ns1IP6, "fd00:70:9::1", packet.MAC{}), reason: "nd_ignored"},
		{name: "N4_the_asking_port", from: "ns1", setup: back, send: solicits(ns1MAC, ns1IP6, "fd00:70:1::9", packet.MAC{}), reason: "nd_ignored"},
		{name: "N4_the_asker", from: "ns1", setup: wide, send: solicits(ns1MAC, ns1IP6, ns1IP6, packet.MAC{}), reason: "nd_ignored"},
		{name: "N4_link_local", from: "ns1", send: solicits(ns1MAC, ns1Link, peerLink, packet.MAC{}), reason: "nd_ignored"},
		{name: "N4_not_on_the_uplink", from: "ens160", send: solicits(peerMAC, peerIP6, ns1IP6, packet.MAC{}), reason: "nd_ignored"},
	}
}

// N7: what is said to groups is taken in silence, and nothing of routers is believed.
func silent6Rows() (rows []row) {
	toGroup := func(f *packet.Frame) *packet.Frame {
		return broken(f, func(f *packet.Frame) {
			mac := packet.GroupMAC(packet.IPv6(f.Payload()).Dst())
			copy(f.Bytes(), mac[:])
			f.Payload()[7] = 255
		})
	}
	for name, f := range map[string]*packet.Frame{
		"router_solicitation": icmp6(ns1Link, "ff02::2", 133, 0, 0, 0, 0, 0),
		"nobodys":             icmp6("::", "ff02::2", 133, 0, 0, 0, 0, 0),
		"listener_report":     behind(icmp6("::", "ff02::16", 143, 0, make([]byte, 24)...), 0, 0, 5, 2, 0, 0, 1, 0),
		"listener_done":       icmp6(ns1Link, "ff02::2", 132, 0, make([]byte, 20)...),
		"mdns":                packet6(ns1Link, "ff02::fb", 17, 255, transport(5353, 5353)),
		"ping_to_all":         icmp6(ns1Link, "ff02::1", 128, 0, 0, 0, 0, 0),
		"of_an_interface":     packet6(ns1Link, "ff01::1", 17, 255, transport(1, 2)),
	} {
		rows = append(rows, row{name: "N7_" + name, from: "ns1", send: toGroup(f)}, row{name: "N7_" + name + "_on_the_uplink", from: "ens160", send: toGroup(f)})
	}
	advertisement := icmp6(ns1Link, "ff02::1", 134, 0, make([]byte, 12)...)
	redirect := icmp6(ns1Link, ns2IP6, 137, 0, append(append(make([]byte, 4), addr(peerLink).AsSlice()...), addr(farIP6).AsSlice()...)...)
	return append(rows,
		row{name: "N7_router_advertisement", from: "ns1", send: toGroup(advertisement), reason: "nd_ignored"},
		row{name: "N7_redirect", from: "ns1", send: broken(redirect, func(f *packet.Frame) { f.Payload()[7] = 255 }), reason: "nd_ignored"},
	)
}

// solicitations takes what the uplink has sent, all of it solicitations for the other
// host, and says to whom.
func (b *bed) solicitations() (to []packet.MAC) {
	b.t.Helper()
	for _, f := range b.uplink.Sent() {
		m, ok := packet.ParseND(f.Payload())
		if !ok || m.Type != packet.ICMPv6NeighborSolicitation || m.Target != addr(peerIP6) || m.Src != addr(hostLink) || m.MAC != uplinkMAC {
			b.t.Errorf("not a solicitation for the other host: % x", f.Bytes())
		}
		want := packet.SolicitedNode(m.Target)
		if f.DstMAC() != packet.GroupMAC(want) {
			want = m.Target
		}
		if m.Dst != want {
			b.t.Errorf("to %s, want %s", m.Dst, want)
		}
		to = append(to, f.DstMAC())
	}
	return to
}

func (b *bed) advertise(mac packet.MAC) {
	b.uplink.Send(advertises(mac, peerIP6, hostLink, uplinkMAC, true, true))
}

func TestNDNeighbors(t *testing.T) {
	groupMAC := packet.GroupMAC(packet.SolicitedNode(addr(peerIP6)))
	otherMAC := packet.MAC{2, 0, 0, 0, 0, 99}
	fresh := func(b *bed) { // the other host is not known
		dual(b)
		pass(2 * time.Minute)
		if n := b.neighbor(peerIP6); n.State != 0 || n.MAC != (packet.MAC{}) {
			b.t.Fatalf("%+v", n)
		}
	}
	inTime(t, "N6_packets_wait", func(b *bed) {
		fresh(b)
		for i := range byte(3) {
			b.ns1.Send(edited6(ping6(ns1IP6, farIP6), func(ip packet.IPv6) { ip[3] = i }))
		}
		if got := b.solicitations(); len(got) != 1 || got[0] != groupMAC {
			b.t.Errorf("asked %v, want one solicitation to the group", got)
		}
		if n := b.router.Stats().Waits[engine.ForNeighbor].Now(); n != 3 {
			b.t.Errorf("%d packets wait, want 3", n)
		}
		b.advertise(peerMAC)
		for i, f := range b.uplink.Sent() {
			if label := f.Payload()[3]; int(label) != i || f.DstMAC() != peerMAC || f.EtherType() != packet.EtherTypeIPv6 {
				b.t.Errorf("packet %d came as number %d, to %s", label, i, f.DstMAC())
			}
		}
	})
	inTime(t, "N6_nobody_answers", func(b *bed) {
		fresh(b)
		in := ping6(ns1IP6, farIP6)
		b.ns1.Send(in)
		pass(2900 * time.Millisecond)
		if got := b.solicitations(); len(got) != 3 {
			b.t.Errorf("asked %v, want three times", got)
		}
		pass(200 * time.Millisecond)
		tells6(1, 3, 0)(b.t, withHops(in, 64), one(b.t, b.ns1))
		b.dropsAre("ns1", "neighbor_unresolved", 1)
	})
	inTime(t, "N6_five_minutes", func(b *bed) {
		fresh(b)
		b.ns1.Send(ping6(ns1IP6, farIP6))
		b.advertise(peerMAC)
		sent, asked := len(b.uplink.Sent()), 0
		for range 300 {
			b.ns1.Send(ping6(ns1IP6, farIP6))
			pass(time.Second)
			for _, f := range b.uplink.Sent() {
				if packet.IPv6(f.Payload()).Dst() == addr(farIP6) {
					sent++
					continue
				}
				if asked++; f.DstMAC() != peerMAC {
					b.t.Errorf("asked %s, want the neighbour", f.DstMAC())
				}
				b.advertise(peerMAC)
			}
		}
		if sent != 302 || asked < 5 { // the first one, the solicitation for it, and 300 more
			b.t.Errorf("%d were sent, and %d asked", sent, asked)
		}
	})
	inTime(t, "N5_new_mac_of_a_known_neighbour", func(b *bed) {
		dual(b)
		b.uplink.Send(advertises(otherMAC, peerIP6, "ff02::1", packet.MAC{}, false, true))
		b.ns1.Send(ping6(ns1IP6, farIP6))
		if got := one(b.t, b.uplink).DstMAC(); got != otherMAC {
			b.t.Errorf("sent to %s, want %s", got, otherMAC)
		}
	})
	inTime(t, "N5_strangers_add_no_entry", func(b *bed) {
		fresh(b)
		for _, f := range []*packet.Frame{
			advertises(otherMAC, peerIP6, hostLink, uplinkMAC, true, true),
			advertises(otherMAC, peerIP6, "ff02::1", packet.MAC{}, false, true),
			advertises(otherMAC, ns1IP6, "ff02::1", packet.MAC{}, false, true),
			advertises(otherMAC, gateway6, "ff02::1", packet.MAC{}, false, true),
			solicits(otherMAC, peerIP6, "fd00:192::77", packet.MAC{}), // for somebody else
			solicits(otherMAC, "fd00:5::5", hostIP6, packet.MAC{}),    // from another subnet
			solicits(otherMAC, "::", hostIP6, packet.MAC{}),           // a probe
			solicits(otherMAC, hostIP6, hostIP6, packet.MAC{}),        // in our own name
		} {
			b.uplink.Send(f)
		}
		b.ns1.Send(solicits(otherMAC, peerIP6, gateway6, packet.MAC{}))
		for _, n := range b.router.Neighbors() {
			if n.State != neigh.Permanent || n.MAC == otherMAC {
				b.t.Errorf("learnt %+v", n)
			}
		}
	})
	inTime(t, "link_local_neighbours_are_each_links_own", func(b *bed) {
		dual(b)
		b.uplink.Send(solicits(peerMAC, ns1Link, hostLink, packet.MAC{}))
		ns1 := b.portID("ns1")
		if up, in := b.mac6(b.uplinkID, addr(ns1Link)), b.mac6(ns1, addr(ns1Link)); up != peerMAC || in != ns1MAC {
			b.t.Errorf("%s is %s on the uplink, and %s at ns1", ns1Link, up, in)
		}
	})
	inTime(t, "A9_the_gateway_is_defended", func(b *bed) {
		dual(b)
		claim := advertises(ns1MAC, gateway6, "ff02::1", packet.MAC{}, false, true)
		b.ns1.Send(claim, claim)
		answers(gateway6, gateway6, "ff02::1", packet.MAC{}, false, true)(b.t, claim, one(b.t, b.ns1))
		pass(engine.DefendInterval)
		b.ns1.Send(claim)
		one(b.t, b.ns1)
		if n := b.sentBy("ns1").Received.Steps[forwarder.ND.Number()]; n[3] != 3 {
			b.t.Errorf("%v", n)
		}
	})
}

// Solicitations are counted by how they are answered.
func TestSolicitationsAreCounted(t *testing.T) {
	b := newBed(t)
	dual(b)
	b.ns1.Send(solicits(ns1MAC, ns1IP6, gateway6, packet.MAC{}), solicits(ns1MAC, ns1IP6, farIP6, packet.MAC{}), solicits(ns1MAC, ns1IP6, hostIP6, packet.MAC{}),
		solicits(ns1MAC, "::", ns1IP6, packet.MAC{}), advertises(ns1MAC, ns1IP6, gateway6, gatewayMAC, true, true))
	want := [arpproxy.NumAnswers]uint64{arpproxy.Ignored: 1, arpproxy.Gateway: 1, arpproxy.Own: 1, arpproxy.Proxy: 1}
	if got := b.sentBy("ns1").Solicitations; got != want {
		t.Errorf("%v, want %v", got, want)
	}
	if s := b.router.Stats(); s.Made[forwarder.NDAdvertisement] != 3 {
		t.Errorf("%d advertisements are counted", s.Made[forwarder.NDAdvertisement])
	}
}

// RFC 4861 7.2.6: the uplink's new MAC is told to all, for each of the addresses that they know the router by; the
// solicitations that confirm them are from one alone.
func TestUplinkWithAnotherMACTellsAll(t *testing.T) {
	b := newBed(t)
	dual(b)
	b.uplink.Sent()
	newMAC := packet.MAC{2, 0, 0, 0, 0, 111}
	c := b.router.Stats().Ports[b.uplinkID].PortConfig
	c.MAC = newMAC
	b.router.UpdatePort(b.uplinkID, c)
	var told []string
	for _, f := range b.uplink.Sent() {
		if f.EtherType() != packet.EtherTypeIPv6 {
			continue
		}
		m, ok := packet.ParseND(packet.IPv6(f.Payload()))
		if !ok || m.Type != packet.ICMPv6NeighborAdvertisement || m.MAC != newMAC || m.Src != m.Target || m.Dst != packet.AllNodes || m.Solicited || !m.Override || f.SrcMAC() != newMAC {
			t.Errorf("%+v", m)
		}
		told = append(told, m.Target.String())
	}
	if want := []string{hostIP6, hostLink}; !slices.Equal(told, want) {
		t.Errorf("told of %v, want %v", told, want)
	}
}
