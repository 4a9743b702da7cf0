package forwarder

import (
	"net/netip"
	"testing"

	"github.com/vrouter/vrouter/internal/neigh"
	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/rib"
)

// What was found lately is what would be found now: for one address alone and for several that
// take turns, as routes come, change and go, and for an address that is none.
func TestRecentIsNeverOld(t *testing.T) {
	table := rib.NewTable()
	all, addresses := &Path{}, []netip.Addr{{}}
	for _, a := range []string{"10.70.1.1", "10.70.2.1", "10.70.2.9", "fd00:70:1::1", "fd00:70:2::1", "::", "::ffff:10.70.1.1", "10.70.3.1", "10.70.3.2", "10.70.3.3",
		"10.70.3.4", "10.70.3.5", "fd00:70:1::2", "fd00:70:1::3", "fd00:70:1::4", "fd00:70:1::5", "fd00:70:1::6", "fd00:70:1::7"} {
		addresses = append(addresses, netip.MustParseAddr(a))
	}
	alone := make([]Path, len(addresses))
	check := func() {
		t.Helper()
		for i, a := range addresses {
			for _, x := range []*Path{all, &alone[i], &alone[i]} {
				x.FIB = table.FIB()
				if got, want := x.lookup(a), x.FIB.Lookup(a); got != want {
					t.Errorf("the route to %s is %v, want %v", a, got, want)
				}
				x.Rest()
			}
		}
	}
	check()
	for _, p := range []string{"10.70.0.0/16", "10.70.2.1/32", "fd00:70:1::/48", "fd00:70:1::1/128", "::/0"} {
		r := rib.Route{Prefix: netip.MustParsePrefix(p), Dev: "ens160", Source: rib.Static}
		for _, change := range []func() error{
			func() error { return table.Add(r) },
			func() error { r.MTU = 1400; return table.Replace(r) },
			func() error { return table.Delete(r.Prefix, rib.Static, 0) },
			func() error { return table.Add(r) },
		} {
			if err := change(); err != nil {
				t.Fatal(err)
			}
			check()
		}
	}
}

// The same of neighbours: an address is another one on each port, and who was not known may have
// answered since.
func TestRecentNeighborIsNeverOld(t *testing.T) {
	x := &Path{Neighbors: &Neighbors{}}
	a, b := netip.MustParseAddr("192.168.0.12"), netip.MustParseAddr("fe80::12")
	check := func() {
		t.Helper()
		for _, port := range []int{0, 0, 1, 0} {
			for _, at := range []netip.Addr{a, a, b, {}, a} {
				if got, want := x.neighborAt(port, at), x.Neighbors.Lookup(port, at); got != want {
					t.Errorf("%s on port %d is %v, want %v", at, port, got, want)
				}
			}
		}
	}
	check()
	for _, port := range []int{1, 0} {
		x.Neighbors = x.Neighbors.With(port, a, &neigh.Neighbor{MAC: packet.MAC{2, 0, 0, 0, 0, 1}})
		check()
	}
	x.Neighbors = x.Neighbors.Without(0, a)
	check()
	if x.Rest(); x.recent.neighbors != nil {
		t.Error("it keeps neighbours that nobody looks at")
	}
}
