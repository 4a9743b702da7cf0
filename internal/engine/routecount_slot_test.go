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
