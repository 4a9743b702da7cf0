package engine_test

import (
	"bytes"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/gopacket/layers"

	"github.com/vrouter/vrouter/internal/engine"
	"github.com/vrouter/vrouter/internal/packet"
)

const onTheWay = "10.1.2.3" // a router between this host and the other one

func withDF(f *packet.Frame) *packet.Frame {
	return edited(f, func(ip packet.IPv4) { ip[6] |= 0x40 })
}

// about is an ICMP error to this host that quotes a packet.
func about(typ, code byte, rest int, quote []byte) *packet.Frame {
	icmp := make([]byte, packet.ICMPHeaderLen+len(quote))
	packet.PutICMPError(icmp, typ, code, uint32(rest), quote)
	return frame(ether(peerMAC, uplinkMAC), ip4(onTheWay, hostIP, layers.IPProtocolICMPv4), payload(icmp))
}

// tunnelled sends a packet from ns1 into the tunnel, and is what left.
func (b *bed) tunnelled(in *packet.Frame) packet.IPv4 {
	b.t.Helper()
	b.resolve()
	b.ns1.Send(in)
	return packet.IPv4(one(b.t, b.uplink).Payload())
}

// outer is what leaves for the tunnel of a packet that is so many bytes there, and may
// not be cut.
func (b *bed) outer(n int) packet.IPv4 {
	b.t.Helper()
	return bytes.Clone(b.tunnelled(withDF(sized(ns1MAC, ns1IP, tunnelIP, n-20))))
}

// tell has a router say how much fits, about a packet that is as long as sent.
func (b *bed) tell(told, sent int) {
	b.t.Helper()
	b.say(told, b.outer(sent))
}

// say has a router say how much fits, about a packet.
func (b *bed) say(told int, quote packet.IPv4) {
	b.t.Helper()
	b.uplink.Send(about(3, 4, told, quote[:min(len(quote), 548)]))
	b.silent("ns1") // it is not the inner source's business (RFC 2003 5.1)
}

func (b *bed) pathMTU() engine.PathMTU {
	b.t.Helper()
	for _, t := range b.router.Stats().Tunnels {
		if t.Peer == addr(peerIP) {
			return t.PathMTU
		}
	}
	b.t.Fatal("there is no tunnel to the other host")
	return engine.PathMTU{}
}

func (b *bed) pathIs(want int) {
	b.t.Helper()
	if got := b.pathMTU().Bytes; got != want {
		b.t.Errorf("the path MTU is %d, want %d", got, want)
	}
}

type told struct{ told, sent int }

// T5: the path MTU goes down, by what routers say (RFC 1191 5, 6.3 and 7.1).
func TestTunnelPathMTU(t *testing.T) {
	for _, c := range []struct {
		name string
		told []told
		want int
	}{
		{"T5_goes_down", []told{{1400, 1500}}, 1400},
		{"T5_goes_down_twice", []told{{1400, 1500}, {1300, 1400}}, 1300},
		{"T5_never_up", []told{{1300, 1500}, {1400, 1500}}, 1300},
		{"T5_never_up_by_a_plateau", []told{{1300, 1500}, {0, 1500}}, 1300},
		{"T5_one_byte_less", []told{{1499, 1500}}, 1499},
		{"T5_told_what_was_sent", []told{{1500, 1500}}, 1500},
		{"T5_told_more_than_was_sent", []told{{1400, 1399}}, 1500},
		{"T5_told_1", []told{{1, 1500}}, 68},
		{"T5_told_67", []told{{67, 1500}}, 68},
		{"T5_told_68", []told{{68, 1500}}, 68},
		{"T5_told_69", []told{{69, 1500}}, 69},
		{"T5_told_less_than_anything_about_the_least", []told{{10, 68}}, 1500},
		{"T5_told_nothing", []told{{0, 1500}}, 1492},
		{"T5_told_nothing_again", []told{{0, 1500}, {0, 1492}, {0, 1006}}, 508},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBed(t)
			tunnel(b)
			var quotes []packet.IPv4 // of what was sent before anybody told
			for _, x := range c.told {
				quotes = append(quotes, b.outer(x.sent))
			}
			for i, x := range c.told {
				b.say(x.told, quotes[i])
			}
			b.pathIs(c.want)
			b.dropsAre("ens160", "", 0)
		})
	}
	table := []int{65535, 32000, 17914, 8166, 4352, 2002, 1492, 1006, 508, 296, 68} // RFC 1191 7.1
	for i, sent := range table {
		want := table[min(i+1, len(table)-1)]
		for _, sent := range []int{sent, min(sent+1, 65535)} {
			t.Run(fmt.Sprintf("T5_plateau_under_%d", sent), func(t *testing.T) {
				b := newBed(t)
				tunnel(b)
				b.setMTU("ens160", 65535)
				b.tell(0, sent)
				switch {
				case sent == 68:
					b.pathIs(65535)
				case sent == table[i]:
					b.pathIs(want)
				default:
					b.pathIs(table[i])
				}
			})
		}
	}
}

// The next inner packet that is too big for the path is told what fits.
func TestTunnelPathMTUInUse(t *testing.T) {
	path := func(mtu int) func(*bed) { return func(b *bed) { tunnel(b); b.tell(mtu, 1500) } }
	full := func(n int) *packet.Frame { return sized(ns1MAC, ns1IP, tunnelIP, n) }
	run(t, []row{
		{name: "T5_what_just_fits", from: "ns1", setup: path(1400), send: withDF(full(1380)), out: "ens160", check: wrapped(peerIP)},
		{name: "T5_too_big", from: "ns1", setup: path(1400), send: withDF(full(1381)), out: "ns1", check: tooBig(1380), reason: "mtu_exceeded"},
		{name: "T5_too_big_for_the_least", from: "ns1", setup: path(10), send: withDF(full(49)), out: "ns1", check: tooBig(48), reason: "mtu_exceeded"},
		{name: "T5_the_uplinks_mtu_if_less", from: "ns1", setup: func(b *bed) { path(1400)(b); b.setMTU("ens160", 1300) },
			send: withDF(full(1281)), out: "ns1", check: tooBig(1280), reason: "mtu_exceeded"},
		{name: "T5_not_what_goes_plain", from: "ns1", setup: path(1000), send: withDF(sized(ns1MAC, ns1IP, farIP, 1500)), out: "ens160", check: toPeer},
		{name: "T4_uplink_less_20", from: "ns1", setup: func(b *bed) { tunnel(b); b.setMTU("ens160", 1000) },
			send: withDF(full(981)), out: "ns1", check: tooBig(980), reason: "mtu_exceeded"},
	})
}

// T4 and T5: without DF the inner is fragmented, each part wrapped, and all of
// them make the inner again.
func TestTunnelInnerFragments(t *testing.T) {
	for _, c := range []struct{ mtu, path, size int }{
		{1500, 0, 1481}, {1500, 1400, 1480}, {1000, 0, 1480}, {1500, 576, 1480}, {1500, 68, 200}, {9000, 1500, 8000},
	} {
		t.Run(fmt.Sprintf("T4_%d_bytes_for_%d_on_the_path_%d", c.size, c.mtu, c.path), func(t *testing.T) {
			b := newBed(t)
			b.resolve()
			tunnel(b)
			b.setMTU("ens160", c.mtu)
			most := c.mtu
			if c.path != 0 {
				b.tell(c.path, c.mtu)
				most = c.path
			}
			in := sized(ns1MAC, ns1IP, tunnelIP, c.size)
			b.ns1.Send(in)
			var data []byte
			for _, f := range b.uplink.Sent() {
				outer := packet.IPv4(f.Payload())
				inner := packet.IPv4(outer.Payload())
				if outer.TotalLen() > most || outer.TotalLen() != len(outer) || outer.IsFragment() || outer.DF() || outer.Protocol() != 4 || packet.Checksum(outer[:20]) != 0 {
					t.Errorf("outer header % x", []byte(outer[:20]))
				}
				if inner.FragOffset() != len(data) || inner.ID() != 7 || inner.TTL() != 63 || packet.Checksum(inner[:20]) != 0 {
					t.Errorf("inner header % x at %d", []byte(inner[:20]), len(data))
				}
				data = append(data, inner.Payload()...)
				if inner.MF() != (len(data) < c.size-20) {
					t.Errorf("more fragments: %v at %d", inner.MF(), len(data))
				}
			}
			if !bytes.Equal(data, in.Payload()[20:]) {
				t.Error("the fragments do not make the inner packet")
			}
		})
	}
}

// T5: it is believed for ten minutes (RFC 1191 6.3), whatever the settings do.
func TestTunnelPathMTUInTime(t *testing.T) {
	inTime(t, "T5_forgotten_after_ten_minutes", func(b *bed) {
		tunnel(b)
		b.tell(1400, 1500)
		want := engine.PathMTU{Bytes: 1400, From: addr(onTheWay), Since: time.Now()}
		if d := cmp.Diff(want, b.pathMTU(), cmp.Comparer(func(x, y engine.PathMTU) bool { return x == y })); d != "" {
			b.t.Errorf("(-want +got):\n%s", d)
		}
		pass(9*time.Minute + 59*time.Second)
		b.pathIs(1400)
		pass(1100 * time.Millisecond)
		if got := b.pathMTU(); got != (engine.PathMTU{Bytes: 1500}) {
			b.t.Errorf("after ten minutes it is %+v", got)
		}
		in := withDF(sized(ns1MAC, ns1IP, tunnelIP, 1480))
		if got := b.tunnelled(in).TotalLen(); got != 1500 {
			b.t.Errorf("%d bytes went out, want 1500", got)
		}
	})
	inTime(t, "T5_lowered_anew_it_lasts_anew", func(b *bed) {
		tunnel(b)
		b.tell(1400, 1500)
		pass(6 * time.Minute)
		b.tell(1300, 1400)
		pass(6 * time.Minute)
		b.pathIs(1300)
		pass(5 * time.Minute)
		b.pathIs(1500)
	})
	inTime(t, "T5_survives_new_settings", func(b *bed) {
		tunnel(b)
		b.tell(1400, 1500)
		b.settings.Peers = append(b.settings.Peers, addr("192.168.0.13"))
		b.settings.Ends = b.settings.Peers
		b.router.Configure(b.settings)
		b.pathIs(1400)
		b.settings.Peers = nil
		b.router.Configure(b.settings)
		b.pathIs(1400)
	})
	inTime(t, "T5_survives_routes_that_come_back", func(b *bed) {
		tunnel(b)
		b.tell(1400, 1500)
		sent := b.router.Stats().Tunnels[0].Tx
		b.settings.Peers, b.settings.Ends = nil, nil
		b.router.Configure(b.settings)
		pass(time.Minute)
		b.uplink.Send(ipip(peerIP, hostIP, fromPeer(), nil)) // it is no peer meanwhile
		b.dropsAre("ens160", "ipip_unknown_peer", 1)
		b.settings.Peers = []netip.Addr{addr(peerIP)}
		b.router.Configure(b.settings)
		b.pathIs(1400)
		if got := b.router.Stats().Tunnels[0].Tx; got != sent || sent == 0 {
			b.t.Errorf("%d packets are counted, %d before", got, sent)
		}
		b.settings.Peers = nil
		b.router.Configure(b.settings)
		pass(engine.PathMTUTime - time.Second)
		if len(b.router.Stats().Tunnels) != 1 {
			b.t.Error("it is forgotten too soon")
		}
		pass(2 * time.Second)
		if all := b.router.Stats().Tunnels; len(all) != 0 {
			b.t.Errorf("after ten minutes it is still there: %+v", all)
		}
	})
}
