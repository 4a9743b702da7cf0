package node

import (
	"errors"
	"fmt"
	"iter"
	"net/netip"
	"strconv"
	"unique"

	"github.com/vrouter/vrouter/internal/config"
	"github.com/vrouter/vrouter/rib"
)

// RouteOp is what a command does with a route, as ip-route(8) has it.
type RouteOp uint8

const (
	AddRoute     RouteOp = iota // it must not be there
	ReplaceRoute                // in place of the one with its prefix and metric, if there is one
	DeleteRoute                 // the first that is like it, by metric
)

// RouteChange is a change that a command asks for; NewRouteChange makes it. A batch
// may have a million, so it is kept small. When it is made, static becomes what was
// there before, for taking it back.
type RouteChange struct {
	op      RouteOp
	said    said
	existed bool // there was one before
	buried  bool // the file has one that was deleted before
	to      destination
	static  static
	dev     string // "": not said
}

// said is what a route was described with.
type said uint8

const (
	saidVia said = 1 << iota
	saidType
	saidEncap
	saidMetric
	saidProto
	onLink // the route is to be there without a next hop, as those that the router enters by itself
)

// NewRouteChange checks what was said about a route. dev may be "".
// An error is a *config.FieldError.
func NewRouteChange(op RouteOp, w config.RouteWords, dev string) (RouteChange, error) {
	c := RouteChange{op: op, dev: unique.Make(dev).Value()}
	check := config.CheckRoute
	if op == DeleteRoute {
		check = config.CheckPattern
	} else if w.Via == "" && (w.Type == "" || w.Type == config.RouteUnicast) && dev != "" {
		check, c.said = config.CheckPattern, onLink
	}
	r, err := check(w)
	if err != nil {
		return c, err
	}
	for i, text := range []string{w.Via, w.Type, w.Encap, w.Metric, w.Proto} {
		if text != "" {
			c.said |= 1 << i
		}
	}
	c.to = destinationOf(r.To)
	if c.onLink() {
		return c, nil
	}
	c.static, err = staticOf(&r)
	return c, err
}

func (c *RouteChange) onLink() bool { return c.said&onLink != 0 }

func (c *RouteChange) key() routeKey { return routeKey{c.to, c.static.metric} }

// ChangeError is a change that was refused and, in a batch, all others with it. Kind is one of
// rib.ErrInvalid, rib.ErrExists and rib.ErrNotFound.
type ChangeError struct {
	config.FieldError
	Kind  error
	Index int // in the batch, from 0; -1: it was none
}

func (e *ChangeError) Unwrap() error { return e.Kind }

func refused(kind error, field, format string, args ...any) *ChangeError {
	return &ChangeError{FieldError: config.FieldError{Field: field, Reason: fmt.Sprintf(format, args...)}, Kind: kind, Index: -1}
}

// RouteBatch is a list of changes that are made together.
type RouteBatch struct {
	chunks [][]RouteChange // each is full but the last; nothing is copied when the list grows
	n      int
}

const chunk = 1024

func (b *RouteBatch) Append(c RouteChange) {
	if b.n%chunk == 0 {
		b.chunks = append(b.chunks, make([]RouteChange, 0, min(chunk, 1+b.n)))
	}
	last := &b.chunks[len(b.chunks)-1]
	*last = append(*last, c)
	b.n++
}

func (b *RouteBatch) Len() int { return b.n }

func (b *RouteBatch) at(i int) *RouteChange { return &b.chunks[i/chunk][i%chunk] }

func (b *RouteBatch) all(yield func(int, *RouteChange) bool) {
	for i := range b.n {
		if !yield(i, b.at(i)) {
			return
		}
	}
}

// keys yields what the changes speak of; those of routes on the link are no static routes'.
func (b *RouteBatch) keys(yield func(routeKey) bool) {
	for _, c := range b.all {
		if !c.onLink() && !yield(c.key()) {
			return
		}
	}
}

// RouteCounts says what became of a batch; a route that was as it is to be is in none of them.
type RouteCounts struct{ Added, Replaced, Deleted int }

// ChangeRoutes makes all changes of a batch, in their order, or none; readers see
// them at once. An error is a *ChangeError if a change was to blame. The cost is that of the
// changes, however many routes there are. The batch must not be used again.
func (n *Node) ChangeRoutes(b *RouteBatch) (done RouteCounts, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.stopped {
		return done, errStopped
	}
	n.statics.expect(b.n)
	w := ways{n, map[hop]way{}}
	for i, c := range b.all {
		if why := n.changeRoute(c, &w, &done); why != nil {
			why.Index = i
			n.statics.undo(b, i)
			return RouteCounts{}, why
		}
	}
	if err := n.enterWithWays(b.keys); err != nil {
		n.statics.undo(b, b.n)
		return RouteCounts{}, errors.Join(err, n.enterWithWays(b.keys))
	}
	n.statics.slim()
	n.churn(b.n)
	return done, nil
}

// enterWithWays is enter for routes that may have brought new next hops, which are
// peers and tunnels' ends too, or taken the last route to one away.
func (n *Node) enterWithWays(keys iter.Seq[routeKey]) error {
	if n.statics.turned {
		n.statics.turned = false
		if err := errors.Join(n.applyUplink(), n.followFit(), n.followIPv6()); err != nil {
			return err
		}
	}
	return n.enter(keys)
}

func (n *Node) changeRoute(c *RouteChange, w *ways, done *RouteCounts) *ChangeError {
	if c.op == DeleteRoute {
		done.Deleted++
		return n.deleteRoute(c, w)
	}
	own := n.ownRoute(c.to.prefix())
	if c.onLink() {
		return c.checkOnLink(own)
	}
	if own != nil {
		return refused(rib.ErrExists, "to", "%s is the router's own: it cannot be added, nor replaced", own)
	}
	if err := n.checkWay(c, w.of(c.static.hop)); err != nil {
		return err
	}
	old, there := n.statics.find(c.key())
	switch {
	case there && c.op == AddRoute:
		return refused(rib.ErrExists, "to", "there is a route to %s with metric %d: replace it, or give another metric", c.to.prefix(), old.metric)
	case !there:
		done.Added++
	case !old.same(c.static):
		done.Replaced++
	}
	n.statics.make(c)
	return nil
}

// ownRoute is the route to that prefix that the router has entered by itself, if any.
func (n *Node) ownRoute(p netip.Prefix) *rib.Route {
	for _, r := range n.RIB.Candidates(p.Addr()) {
		if r.Prefix == p && (r.Source == rib.Workload || r.Source == rib.Connected) {
			return r
		}
	}
	return nil
}

// checkOnLink accepts that a route without a next hop is to be there if it is: lists
// of routes have these too.
func (c *RouteChange) checkOnLink(own *rib.Route) *ChangeError {
	switch {
	case own == nil || own.Dev != c.dev || own.Via.IsValid():
		return refused(rib.ErrInvalid, "via", "missing: give the next hop, such as 192.168.0.12; only a subnet of the uplink or a workload has none, and the router enters these by itself")
	case c.op == AddRoute:
		return refused(rib.ErrExists, "to", "%s is there: the router enters it by itself", own)
	}
	return nil
}

// checkWay holds a route to what the host has now.
func (n *Node) checkWay(c *RouteChange, w way) *ChangeError {
	switch {
	case c.static.kind == rib.Unicast && mismatched(c.to.prefix(), c.static.addr(), w.encap):
		return refused(rib.ErrInvalid, "to", "%s is IPv6, of which the next hop %s knows nothing but in a tunnel: add encap ipip or vxlan, or give an IPv6 next hop", c.to.prefix(), c.static.addr())
	case w.lost && c.static.addr().Is6() && n.uplink.silent6():
		return refused(rib.ErrInvalid, "via", "%s is IPv6, and %s has no address of that: enable IPv6 there, or give an IPv4 next hop", c.static.addr(), n.uplink.name)
	case w.lost && n.uplink.settled(c.static.addr().Is4()):
		return refused(rib.ErrInvalid, "via", "%s", n.noNeighbor(c.static.hop))
	case c.dev == "" || c.dev == w.dev:
		return nil
	case w.dev == "":
		return refused(rib.ErrInvalid, "dev", "a %s route sends nothing: leave dev out", c.static.kind)
	}
	return refused(rib.ErrInvalid, "dev", "%s is reached by %s, not by %s: leave dev out, or write that", c.static.addr(), w.dev, strconv.Quote(c.dev))
}

func (n *Node) deleteRoute(c *RouteChange, w *ways) *ChangeError {
	for _, s := range n.statics.at(c.to) {
		if c.describes(s) && (c.dev == "" || w.of(s.hop).dev == c.dev) {
			c.static = s
			n.statics.make(c)
			return nil
		}
	}
	for _, r := range n.RIB.Candidates(c.to.prefix().Addr()) {
		if r.Prefix == c.to.prefix() && r.Source != rib.Static {
			return refused(rib.ErrNotFound, "to", "no static route to %s is like that; there is %s, which no command deletes", r.Prefix, r)
		}
	}
	return refused(rib.ErrNotFound, "to", "no route to %s is like that: `vrouter route list` shows which there are", c.to.prefix())
}

// describes says whether all that was said is true of a route.
func (c *RouteChange) describes(s static) bool {
	d := c.static
	is := func(what said, same bool) bool { return c.said&what == 0 || same }
	return is(saidVia, d.via == s.via && d.six == s.six) && is(saidType, d.kind == s.kind) && is(saidEncap, d.encap == s.encap) &&
		is(saidMetric, d.metric == s.metric) && is(saidProto, d.proto == s.proto)
}

// make makes a change, and leaves in it what there was.
func (s *statics) make(c *RouteChange) {
	k := c.key()
	old, existed := s.find(k)
	c.existed, c.buried = existed, s.deleted[k]
	ofFile := existed && (!old.command || old.shadows) || c.buried
	switch {
	case c.op == DeleteRoute:
		s.remove(k)
	case existed && old.same(c.static):
		return
	default:
		c.static.command, c.static.shadows = true, ofFile
		s.put(c.to, c.static)
	}
	s.bury(k, ofFile && c.op == DeleteRoute)
	if existed {
		c.static = old
	}
}

func (s *statics) bury(k routeKey, deleted bool) {
	if deleted {
		s.deleted[k] = true
	} else {
		delete(s.deleted, k)
	}
}

// undo takes the first n changes back, the last one first.
func (s *statics) undo(b *RouteBatch, n int) {
	for i := n - 1; i >= 0; i-- {
		c := b.at(i)
		if c.onLink() {
			continue
		}
		if c.existed {
			s.put(c.to, c.static)
		} else {
			s.remove(c.key())
		}
		s.bury(c.key(), c.buried)
	}
}
