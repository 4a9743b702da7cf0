package engine

import (
	"net/netip"
	"testing"

	"github.com/vrouter/vrouter/rib"
)

// A worker that has seen no packet since a route was replaced still has the old
// one's count in its slot: in the sum the slot is the new one's, whoever comes first.
func TestSlotIsTheLaterRoutes(t *testing.T) {
	table, to := rib.NewTable(), netip.MustParseAddr("10.70.2.1")
	r := rib.Route{Prefix: netip.PrefixFrom(to, 32), Dev: "ens160", Source: rib.Static}
	var routes [2]*rib.Route
	for i, protocol := range []string{"static", "bird"} {
		r.Protocol = protocol
		if err := table.Replace(r); err != nil {
			t.Fatal(err)
		}
		routes[i] = table.FIB().Lookup(to)
	}
	if routes[0].Slot() != routes[1].Slot() {
		t.Fatal("they have two slots")
	}
	var idle, busy RouteCounts
	idle.count(routes[0], 5, 500)
	busy.count(routes[1], 3, 300)
	for _, order := range [][]*RouteCounts{{&idle, &busy}, {&busy, &idle}} {
		var sum RouteCounts
		for _, c := range order {
			sum.add(c.pages[0])
		}
		if was, is := sum.Of(routes[0]), sum.Of(routes[1]); was.Packets != 0 || is.Packets != 3 || is.Bytes != 300 {
			t.Errorf("the old route has %+v, the new one %+v", was, is)
		}
	}
}

// What went by routes that have gone is forgotten, with the memory it took; by those that are
// there it stays, by each next hop too.
func TestGoneRoutesAreForgotten(t *testing.T) {
	table := rib.NewTable()
	var counts RouteCounts
	var left []*rib.Route
	for i := range 3 * routePage {
		to := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}), 32)
		r := rib.Route{Prefix: to, Dev: "ens160", Source: rib.Static}
		if i == 1 {
			hop := rib.Hop{Route: r, Weight: 1}
			r = rib.Route{Prefix: to, Source: rib.Static}.Over([]rib.Hop{hop, hop})
		}
		if err := table.Add(r); err != nil {
			t.Fatal(err)
		}
		in := table.FIB().Lookup(to.Addr())
		if paths := in.Multipath.Paths(); paths != nil {
			in = &paths[1]
		}
		counts.count(in, 1, 100)
		if i < 2 {
			left = append(left, in)
		} else if err := table.Delete(to, rib.Static, 0); err != nil {
			t.Fatal(err)
		}
	}
	for page, more := 0, true; more; page++ {
		more = counts.forget(page, table.FIB().Has)
	}
	n := 0
	for range counts.All {
		n++
	}
	pages := 0
	for _, p := range counts.pages {
		if p != nil {
			pages++
		}
	}
	if n != 2 || pages != 1 || counts.Of(left[0]).Packets != 1 || counts.Of(left[1]).Packets != 1 {
		t.Errorf("%d routes are counted on %d pages: %+v, %+v", n, pages, counts.Of(left[0]), counts.Of(left[1]))
	}
}
