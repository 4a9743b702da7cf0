package timeline_test

import (
	"cmp"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/rib"
)

const (
	pingPath = "packet a ns1>ens160; packet b ens160>ns1 from a;"
	pongPath = " reply b ns1>ens160; reply a ens160>ns1 from b;"
)

// Each hard case on the wire, with the records in every order in which they may come.
func TestJoin(t *testing.T) {
	for _, c := range []struct {
		name  string
		encap rib.Encap
		mtu   int // of the uplinks; 0: 1500
		raw   bool
		run   func(b *bed)
		want  []string // the ways, in the order in which they began
	}{
		{name: "a ping and its reply", run: func(b *bed) {
			b.across(nil, b.ping(1, 1, 56))
			b.back(b.pong(1, 56))
		}, want: []string{pingPath + pongPath + " delivered arrived"}},
		{name: "in IP-in-IP", encap: rib.IPIP, run: func(b *bed) {
			b.across(nil, b.ping(1, 1, 56))
			b.back(b.pong(1, 56))
		}, want: []string{pingPath + pongPath + " delivered arrived"}},
		{name: "by a router on the way", run: func(b *bed) {
			b.across(hop, b.ping(1, 1, 56))
			b.back(b.pong(1, 56))
		}, want: []string{pingPath + pongPath + " delivered arrived"}},
		{name: "cut by the first router", mtu: 800, run: func(b *bed) {
			b.across(nil, b.ping(1, 1, 1400))
		}, want: []string{pingPath + " packet b ens160>ns1 from a; delivered none"}},
		{name: "cut, then encapsulated", encap: rib.IPIP, mtu: 800, run: func(b *bed) {
			b.across(nil, b.ping(1, 1, 1400))
		}, want: []string{pingPath + " packet b ens160>ns1 from a; delivered none"}},
		{name: "cut on the way", run: func(b *bed) {
			b.across(fragments, b.ping(1, 1, 1400))
		}, want: []string{pingPath + " packet b ens160>ns1 from a; packet b ens160>ns1 from a; delivered none"}},
		{name: "its tunnel is cut on the way", encap: rib.IPIP, run: func(b *bed) {
			b.across(fragments, b.ping(1, 1, 1400))
		}, want: []string{"packet a ns1>ens160; packet b ens160> from a; packet b ens160> from a; packet b ens160>ns1 from a; delivered none"}},
		{name: "fragments from the workload, one of them lost", run: func(b *bed) {
			all := fragments([]*packet.Frame{b.ping(1, 1, 1400)})
			b.across(func(f []*packet.Frame) []*packet.Frame { return f[:2] }, all...)
		}, want: []string{pingPath + " " + pingPath + " packet a ns1>ens160 unseen b; unseen"}},
		{name: "a superframe as segments", run: func(b *bed) {
			b.across(segments, superframe(b.a, b.b, 1000))
			b.back(ack(b.b, b.a, 11000))
		}, want: []string{pingPath + strings.Repeat(" packet b ens160>ns1 from a;", 6) + pongPath + " delivered arrived"}},
		{name: "a superframe into a tunnel", encap: rib.IPIP, mtu: 1600, run: func(b *bed) {
			b.across(nil, superframe(b.a, b.b, 1000))
		}, want: []string{pingPath + strings.Repeat(" packet b ens160>ns1 from a;", 6) + " delivered"}},
		{name: "a segment of a superframe is lost", run: func(b *bed) {
			b.across(func(f []*packet.Frame) []*packet.Frame { return slices.Delete(segments(f), 2, 3) }, superframe(b.a, b.b, 1000))
		}, want: []string{"packet a ns1>ens160 unseen b;" + strings.Repeat(" packet b ens160>ns1 from a;", 6) + " unseen"}},
		{name: "segments are joined on the way", run: func(b *bed) {
			whole := superframe(b.a, b.b, 1000)
			b.a.ns1.Send(segments([]*packet.Frame{whole})...)
			b.a.uplink.Sent()
			h := packet.IPv4(whole.Payload())
			h.SetTTL(63)
			whole.SetEthernet(b.b.mac, b.a.mac, packet.EtherTypeIPv4)
			b.b.uplink.Send(whole)
		}, want: []string{pingPath + strings.Repeat(" packet a ns1>ens160;", 6) + " delivered"}},
		{name: "lost", run: func(b *bed) {
			b.across(lose, b.ping(1, 1, 56))
		}, want: []string{"packet a ns1>ens160 unseen b; unseen"}},
		{name: "the reply is lost", run: func(b *bed) {
			b.across(nil, b.ping(1, 1, 56))
			b.b.ns1.Send(b.pong(1, 56))
		}, want: []string{pingPath + " reply b ns1>ens160 unseen a; delivered lost"}},
		{name: "replies overtake each other", run: func(b *bed) {
			b.across(nil, b.ping(1, 1, 56), b.ping(2, 2, 56), b.ping(3, 3, 56))
			b.back(b.pong(3, 56), b.pong(1, 56), b.pong(2, 56))
		}, want: slices.Repeat([]string{pingPath + pongPath + " delivered arrived"}, 3)},
		{name: "many alike, all with identification 0", run: func(b *bed) {
			for range 20 {
				b.across(nil, udp(b.a, b.b, 0, true, 5000, "the same"))
			}
		}, want: slices.Repeat([]string{pingPath + " delivered"}, 20)},
		{name: "identification 0, told by what is in them", run: func(b *bed) {
			b.across(func(f []*packet.Frame) []*packet.Frame { return []*packet.Frame{f[2], f[0]} },
				udp(b.a, b.b, 0, true, 5000, "one"), udp(b.a, b.b, 0, true, 5000, "two"), udp(b.a, b.b, 0, true, 5000, "six"))
		}, want: []string{pingPath + " delivered", "packet a ns1>ens160 unseen b; unseen", pingPath + " delivered"}},
		{name: "a segment is lost, and comes when it is sent again", run: func(b *bed) {
			b.across(lose, segment(b.a, b.b, 500))
			b.across(nil, segment(b.a, b.b, 600))
		}, want: []string{"packet a ns1>ens160 unseen b; unseen", pingPath + " delivered"}},
		{name: "a datagram is lost, and another like it comes", run: func(b *bed) {
			b.across(lose, udp(b.a, b.b, 500, false, 5000, "the same"))
			b.across(nil, udp(b.a, b.b, 600, false, 5000, "the same"))
		}, want: []string{"packet a ns1>ens160 unseen b; unseen", pingPath + " delivered"}},
		{name: "a device completes the checksum", run: func(b *bed) {
			f := udp(b.a, b.b, 0, true, 5000, "text")
			f.Offload = packet.Offload{Flags: 1, CsumStart: 34, CsumOffset: 6}
			f.Buf[f.Off+40], f.Buf[f.Off+41] = 0x12, 0x34
			b.across(func(f []*packet.Frame) []*packet.Frame { f[0].FinishChecksum(); return f }, f)
		}, want: []string{pingPath + " delivered"}},
		{name: "a loop", run: func(b *bed) {
			b.a.route(b.t, "10.99.0.0/16", b.b)
			b.b.route(b.t, "10.99.0.0/16", b.a)
			f := udp(b.a, &side{workload: "10.99.0.1"}, 0, true, 5000, "round and round")
			packet.IPv4(f.Payload()).SetTTL(4)
			b.across(nil, f)
			b.carry(b.b, b.a, nil)
			b.carry(b.a, b.b, nil)
			b.carry(b.b, b.a, nil)
		}, want: []string{"packet a ns1>ens160; packet b ens160>ens160 from a; packet a ens160>ens160 from b; packet b ens160> from a; " +
			"caused b >ens160; caused a ens160>ns1 from b; dropped ttl_exceeded"}},
		{name: "for the other host's own stack", run: func(b *bed) {
			b.across(lose, echo(b.a, &side{workload: b.b.ip}, packet.ICMPEchoRequest, 1, 1, 56))
		}, want: []string{"packet a ns1>ens160; left none"}},
		{name: "the first of two by UDP is the question", run: func(b *bed) {
			f := udp(b.b, b.a, 0, true, 53, "hello")
			f.Buf[f.Off+36], f.Buf[f.Off+37] = 5000>>8, 5000&0xff
			b.back(f)
			b.across(nil, udp(b.a, b.b, 0, true, 5000, "hello"))
		}, want: []string{"packet b ns1>ens160; packet a ens160>ns1 from b; reply a ns1>ens160; reply b ens160>ns1 from a; delivered arrived"}},
		{name: "a question by UDP", run: func(b *bed) {
			b.across(nil, udp(b.a, b.b, 0, true, 5000, "who?"))
			f := udp(b.b, b.a, 0, true, 53, "me")
			f.Buf[f.Off+36], f.Buf[f.Off+37] = 5000>>8, 5000&0xff
			b.back(f)
		}, want: []string{pingPath + pongPath + " delivered arrived"}},
		{name: "the TTL ends at the second host", run: func(b *bed) {
			f := b.ping(1, 1, 56)
			packet.IPv4(f.Payload()).SetTTL(2)
			b.across(nil, f)
			b.carry(b.b, b.a, nil)
		}, want: []string{"packet a ns1>ens160; packet b ens160> from a; caused b >ens160; caused a ens160>ns1 from b; dropped ttl_exceeded"}},
		{name: "an error from a router on the way", run: func(b *bed) {
			b.a.ns1.Send(b.ping(1, 1, 56))
			b.a.uplink.Send(timeExceeded(b, b.a.uplink.Sent()[0]))
		}, want: []string{"packet a ns1>ens160 unseen b; caused a ens160>ns1; unseen"}},
		{name: "ARP first", raw: true, run: func(b *bed) {
			b.a.ns1.Send(b.ping(1, 1, 56))
			b.carry(b.a, b.b, nil)
			b.a.uplink.Send(arp(packet.ARPReply, b.b, b.a, b.a.mac))
			b.carry(b.a, b.b, nil)
		}, want: []string{pingPath + " caused a >ens160; caused b ens160> from a; caused a ens160>; delivered none"}},
	} {
		encaps := []rib.Encap{c.encap}
		if c.encap == rib.IPIP {
			encaps = append(encaps, rib.VXLAN)
		}
		for _, encap := range encaps {
			t.Run(c.name+"_"+encap.String(), func(t *testing.T) {
				b := newBed(t, encap, cmp.Or(c.mtu, 1500))
				if !c.raw {
					b.resolve()
				}
				c.run(b)
				for name, records := range orders(b.a.records(), b.b.records()) {
					var got []string
					for _, w := range join(b.options("one"), records) {
						got = append(got, outline(w))
					}
					if d := gocmp.Diff(c.want, got); d != "" {
						t.Errorf("%s (-want +got):\n%s", name, d)
					}
				}
			})
		}
	}
}

// timeExceeded is what a router that nobody listens to says about a frame.
func timeExceeded(b *bed, f *packet.Frame) *packet.Frame {
	quote := f.Payload()
	g := packet.NewFrame()
	g.Reset(packet.EthernetLen + packet.IPv4MinLen + packet.ICMPHeaderLen + len(quote))
	g.SetEthernet(b.a.mac, packet.MAC{2, 9, 9, 9, 9, 9}, packet.EtherTypeIPv4)
	packet.PutIPv4(g.Payload(), &packet.Header{
		TotalLen: g.Len - packet.EthernetLen, TTL: 64, Protocol: packet.ProtocolICMP, Src: addr("192.168.0.1"), Dst: addr(b.a.workload),
	})
	packet.PutICMPError(g.Payload()[packet.IPv4MinLen:], packet.ICMPTimeExceeded, 0, 0, quote)
	return &g
}
