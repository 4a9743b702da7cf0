package rib

import "fmt"

// MaxPaths is how many next hops one route may have.
const MaxPaths = 255

// Multipath is the next hops of a route that has several: in its place it says
// where a flow goes, by hash-threshold (RFC 2992) with regions as large as the
// weights. Each path is a route of its own, with the prefix of the whole. It is
// immutable.
type Multipath struct {
	paths []Route
	total uint64 // of the weights
}

// Hop is one next hop of several.
type Hop struct {
	Route         // Via, Dev, Port and Encap of it are used
	Weight uint16 // its share, 1 and up
}

// Over returns the route with these next hops in place of its own: one takes its
// place, of several each gets its share of the flows.
func (r Route) Over(hops []Hop) Route {
	m := &Multipath{}
	for i, h := range hops {
		p := r
		p.Via, p.Dev, p.Port, p.Encap = h.Via, h.Dev, h.Port, h.Encap
		if len(hops) == 1 {
			return p
		}
		p.weight, p.nth, p.of = h.Weight, uint8(min(i+1, MaxPaths)), uint8(min(len(hops), MaxPaths))
		m.paths, m.total = append(m.paths, p), m.total+uint64(h.Weight)
	}
	r.Port, r.Multipath = NoPort, m
	return r
}

// Paths are the next hops, in the order in which they were given. None if there
// is no multipath.
func (m *Multipath) Paths() []Route {
	if m == nil {
		return nil
	}
	return m.paths
}

// Choose returns the path of the flow with that hash: as long as neither the next
// hops nor their weights change, always the same one.
func (m *Multipath) Choose(hash uint32) *Route {
	at := uint64(hash) * m.total >> 32 // in [0, total)
	for i := range m.paths {
		w := uint64(m.paths[i].weight)
		if at < w {
			return &m.paths[i]
		}
		at -= w
	}
	return &m.paths[len(m.paths)-1]
}

// Weight is a path's share of the flows, in relation to the others'; 0 for a
// route that is no path of a multipath.
func (r *Route) Weight() int { return int(r.weight) }

// appendText is the next hops in the words of ip-route(8).
func (m *Multipath) appendText(b []byte) []byte {
	for i := range m.Paths() {
		p := &m.paths[i]
		b = append(b, " nexthop"...)
		if p.Via.IsValid() {
			b = fmt.Appendf(b, " via %s", p.Via)
		}
		b = fmt.Appendf(b, " dev %s weight %d", p.Dev, p.weight)
		if p.Encap != None {
			b = fmt.Appendf(b, " encap %s", p.Encap)
		}
	}
	return b
}

// fault tells why a route cannot have these next hops; "" if it can.
func (m *Multipath) fault(r *Route) string {
	if r.Via.IsValid() || r.Dev != "" || r.Encap != None || r.Port != NoPort {
		return "it has a next hop of its own besides several; leave one or the others out"
	}
	if len(m.paths) < 2 || len(m.paths) > MaxPaths {
		return fmt.Sprintf("it has %d next hops; give 2 to %d", len(m.paths), MaxPaths)
	}
	for i := range m.paths {
		p := &m.paths[i]
		if why := p.unicastFault(); why != "" {
			return why
		}
		if p.weight == 0 || p.Prefix != r.Prefix {
			return "a next hop of it has weight 0, or another prefix; give each a weight of 1 or more"
		}
	}
	return ""
}
