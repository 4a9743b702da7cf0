package rib

import (
	"fmt"
	"maps"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/gaissmai/bart"
)

// Table is the routing information base: every route from every source. Its
// methods may be called at the same time; changes wait for each other, reading
// waits for nothing. Make one with [NewTable].
//
// A route's key is its prefix, source and metric. A method that changes the
// table publishes the result once, as a new [FIB], or fails and changes
// nothing. The errors wrap [ErrInvalid], [ErrExists] or [ErrNotFound].
type Table struct {
	mu  sync.Mutex // held by who changes the table
	fib atomic.Pointer[FIB]
}

// NewTable returns a table without routes.
func NewTable() *Table {
	t := new(Table)
	t.fib.Store(&FIB{
		best:   new(bart.Fast[*Route]),
		losers: new(bart.Fast[[]*Route]),
		counts: map[string]int{},
	})
	return t
}

// FIB returns the current snapshot, never nil; one atomic load. Who handles a
// batch of packets gets it once and uses it for all of them.
func (t *Table) FIB() *FIB { return t.fib.Load() }

// Add puts a route in. It fails with [ErrInvalid] if the route cannot be, and
// with [ErrExists] if there is one with its key, equal or not.
func (t *Table) Add(r Route) error {
	if why := r.fault(); why != "" {
		return invalidError(r, why)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	d := newDraft(t.FIB())
	if d.find(r.Prefix, r.Source, r.Metric) != nil {
		return existsError(r)
	}
	d.swap(r.Prefix, nil, &r)
	t.fib.Store(d.done())
	return nil
}

// Replace puts a route in, in place of the one with its key if there is one.
// It fails with [ErrInvalid] if the route cannot be.
func (t *Table) Replace(r Route) error {
	if why := r.fault(); why != "" {
		return invalidError(r, why)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	d := newDraft(t.FIB())
	old := d.find(r.Prefix, r.Source, r.Metric)
	if old != nil && old.Equal(&r) {
		return nil
	}
	d.swap(r.Prefix, old, &r)
	t.fib.Store(d.done())
	return nil
}

// Delete takes out the route with that key. It fails with [ErrNotFound] if there is
// none, and with [ErrInvalid] if the prefix is none or has host bits.
func (t *Table) Delete(prefix netip.Prefix, s Source, metric uint32) error {
	if why := prefixFault(prefix); why != "" {
		return fmt.Errorf("%s: %w: %s", prefixText(prefix), ErrInvalid, why)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	d := newDraft(t.FIB())
	old := d.find(prefix, s, metric)
	if old == nil {
		return notFoundError(prefix, s, metric)
	}
	d.swap(prefix, old, nil)
	t.fib.Store(d.done())
	return nil
}

// Routes returns every route, those that lost against another one too: by
// prefix (IPv4 before IPv6, address, then length), then by preference.
func (t *Table) Routes() []*Route {
	f := t.FIB()
	routes := make([]*Route, 0, f.best.Size()+f.losers.Size())
	for r := range f.all {
		routes = append(routes, r)
	}
	return routes
}

// All yields what Routes returns, without a list of it.
func (t *Table) All(yield func(*Route) bool) { t.FIB().all(yield) }

// Candidates returns every route whose prefix contains addr, the best first;
// see [FIB.Candidates].
func (t *Table) Candidates(addr netip.Addr) []*Route { return t.FIB().Candidates(addr) }

// Expect has Counts know protocols from now on, though there may be no route of
// them yet.
func (t *Table) Expect(protocols ...string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	d := newDraft(t.FIB())
	for _, p := range protocols {
		d.count(p, 0)
	}
	t.fib.Store(d.done())
}

// Counts returns the number of routes by protocol, those that lost included: of
// each that was expected, or that a change spoke of. The map is the caller's.
func (t *Table) Counts() map[string]int { return maps.Clone(t.FIB().counts) }
