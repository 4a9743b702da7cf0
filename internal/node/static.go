package node

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"iter"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"sync"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vrouter/vrouter/internal/config"
	"github.com/vrouter/vrouter/rib"
)

// destination is a prefix in 17 bytes, without a pointer.
type destination struct {
	addr [16]byte // IPv4 in the form of IPv6
	bits uint8
}

func destinationOf(p netip.Prefix) destination {
	return destination{p.Addr().As16(), uint8(p.Bits())}
}

func (d destination) prefix() netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom16(d.addr).Unmap(), int(d.bits))
}

// static is a route of the file or of a command: what is to be, whether or not the
// next hop can be reached at present. There may be a million, so it is kept small.
type static struct {
	hop
	metric  uint32
	kind    rib.Type
	proto   uint8 // rtnetlink's number
	command bool  // made by a command, not by the file
	shadows bool  // the file has another one in its place
}

// hop is how a route leaves: to whom, and what the route says about encapsulation.
type hop struct {
	via   [4]byte // of IPv6 its place among nextHops; zero: nowhere
	six   bool
	encap encapWord
}

// nextHops are the IPv6 addresses that any route has ever led to: so few that none is ever taken out.
var nextHops struct {
	mu     sync.RWMutex
	list   [][16]byte
	places map[[16]byte]uint32
}

// hopTo has the route lead to an address.
func hopTo(via netip.Addr) (h hop) {
	if !via.Is6() {
		if via.IsValid() {
			h.via = via.As4()
		}
		return h
	}
	t, wide := &nextHops, via.As16()
	t.mu.Lock()
	defer t.mu.Unlock()
	at, ok := t.places[wide]
	if !ok {
		if t.places == nil {
			t.places = map[[16]byte]uint32{}
		}
		at = uint32(len(t.list))
		t.places[wide], t.list = at, append(t.list, wide)
	}
	h.six = true
	binary.NativeEndian.PutUint32(h.via[:], at)
	return h
}

type encapWord uint8

var encapWords = []string{"", config.EncapNone, config.EncapIPIP, config.EncapVXLAN} // "": the mode of ipip or vxlan decides

func (h hop) addr() netip.Addr {
	switch {
	case h.six:
		nextHops.mu.RLock()
		defer nextHops.mu.RUnlock()
		return netip.AddrFrom16(nextHops.list[binary.NativeEndian.Uint32(h.via[:])])
	case h.via == [4]byte{}:
		return netip.Addr{}
	}
	return netip.AddrFrom4(h.via)
}

func (h hop) compare(o hop) int {
	return cmp.Or(h.addr().Compare(o.addr()), cmp.Compare(h.encap, o.encap))
}

// staticOf makes one of a checked route; an error names a protocol that nobody knows.
func staticOf(c *config.Route) (s static, err error) {
	s = static{kind: routeTypes[c.Type], metric: c.Metric, proto: unix.RTPROT_STATIC}
	s.hop = hopTo(c.Via)
	s.encap = encapWord(slices.Index(encapWords, c.Encap))
	if c.Proto != "" {
		if s.proto, err = protocolNumber(c.Proto); err != nil {
			return s, &config.FieldError{Field: "proto", Reason: err.Error()}
		}
	}
	return s, nil
}

// route is the reverse.
func (s static) route(d destination) config.Route {
	c := config.Route{To: d.prefix(), Via: s.addr(), Type: s.kind.String(), Encap: encapWords[s.encap], Metric: s.metric}
	if s.proto != unix.RTPROT_STATIC {
		c.Proto = protocolName(netlink.RouteProtocol(s.proto))
	}
	return c
}

// protocolNumbers is the reverse of protocols.
var protocolNumbers = func() map[string]uint8 {
	m := map[string]uint8{}
	for number, name := range protocols {
		m[name] = uint8(number)
	}
	return m
}()

func protocolNumber(name string) (uint8, error) {
	if number, ok := protocolNumbers[name]; ok {
		return number, nil
	}
	number, err := strconv.ParseUint(name, 10, 8)
	if err != nil {
		return 0, fmt.Errorf("no routing protocol is known as %q; give its number (/etc/iproute2/rt_protos lists them)", name)
	}
	return uint8(number), nil
}

// same says whether two routes do the same, whoever made them.
func (s static) same(o static) bool {
	s.command, s.shadows = o.command, o.shadows
	return s == o
}

// routeKey tells a static route from all others.
type routeKey struct {
	destination
	metric uint32
}

// firsts are a route by destination. There may be a million of IPv4, which take half as much in a map of their own.
type firsts struct {
	four map[destination4]static
	six  map[destination]static
}

type destination4 struct {
	addr [4]byte
	bits uint8
}

func newFirsts(four int) firsts {
	return firsts{make(map[destination4]static, four), map[destination]static{}}
}

// in4 is an IPv4 destination in five bytes.
func (d destination) in4() (d4 destination4, ok bool) {
	if a := netip.AddrFrom16(d.addr); a.Is4In6() {
		return destination4{a.Unmap().As4(), d.bits}, true
	}
	return d4, false
}

func (f *firsts) len() int { return len(f.four) + len(f.six) }

func (f *firsts) at(d destination) (s static, ok bool) {
	if d4, is4 := d.in4(); is4 {
		s, ok = f.four[d4]
	} else {
		s, ok = f.six[d]
	}
	return s, ok
}

func (f *firsts) set(d destination, s static) {
	if d4, is4 := d.in4(); is4 {
		f.four[d4] = s
	} else {
		f.six[d] = s
	}
}

func (f *firsts) remove(d destination) {
	if d4, is4 := d.in4(); is4 {
		delete(f.four, d4)
	} else {
		delete(f.six, d)
	}
}

func (f *firsts) all(yield func(destination, static) bool) {
	for d, s := range f.four {
		if !yield(destinationOf(netip.PrefixFrom(netip.AddrFrom4(d.addr), int(d.bits))), s) {
			return
		}
	}
	for d, s := range f.six {
		if !yield(d, s) {
			return
		}
	}
}

// statics are all static routes: the file's, and on top of it what commands made of
// them. Nearly every prefix has one.
type statics struct {
	first   firsts                   // the one with the lowest metric
	more    map[destination][]static // the others, by metric; the slices are never written to
	deleted map[routeKey]bool        // of the file's, those that commands deleted
	hops    map[hop]int              // how many routes leave each way
	six     int                      // how many are to IPv6 prefixes
	turned  bool                     // a way was added to hops or taken away, and nobody has looked yet
	most    int                      // destinations there have been since the maps were made
	buf     []static
}

func newStatics(size int) *statics {
	return &statics{
		first: newFirsts(size), more: map[destination][]static{},
		deleted: map[routeKey]bool{}, hops: map[hop]int{},
	}
}

// expect makes room for so many routes where there are none yet.
func (s *statics) expect(n int) {
	if s.first.len() == 0 {
		s.first = newFirsts(n)
	}
}

// at lists the routes to a prefix by metric, until the next call.
func (s *statics) at(d destination) []static {
	s.buf = s.buf[:0]
	if f, ok := s.first.at(d); ok {
		s.buf = append(append(s.buf, f), s.more[d]...)
	}
	return s.buf
}

func byMetric(a static, metric uint32) int { return cmp.Compare(a.metric, metric) }

func (s *statics) find(k routeKey) (static, bool) {
	list := s.at(k.destination)
	i, ok := slices.BinarySearchFunc(list, k.metric, byMetric)
	if !ok {
		return static{}, false
	}
	return list[i], true
}

// put enters a route, in place of the one with its metric if there is one.
func (s *statics) put(d destination, r static) {
	list := s.at(d)
	i, there := slices.BinarySearchFunc(list, r.metric, byMetric)
	if there {
		s.count(d, list[i], -1)
		list[i] = r
	} else {
		list = slices.Insert(list, i, r)
	}
	s.count(d, r, +1)
	s.store(d, list)
}

func (s *statics) remove(k routeKey) {
	list := s.at(k.destination)
	if i, there := slices.BinarySearchFunc(list, k.metric, byMetric); there {
		s.count(k.destination, list[i], -1)
		s.store(k.destination, slices.Delete(list, i, i+1))
	}
}

func (s *statics) store(d destination, list []static) {
	s.buf = list
	if len(list) == 0 {
		s.first.remove(d)
	} else {
		s.first.set(d, list[0])
	}
	if len(list) > 1 {
		s.more[d] = slices.Clone(list[1:])
	} else {
		delete(s.more, d)
	}
	s.most = max(s.most, s.first.len())
}

// slim gives back what many routes took that are gone: a map never shrinks.
func (s *statics) slim() {
	const small = 1 << 12
	if s.most >= small && s.first.len() <= s.most/4 {
		first, more := newFirsts(len(s.first.four)), make(map[destination][]static, len(s.more))
		maps.Copy(first.four, s.first.four)
		maps.Copy(first.six, s.first.six)
		maps.Copy(more, s.more)
		s.first, s.more, s.most = first, more, first.len()
	}
}

func (s *statics) count(d destination, r static, n int) {
	if d.prefix().Addr().Is6() {
		was := s.six
		s.six += n
		s.turned = s.turned || was == 0 || s.six == 0
	}
	if r.kind != rib.Unicast {
		return
	}
	was := s.hops[r.hop]
	s.hops[r.hop] = was + n
	if was+n == 0 {
		delete(s.hops, r.hop)
	}
	s.turned = s.turned || was == 0 || was+n == 0
}

// speakIPv6 says whether one is of that family, or by a next hop that is.
func (s *statics) speakIPv6() bool {
	if s.six > 0 {
		return true
	}
	for h := range s.hops {
		if h.addr().Is6() {
			return true
		}
	}
	return false
}

// leadsTo says whether a route has that next hop.
func (s *statics) leadsTo(a netip.Addr) bool {
	for h := range s.hops {
		if h.addr() == a {
			return true
		}
	}
	return false
}

// example is the prefix of a route that leaves that way.
func (s *statics) example(h hop) (p netip.Prefix) {
	for d, r := range s.all {
		if r.hop == h && (!p.IsValid() || d.prefix().Compare(p) < 0) {
			p = d.prefix()
		}
	}
	return p
}

// all yields every route, in no order.
func (s *statics) all(yield func(destination, static) bool) {
	for d, f := range s.first.all {
		if !yield(d, f) {
			return
		}
		for _, r := range s.more[d] {
			if !yield(d, r) {
				return
			}
		}
	}
}

// keys yields what tells each from the others.
func (s *statics) keys(yield func(routeKey) bool) {
	for d, r := range s.all {
		if !yield(routeKey{d, r.metric}) {
			return
		}
	}
}

// without yields the keys that the others do not have.
func (s *statics) without(others *statics) iter.Seq[routeKey] {
	return func(yield func(routeKey) bool) {
		for k := range s.keys {
			if _, ok := others.find(k); !ok && !yield(k) {
				return
			}
		}
	}
}

// sorted is every route as a file has it, by prefix and metric. It does not change
// any more.
func (s *statics) sorted() iter.Seq[config.Route] {
	type item struct {
		destination
		static
	}
	list := make([]item, 0, s.first.len())
	for d, r := range s.all {
		list = append(list, item{d, r})
	}
	slices.SortFunc(list, func(a, b item) int {
		return cmp.Or(bytes.Compare(a.addr[:], b.addr[:]), cmp.Compare(a.bits, b.bits), cmp.Compare(a.metric, b.metric))
	})
	return func(yield func(config.Route) bool) {
		for _, i := range list {
			if !yield(i.route(i.destination)) {
				return
			}
		}
	}
}

// reloaded is what becomes of the routes when the file has these: what commands
// added, replaced or deleted stays so. Where the file has come to say the same as
// a command, it is the file's from then on.
func (s *statics) reloaded(file *config.Routes) (*statics, error) {
	next := newStatics(max(file.Len(), s.first.len()))
	for t := range file.All {
		d := destinationOf(t.To)
		r, err := staticOf(&t)
		if err != nil {
			return nil, fmt.Errorf("route to %s: %w", t.To, err)
		}
		k := routeKey{d, r.metric}
		mine, ok := s.find(k)
		switch {
		case ok && mine.command && !mine.same(r):
			mine.shadows = true
			next.put(d, mine)
		case s.deleted[k]:
			next.deleted[k] = true
		default:
			next.put(d, r)
		}
	}
	for d, r := range s.all {
		if _, ok := next.find(routeKey{d, r.metric}); r.command && !ok {
			r.shadows = false
			next.put(d, r)
		}
	}
	return next, nil
}
