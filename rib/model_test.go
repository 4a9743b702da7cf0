package rib

import (
	"encoding/binary"
	"errors"
	"maps"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

var byValue = cmp.Options{cmpopts.EquateEmpty(), cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})}

// model is what Table does, slow and obvious: a slice in no order.
type model []Route

func key(r Route) Route { return Route{Prefix: r.Prefix, Source: r.Source, Metric: r.Metric} }

func (m model) find(r Route) int {
	return slices.IndexFunc(m, func(x Route) bool { return key(x) == key(r) })
}

// better tells whether a wins over b for an address that both contain.
func better(a, b Route) bool {
	if a.Prefix.Bits() != b.Prefix.Bits() {
		return a.Prefix.Bits() > b.Prefix.Bits()
	}
	if a.Source != b.Source {
		return a.Source < b.Source
	}
	return a.Metric < b.Metric
}

func (m model) candidates(a netip.Addr) []Route {
	var out []Route
	for _, r := range m {
		if r.Prefix.Contains(a) {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b Route) int {
		if better(a, b) {
			return -1
		}
		return +1
	})
	return out
}

func (m model) sorted() []Route {
	out := slices.Clone(m)
	slices.SortFunc(out, func(a, b Route) int {
		if a.Prefix != b.Prefix {
			return a.Prefix.Compare(b.Prefix)
		}
		if better(a, b) {
			return -1
		}
		return +1
	})
	return out
}

func (m model) without(s Source) model {
	return slices.DeleteFunc(m, func(r Route) bool { return r.Source == s })
}

// Few addresses, many lengths: nearly every prefix overlaps with others, at
// the borders of bytes and within them.
var (
	drawAddr  = rapid.OneOf(drawAddr4, drawAddr6)
	drawAddr4 = rapid.Custom(func(t *rapid.T) netip.Addr {
		bits := rapid.SampledFrom([]uint32{0, 1, 2, 3, 4, 127, 128, 255, 256, 1 << 15, 1 << 16, 1 << 23, 1 << 24})
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], 10<<24+bits.Draw(t, "high")+bits.Draw(t, "low"))
		return netip.AddrFrom4(b)
	})
	drawAddr6 = rapid.Custom(func(t *rapid.T) netip.Addr {
		b := [16]byte{0: 0xfd}
		for range 2 { // in both halves, and where they meet
			b[rapid.SampledFrom([]int{1, 6, 7, 8, 9, 15}).Draw(t, "byte")] = rapid.SampledFrom([]byte{0, 1, 2, 3, 127, 128, 255}).Draw(t, "value")
		}
		return netip.AddrFrom16(b)
	})
	drawPrefix = rapid.Custom(func(t *rapid.T) netip.Prefix {
		a, bits := drawAddr.Draw(t, "addr"), []int{0, 7, 8, 9, 15, 16, 17, 23, 24, 25, 30, 31, 32}
		if a.Is6() {
			bits = []int{0, 7, 8, 9, 15, 16, 47, 48, 62, 63, 64, 65, 72, 127, 128}
		}
		return netip.PrefixFrom(a, rapid.SampledFrom(bits).Draw(t, "bits")).Masked()
	})
	drawSource = rapid.SampledFrom([]Source{Workload, Connected, Static, Kernel})
	drawRoute  = rapid.Custom(func(t *rapid.T) Route {
		r := Route{
			Prefix:   drawPrefix.Draw(t, "prefix"),
			Source:   drawSource.Draw(t, "source"),
			Metric:   rapid.Uint32Range(0, 2).Draw(t, "metric"),
			Protocol: rapid.SampledFrom([]string{"static", "bird"}).Draw(t, "proto"),
			Port:     NoPort,
			Type:     rapid.SampledFrom([]Type{Unicast, Unicast, Blackhole, Prohibit}).Draw(t, "type"),
		}
		if r.Type == Unicast {
			r.Dev, r.Port = "ens160", rapid.IntRange(0, 1).Draw(t, "port")
		}
		return r
	})
)

// machine drives a Table and the model side by side.
type machine struct {
	table *Table
	model model

	old      *FIB // an earlier snapshot, and what it has to say for ever
	oldModel model
}

func (m *machine) add(t *rapid.T) {
	r := drawRoute.Draw(t, "route")
	err := m.table.Add(r)
	if m.model.find(r) >= 0 {
		if !errors.Is(err, ErrExists) {
			t.Fatalf("Add(%s) of one that is there: %v", &r, err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	m.model = append(m.model, r)
}

func (m *machine) replace(t *rapid.T) {
	r := drawRoute.Draw(t, "route")
	if err := m.table.Replace(r); err != nil {
		t.Fatal(err)
	}
	m.put(r)
}

func (m *machine) put(r Route) {
	if i := m.model.find(r); i >= 0 {
		m.model[i] = r
		return
	}
	m.model = append(m.model, r)
}

// remove names a route that is there, or one that most likely is not.
func (m *machine) remove(t *rapid.T) {
	r := drawRoute.Draw(t, "route")
	if len(m.model) > 0 && rapid.Bool().Draw(t, "present") {
		r = rapid.SampledFrom(m.model).Draw(t, "which")
	}
	var there bool
	err := m.table.Delete(r.Prefix, r.Source, r.Metric)
	if i := m.model.find(r); i >= 0 {
		m.model, there = slices.Delete(m.model, i, i+1), true
	}
	if there != (err == nil) || !there && !errors.Is(err, ErrNotFound) {
		t.Fatalf("Delete(%s): there: %v, error: %v", &r, there, err)
	}
}

// setSource gives one source a new set: some of what it has, and some more.
func (m *machine) setSource(t *rapid.T) {
	s := drawSource.Draw(t, "source")
	var set model
	for _, r := range m.model {
		if r.Source == s && rapid.IntRange(0, 3).Draw(t, "keep") > 0 {
			set = append(set, r)
		}
	}
	for _, r := range rapid.SliceOfN(drawRoute, 0, 5).Draw(t, "more") {
		r.Source = s
		if i := set.find(r); i >= 0 {
			set[i] = r
		} else {
			set = append(set, r)
		}
	}
	before := m.table.Routes()
	if err := m.table.SetSource(s, set); err != nil {
		t.Fatal(err)
	}
	m.model = append(m.model.without(s), set...)
	samePointers(t, before, m.table.Routes())
	clear(set) // the table must not look at the caller's slice any more
}

// samePointers checks that a route which did not change was not copied.
func samePointers(t *rapid.T, before, after []*Route) {
	was := make(map[Route]*Route)
	for _, r := range before {
		was[value(r)] = r
	}
	for _, r := range after {
		if p := was[value(r)]; p != nil && p != r {
			t.Fatalf("%s did not change and is at another address", r)
		}
	}
}

func (m *machine) keepSnapshot(*rapid.T) {
	m.old, m.oldModel = m.table.FIB(), slices.Clone(m.model)
}

func (m *machine) check(t *rapid.T) {
	addrs := rapid.SliceOfN(drawAddr, 8, 8).Draw(t, "addrs")
	checkFIB(t, m.table.FIB(), m.model, addrs)
	checkSlots(t, m.table.FIB())
	checkFIB(t, m.old, m.oldModel, addrs)
	if d := routesDiff(m.model.sorted(), values(m.table.Routes())); d != "" {
		t.Fatalf("Routes (-want +got):\n%s", d)
	}
	if !maps.Equal(m.table.Counts(), m.table.FIB().counts) {
		t.Fatal("Counts is not that of the snapshot")
	}
}

func checkFIB(t *rapid.T, f *FIB, m model, addrs []netip.Addr) {
	prefixes, counts := map[netip.Prefix]bool{}, map[string]int{}
	for _, r := range m {
		prefixes[r.Prefix] = true
		counts[r.Protocol]++
	}
	for protocol, n := range f.counts { // it knows those of former routes too
		if counts[protocol] != n {
			t.Fatalf("counts are %v, want %v", f.counts, counts)
		}
		delete(counts, protocol)
	}
	if len(counts) > 0 {
		t.Fatalf("counts are %v, and there are %v", f.counts, counts)
	}
	if f.Size() != len(prefixes) {
		t.Fatalf("Size is %d, want %d", f.Size(), len(prefixes))
	}
	for _, a := range addrs {
		want, got := m.candidates(a), f.Candidates(a)
		if d := routesDiff(want, values(got)); d != "" {
			t.Fatalf("Candidates(%s) (-want +got):\n%s", a, d)
		}
		best := f.Lookup(a)
		if len(want) == 0 && best != nil || len(want) > 0 && (best == nil || value(best) != want[0]) {
			t.Fatalf("Lookup(%s) is %v, want the first of %v", a, best, want)
		}
	}
}

// routesDiff is "" for equal routes; cmp is too slow to be asked every time.
func routesDiff(want, got []Route) string {
	if slices.Equal(want, got) {
		return ""
	}
	return cmp.Diff(want, got, byValue)
}

func values(routes []*Route) []Route {
	var out []Route
	for _, r := range routes {
		out = append(out, value(r))
	}
	return out
}

// value is a route as it was given to the table.
func value(r *Route) Route {
	v := *r
	v.slot, v.born = 0, 0
	return v
}

// checkSlots: no two routes have the same one, and those that are not in use are the
// next to be given out.
func checkSlots(t *rapid.T, f *FIB) {
	owners := map[uint32]*Route{}
	for r := range f.all {
		if o := owners[r.Slot()]; o != nil {
			t.Fatalf("%s and %s both have slot %d", o, r, r.Slot())
		}
		owners[r.Slot()] = r
	}
	free := map[uint32]bool{}
	for _, s := range f.slots.free {
		if owners[s] != nil || free[s] {
			t.Fatalf("slot %d is free, and %v has it, or it is free twice", s, owners[s])
		}
		free[s] = true
	}
	if int(f.slots.next) != len(owners)+len(free) {
		t.Fatalf("%d slots, of which %d are in use and %d free", f.slots.next, len(owners), len(free))
	}
}

func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &machine{table: NewTable()}
		m.keepSnapshot(t)
		t.Repeat(map[string]func(*rapid.T){
			"add": m.add, "replace": m.replace, "delete": m.remove, "setSource": m.setSource, "apply": m.apply,
			"keepSnapshot": m.keepSnapshot, "": m.check,
		})
	})
}

// TestBothWaysOfChanging: a draft that copies paths and one that owns its
// tables end the same, and neither touches what they started from.
func TestBothWaysOfChanging(t *testing.T) {
	have := rapid.SliceOfNDistinct(drawRoute, 0, 12, key)
	rapid.Check(t, func(t *rapid.T) {
		table := NewTable()
		for _, r := range have.Draw(t, "have") {
			if err := table.Add(r); err != nil {
				t.Fatal(err)
			}
		}
		before := values(table.Routes())
		s := drawSource.Draw(t, "source")
		ofSource := rapid.Map(drawRoute, func(r Route) Route { r.Source = s; return r })
		want := rapid.SliceOfNDistinct(ofSource, 0, 12, key).Draw(t, "want")
		next, err := sorted(s, want)
		if err != nil {
			t.Fatal(err)
		}
		paths, whole := newDraft(table.FIB()), newDraft(table.FIB())
		whole.own()
		for _, c := range diff(table.FIB().ofSource(s), next, s) {
			paths.apply(c, s)
			whole.apply(c, s)
		}
		result := append(model(slices.Clone(before)).without(s), want...).sorted()
		for _, d := range []*draft{paths, whole} {
			if d := routesDiff(result, values(slices.Collect(d.done().all))); d != "" {
				t.Fatalf("routes (-want +got):\n%s", d)
			}
		}
		if d := routesDiff(before, values(table.Routes())); d != "" {
			t.Fatalf("the published routes changed (-before +after):\n%s", d)
		}
	})
}
