package config

import (
	"bytes"
	"cmp"
	"net/netip"
	"slices"
	"unique"
)

// Routes is a list of static routes. There may be a million, so each takes 24 bytes.
type Routes struct{ list []packedRoute }

type packedRoute struct {
	to, via     [4]byte // via is zero for none
	metric      uint32
	bits        uint8
	kind, encap uint8 // places in routeTypes and encaps
	proto       unique.Handle[string]
}

var (
	routeTypes = []string{RouteUnicast, RouteBlackhole, RouteUnreachable, RouteProhibit}
	encaps     = []string{"", EncapNone, EncapIPIP}
)

// NewRoutes is a list of checked routes.
func NewRoutes(routes []Route) Routes {
	var list Routes
	for _, t := range routes {
		list.append(t)
	}
	return list
}

// append adds a route that the checker has made.
func (r *Routes) append(t Route) {
	p := packedRoute{
		to: t.To.Addr().As4(), bits: uint8(t.To.Bits()), metric: uint32(t.Metric), proto: unique.Make(t.Proto),
		kind: uint8(slices.Index(routeTypes, t.Type)), encap: uint8(slices.Index(encaps, t.Encap)),
	}
	if t.Via.IsValid() {
		p.via = t.Via.As4()
	}
	r.list = append(r.list, p)
}

// Len is how many there are.
func (r *Routes) Len() int { return len(r.list) }

// All yields the routes in the order of the file.
func (r *Routes) All(yield func(Route) bool) {
	for i := range r.list {
		if !yield(r.list[i].route()) {
			return
		}
	}
}

func (p *packedRoute) route() Route {
	t := Route{
		To:   netip.PrefixFrom(netip.AddrFrom4(p.to), int(p.bits)),
		Type: routeTypes[p.kind], Encap: encaps[p.encap], Proto: p.proto.Value(), Metric: int(p.metric),
	}
	if p.via != [4]byte{} {
		t.Via = netip.AddrFrom4(p.via)
	}
	return t
}

// duplicate finds the first route in the order of the file that has prefix and metric of one before it,
// the first of these.
func (r *Routes) duplicate() (first, again int, ok bool) {
	order := make([]int32, len(r.list))
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortFunc(order, func(i, j int32) int { return cmp.Or(r.compare(i, j), cmp.Compare(i, j)) })
	for group, i := 0, 1; i < len(order); i++ {
		if r.compare(order[group], order[i]) != 0 {
			group = i
			continue
		}
		if found := int(order[i]); !ok || found < again {
			first, again, ok = int(order[group]), found, true
		}
	}
	return first, again, ok
}

// compare orders by what only one route can have.
func (r *Routes) compare(i, j int32) int {
	a, b := &r.list[i], &r.list[j]
	return cmp.Or(bytes.Compare(a.to[:], b.to[:]), cmp.Compare(a.bits, b.bits), cmp.Compare(a.metric, b.metric))
}
