package rib

import "slices"

// slots gives each route a small number of its own (Route.Slot). It is a part of the
// FIB for the writers' sake alone: the next one is made from the published one's, so
// that a change that fails takes none.
type slots struct {
	next uint32   // never given out so far
	free []uint32 // given back; only the last FIB's is looked at
	born uint32   // routes that came into the table so far
}

func (s *slots) take() uint32 {
	if last := len(s.free) - 1; last >= 0 {
		slot := s.free[last]
		s.free = s.free[:last]
		return slot
	}
	s.next++
	return s.next - 1
}

// number gives a route that comes in a slot, and each path of it; it may have that of
// the route that it replaces.
func (d *draft) number(in, out *Route) {
	switch {
	case in == nil && out != nil:
		d.freed = append(d.freed, out.slot)
	case in != nil && out != nil:
		in.slot = out.slot
	case in != nil:
		in.slot = d.slots.take()
	}
	if out != nil {
		for _, p := range out.Multipath.Paths() {
			d.freed = append(d.freed, p.slot)
		}
	}
	if in == nil {
		return
	}
	d.slots.born++
	in.born = d.slots.born
	if in.Multipath != nil {
		m := *in.Multipath // the caller's, who may have given it to others too
		m.paths = slices.Clone(m.paths)
		for i := range m.paths {
			m.paths[i].slot, m.paths[i].born = d.slots.take(), in.born
		}
		in.Multipath = &m
	}
}
