package timeline

import (
	"fmt"
	"slices"
	"time"

	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/trace"
)

// teller puts the records of a way in order.
type teller struct {
	j     *Joiner
	nodes []*node
	early bool // more may come: nothing is said to be missing
	out   *Way
	told  map[*node]int // index in out.Packets
}

func (j *Joiner) view(w *way, early bool) *Way {
	t := &teller{j: j, early: early, nodes: w.nodes, out: &Way{Notes: []string{}, Hosts: []string{}}, told: map[*node]int{}}
	if early {
		t.out.note("shown before all of it was known: more than %d records wait", maxRecords)
	}
	first := t.first()
	t.out.Summary = fmt.Sprintf("%s  %d bytes", first.Summary, first.Length)
	t.out.Time = first.Time
	for _, n := range t.nodes {
		if n.isRoot() && n.sameFlow(first) {
			t.tell(n, PartPacket)
		}
	}
	t.outcome()
	t.caused()
	for _, r := range t.nodes {
		for _, n := range t.nodes { // and the other fragments of it
			if r.replyTo != nil && n.isRoot() && n.sameFlow(r) {
				t.tell(n, PartReply)
			}
		}
	}
	t.caused()
	for _, n := range t.nodes { // nothing is left out, whatever it is joined by
		t.tell(n, PartCaused)
	}
	t.reply(first)
	return t.out
}

// first is where the way begins: what nothing in it is the reply to, or caused.
func (t *teller) first() *node {
	best := t.nodes[0]
	rank := func(n *node) int {
		switch {
		case n.isRoot() && !n.isAnswer() && n.known >= enough:
			return 1
		case n.isRoot() && !n.isAnswer() && t.j.formerHost(n) == nil:
			return 0
		case n.isRoot() && !n.isAnswer():
			return 1
		case n.isRoot():
			return 2
		}
		return 3
	}
	for _, n := range t.nodes {
		if rank(n) < rank(best) {
			best = n
		}
	}
	return best
}

// isRoot says whether nothing that was recorded is before it.
func (n *node) isRoot() bool { return len(n.from) == 0 && n.because == nil && n.Cause == 0 }

func (n *node) sameFlow(o *node) bool {
	return n.came.inner.src == o.came.inner.src && n.came.inner.dst == o.came.inner.dst && n.came.inner.proto == o.came.inner.proto
}

// tell adds a record, and what it is at the next hosts.
func (t *teller) tell(n *node, part string) {
	if _, ok := t.told[n]; ok {
		return
	}
	t.told[n] = len(t.out.Packets)
	p := Packet{Packet: *n.Packet, Part: part}
	t.place(n, &p)
	if part == PartPacket && !slices.Contains(t.out.Hosts, n.host.Name) {
		t.out.Hosts = append(t.out.Hosts, n.host.Name)
	}
	p.Unseen = t.unseen(n)
	t.origin(n)
	t.tellAlike(n)
	t.out.Packets = append(t.out.Packets, p)
	slices.SortStableFunc(n.to, func(a, b *node) int { return a.Time.Compare(b.Time) })
	for _, next := range n.to {
		t.tell(next, part)
	}
}

// caused tells what was made because of the records that were told so far.
func (t *teller) caused() {
	for again := true; again; {
		again = false
		for _, n := range t.nodes {
			_, done := t.told[n]
			if done || n.because == nil || n.replyTo != nil {
				continue
			}
			if _, ok := t.told[n.because]; ok {
				t.tell(n, PartCaused)
				again = true
			}
		}
	}
}

// place says when a record was, by the first host's clock: by the wire from the record
// before, or else by another record of the same host.
func (t *teller) place(n *node, p *Packet) {
	for _, l := range n.from {
		at, ok := t.told[l]
		if !ok {
			continue
		}
		wire := t.wire(l, n, p)
		p.AtNS = t.out.Packets[at].AtNS + l.leftAt.Sub(l.Time).Nanoseconds() + wire.Nanoseconds()
		return
	}
	for i := len(t.out.Packets) - 1; i >= 0; i-- {
		if o := &t.out.Packets[i]; o.Host == p.Host {
			p.AtNS = o.AtNS + p.Time.Sub(o.Time).Nanoseconds()
			return
		}
	}
	if len(t.out.Packets) > 0 {
		p.AtNS = p.Time.Sub(t.out.Time).Nanoseconds()
	}
}

// wire is the delay between two hosts, corrected by what their clocks differ if that is
// known.
func (t *teller) wire(l, n *node, p *Packet) time.Duration {
	c, forth := t.j.clocksOf(l.host, n.host)
	ahead, plusMinus, state := c.offset()
	d := n.Time.Sub(l.leftAt)
	if !forth {
		ahead = -ahead
	}
	d -= ahead
	ns := d.Nanoseconds()
	if p.From = l.host.Name; l.alike != nil {
		return d // of which of them it is the delay, nothing tells
	}
	p.WireNS, p.WireErrorNS, p.Clocks = &ns, plusMinus.Nanoseconds(), state
	switch state {
	case ClocksCorrected:
		t.out.note("the clock of %s is %s that of %s, give or take %s; the delays are corrected by it",
			n.host.Name, aheadOf(ahead), l.host.Name, milliseconds(plusMinus))
	case ClocksUnchecked:
		t.out.note("nothing has come back from %s to %s: what is said of the time between them is no better than their clocks", n.host.Name, l.host.Name)
	}
	return d
}

func aheadOf(d time.Duration) string {
	if d < 0 {
		return milliseconds(-d) + " behind"
	}
	return milliseconds(d) + " ahead of"
}

func milliseconds(d time.Duration) string {
	return fmt.Sprintf("%.3f ms", float64(d.Nanoseconds())/1e6)
}

// unseen is the host where what left is missing, and says why that may be.
func (t *teller) unseen(n *node) string {
	h := t.j.nextHost(n)
	if t.early || h == nil || n.seen >= enough || n.seen > 0 && !t.tracesFragments(n) {
		return ""
	}
	if h.gone {
		t.out.note("#%d of %s is not followed to %s: the trace there has ended", n.ID, n.host.Name, h.Name)
		return ""
	}
	if lost := h.lost - n.lostThen[h]; lost > 0 {
		t.out.note("the trace of %s has lost %d records meanwhile: what is not seen there may have come", h.Name, lost)
	}
	return h.Name
}

// tracesFragments says whether fragments but the first are traced: a filter of ports
// leaves them out.
func (t *teller) tracesFragments(n *node) bool {
	if t.j.opts.Traced == nil || n.left.inner.isTCP() {
		return true
	}
	f := n.lastFrame().Padded()
	if len(f) >= 34 && n.left.inner.numbered() { // no router on the way cuts IPv6
		f[20], f[21] = 0, 1
	}
	return t.j.opts.Traced(f)
}

// origin says what is odd about where a record's packet comes from.
func (t *teller) origin(n *node) {
	if t.early || n.known > 0 || n.In == "" || !slices.Contains(n.host.Uplinks, n.In) {
		return
	}
	for i := len(t.j.ghosts) - 1; i >= 0; i-- {
		g := &t.j.ghosts[i]
		if g.host == n.host || g.left.overlap(&n.came).common == 0 {
			continue
		}
		switch {
		case g.seen && !n.came.inner.numbered():
			t.out.note("#%d of %s is a copy, or another packet like it: what %s sent as its #%d had come before; if not, it came twice: see `vrouter doctor` on both", n.ID, n.host.Name, g.host.Name, g.id)
		case g.seen:
			t.out.note("#%d of %s is a copy: what %s sent as its #%d had come before: it came twice, see `vrouter doctor` on both", n.ID, n.host.Name, g.host.Name, g.id)
		default:
			t.out.note("#%d of %s came too late to be shown with #%d of %s, which sent it", n.ID, n.host.Name, g.id, g.host.Name)
		}
		return
	}
	if h := t.j.formerHost(n); h != nil && !h.gone {
		why := "it was sent before the trace began, or a filter there leaves it out"
		if h.lost > 0 {
			why = fmt.Sprintf("its trace has lost %d records", h.lost)
		}
		t.out.note("#%d of %s comes from %s, whose record of it is missing: %s", n.ID, n.host.Name, h.Name, why)
	}
}

// outcome is what became of the packet in the end: of its parts, the worst.
func (t *teller) outcome() {
	order := []string{"", trace.Consumed, Delivered, Left, Unseen, trace.Dropped, Ambiguous} // a fragment is consumed, the whole goes on
	for n, i := range t.told {
		p := &t.out.Packets[i]
		var o string
		switch {
		case n.alike != nil && n.alike.doubt:
			o = Ambiguous
		case p.Unseen != "":
			o = Unseen
		case len(n.to) > 0 && n.wire:
			continue
		case p.Outcome == trace.Forwarded && n.wire:
			o = Left
		case p.Outcome == trace.Forwarded:
			o = Delivered
		default:
			o = p.Outcome
		}
		if slices.Index(order, o) > slices.Index(order, t.out.Outcome) {
			t.out.Outcome, t.out.Reason = o, map[bool]string{false: p.Reason}[o == Ambiguous]
		}
		t.out.NS = max(t.out.NS, p.AtNS+p.lasted())
	}
}

// lasted is how long a host was busy with a packet, in ns.
func (p *Packet) lasted() int64 {
	if len(p.Steps) == 0 {
		return 0
	}
	return p.Steps[len(p.Steps)-1].NS
}

// reply says what became of the reply.
func (t *teller) reply(first *node) {
	if !t.early && first.came.inner.isEcho(packet.ICMPEchoRequest, packet.ICMPv6EchoRequest) && (t.out.Outcome == Delivered || t.out.Outcome == Left) {
		t.out.Reply = ReplyNone
	}
	for i := range t.out.Packets {
		p := &t.out.Packets[i]
		switch {
		case p.Part != PartReply:
		case p.Host == first.host.Name && p.Out != "":
			t.out.Reply, t.out.ReplyNS = ReplyArrived, p.AtNS+p.lasted()
			if p.AtNS < 0 {
				t.out.note("the clock of %s was set back before the reply came: how long it took is not known", p.Host)
			}
		case t.out.Reply != ReplyArrived:
			t.out.Reply = ReplyLost
		}
	}
}
