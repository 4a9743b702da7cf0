package hostroutes

import (
	"maps"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"
)

// Table is the host's main routing table and its nexthop objects, as they were told. It is
// for one goroutine at a time.
type Table struct {
	IPv6 bool // routes of that family are of interest too

	first   map[Key]Shared   // of nearly every key there is one
	more    map[Key][]Shared // the others, in the kernel's order; the slices are never written to
	users   map[Shared]int   // how many keys have it
	objects map[uint32]*object
	most    int // keys there have been since the maps were made
	turned  bool
	buf     []Shared
}

// NewTable returns an empty one.
func NewTable() *Table {
	return &Table{
		first: map[Key]Shared{}, more: map[Key][]Shared{}, users: map[Shared]int{}, objects: map[uint32]*object{},
	}
}

// Len is how many keys have routes.
func (t *Table) Len() int { return len(t.first) }

// At lists the routes with a key in the kernel's order, until the next call.
func (t *Table) At(k Key) []Shared {
	t.buf = t.buf[:0]
	if f, ok := t.first[k]; ok {
		t.buf = append(append(t.buf, f), t.more[k]...)
	}
	return t.buf
}

// Keys yields those that have routes.
func (t *Table) Keys(yield func(Key) bool) {
	for k := range t.first {
		if !yield(k) {
			return
		}
	}
}

// Each yields every route once, however many keys have it, with their number.
func (t *Table) Each(yield func(Shared, int) bool) {
	for r, n := range t.users {
		if !yield(r, n) {
			return
		}
	}
}

// Example is a key that has the route.
func (t *Table) Example(r Shared) (k Key, ok bool) {
	for k, f := range t.first {
		if f == r || slices.Contains(t.more[k], r) {
			return k, true
		}
	}
	return k, false
}

// Turned says whether Each would yield others than when Turned was last asked.
func (t *Table) Turned() bool {
	turned := t.turned
	t.turned = false
	return turned
}

// Type is what the route does, RTN_UNICAST and so on: a nexthop object may be a blackhole.
func (t *Table) Type(r *Route) int {
	if o := r.object; o != nil {
		if len(o.group) == 1 {
			o = t.objects[o.group[0].id]
		}
		if o != nil && o.blackhole {
			return unix.RTN_BLACKHOLE
		}
	}
	return int(r.rtype)
}

// Hops are the next hops of a unicast route.
func (t *Table) Hops(r *Route) (all []Hop) {
	if r.nexthop == 0 {
		for i := range r.hops.len() {
			all = append(all, r.hops.at(i))
		}
		return all
	}
	if r.object == nil || r.object.gone || !r.object.known {
		return []Hop{{Weight: 1, Fault: NoObject}}
	}
	for i := range r.object.hops.len() {
		all = append(all, r.object.hops.at(i))
	}
	for _, m := range r.object.group {
		if o := t.objects[m.id]; o != nil && o.hops.len() > 0 { // one that was deleted is taken out of the group next
			h := o.hops.at(0)
			h.Weight = m.weight
			all = append(all, h)
		}
	}
	return all
}

// Uses says whether a route leads by an interface: when that goes down, so do they, without a
// word.
func (t *Table) Uses(link int) bool {
	for r := range t.users {
		v := r.Value()
		if slices.ContainsFunc(t.Hops(&v), func(h Hop) bool { return h.Link == link }) {
			return true
		}
	}
	for _, o := range t.objects {
		if o.hops.len() > 0 && o.hops.at(0).Link == link {
			return true
		}
	}
	return false
}

// SentFrom says whether a route has one of these for its source: when the host loses that, the
// route goes, without a word.
func (t *Table) SentFrom(sources []netip.Addr) bool {
	for r := range t.users {
		if v := r.Value(); v.source != [4]byte{} && slices.Contains(sources, netip.AddrFrom4(v.source)) {
			return true
		}
	}
	return false
}

// store makes routes all that there are with a key.
func (t *Table) store(k Key, routes []Shared) {
	if len(routes) == 0 {
		delete(t.first, k)
	} else {
		t.first[k] = routes[0]
	}
	if len(routes) > 1 {
		t.more[k] = slices.Clone(routes[1:])
	} else {
		delete(t.more, k)
	}
	t.most = max(t.most, len(t.first))
}

// count enters how many keys more, or less, have a route.
func (t *Table) count(r Shared, by int) {
	n := t.users[r] + by
	if n == 0 {
		delete(t.users, r)
	} else {
		t.users[r] = n
	}
	t.turned = t.turned || n == 0 || n == by
	if o := r.Value().object; o != nil {
		o.users += by
	}
}

// slim gives back what a table takes that was large: a map never shrinks.
func (t *Table) slim() {
	const small = 1 << 12
	if t.most < small || len(t.first) > t.most/4 {
		return
	}
	t.first, t.more, t.users, t.most = shrunk(t.first), shrunk(t.more), shrunk(t.users), len(t.first)
}

func shrunk[K comparable, V any](m map[K]V) map[K]V {
	small := make(map[K]V, len(m))
	maps.Copy(small, m)
	return small
}
