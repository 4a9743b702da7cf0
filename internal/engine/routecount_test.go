package engine_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vrouter/vrouter/internal/engine"
	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/rib"
)

// byRoute is how many packets and bytes went by each route that there is, of several
// next hops by each of them.
func (b *bed) byRoute() map[string]string {
	counts, found := b.router.RouteCounts(), map[string]string{}
	for _, r := range b.rib.Routes() {
		for _, p := range append(r.Multipath.Paths(), *r) {
			if p.Multipath != nil {
				continue
			}
			if n := countOf(counts, r, &p); n.Packets > 0 {
				found[p.String()] = fmt.Sprintf("%d packets, %d bytes", n.Packets, n.Bytes)
			}
		}
	}
	return found
}

// countOf asks by the table's own value, as a copy is another route.
func countOf(counts *engine.RouteCounts, r, path *rib.Route) (n engine.RouteCount) {
	paths := r.Multipath.Paths()
	for i := range paths {
		if paths[i].Slot() == path.Slot() {
			return counts.Of(&paths[i])
		}
	}
	return counts.Of(r)
}

func (b *bed) byRouteIs(want map[string]string) {
	b.t.Helper()
	if d := cmp.Diff(want, b.byRoute()); d != "" {
		b.t.Errorf("by route (-want +got):\n%s", d)
	}
}

const (
	byFar = "10.70.2.1/32 via 192.168.0.12 dev ens160 proto static"
	byNS2 = "10.70.1.2/32 dev ns2 proto workload scope link"
)

func TestPacketsAreCountedByRoute(t *testing.T) {
	b := newBed(t)
	b.resolve()
	b.route(rib.Route{Prefix: prefix("10.70.2.0/24"), Type: rib.Blackhole, Port: rib.NoPort, Source: rib.Static})
	b.ns1.Send(ping(farIP), ping(farIP), withTTL(ping(farIP), 1), ping("10.70.2.2"), ping("10.99.0.1"), ping(gateway), fromNS1(ns2IP))
	size := ping(farIP).Len
	want := map[string]string{
		byFar:                    fmt.Sprintf("3 packets, %d bytes", 3*size),
		"blackhole 10.70.2.0/24": fmt.Sprintf("1 packets, %d bytes", size),
		byNS2:                    fmt.Sprintf("%d packets, %d bytes", segments, onWire(fromNS1(ns2IP))),
	}
	b.byRouteIs(want)
	b.router.RemovePort(b.portID("ns1")) // what came in by it stays
	b.byRouteIs(want)
}

func TestEachNextHopHasItsCount(t *testing.T) {
	b := newBed(t)
	multipath(b, rib.None)
	const flows = 400
	for port := range uint16(flows) {
		b.ns1.Send(udp(1000+port, 53))
	}
	counts, all, taken := b.router.RouteCounts(), 0, 0
	for n := range counts.All {
		if n.Route.Weight() > 0 {
			all, taken = all+int(n.Packets), taken+1
		}
	}
	if all != flows || taken != 2 {
		t.Errorf("%d packets by %d next hops, want %d by 2", all, taken, flows)
	}
}

// A route that is replaced by another one begins anew; one that stays, or gives its
// place up and takes it again, does not inherit another's count.
func TestCountsGoWithTheirRoute(t *testing.T) {
	b := newBed(t)
	b.resolve()
	far := rib.Route{Prefix: prefix(farIP + "/32"), Via: addr(peerIP), Dev: "ens160", Port: b.uplinkID, Protocol: "static", Source: rib.Static}
	b.ns1.Send(ping(farIP), ping(farIP))
	size := ping(farIP).Len
	two := map[string]string{byFar: fmt.Sprintf("2 packets, %d bytes", 2*size)}
	b.byRouteIs(two)

	if err := b.rib.SetSource(rib.Static, []rib.Route{far}); err != nil { // nothing changes
		t.Fatal(err)
	}
	b.byRouteIs(two)

	other := far
	other.Metric = 7
	if err := b.rib.SetSource(rib.Static, []rib.Route{other}); err != nil {
		t.Fatal(err)
	}
	b.byRouteIs(map[string]string{})
	b.ns1.Send(ping(farIP))
	b.byRouteIs(map[string]string{byFar + " metric 7": fmt.Sprintf("1 packets, %d bytes", size)})

	far.Prefix = prefix("10.70.2.0/24") // takes the place that is free
	if err := b.rib.SetSource(rib.Static, []rib.Route{far}); err != nil {
		t.Fatal(err)
	}
	b.byRouteIs(map[string]string{})
	b.ns1.Send(ping(farIP))
	one := fmt.Sprintf("1 packets, %d bytes", size)
	b.byRouteIs(map[string]string{"10.70.2.0/24 via 192.168.0.12 dev ens160 proto static": one})

	far.Protocol = "bird" // another one with the same key
	if err := b.rib.Replace(far); err != nil {
		t.Fatal(err)
	}
	b.byRouteIs(map[string]string{})
	b.ns1.Send(ping(farIP))
	b.byRouteIs(map[string]string{"10.70.2.0/24 via 192.168.0.12 dev ens160 proto bird": one})
}

// What waits is counted when it begins to wait, and only then.
func TestWhatWaitsIsCountedOnceByRoute(t *testing.T) {
	inTime(t, "an_answer", func(b *bed) {
		one := map[string]string{byFar: fmt.Sprintf("1 packets, %d bytes", ping(farIP).Len)}
		b.ns1.Send(ping(farIP))
		b.byRouteIs(one)
		b.reply(peerMAC)
		b.byRouteIs(one)
	})
	inTime(t, "none", func(b *bed) {
		b.ns1.Send(ping(farIP))
		pass(4 * time.Second)
		b.byRouteIs(map[string]string{byFar: fmt.Sprintf("1 packets, %d bytes", ping(farIP).Len)})
	})
}

func onWire(f *packet.Frame) uint64 {
	_, bytes := f.OnWire()
	return bytes
}
