package web

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// randomTopology has some hosts with some workloads each, on some links.
func randomTopology(r *rand.Rand) *Topology {
	o := &Options{}
	links := 1 + r.IntN(4)
	var all []*known
	for i := range 2 + r.IntN(19) {
		k := &known{name: fmt.Sprint("host", i), uplink: "ens160", subnet: fmt.Sprintf("192.168.%d.0/24", r.IntN(links))}
		for n := range []int{0, 1, 2, 6, 7, 100}[r.IntN(6)] {
			k.workloads = append(k.workloads, Workload{Name: fmt.Sprint("ns", n)})
		}
		all = append(all, k)
	}
	return drawing(o, all)
}

// Of any hosts, nothing is drawn over anything else, all of it is in the picture, and no cable goes through a host that
// is not its own.
func TestLayout(t *testing.T) {
	for seed := range uint64(500) {
		r := rand.New(rand.NewPCG(seed, 1))
		p := randomTopology(r)
		if seed%2 == 0 && len(p.Cables) > 1 {
			p.Gateways = []Gateway{{Addresses: []string{"192.168.0.1"}}}
			for _, c := range p.Cables {
				c.More = nil
			}
			p.layout()
		}
		picture := Box{0, 0, p.Width, p.Height}
		inside := func(b, around Box) bool {
			return b.X >= around.X && b.Y >= around.Y && b.X+b.Width <= around.X+around.Width && b.Y+b.Height <= around.Y+around.Height
		}
		var boxes []Box
		for _, g := range p.Gateways {
			boxes = append(boxes, g.Box)
		}
		for _, h := range p.Hosts {
			boxes = append(boxes, h.Box)
			within := []Box{h.Router}
			shown := 0
			for _, w := range h.Workloads {
				within = append(within, w.Box)
				shown += max(1, len(w.Folded))
			}
			if len(h.Workloads) > shownWorkloads {
				t.Errorf("seed %d: %s shows %d workloads", seed, h.Name, len(h.Workloads))
			}
			for i, b := range within {
				if !inside(b, h.Box) {
					t.Errorf("seed %d: %v is not in %s, %v", seed, b, h.Name, h.Box)
				}
				for _, o := range within[:i] {
					if b.overlaps(o) {
						t.Errorf("seed %d: in %s %v is over %v", seed, h.Name, b, o)
					}
				}
			}
		}
		for i, b := range boxes {
			if !inside(b, picture) {
				t.Errorf("seed %d: %v is not in the picture of %dx%d", seed, b, p.Width, p.Height)
			}
			for _, o := range boxes[:i] {
				if b.overlaps(o) {
					t.Errorf("seed %d: %v is over %v", seed, b, o)
				}
			}
		}
		for _, c := range p.Cables {
			for _, path := range append(c.More, c.Path) {
				if len(path) < 2 {
					t.Errorf("seed %d: cable %s has no line", seed, c.ID)
				}
				for i := 1; i < len(path); i++ {
					for _, h := range p.Hosts {
						if h.Name != c.Host && line(path[i-1], path[i]).overlaps(h.Box) {
							t.Errorf("seed %d: cable %s goes through %s", seed, c.ID, h.Name)
						}
					}
				}
			}
		}
		if t.Failed() {
			return
		}
	}
}

// line is the box of a line that is level or upright.
func line(a, b point) Box {
	return Box{min(a[0], b[0]), min(a[1], b[1]), max(a[0], b[0]) - min(a[0], b[0]), max(a[1], b[1]) - min(a[1], b[1])}
}

// A hundred workloads are five and the rest.
func TestFoldedWorkloads(t *testing.T) {
	k := &known{name: "a", subnet: "10.0.0.0/24"}
	for n := range 100 {
		k.workloads = append(k.workloads, Workload{Name: fmt.Sprint("ns", n)})
	}
	h := drawing(&Options{}, []*known{k}).Hosts[0]
	if last := h.Workloads[len(h.Workloads)-1]; len(h.Workloads) != shownWorkloads || len(last.Folded) != 100-shownWorkloads+1 || last.Name != "" {
		t.Errorf("%d workloads are drawn, the last is %+v", len(h.Workloads), last)
	}
}

func (b Box) String() string { return fmt.Sprintf("%d,%d %dx%d", b.X, b.Y, b.Width, b.Height) }

func (b Box) overlaps(o Box) bool {
	return b.X < o.X+o.Width && o.X < b.X+b.Width && b.Y < o.Y+o.Height && o.Y < b.Y+b.Height
}
