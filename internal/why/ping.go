package why

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/vrouter/vrouter/internal/trace"
	"github.com/vrouter/vrouter/internal/verdict"
	"github.com/vrouter/vrouter/internal/walk"
)

func join(hosts []string) string { return strings.Join(hosts, " > ") }

// ends looks at who has the two addresses.
func (q *inquiry) ends() (bool, error) {
	for _, a := range []netip.Addr{q.src, q.dst} {
		if h, _ := q.ownerOf(a); h != nil && h.Err == nil {
			continue
		}
		for _, name := range sorted(q.Known) {
			for _, w := range q.Known[name].Workloads {
				if has(w.Addresses, a) && w.Waits != "" {
					return q.is(Waiting, name+"/"+w.Name, q.on(name, "workload list"), "the workload %s of %s, which is to have %s, waits: %s", w.Name, name, a, w.Waits)
				}
			}
		}
	}
	h, _ := q.ownerOf(q.src)
	if h == nil && !slices.ContainsFunc(q.Hosts, func(h *walk.Host) bool { return slices.Contains(h.Addresses, q.src) }) {
		if found, err := q.spoofed(); found || err != nil {
			return found, err
		}
		return q.is(NoWorkload, "", "vrouter lab status", "no workload of the hosts that were asked has the address %s%s", q.src, q.deaf())
	}
	if h != nil && h.Err != nil {
		return q.is(NoRouter, h.Name, q.start(h.Name), "the router of %s, where %s is, does not run, or does not answer", h.Name, q.src)
	}
	return false, nil
}

// deaf names the hosts that were asked in vain.
func (q *inquiry) deaf() (text string) {
	for _, h := range q.Hosts {
		if h.Err != nil {
			text += fmt.Sprintf("; the router of %s does not answer", h.Name)
		}
	}
	return text
}

func (q *inquiry) start(host string) string {
	if q.Start != "" {
		return q.Start
	}
	return q.shell(host, "", "systemctl start vrouter")
}

// ping is the walk of an echo request of so many bytes.
func (q *inquiry) ping(src, dst netip.Addr, length int, df bool) (*walk.Walk, error) {
	kind, more := "icmp", ""
	if src.Is6() {
		kind, df = "icmp6", false
	}
	if df {
		more = " df"
	}
	return walk.Run(q.ctx, q.Net, fmt.Sprintf("%s %s > %s length %d%s", kind, src, dst, length, more))
}

// smallPing takes a ping of the usual size there, and its reply back.
func (q *inquiry) smallPing() (bool, error) {
	w, err := q.ping(q.src, q.dst, small, false)
	if err != nil {
		return false, err
	}
	q.answer.Path = w.Path
	if w.Back != nil {
		q.answer.Back = w.Back
	}
	switch {
	case w.Outcome == trace.Consumed || w.Outcome == trace.LeftToHost:
		q.answer.Reaches = w.Outcome == trace.Consumed
		if w.Outcome == trace.LeftToHost {
			q.answer.Reaches = true
			return q.though(None, w.Host, "", ": %s's own stack takes it, and answers by its own routes", w.Host)
		}
		return false, nil
	case w.Outcome != walk.Delivered:
		return q.ended(w, &w.End, q.dst, "")
	case w.Reply != nil && w.Reply.Outcome != walk.Delivered:
		return q.ended(w, w.Reply, q.src, "it arrives, but the reply does not: ")
	}
	q.answer.Reaches = true
	return false, nil
}

// ended says why a packet to an address ended as it did.
func (q *inquiry) ended(w *walk.Walk, e *walk.End, to netip.Addr, what string) (bool, error) {
	if w.Loop != nil && what == "" {
		return q.is(Loop, w.Loop[len(w.Loop)-1], q.unloop(w, to), "loop: %s send it to each other, %d times, until it is %s", strings.Join(w.Loop, " and "), w.Passes, e.Words())
	}
	switch {
	case e.Outcome == walk.Lost && e.Reason == walk.NoRouter:
		return q.is(NoRouter, e.Next, q.start(e.Next), "%sthe router of %s does not run, or does not answer", what, e.Next)
	case e.Outcome == walk.Lost && e.Reason == walk.StaleNeighbor:
		return q.is(Stale, e.Host, q.on(e.Host, "show neighbors"), "%s%s: that is stale, until it is asked for again", what, e.Detail)
	case e.Outcome == walk.Lost && e.Reason == walk.CableMTU:
		return q.is(MTU, e.Host, q.shell(e.Next, "", "ip link"), "%s%s", what, e.Detail)
	case e.Outcome == walk.Lost:
		return q.is(Cause(e.Reason), e.Host, "", "%s%s", what, e.Detail)
	case e.Outcome == trace.Waits && e.Reason == walk.NobodyThere:
		return q.is(Unanswered, e.Host, q.route(e.Host, to), "%snobody answers for %s, the next hop of %s on %s, and no host that was asked has that address", what, e.Next, to, e.Host)
	case e.Outcome == walk.Left:
		return q.is(Unknown, e.Host, q.on(e.Host, "route get "+to.String()), "%sit leaves %s by %s for %s, which was not asked: what becomes of it there is not known%s", what, e.Host, e.Port, e.Next, q.deaf())
	case e.Reason == verdict.IPIPUnknownPeer.String() || e.Reason == verdict.VXLANUnknownPeer.String():
		return q.unknownPeer(w, e, what)
	}
	return q.dropped(e, to, what)
}

// dropped names a drop by its reason, with the route that it was dropped by.
func (q *inquiry) dropped(e *walk.End, to netip.Addr, what string) (bool, error) {
	r, _ := verdict.ReasonNamed(e.Reason)
	next := q.on(e.Host, "route get "+to.String())
	text := fmt.Sprintf("%s drops it: %s (%s)", e.Host, r.Info().Help, e.Reason)
	switch r {
	case verdict.NoRoute:
		next, text = q.route(e.Host, to), fmt.Sprintf("%s has no route to %s (no_route)", e.Host, to)
	case verdict.Blackhole, verdict.UnreachableRoute, verdict.ProhibitRoute:
		next, text = q.route(e.Host, to), fmt.Sprintf("%s has a route of type %s for %s", e.Host, typeOf(r), to)
	case verdict.RPFFailed:
		next = q.shell(e.Host, e.Port, "ip addr")
	case verdict.NeighborUnresolved:
		next = q.route(e.Host, to)
	}
	if e.Reason == "" {
		text = fmt.Sprintf("it is %s at %s", e.Outcome, e.Host)
	}
	return q.is(Cause(e.Reason), e.Host, next, "%s%s", what, text)
}

func typeOf(r verdict.Reason) string { return r.String() }

// unloop is a route by which the packet would leave the loop.
func (q *inquiry) unloop(w *walk.Walk, to netip.Addr) string {
	o, _ := q.ownerOf(to)
	for _, h := range w.Loop {
		if o != nil && h != o.Name {
			return q.route(h, to)
		}
	}
	return q.on(w.Loop[len(w.Loop)-1], "route get "+to.String())
}

// unknownPeer tells a tunnel's end that is nobody's from one that is known by another address.
func (q *inquiry) unknownPeer(w *walk.Walk, e *walk.End, what string) (bool, error) {
	source, peers := e.Source(), "ipip.peers"
	if e.Reason == verdict.VXLANUnknownPeer.String() {
		peers = "vxlan.peers"
	}
	from := slices.IndexFunc(q.Hosts, func(h *walk.Host) bool { return slices.Contains(h.Addresses, source) })
	if from < 0 {
		return q.is(Cause(e.Reason), e.Host, q.on(e.Host, "show tunnels"), "%s%s takes no tunnel from %s, and no host that was asked has that address (%s)", what, e.Host, source, e.Reason)
	}
	h := q.Hosts[from]
	for _, t := range q.Known[e.Host].Tunnels {
		if peer, err := netip.ParseAddr(t.Peer); err == nil && peer != source && slices.Contains(h.Addresses, peer) {
			return q.is(TunnelSource, h.Name, q.on(h.Name, "show config"), "%s%s sends its tunnel from %s, but %s knows it as %s (%s): set ipip.source there, or %s here", what, h.Name, source, e.Host, peer, e.Reason, peers)
		}
	}
	return q.is(Cause(e.Reason), e.Host, q.on(e.Host, "show tunnels"), "%s%s takes no tunnel from %s, %s: it is not among its peers (%s); add it to %s there", what, e.Host, source, h.Name, e.Reason, peers)
}

// largePings looks for sizes that do not arrive, of what the two workloads may send.
func (q *inquiry) largePings() (bool, error) {
	if !q.answer.Reaches {
		return false, nil
	}
	for _, way := range [][2]netip.Addr{{q.src, q.dst}, {q.dst, q.src}} {
		h, p := q.ownerOf(way[0])
		if h == nil || h.Err != nil || p.MTU <= small {
			continue
		}
		w, err := q.ping(way[0], way[1], p.MTU, true)
		if err != nil {
			return false, err
		}
		e := &w.End
		if e.Outcome == walk.Delivered && w.Reply != nil {
			e = w.Reply
		}
		if e.Outcome == walk.Delivered || e.Outcome == trace.Consumed || e.Outcome == trace.LeftToHost {
			continue
		}
		return q.tooLarge(way, e, p.MTU)
	}
	return false, nil
}

// tooLarge finds from which size on packets do not arrive, and says where.
func (q *inquiry) tooLarge(way [2]netip.Addr, e *walk.End, large int) (bool, error) {
	arrives, not := small, large
	for not-arrives > 1 {
		n := (arrives + not) / 2
		w, err := q.ping(way[0], way[1], n, true)
		if err != nil {
			return false, err
		}
		if w.Outcome == walk.Delivered && (w.Reply == nil || w.Reply.Outcome == walk.Delivered) {
			arrives = n
		} else {
			not = n
		}
	}
	direction := ""
	if way[0] != q.src {
		direction = " on the way back"
	}
	at, where, told := e.Host, e.Detail, ""
	next := q.shell(e.Host, "", "ip link")
	if e.Reason == verdict.MTUExceeded.String() {
		where = fmt.Sprintf("%s can send no more by the next link", e.Host)
		told = "; the sender is told, and may send smaller ones"
	}
	if e.Reason == walk.CableMTU {
		at, next = e.Next, q.shell(e.Next, "", "ip link")
	}
	return q.though(MTU, at, next, " with small packets alone%s: %d bytes arrive, %d do not: %s%s", direction, arrives, not, where, told)
}
