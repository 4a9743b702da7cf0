package rib

import (
	"errors"
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// apply takes some steps at once, the same route more than once among them.
func (m *machine) apply(t *rapid.T) {
	s := drawSource.Draw(t, "source")
	var steps []Change
	for _, r := range rapid.SliceOfN(drawRoute, 0, 8).Draw(t, "steps") {
		r.Source = s
		gone := rapid.Bool().Draw(t, "gone")
		if i := m.model.find(r); gone && i >= 0 {
			m.model = slices.Delete(m.model, i, i+1)
		} else if !gone {
			m.put(r)
		}
		steps = append(steps, Change{r, gone})
	}
	if err := m.table.Apply(s, slices.Values(steps)); err != nil {
		t.Fatal(err)
	}
}

// A step that cannot be takes back those before it.
func TestApplyAllOrNothing(t *testing.T) {
	table := NewTable()
	good := Route{Prefix: netip.MustParsePrefix("10.1.0.0/16"), Type: Blackhole, Port: NoPort}
	bad := good
	bad.Port = 0
	err := table.Apply(Static, slices.Values([]Change{{Route: good}, {Route: bad}}))
	if !errors.Is(err, ErrInvalid) {
		t.Errorf("error %v, want %v", err, ErrInvalid)
	}
	if got := table.Routes(); len(got) != 0 {
		t.Errorf("routes %v, want none", got)
	}
}

func BenchmarkApplyOneOf1M(b *testing.B) {
	t, routes := fullTable(b)
	i := 0
	for b.Loop() {
		r := routes[i*7919%len(routes)]
		r.Metric = uint32(i % 2)
		if err := t.Apply(Kernel, slices.Values([]Change{{Route: r}})); err != nil {
			b.Fatal(err)
		}
		i++
	}
}
