package config

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"net/netip"
	"slices"
	"unique"
)

// Routes is a list of static routes. There may be a million, so each takes 24 bytes, and 16 for each IPv6 address.
type Routes struct {
	list []packedRoute
	wide [][16]byte // IPv6 addresses
}

type packedRoute struct {
	to, via     [4]byte // of IPv6 the place in wide; via is zero for none
	metric      uint32
	bits        uint8
	kind, encap uint8 // places in routeTypes and encaps
	six         uint8 // of which address there is only its place
	proto       unique.Handle[string]
}

const (
	toSix = 1 << iota
	viaSix
)

var (
	routeTypes = []string{RouteUnicast, RouteBlackhole, RouteUnreachable, RouteProhibit}
	encaps     = []string{"", EncapNone, EncapIPIP, EncapVXLAN}
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
		bits: uint8(t.To.Bits()), metric: t.Metric, proto: unique.Make(t.Proto),
		kind: uint8(slices.Index(routeTypes, t.Type)), encap: uint8(slices.Index(encaps, t.Encap)),
	}
	if p.to = r.pack(t.To.Addr()); t.To.Addr().Is6() {
		p.six |= toSix
	}
	if t.Via.IsValid() {
		p.via = r.pack(t.Via)
	}
	if t.Via.Is6() {
		p.six |= viaSix
	}
	r.list = append(r.list, p)
}

// pack is an address, or its place. Next hops are few, and those of neighbouring routes are mostly one.
func (r *Routes) pack(a netip.Addr) (b [4]byte) {
	if a.Is4() {
		return a.As4()
	}
	wide := a.As16()
	for i := len(r.wide) - 1; i >= max(0, len(r.wide)-4); i-- {
		if r.wide[i] == wide {
			binary.NativeEndian.PutUint32(b[:], uint32(i))
			return b
		}
	}
	binary.NativeEndian.PutUint32(b[:], uint32(len(r.wide)))
	r.wide = append(r.wide, wide)
	return b
}

func (r *Routes) unpack(b [4]byte, six bool) netip.Addr {
	if !six {
		return netip.AddrFrom4(b)
	}
	return netip.AddrFrom16(r.wide[binary.NativeEndian.Uint32(b[:])])
}

// Len is how many there are.
func (r *Routes) Len() int { return len(r.list) }

// All yields the routes in the order of the file.
func (r *Routes) All(yield func(Route) bool) {
	for i := range r.list {
		if !yield(r.at(i)) {
			return
		}
	}
}

func (r *Routes) at(i int) Route {
	p := &r.list[i]
	t := Route{
		To:   netip.PrefixFrom(r.unpack(p.to, p.six&toSix != 0), int(p.bits)),
		Type: routeTypes[p.kind], Encap: encaps[p.encap], Proto: p.proto.Value(), Metric: p.metric,
	}
	if p.via != [4]byte{} || p.six&viaSix != 0 {
		t.Via = r.unpack(p.via, p.six&viaSix != 0)
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
	if a.six&toSix != b.six&toSix {
		return cmp.Compare(a.six&toSix, b.six&toSix)
	}
	to := bytes.Compare(a.to[:], b.to[:])
	if a.six&toSix != 0 {
		to = r.unpack(a.to, true).Compare(r.unpack(b.to, true))
	}
	return cmp.Or(to, cmp.Compare(a.bits, b.bits), cmp.Compare(a.metric, b.metric))
}
