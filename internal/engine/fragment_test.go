package engine_test

import (
	"bytes"
	"testing"

	"github.com/google/gopacket/layers"

	"github.com/vrouter/vrouter/internal/packet"
)

// setMTU changes a port's MTU, as when the interface's changes.
func (b *bed) setMTU(port string, mtu int) {
	for _, p := range b.router.Stats().Ports {
		if p.Name == port {
			c := p.PortConfig
			c.MTU = mtu
			b.router.UpdatePort(p.ID, c)
		}
	}
}

// TestForwardingFragments is F7: RFC 791 3.2, RFC 1191 4.
func TestForwardingFragments(t *testing.T) {
	small := func(mtu int) func(*bed) { return func(b *bed) { b.setMTU("ens160", mtu) } }
	df := func(f *packet.Frame) *packet.Frame { return edited(f, func(ip packet.IPv4) { ip[6] |= 0x40 }) }
	full := sized(ns1MAC, ns1IP, farIP, 1500)
	run(t, []row{
		{name: "F7_df_fits", from: "ns1", setup: small(1500), send: df(full), out: "ens160", check: toPeer},
		{name: "F7_df_too_big", from: "ns1", setup: small(1400), send: df(full), out: "ns1", check: tooBig(1400), reason: "mtu_exceeded"},
		{name: "F7_df_one_byte_too_big", from: "ns1", setup: small(1499), send: df(full), out: "ns1", check: tooBig(1499), reason: "mtu_exceeded"},
		{name: "F7_no_df_fits", from: "ns1", setup: small(1500), send: full, out: "ens160", check: toPeer},
		{name: "F7_df_last_fragment_is_told_nothing", from: "ns1", setup: small(1400),
			send: df(edited(full, func(ip packet.IPv4) { ip[7] = 100 })), reason: "mtu_exceeded"},
		{name: "F7_a_fragment_past_the_end_cannot_be_cut", from: "ns1", setup: small(1400),
			send: edited(full, func(ip packet.IPv4) { ip[6], ip[7] = 0x1f, 0xff }), reason: "mtu_exceeded"},
	})
	for _, c := range []struct {
		name    string
		in      *packet.Frame
		mtu     int
		sizes   []int // of IP
		options []int // bytes of options
	}{
		{"F7_two", full, 1400, []int{20 + 1376, 20 + 104}, []int{0, 0}},
		{"F7_one_byte_too_big", full, 1499, []int{20 + 1472, 20 + 8}, []int{0, 0}},
		{"F7_smallest_mtu", sized(ns1MAC, ns1IP, farIP, 150), 68, []int{68, 68, 54}, []int{0, 0, 0}},
		{"F7_a_fragment_again", edited(full, func(ip packet.IPv4) { ip[6], ip[7] = 0x20, 185 }), 1400, []int{1396, 124}, []int{0, 0}},
		{"F7_last_fragment_again", edited(full, func(ip packet.IPv4) { ip[7] = 185 }), 1400, []int{1396, 124}, []int{0, 0}},
		{"F7_options_without_copy", withOptions(full, 7, 7, 4, 0, 0, 0, 0), 1400, []int{28 + 1368, 20 + 112}, []int{8, 0}},
		{"F7_options_with_copy", withOptions(full, 148, 4, 0, 0), 1400, []int{24 + 1376, 24 + 104}, []int{4, 4}},
		{"F7_options_of_both_kinds", withOptions(full, 7, 3, 4, 1, 131, 3, 4), 1400, []int{28 + 1368, 24 + 112}, []int{8, 4}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBed(t)
			b.resolve()
			b.setMTU("ens160", c.mtu)
			b.ns1.Send(c.in)
			b.silent("ns1")
			b.silent("ns2")
			checkFragments(t, c.in, b.uplink.Sent(), c.sizes, c.options)
			for _, p := range b.router.Stats().Ports {
				if p.Name == "ens160" && p.Fragments != uint64(len(c.sizes)) {
					t.Errorf("%d fragments are counted, want %d", p.Fragments, len(c.sizes))
				}
			}
			b.dropsAre("ns1", "", 0)
		})
	}
}

func checkFragments(t testing.TB, in *packet.Frame, out []*packet.Frame, sizes, options []int) {
	t.Helper()
	if len(out) != len(sizes) {
		t.Fatalf("%d fragments, want %d", len(out), len(sizes))
	}
	was := packet.IPv4(in.Payload())
	at := was.FragOffset()
	var data []byte
	for i, f := range out {
		ip := packet.IPv4(f.Payload())
		if len(ip) != sizes[i] || ip.TotalLen() != sizes[i] || ip.HeaderLen() != 20+options[i] || packet.Checksum(ip[:ip.HeaderLen()]) != 0 {
			t.Errorf("fragment %d: %d bytes, total length %d, header %d; want %d and %d", i, len(ip), ip.TotalLen(), ip.HeaderLen(), sizes[i], 20+options[i])
		}
		if more := i < len(out)-1 || was.MF(); ip.FragOffset() != at || ip.MF() != more {
			t.Errorf("fragment %d: offset %d, more %v; want %d, %v", i, ip.FragOffset(), ip.MF(), at, more)
		}
		if ip.ID() != was.ID() || ip.TTL() != was.TTL()-1 || f.DstMAC() != peerMAC || f.SrcMAC() != uplinkMAC {
			t.Errorf("fragment %d: id %d, ttl %d, %s > %s", i, ip.ID(), ip.TTL(), f.SrcMAC(), f.DstMAC())
		}
		at += len(ip.Payload())
		data = append(data, ip.Payload()...)
	}
	if !bytes.Equal(data, was.Payload()) {
		t.Error("the fragments do not make the datagram")
	}
}

// tooBig is a fragmentation-needed that tells the MTU (RFC 1191 4).
func tooBig(mtu int) func(testing.TB, *packet.Frame, *packet.Frame) {
	return func(t testing.TB, in, out *packet.Frame) {
		t.Helper()
		tellsOf(3, 4)(t, in, out)
		icmp := decode(out).Layer(layers.LayerTypeICMPv4).(*layers.ICMPv4)
		if icmp.Id != 0 || int(icmp.Seq) != mtu {
			t.Errorf("it tells of %d (and %d), want %d (and 0)", icmp.Seq, icmp.Id, mtu)
		}
	}
}
