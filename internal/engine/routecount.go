package engine

import (
	"slices"

	"github.com/vrouter/vrouter/rib"
)

// routePage is how many routes' counters are in one piece of memory, 6 KB.
const routePage = 256

// RouteCount is what went by one route: the packets that step route chose it for,
// those that it drops among them, and their bytes, as they came in.
type RouteCount struct {
	Route   *rib.Route
	Packets uint64
	Bytes   uint64
}

// RouteCounts are what went by routes, by their slots. A page is made when the first
// packet takes a route of it, so that a million routes that nobody uses cost
// nothing. A slot counts for the last route that had it: one that is replaced, or
// goes, takes its count along.
type RouteCounts struct{ pages []*[routePage]RouteCount }

func (c *RouteCounts) count(r *rib.Route, packets, bytes uint64) {
	page, at := int(r.Slot()/routePage), r.Slot()%routePage
	if page >= len(c.pages) || c.pages[page] == nil {
		c.grow(page)
	}
	n := &c.pages[page][at]
	if n.Route != r {
		*n = RouteCount{Route: r}
	}
	n.Packets += packets
	n.Bytes += bytes
}

func (c *RouteCounts) grow(page int) {
	for page >= len(c.pages) {
		c.pages = append(c.pages, nil)
	}
	c.pages[page] = new([routePage]RouteCount)
}

// add adds another one's page. Where the two count for different routes, the slot
// is the later one's.
func (c *RouteCounts) add(page *[routePage]RouteCount) {
	for _, n := range page {
		if n.Route != nil && !c.hasLater(n.Route) {
			c.count(n.Route, n.Packets, n.Bytes)
		}
	}
}

func (c *RouteCounts) at(slot uint32) (n RouteCount) {
	if page := int(slot / routePage); page < len(c.pages) && c.pages[page] != nil {
		n = c.pages[page][slot%routePage]
	}
	return n
}

func (c *RouteCounts) hasLater(r *rib.Route) bool {
	n := c.at(r.Slot())
	return n.Route != nil && n.Route.Later(r)
}

// Of is what went by a route since it came into the table as it is. Of a route with
// several next hops, each has its own.
func (c *RouteCounts) Of(r *rib.Route) RouteCount {
	if n := c.at(r.Slot()); n.Route == r {
		return n
	}
	return RouteCount{Route: r}
}

// All yields the routes that packets took, in no order. One that has gone may be
// among them.
func (c *RouteCounts) All(yield func(RouteCount) bool) {
	for _, page := range c.pages {
		if page == nil {
			continue
		}
		for _, n := range page {
			if n.Route != nil && !yield(n) {
				return
			}
		}
	}
}

// forget drops from one page what went by routes that are not there any more, and the page if
// nothing is left on it. It says whether there is a next one.
func (c *RouteCounts) forget(page int, there func(*rib.Route) bool) (more bool) {
	if page < len(c.pages) && c.pages[page] != nil {
		left := false
		for i := range c.pages[page] {
			n := &c.pages[page][i]
			if n.Route != nil && !there(n.Route) {
				*n = RouteCount{}
			}
			left = left || n.Route != nil
		}
		if !left {
			c.pages[page] = nil
		}
	}
	return page+1 < len(c.pages)
}

// whoCounts are those that count by route: the workers, and housekeeping what it lets go.
func (r *Router) whoCounts() []*worker { return append(slices.Clone(r.workers), r.house) }

// ForgetRoutes drops what went by routes that have gone: each count keeps its route alive. A
// worker is held up for one page at a time.
func (r *Router) ForgetRoutes() {
	for _, w := range r.whoCounts() {
		for page, more := 0, true; more; page++ {
			w.mu.Lock()
			more = w.routes.forget(page, r.rib.FIB().Has)
			w.mu.Unlock()
		}
	}
}

// RouteCounts adds up those of all workers. Each is held up for the copy of one page
// at a time.
func (r *Router) RouteCounts() *RouteCounts {
	sum := &RouteCounts{}
	var page [routePage]RouteCount
	for _, w := range r.whoCounts() {
		for i, more := 0, true; more; i++ {
			var there bool
			w.mu.Lock()
			if there = i < len(w.routes.pages) && w.routes.pages[i] != nil; there {
				page = *w.routes.pages[i]
			}
			more = i+1 < len(w.routes.pages)
			w.mu.Unlock()
			if there {
				sum.add(&page)
			}
		}
	}
	return sum
}
