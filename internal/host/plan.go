package host

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Planned is what would be done about an object.
type Planned struct {
	ID       ID
	Workload string
	What     string // in words
	Waits    string // or why it cannot be done yet
	Err      error  // or at all
}

// Plan says what Apply would do, and does nothing.
func (h *Host) Plan(want []Object, later ...ID) (all []Planned) {
	ids, makes := map[ID]bool{}, map[ID]bool{}
	for _, id := range later {
		ids[id] = true
	}
	for _, o := range want {
		ids[o.ID()] = true
	}
	for id, it := range h.items {
		if !ids[id] && !it.orphan() && it.entry != nil {
			all = append(all, Planned{ID: id, Workload: it.entry.Workload, What: it.entry.end()})
		}
	}
	slices.SortFunc(all, func(a, b Planned) int {
		if r := rank(b.ID.Kind) - rank(a.ID.Kind); r != 0 {
			return r
		}
		return compare(a.ID, b.ID)
	})
	for _, o := range want {
		is := h.items[o.ID()]
		if is != nil && is.Object != nil && same(is.Object, o) || o.ID().Kind == KindProgram {
			continue // it is wanted already, or goes with the process and changes nothing for anybody
		}
		p := Planned{ID: o.ID()}
		p.Workload, _ = o.For()
		d, err := h.foresee(o)
		var waits *Waits
		i, ofWorkload := o.(*Interface)
		switch {
		case err == nil && len(d.words) == 0:
			continue
		case err == nil:
			p.What = d.String()
			makes[p.ID] = d.draft != nil
		case ofWorkload && errors.As(err, &waits) && makes[ID{Kind: KindNamespace, Name: string(i.Namespace)}]:
			p.What = fmt.Sprintf("make interface %s in %s, set mtu %d of %s, give %s to %s", i.Name, i.Namespace, i.MTU, i.Name, listed(i.Addresses), i.Name)
		case errors.As(err, &waits):
			p.Waits = err.Error()
		default:
			p.Err = err
		}
		if o.ID().Kind == KindNamespace && p.Waits != "" {
			continue // its interface says so
		}
		all = append(all, p)
	}
	return all
}

// end is what would become of an object that is not to be any more.
func (e *Entry) end() string {
	words := "remove " + e.ID.String()
	if e.Found {
		words = "take back what was set up on " + e.ID.String()
	}
	for _, r := range e.Replaced {
		words += ", put back the route " + r.Text
	}
	return words
}

func compare(a, b ID) int {
	switch x, y := a.String(), b.String(); {
	case x < y:
		return -1
	case x > y:
		return 1
	}
	return 0
}

func listed(addresses []netip.Prefix) string {
	var words []string
	for _, a := range addresses {
		words = append(words, a.String())
	}
	return strings.Join(words, " and ")
}
