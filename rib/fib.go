package rib

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"github.com/gaissmai/bart"
)

// FIB is the forwarding information base: the routes as they were at one
// moment. It is immutable, so any number of readers may use it, for as long as
// they like, without a lock. Get it from [Table.FIB].
//
// Nearly every prefix has one candidate, so best holds all routes that win and
// losers, which is mostly empty, those that lost against one with the same
// prefix. Together they are every route there is.
type FIB struct {
	best   *bart.Fast[*Route]
	losers *bart.Fast[[]*Route] // by preference; the slices are never written to
	counts map[string]int       // routes by protocol, winners and losers; never fewer protocols
	number uint64
	slots  slots // the writers'
}

// Lookup returns the route with the longest prefix that contains addr
// (RFC 1812 5.2.4.3), nil if there is none. What it returns may be of any [Type].
// It does not allocate.
func (f *FIB) Lookup(addr netip.Addr) *Route {
	r, _ := f.best.Lookup(addr)
	return r
}

// Number is another one for each FIB of a table.
func (f *FIB) Number() uint64 { return f.number }

// Size is the number of prefixes; routes to the same prefix count once.
func (f *FIB) Size() int { return f.best.Size() }

// Candidates returns every route whose prefix contains addr, the best first:
// the first is what Lookup returns, each of the rest would be if those before
// it were not there.
func (f *FIB) Candidates(addr netip.Addr) []*Route {
	var all []*Route
	for p, best := range f.best.Supernets(netip.PrefixFrom(addr, addr.BitLen())) {
		all = append(all, best)
		all = append(all, f.losersAt(p)...)
	}
	return all
}

// Has says whether that very route is in the table, or that path of one.
func (f *FIB) Has(r *Route) bool {
	best, ok := f.best.Get(r.Prefix)
	return ok && (best.has(r) || slices.ContainsFunc(f.losersAt(r.Prefix), func(l *Route) bool { return l.has(r) }))
}

// has says whether another one is this route, or a path of it.
func (r *Route) has(o *Route) bool {
	paths := r.Multipath.Paths()
	for i := range paths {
		if &paths[i] == o {
			return true
		}
	}
	return r == o
}

// candidatesAt appends the routes to exactly that prefix, the best first.
func (f *FIB) candidatesAt(dst []*Route, p netip.Prefix) []*Route {
	best, ok := f.best.Get(p)
	if !ok {
		return dst
	}
	return append(append(dst, best), f.losersAt(p)...)
}

func (f *FIB) losersAt(p netip.Prefix) []*Route {
	losers, _ := f.losers.Get(p)
	return losers
}

// all yields every route, by prefix (IPv4 before IPv6, address, then length), then
// preference.
func (f *FIB) all(yield func(*Route) bool) {
	for p, best := range f.best.AllSorted() {
		if !yield(best) {
			return
		}
		for _, r := range f.losersAt(p) {
			if !yield(r) {
				return
			}
		}
	}
}

// prefer orders routes to the same prefix, the better one first.
func prefer(a, b *Route) int {
	return cmp.Or(cmp.Compare(a.Source, b.Source), cmp.Compare(a.Metric, b.Metric))
}

// LosesTo says why another route, which contains the same address, is preferred.
func (r *Route) LosesTo(winner *Route) string {
	switch {
	case r.Prefix.Bits() < winner.Prefix.Bits():
		return "a shorter prefix"
	case r.Source != winner.Source:
		return fmt.Sprintf("the same prefix, and %s comes before %s", winner.Source, r.Source)
	}
	return fmt.Sprintf("the same prefix, and metric %d is lower than %d", winner.Metric, r.Metric)
}
