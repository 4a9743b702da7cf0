package rib

import (
	"errors"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"unsafe"

	"github.com/google/go-cmp/cmp"
)

func direct(p, dev string, s Source, metric uint32) Route {
	return Route{Prefix: prefix(p), Dev: dev, Source: s, Metric: metric}
}

// TestBestRoute is rule F5: the longest prefix, then the source, then the
// metric, in any order of insertion.
func TestBestRoute(t *testing.T) {
	routes := []Route{
		direct("0.0.0.0/0", "default", Workload, 0),
		direct("10.70.0.0/16", "wide", Workload, 0),
		direct("10.70.2.0/24", "static100", Static, 100),
		direct("10.70.2.0/24", "static200", Static, 200),
		direct("10.70.2.0/24", "kernel0", Kernel, 0),
		direct("10.70.2.1/32", "host", Kernel, 900),
	}
	want := map[string][]string{
		"10.70.2.1":  {"host", "static100", "static200", "kernel0", "wide", "default"},
		"10.70.2.2":  {"static100", "static200", "kernel0", "wide", "default"},
		"10.70.3.1":  {"wide", "default"},
		"192.0.2.1":  {"default"},
		"2001:db8::": nil,
	}
	for order := range permutations(len(routes)) {
		table := NewTable()
		for _, i := range order {
			if err := table.Add(routes[i]); err != nil {
				t.Fatal(err)
			}
		}
		for a, devs := range want {
			var got []string
			for _, r := range table.Candidates(addr(a)) {
				got = append(got, r.Dev)
			}
			if d := cmp.Diff(devs, got); d != "" {
				t.Fatalf("order %v, %s (-want +got):\n%s", order, a, d)
			}
			if r := table.FIB().Lookup(addr(a)); r != nil && r.Dev != devs[0] {
				t.Fatalf("order %v: Lookup(%s) is %s, want %s", order, a, r, devs[0])
			}
		}
	}
}

// permutations yields every order of 0 … n-1 (Heap's algorithm).
func permutations(n int) func(yield func([]int) bool) {
	return func(yield func([]int) bool) {
		order := make([]int, n)
		for i := range order {
			order[i] = i
		}
		var from func(k int) bool
		from = func(k int) bool {
			if k <= 1 {
				return yield(order)
			}
			for i := range k {
				if !from(k - 1) {
					return false
				}
				j := 0
				if k%2 == 0 {
					j = i
				}
				order[j], order[k-1] = order[k-1], order[j]
			}
			return true
		}
		from(n)
	}
}

// TestLookupOfOddAddresses: what is not an IPv4 address has no route by IPv4's default
// route.
func TestLookupOfOddAddresses(t *testing.T) {
	table := NewTable()
	if err := table.Add(direct("0.0.0.0/0", "ens160", Static, 0)); err != nil {
		t.Fatal(err)
	}
	for _, a := range []netip.Addr{{}, addr("::1"), addr("::ffff:10.0.0.1"), addr("fe80::1%eth0")} {
		if r := table.FIB().Lookup(a); r != nil {
			t.Errorf("Lookup(%v) is %s, want nil", a, r)
		}
		if c := table.Candidates(a); len(c) > 0 {
			t.Errorf("Candidates(%v) is %v, want none", a, c)
		}
	}
}

// TestNothingChanged: what changes nothing publishes nothing.
func TestNothingChanged(t *testing.T) {
	table := NewTable()
	routes := []Route{good, direct("10.70.1.1/32", "ns1", Static, 0)}
	if err := table.SetSource(Static, routes); err != nil {
		t.Fatal(err)
	}
	before := table.FIB()
	slices.Reverse(routes)
	if err := table.SetSource(Static, routes); err != nil {
		t.Fatal(err)
	}
	if err := table.Replace(good); err != nil {
		t.Fatal(err)
	}
	if table.FIB() != before {
		t.Error("the same routes again made a new snapshot")
	}
}

// TestFewOfMany takes the way of SetSource that changes path by path; the
// model's tables are so small that they are always copied whole.
func TestFewOfMany(t *testing.T) {
	routes := manyRoutes(20 * copyShare)
	table := NewTable()
	if err := table.SetSource(Kernel, routes); err != nil {
		t.Fatal(err)
	}
	old := table.FIB()
	was := make(map[netip.Prefix]*Route)
	for _, r := range table.Routes() {
		was[r.Prefix] = r
	}

	gone, changed, fresh := routes[0].Prefix, routes[1].Prefix, prefix("10.70.2.1/32")
	next := append(slices.Clone(routes[1:]), Route{Prefix: fresh, Dev: "ens160"})
	next[0].Dev = "ens192"
	if err := table.SetSource(Kernel, next); err != nil {
		t.Fatal(err)
	}
	got := table.Routes()
	if len(got) != len(routes) {
		t.Fatalf("%d routes, want %d", len(got), len(routes))
	}
	for _, r := range got {
		same := r == was[r.Prefix]
		if touched := r.Prefix == changed || r.Prefix == fresh; same == touched {
			t.Errorf("%s: touched: %v, the same as before: %v", r, touched, same)
		}
		if r.Prefix == gone || r.Prefix == changed && r.Dev != "ens192" {
			t.Errorf("%s is still there", r)
		}
	}
	if _, ok := old.best.Get(fresh); ok || old.Size() != len(routes) {
		t.Error("the earlier snapshot changed")
	}
}

// TestSetSourceOwnsItsSource: the source of the call counts, not the route's.
func TestSetSourceOwnsItsSource(t *testing.T) {
	table := NewTable()
	if err := table.SetSource(Kernel, []Route{good}); err != nil {
		t.Fatal(err)
	}
	if s := table.Routes()[0].Source; s != Kernel {
		t.Errorf("source is %s, want kernel", s)
	}
	if err := table.SetSource(Kernel, nil); err != nil {
		t.Fatal(err)
	}
	if n := len(table.Routes()); n != 0 {
		t.Errorf("%d routes are left, want none", n)
	}
}

func TestLookupDoesNotAllocate(t *testing.T) {
	table := NewTable()
	if err := table.SetSource(Kernel, manyRoutes(10_000)); err != nil {
		t.Fatal(err)
	}
	f, a := table.FIB(), addr("10.70.2.1")
	if n := testing.AllocsPerRun(1000, func() { f.Lookup(a); table.FIB() }); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

// TestReadersSeeWholeChanges: while one writer turns all routes of a source
// from one device to another and others change single routes, a snapshot never
// shows two devices at once.
func TestReadersSeeWholeChanges(t *testing.T) {
	table := NewTable()
	sets := [2][]Route{turned("a"), turned("b")}
	if err := table.SetSource(Static, sets[0]); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	var readers, writers sync.WaitGroup
	for range 2 {
		readers.Go(func() { readUntil(t, table, done) })
	}
	writers.Go(func() {
		for i := range 200 {
			if err := table.SetSource(Static, sets[i%2]); err != nil {
				t.Error(err)
			}
		}
	})
	writers.Go(func() { addAndDelete(t, table, direct("10.70.0.0/24", "loser", Kernel, 0)) })
	writers.Go(func() { addAndDelete(t, table, direct("10.99.0.0/24", "other", Kernel, 0)) })
	writers.Wait()
	close(done)
	readers.Wait()
}

// turned is 64 prefixes, all on one device.
func turned(dev string) []Route {
	var routes []Route
	for i := range 64 {
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 70, byte(i), 0}), 24)
		routes = append(routes, Route{Prefix: p, Dev: dev, Source: Static})
	}
	return routes
}

func addAndDelete(t *testing.T, table *Table, r Route) {
	for range 500 {
		if err := table.Add(r); err != nil {
			t.Error(err)
		}
		if err := table.Delete(r.Prefix, r.Source, r.Metric); err != nil {
			t.Error(err)
		}
	}
}

func readUntil(t *testing.T, table *Table, done <-chan struct{}) {
	for {
		select {
		case <-done:
			return
		default:
		}
		f := table.FIB()
		dev := f.Lookup(addr("10.70.0.1")).Dev
		for i := range 64 {
			a := netip.AddrFrom4([4]byte{10, 70, byte(i), 1})
			if r := f.Lookup(a); r == nil || r.Dev != dev {
				t.Errorf("one snapshot says dev %s and %v", dev, r)
				return
			}
		}
		table.Routes()
		table.Counts()
	}
}

// A protocol whose routes have gone is counted as before, with none: a series of metrics that
// exists, exists on.
func TestCountsStay(t *testing.T) {
	table := NewTable()
	table.Expect("bird")
	r := Route{Prefix: prefix("10.70.2.0/24"), Type: Blackhole, Port: NoPort, Protocol: "static", Source: Static}
	lost := r
	lost.Protocol = "bgp"
	if err := errors.Join(table.Add(r), table.Delete(r.Prefix, Static, 0), table.Apply(Static, slices.Values([]Change{{Route: lost, Gone: true}}))); err != nil {
		t.Fatal(err)
	}
	if got, want := table.Counts(), map[string]int{"bird": 0, "static": 0, "bgp": 0}; !maps.Equal(got, want) {
		t.Errorf("counts %v, want %v", got, want)
	}
}

// A million routes are a million times this, and one byte more is eight.
func TestRouteIsSmall(t *testing.T) {
	if n := unsafe.Sizeof(Route{}); n != 128 {
		t.Errorf("a route takes %d bytes, want 128", n)
	}
}
