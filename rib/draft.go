package rib

import (
	"maps"
	"net/netip"
	"slices"

	"github.com/gaissmai/bart"
)

// draft is the next FIB while a writer makes it. It shares with the published
// one whatever it does not change.
type draft struct {
	FIB
	owned bool     // the tables are this draft's alone: changed in place
	buf   []*Route // scratch, reused from prefix to prefix
	freed []uint32 // slots of routes taken out, for the next draft
}

func newDraft(f *FIB) *draft {
	d := &draft{FIB: *f}
	d.counts = maps.Clone(f.counts)
	return d
}

// own copies the tables as a whole. From then on a change costs no copy of the
// path to it, which pays off for many changes at once.
func (d *draft) own() {
	d.best, d.losers = d.best.Clone(), d.losers.Clone()
	d.owned = true
}

// done ends the draft. It must not be changed any more.
func (d *draft) done() *FIB {
	f := d.FIB
	f.number++
	f.slots.free = append(f.slots.free, d.freed...)
	return &f
}

// find returns the route with that key; nil if there is none.
func (d *draft) find(p netip.Prefix, s Source, metric uint32) *Route {
	for _, r := range d.candidates(p) {
		if r.Source == s && r.Metric == metric {
			return r
		}
	}
	return nil
}

// candidates returns the routes to p, the best first, until the next call.
func (d *draft) candidates(p netip.Prefix) []*Route {
	d.buf = d.candidatesAt(d.buf[:0], p)
	return d.buf
}

// swap takes out one route to p and puts in another, the table's own from then on;
// either may be nil. The caller has seen to it that out is there and that in takes
// nobody's key.
func (d *draft) swap(p netip.Prefix, out, in *Route) {
	routes := d.candidates(p)
	var best *Route
	if len(routes) > 0 {
		best = routes[0]
	}
	hadLosers := len(routes) > 1

	d.number(in, out)
	if out != nil {
		i := slices.Index(routes, out)
		routes = slices.Delete(routes, i, i+1)
		d.count(out.Protocol, -1)
	}
	if in != nil {
		i, _ := slices.BinarySearchFunc(routes, in, prefer)
		routes = slices.Insert(routes, i, in)
		d.count(in.Protocol, +1)
	}
	d.buf = routes

	d.setBest(p, best, routes)
	if hadLosers || len(routes) > 1 {
		d.setLosers(p, routes)
	}
}

func (d *draft) setBest(p netip.Prefix, was *Route, routes []*Route) {
	switch {
	case len(routes) == 0:
		d.best = remove(d.best, d.owned, p)
	case routes[0] != was:
		d.best = put(d.best, d.owned, p, routes[0])
	}
}

func (d *draft) setLosers(p netip.Prefix, routes []*Route) {
	if len(routes) > 1 {
		d.losers = put(d.losers, d.owned, p, slices.Clone(routes[1:]))
	} else {
		d.losers = remove(d.losers, d.owned, p)
	}
}

// count keeps a protocol that has no routes any more: there are 256 at the most.
func (d *draft) count(protocol string, n int) { d.counts[protocol] += n }

func put[V any](t *bart.Fast[V], owned bool, p netip.Prefix, v V) *bart.Fast[V] {
	if !owned {
		return t.InsertPersist(p, v)
	}
	t.Insert(p, v)
	return t
}

func remove[V any](t *bart.Fast[V], owned bool, p netip.Prefix) *bart.Fast[V] {
	if !owned {
		return t.DeletePersist(p)
	}
	t.Delete(p)
	return t
}
