package rib

import (
	"cmp"
	"encoding/binary"
	"slices"
)

// copyShare decides how SetSource changes the tables: with more than one
// change for so many prefixes it is faster to copy them whole and change the
// copy in place. Measured at a million prefixes: 11 µs for the path to one
// prefix, 73 ms for everything.
const copyShare = 128

// change is a step from what a source has to what it shall have: a route to
// take out, one to put in, or both, with the same key.
type change struct{ out, in *Route }

// SetSource makes routes the whole set of that source, whatever their Source
// says: routes that are not in it go, new ones come, and unchanged ones stay
// as they are, pointer included. Readers see all of it or nothing. It fails
// with [ErrInvalid] if a route cannot be, and with [ErrExists] if two have the
// same prefix and metric. The slice stays the caller's.
func (t *Table) SetSource(s Source, routes []Route) error {
	next, err := sorted(s, routes)
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	f := t.FIB()
	changes := diff(f.ofSource(s), next, s)
	if len(changes) == 0 {
		return nil
	}
	d := newDraft(f)
	if len(changes) > d.Size()/copyShare {
		d.own()
	}
	for _, c := range changes {
		d.apply(c, s)
	}
	t.fib.Store(d.done())
	return nil
}

// ofSource returns the routes of one source, ordered by key.
func (f *FIB) ofSource(s Source) []*Route {
	var routes []*Route
	for r := range f.all {
		if r.Source == s {
			routes = append(routes, r)
		}
	}
	return routes
}

// sorted returns pointers to the routes, ordered by key, or what is wrong.
func sorted(s Source, routes []Route) ([]*Route, error) {
	type item struct {
		place uint64
		route *Route
	}
	items := make([]item, len(routes))
	for i := range routes {
		r := routes[i]
		r.Source = s
		if why := r.fault(); why != "" {
			return nil, invalidError(r, why)
		}
		items[i] = item{r.place(), &routes[i]}
	}
	slices.SortFunc(items, func(a, b item) int {
		return cmp.Or(cmp.Compare(a.place, b.place), withinPlace(a.route, b.route))
	})
	out := make([]*Route, len(items))
	for i, it := range items {
		if i > 0 && byKey(out[i-1], it.route) == 0 {
			return nil, twiceError(*it.route, s)
		}
		out[i] = it.route
	}
	return out, nil
}

// diff compares two sets of one source, both ordered by key.
func diff(have, want []*Route, s Source) []change {
	var changes []change
	for len(have) > 0 || len(want) > 0 {
		switch order := byKeyOrEnd(have, want); {
		case order < 0:
			changes = append(changes, change{out: have[0]})
			have = have[1:]
		case order > 0:
			changes = append(changes, change{in: want[0]})
			want = want[1:]
		default:
			if !same(*want[0], have[0], s) {
				changes = append(changes, change{have[0], want[0]})
			}
			have, want = have[1:], want[1:]
		}
	}
	return changes
}

// byKeyOrEnd compares the first of each; an empty list comes last.
func byKeyOrEnd(a, b []*Route) int {
	switch {
	case len(a) == 0:
		return +1
	case len(b) == 0:
		return -1
	}
	return byKey(a[0], b[0])
}

func same(want Route, have *Route, s Source) bool {
	want.Source = s
	return want.Equal(have)
}

// apply puts in a copy: the original is in the slice of who called SetSource.
func (d *draft) apply(c change, s Source) {
	if c.in == nil {
		d.swap(c.out.Prefix, c.out, nil)
		return
	}
	in := *c.in
	in.Source = s
	d.swap(in.Prefix, c.out, &in)
}

// byKey orders routes of one source.
func byKey(a, b *Route) int {
	return cmp.Or(cmp.Compare(a.place(), b.place()), withinPlace(a, b))
}

// withinPlace orders those of one place.
func withinPlace(a, b *Route) int {
	return cmp.Or(a.Prefix.Compare(b.Prefix), cmp.Compare(a.Metric, b.Metric))
}

// place is a number that sorts prefixes as the FIB does: by family, by address, then
// by length; those of IPv6 it may leave to Compare, which byKey asks too.
func (r *Route) place() uint64 {
	a := r.Prefix.Addr()
	if a.Is4() {
		b := a.As4()
		return uint64(binary.BigEndian.Uint32(b[:]))<<8 | uint64(r.Prefix.Bits())
	}
	b := a.As16()
	return 1<<63 | binary.BigEndian.Uint64(b[:])>>1
}
