package engine_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/trace"
	"github.com/vrouter/vrouter/rib"
)

// narrowed gives the route to a prefix an MTU; one that is not there is made, by way of the other host.
func narrowed(to string, mtu uint32, encap rib.Encap) func(b *bed) {
	return func(b *bed) {
		r := rib.Route{Prefix: prefix(to), Via: addr(peerIP), Dev: "ens160", Port: b.uplinkID, Protocol: "bird", Source: rib.Kernel, Encap: encap, MTU: mtu}
		if r.Prefix.Contains(addr(peerIP)) {
			r.Via = netip.Addr{}
		}
		b.route(r)
	}
}

// F7: what goes by a route with an MTU of its own is held to that, as Linux holds it; whichever is
// lower counts, of the route's, the link's and, in a tunnel, the way's to the other end.
func TestRouteMTU(t *testing.T) {
	const to = "10.71.0.1"
	full := func(n int) *packet.Frame { return withDF(sized(ns1MAC, ns1IP, to, n)) }
	plain := narrowed("10.71.0.0/16", 1400, rib.None)
	inner := narrowed("10.71.0.0/16", 1400, rib.IPIP)
	wide := narrowed("10.71.0.0/16", 9000, rib.IPIP)
	outer := func(b *bed) { wide(b); narrowed(peerIP+"/32", 1300, rib.None)(b) }
	both := func(b *bed) { inner(b); narrowed(peerIP+"/32", 1450, rib.None)(b) }
	several := func(b *bed) {
		r := rib.Route{Prefix: prefix("10.71.0.0/16"), Protocol: "bird", Source: rib.Kernel, MTU: 1400}
		hop := rib.Hop{Route: rib.Route{Via: addr(peerIP), Dev: "ens160", Port: b.uplinkID}, Weight: 1}
		b.route(r.Over([]rib.Hop{hop, hop}))
	}
	run(t, []row{
		{name: "F7_route_mtu_fits", from: "ns1", setup: plain, send: full(1400), out: "ens160", check: toPeer},
		{name: "F7_route_mtu_too_big", from: "ns1", setup: plain, send: full(1401), out: "ns1", check: tooBig(1400), reason: "mtu_exceeded"},
		{name: "F7_route_mtu_of_several_next_hops", from: "ns1", setup: several, send: full(1401), out: "ns1", check: tooBig(1400), reason: "mtu_exceeded"},
		{name: "F7_route_mtu_above_the_links", from: "ns1", setup: narrowed("10.71.0.0/16", 9000, rib.None), send: full(1501), out: "ns1", check: tooBig(1500), reason: "mtu_exceeded"},
		{name: "T4_route_mtu_fits", from: "ns1", setup: inner, send: full(1400), out: "ens160", check: wrapped(peerIP)},
		{name: "T4_route_mtu_too_big", from: "ns1", setup: inner, send: full(1401), out: "ns1", check: tooBig(1400), reason: "mtu_exceeded"},
		{name: "T4_route_mtu_above_what_fits", from: "ns1", setup: wide, send: full(1481), out: "ns1", check: tooBig(1480), reason: "mtu_exceeded"},
		{name: "T4_mtu_of_the_way_to_the_end", from: "ns1", setup: outer, send: full(1281), out: "ns1", check: tooBig(1280), reason: "mtu_exceeded"},
		{name: "T4_mtu_of_both", from: "ns1", setup: both, send: full(1401), out: "ns1", check: tooBig(1400), reason: "mtu_exceeded"},
	})
}

func TestRouteMTUFragments(t *testing.T) {
	b := newBed(t)
	b.resolve()
	narrowed("10.71.0.0/16", 1000, rib.None)(b)
	in := sized(ns1MAC, ns1IP, "10.71.0.1", 1500)
	b.ns1.Send(in)
	checkFragments(t, in, b.uplink.Sent(), []int{996, 524}, []int{0, 0})
	b.ns1.Send(fromNS1("10.71.0.1")) // a superframe: its segments are too big, and say Don't Fragment
	tooBig(1000)(t, fromNS1("10.71.0.1"), one(t, b.ns1))
}

// A trace and explain say whose MTU it is.
func TestRouteMTUIsTold(t *testing.T) {
	for want, setup := range map[string]func(*bed){
		"1500 bytes, by the mtu of the route 1400 fit":                             narrowed("10.71.0.0/16", 1400, rib.None),
		"1500 bytes, by the mtu of the route 1300 fit":                             narrowed("10.71.0.0/16", 1300, rib.IPIP),
		"1500 bytes, by the mtu of the route to the tunnel's end 1300 - 20 = 1280": func(b *bed) { narrowed("10.71.0.0/16", 0, rib.IPIP)(b); narrowed(peerIP+"/32", 1300, rib.None)(b) },
	} {
		b := newBed(t)
		setup(b)
		records, err := b.router.DryRun().Explain("ns1", withDF(sized(ns1MAC, ns1IP, "10.71.0.1", 1500)))
		if err != nil {
			t.Fatal(err)
		}
		if out := text(t, []trace.Packet{records[0].View("h")}); !strings.Contains(out, want) {
			t.Errorf("it does not say %q:\n%s", want, out)
		}
	}
}
