package rib

import "iter"

// Change is one step of [Table.Apply]: there is to be this route or, if Gone,
// none with its prefix and metric; Counts knows its protocol all the same.
type Change struct {
	Route
	Gone bool
}

// Apply takes steps that concern routes of one source, whatever their Source
// says, one after the other; a step that finds things as they are to be changes
// nothing. It costs what the steps cost, however many routes there are. Readers see all
// of it or nothing. It fails with [ErrInvalid] if a route cannot be; then nothing
// is changed. The steps may not call the table's methods that change it.
func (t *Table) Apply(s Source, steps iter.Seq[Change]) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	d := newDraft(t.FIB())
	changes, protocols := 0, len(d.counts)
	for c := range steps {
		c.Source = s
		if err := c.check(); err != nil {
			return err
		}
		if c.Gone && c.Protocol != "" {
			d.count(c.Protocol, 0) // it may be there another time
		}
		old := d.find(c.Prefix, s, c.Metric)
		if c.Gone && old == nil || !c.Gone && old != nil && old.Equal(&c.Route) {
			continue
		}
		if changes++; !d.owned && changes > d.Size()/copyShare {
			d.own()
		}
		d.swap(c.Prefix, old, c.put())
	}
	if changes > 0 || len(d.counts) > protocols {
		t.fib.Store(d.done())
	}
	return nil
}

func (c *Change) check() error {
	why := ""
	if c.Gone {
		why = prefixFault(c.Prefix)
	} else {
		why = c.fault()
	}
	if why != "" {
		return invalidError(c.Route, why)
	}
	return nil
}

// put is the table's own copy of the route; nil if there is to be none.
func (c *Change) put() *Route {
	if c.Gone {
		return nil
	}
	r := c.Route
	return &r
}
