package rib

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// over is a route with next hops of these weights.
func over(weights ...uint16) Route {
	var hops []Hop
	for i, w := range weights {
		via := addr("192.168.0.12")
		for range i {
			via = via.Next()
		}
		hops = append(hops, Hop{Route: Route{Via: via, Dev: "ens160"}, Weight: w})
	}
	return Route{Prefix: prefix("10.70.2.0/24"), Protocol: "bird", Source: Kernel}.Over(hops)
}

// Each next hop gets its share of the flows, and each flow one next hop.
func TestMultipathRespectsWeights(t *testing.T) {
	const flows = 100_000
	r := over(1, 2, 5)
	counts, random := map[uint16]int{}, rand.New(rand.NewPCG(1, 2))
	for range flows {
		hash := random.Uint32()
		p := r.Multipath.Choose(hash)
		if p != r.Multipath.Choose(hash) {
			t.Fatalf("flow %d has two next hops", hash)
		}
		counts[p.weight]++
	}
	for w, n := range counts {
		if want := flows * int(w) / 8; math.Abs(float64(n-want)) > flows/100 {
			t.Errorf("weight %d of 8 has %d of %d flows", w, n, flows)
		}
	}
	if len(counts) != 3 {
		t.Errorf("%d of 3 next hops are used", len(counts))
	}
	for _, hash := range []uint32{0, math.MaxUint32} {
		want := map[uint32]string{0: "192.168.0.12", math.MaxUint32: "192.168.0.14"}[hash]
		if p := r.Multipath.Choose(hash); p.Via != addr(want) {
			t.Errorf("hash %d goes to %s, want %s", hash, p.Via, want)
		}
	}
}

// RFC 2992: one next hop less moves the flows at the borders of the regions, not all.
func TestMultipathKeepsMostFlows(t *testing.T) {
	four, three := over(1, 1, 1, 1), over(1, 1, 1)
	moved, random := 0, rand.New(rand.NewPCG(1, 2))
	for range 10_000 {
		hash := random.Uint32()
		was, is := four.Multipath.Choose(hash), three.Multipath.Choose(hash)
		if was.Via != addr("192.168.0.15") && was.Via != is.Via {
			moved++
		}
	}
	if moved > 3000 {
		t.Errorf("%d of 10000 flows moved although their next hop is still there", moved)
	}
}

func TestMultipathText(t *testing.T) {
	r := over(1, 2)
	if want := "10.70.2.0/24 proto bird nexthop via 192.168.0.12 dev ens160 weight 1 nexthop via 192.168.0.13 dev ens160 weight 2"; r.String() != want {
		t.Errorf("got  %s\nwant %s", &r, want)
	}
	p := r.Multipath.Choose(math.MaxUint32)
	if want := "10.70.2.0/24 via 192.168.0.13 dev ens160 proto bird weight 2: next hop 2 of 2"; p.String() != want {
		t.Errorf("got  %s\nwant %s", p, want)
	}
	if one := over(7); one.Multipath != nil || one.String() != "10.70.2.0/24 via 192.168.0.12 dev ens160 proto bird" {
		t.Errorf("one next hop alone: %s", &one)
	}
}

// A route with other next hops, or other weights, is another route.
func TestMultipathEqual(t *testing.T) {
	table, a, b := NewTable(), over(1, 2), over(1, 3)
	if err := table.SetSource(Kernel, []Route{a}); err != nil {
		t.Fatal(err)
	}
	first := table.FIB()
	if err := table.SetSource(Kernel, []Route{over(1, 2)}); err != nil || table.FIB() != first {
		t.Errorf("an equal route is no change: %v", err)
	}
	if err := table.SetSource(Kernel, []Route{b}); err != nil || table.FIB() == first {
		t.Errorf("another weight is a change: %v", err)
	}
}

func TestMultipathFaults(t *testing.T) {
	many := over(slices.Repeat([]uint16{1}, MaxPaths+1)...)
	via := over(1, 1)
	via.Via = addr("192.168.0.12")
	hole := over(1, 1)
	hole.Type = Blackhole
	for _, r := range []Route{over(1, 0), many, via, hole} {
		if err := NewTable().Add(r); err == nil {
			t.Errorf("%s was accepted", &r)
		}
	}
}

// Each path has a slot of its own, in each table that the route is put into, and
// leaves it when the route goes.
func TestPathsHaveSlots(t *testing.T) {
	r, other := over(1, 2, 5), NewTable()
	table := NewTable()
	for _, to := range []*Table{table, other} {
		if err := errors.Join(to.Add(Route{Prefix: prefix("10.70.9.0/24"), Type: Blackhole, Port: NoPort}), to.Add(r)); err != nil {
			t.Fatal(err)
		}
	}
	seen := map[uint32]bool{}
	for r := range table.All {
		for _, p := range append(r.Multipath.Paths(), *r) {
			if seen[p.Slot()] {
				t.Errorf("slot %d is used twice", p.Slot())
			}
			seen[p.Slot()] = true
		}
	}
	for _, p := range r.Multipath.Paths() {
		if p.Slot() != 0 {
			t.Errorf("the table wrote to the caller's route: slot %d", p.Slot())
		}
	}
	if err := errors.Join(table.Replace(over(1, 2)), table.Delete(r.Prefix, r.Source, 0)); err != nil {
		t.Fatal(err)
	}
	if s := table.FIB().slots; int(s.next) != len(s.free)+1 {
		t.Errorf("one route is left, and of %d slots %d are free", s.next, len(s.free))
	}
}
