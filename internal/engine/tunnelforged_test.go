package engine_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/rib"
)

// least has the bed believe that each path carries so much.
func (b *bed) least(bytes int) {
	b.settings.MinPathMTU = bytes
	b.router.Configure(b.settings)
}

func withID(q packet.IPv4, id uint16) packet.IPv4 {
	q = bytes.Clone(q)
	binary.BigEndian.PutUint16(q[4:], id)
	return q
}

// refused is how many errors about the tunnel were not believed.
func (b *bed) refused() uint64 {
	b.t.Helper()
	for _, t := range b.router.Stats().Tunnels {
		if t.Peer == addr(peerIP) {
			return t.Refused
		}
	}
	b.t.Fatal("there is no tunnel to the other host")
	return 0
}

// T5: only who has seen a packet that was sent lately can say that it was too big.
func TestTunnelForgedPathMTU(t *testing.T) {
	for _, df := range []bool{true, false} {
		for name, forge := range map[string]func(q packet.IPv4) packet.IPv4{
			"the_next_number":    func(q packet.IPv4) packet.IPv4 { return withID(q, q.ID()+1) },
			"the_last_number":    func(q packet.IPv4) packet.IPv4 { return withID(q, q.ID()-1) },
			"number_0":           func(q packet.IPv4) packet.IPv4 { return withID(q, 0) },
			"the_inner_number":   func(q packet.IPv4) packet.IPv4 { return withID(q, packet.IPv4(q[20:]).ID()) },
			"a_longer_one":       func(q packet.IPv4) packet.IPv4 { q = bytes.Clone(q); q[2], q[22] = 5, 5; return q },
			"a_longer_outer_one": func(q packet.IPv4) packet.IPv4 { q = bytes.Clone(q); q[3]++; return q },
			"over_the_link":      func(q packet.IPv4) packet.IPv4 { q = bytes.Clone(q); q[2], q[22] = 0x70, 0x70; return q },
		} {
			t.Run(fmt.Sprintf("T5_%s_df_%v", name, df), func(t *testing.T) {
				if !df && name == "a_longer_one" {
					t.Skip("the number of a packet that may be cut does not tell its length")
				}
				right := 0
				for range 3 { // one guess in some ten thousand is right
					b := newBed(t)
					tunnel(b)
					q := packet.IPv4(bytes.Clone(b.tunnelled(sized(ns1MAC, ns1IP, tunnelIP, 900))))
					if df {
						q = b.outer(920)
					}
					b.uplink.Send(about(3, 4, 600, forge(q)[:28]))
					if b.pathMTU().Bytes != 1500 {
						right++
						continue
					}
					if n := b.refused(); n != 1 {
						t.Errorf("%d errors were refused", n)
					}
				}
				if right > 1 {
					t.Errorf("%d of 3 forged errors were believed", right)
				}
			})
		}
	}
	inTime(t, "T5_of_long_ago", func(b *bed) {
		tunnel(b)
		q, cut := b.outer(1500), bytes.Clone(b.tunnelled(sized(ns1MAC, ns1IP, tunnelIP, 1480)))
		pass(10 * time.Second)
		b.say(1400, q)
		b.pathIs(1400)
		pass(30 * time.Second)
		b.say(1300, q)
		b.say(1300, cut)
		b.pathIs(1400)
		b.say(1300, b.outer(1400))
		b.pathIs(1300)
	})
	inTime(t, "T5_through_a_tunnel", func(b *bed) { // as a workload of the other host would
		tunnel(b)
		b.uplink.Send(ipip(peerIP, hostIP, withSrc(about(3, 4, 600, b.outer(1500)[:28]), farIP), nil))
		b.pathIs(1500)
		b.dropsAre("ens160", "not_for_router", 1)
	})
	inTime(t, "T5_of_what_may_be_cut", func(b *bed) {
		tunnel(b)
		cut := func() packet.IPv4 { return bytes.Clone(b.tunnelled(sized(ns1MAC, ns1IP, tunnelIP, 1480))) }
		b.say(1400, cut())
		b.pathIs(1400)
		for range 40 {
			b.tunnelled(ping(tunnelIP))
		}
		b.say(1300, bytes.Clone(b.tunnelled(sized(ns1MAC, ns1IP, tunnelIP, 1380))))
		b.pathIs(1400) // among so many it may be guessed
	})
}

// Who guesses is soon not heard any more, and who knows is heard again soon after.
func TestTunnelGuesses(t *testing.T) {
	inTime(t, "T5_guesses", func(b *bed) {
		tunnel(b)
		q := b.outer(1500)
		r := rand.New(rand.NewPCG(1, 2))
		for range 200 {
			id := uint16(r.Uint32())
			for id == q.ID() {
				id++
			}
			b.uplink.Send(about(3, 4, 600, withID(q, id)[:28]))
		}
		b.say(1400, q)
		b.pathIs(1500)
		if n := b.refused(); n < 200 {
			b.t.Errorf("%d were refused", n)
		}
		pass(time.Second)
		b.say(1400, q)
		b.pathIs(1400)
	})
	inTime(t, "T6_guesses", func(b *bed) { // nor is the inner source told
		tunnel(b)
		q := packet.IPv4(bytes.Clone(b.tunnelled(ping(tunnelIP))))
		b.uplink.Send(about(3, 1, 0, withID(q, q.ID()+1)))
		b.silent("ns1")
		b.uplink.Send(about(3, 1, 0, q))
		one(b.t, b.ns1)
	})
}

// T5: no path is believed to carry less than the settings say; what is shorter may then
// be cut on the way, so that it gets through a path that does carry less.
func TestTunnelLeastPathMTU(t *testing.T) {
	for _, c := range []struct{ told, want int }{{0, 1492}, {1, 552}, {68, 552}, {296, 552}, {551, 552}, {552, 552}, {553, 553}, {1400, 1400}} {
		t.Run(fmt.Sprintf("T5_told_%d", c.told), func(t *testing.T) {
			b := newBed(t)
			tunnel(b)
			b.least(552)
			b.tell(c.told, 1500)
			b.pathIs(c.want)
			in := withDF(sized(ns1MAC, ns1IP, tunnelIP, c.want-20))
			if out := b.tunnelled(in); out.DF() != (c.told == 0 || c.told >= 552) || !packet.IPv4(out[20:]).DF() {
				t.Errorf("Don't Fragment is %v outside, and %v inside", out.DF(), packet.IPv4(out[20:]).DF())
			}
			in = withDF(sized(ns1MAC, ns1IP, tunnelIP, c.want-19))
			b.ns1.Send(in)
			tooBig(c.want-20)(t, in, one(t, b.ns1))
		})
	}
	t.Run("T5_told_again", func(t *testing.T) {
		b := newBed(t)
		tunnel(b)
		b.least(552)
		b.tell(1000, 1500)
		b.tell(600, 1000)
		b.tell(100, 600)
		b.pathIs(552)
		if out := b.tunnelled(withDF(sized(ns1MAC, ns1IP, tunnelIP, 400))); out.DF() {
			t.Error("what a path under the least would lose may not be cut")
		}
	})
}

// After five minutes a packet that is longer goes as a probe. If nobody says that it was
// too big the path carries it; if somebody does, what he says is believed, more or not.
func TestTunnelProbe(t *testing.T) {
	long := withDF(sized(ns1MAC, ns1IP, tunnelIP, 1480))
	refused := func(b *bed) {
		b.t.Helper()
		b.ns1.Send(long)
		b.silent("ens160")
		one(b.t, b.ns1)
	}
	sent := func(b *bed) packet.IPv4 {
		b.t.Helper()
		out := packet.IPv4(bytes.Clone(b.tunnelled(long)))
		b.silent("ns1")
		if len(out) != 1500 || !out.DF() {
			b.t.Errorf("%d bytes, Don't Fragment is %v", len(out), out.DF())
		}
		return out
	}
	lowered := func(b *bed) {
		tunnel(b)
		b.least(552)
		b.tell(1400, 1500)
		pass(4*time.Minute + 59*time.Second)
		refused(b)
		pass(1100 * time.Millisecond)
	}
	inTime(t, "T5_gets_through", func(b *bed) {
		lowered(b)
		sent(b)
		refused(b) // one is enough
		b.pathIs(1400)
		pass(4 * time.Second)
		refused(b)
		pass(2 * time.Second)
		b.pathIs(1500)
		sent(b)
		sent(b)
	})
	for told, want := range map[int]int{1400: 1400, 1450: 1450, 1000: 1000, 100: 552} {
		inTime(t, fmt.Sprintf("T5_told_%d", told), func(b *bed) {
			lowered(b)
			q := sent(b)
			pass(time.Second)
			b.say(told, q)
			b.pathIs(want)
			pass(9 * time.Second)
			refused(b)
			b.pathIs(want)
			pass(4*time.Minute + 52*time.Second)
			sent(b)
			pass(6 * time.Second)
			b.pathIs(1500)
		})
	}
	inTime(t, "T5_of_an_old_packet", func(b *bed) { // it says nothing of the probe
		tunnel(b)
		q := b.outer(1500)
		b.say(1300, q)
		b.say(1400, q)
		b.pathIs(1300)
	})
	inTime(t, "T5_not_by_what_may_be_cut", func(b *bed) {
		lowered(b)
		b.resolve()
		b.ns1.Send(sized(ns1MAC, ns1IP, tunnelIP, 1480))
		if n := len(b.uplink.Sent()); n != 2 {
			b.t.Errorf("%d fragments, want 2", n)
		}
		sent(b)
	})
	inTime(t, "T5_not_by_explain", func(b *bed) {
		lowered(b)
		b.resolve()
		for range 2 {
			said, err := b.router.DryRun().Explain("ns1", long.Clone())
			if err != nil || said[0].View("h").Outcome != "forwarded" {
				b.t.Errorf("explained as %s, %v", said[0].View("h").Outcome, err)
			}
		}
		sent(b)
		if said, err := b.router.DryRun().Explain("ns1", long.Clone()); err != nil || said[0].View("h").Reason != "mtu_exceeded" {
			b.t.Errorf("explained as %s, %v", said[0].View("h").Outcome, err)
		}
	})
	inTime(t, "T5_too_big_for_the_link", func(b *bed) {
		lowered(b)
		b.ns1.Send(withDF(sized(ns1MAC, ns1IP, tunnelIP, 1481)))
		b.silent("ens160")
		tooBig(1380)(b.t, withDF(sized(ns1MAC, ns1IP, tunnelIP, 1481)), one(b.t, b.ns1))
		sent(b)
	})
}

// With rpf a workload's error is about what came to it: who speaks of packets of the hosts'
// tunnels is no router on their way.
func TestRPFOfErrors(t *testing.T) {
	others := func(src, dst string) []byte { return ipip(src, dst, ping(farIP), nil).Payload() }
	noRPF := func(b *bed) { b.settings.RPF = false; b.router.Configure(b.settings) }
	behind := func(b *bed) { // a subnet behind ns1, which is a router then
		b.route(rib.Route{Prefix: prefix("10.88.0.0/24"), Via: addr(ns1IP), Dev: "ns1", Port: b.portID("ns1"), Source: rib.Static})
	}
	first := icmpOf(peerIP, 3, 4, others(peerIP, "192.168.0.99"))
	setFragment(first, 0, true)
	tiny := edited(icmpOf(peerIP, 3, 4, others(peerIP, "192.168.0.99")), func(ip packet.IPv4) { ip[2], ip[3], ip[6] = 0, 44, 0x20 })
	other := frame(ether(ns1MAC, gatewayMAC), ip4(ns1IP, "10.70.2.7", layers.IPProtocolUDP)).Payload()
	run(t, []row{
		{name: "H5_about_a_tunnel_of_hosts", from: "ns1", send: icmpOf(peerIP, 3, 4, others(peerIP, "192.168.0.99")), reason: "rpf_failed"},
		{name: "H5_about_a_tunnel_of_this_host", from: "ns1", send: icmpOf(peerIP, 3, 4, others(peerIP, hostIP)), reason: "rpf_failed"},
		{name: "H5_quoting_28_bytes", from: "ns1", send: icmpOf(peerIP, 3, 4, others(peerIP, hostIP)[:28]), reason: "rpf_failed"},
		{name: "H5_time_exceeded", from: "ns1", send: icmpOf(peerIP, 11, 0, others(peerIP, hostIP)), reason: "rpf_failed"},
		{name: "H5_in_fragments", from: "ns1", send: first, reason: "rpf_failed"},
		{name: "H5_in_tiny_fragments", from: "ns1", send: tiny, reason: "rpf_failed"},
		{name: "H5_about_its_own_tunnel", from: "ns1", send: icmpOf(peerIP, 3, 4, others(peerIP, ns1IP)), out: "ens160", check: toPeer},
		{name: "H5_about_a_tunnel_behind_it", from: "ns1", setup: behind, send: icmpOf(peerIP, 3, 4, others(peerIP, "10.88.0.1")), out: "ens160", check: toPeer},
		{name: "H5_about_another_packet", from: "ns1", send: icmpOf(peerIP, 3, 4, other), out: "ens160", check: toPeer},
		{name: "H5_without_rpf", from: "ns1", setup: noRPF, send: icmpOf(peerIP, 3, 4, others(peerIP, "192.168.0.99")), out: "ens160", check: toPeer},
		{name: "H5_not_on_the_uplink", from: "ens160", out: "ns1",
			send: frame(ether(peerMAC, uplinkMAC), ip4(farIP, ns1IP, layers.IPProtocolICMPv4), icmpData(3, 4, others(peerIP, "192.168.0.99")))},
	})
}

func icmpData(typ, code byte, quote []byte) gopacket.Payload {
	b := make([]byte, packet.ICMPHeaderLen+len(quote))
	packet.PutICMPError(b, typ, code, 0, quote)
	return payload(b)
}
