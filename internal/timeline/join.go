package timeline

import (
	"slices"

	"github.com/vrouter/vrouter/internal/packet"
)

// enough is all of a packet, but for rounding.
const enough = 0.999

// joinWire looks for the host that a record's packet came from, and for those that it
// went to. Of several that look alike the oldest that nobody has claimed is taken.
func (j *Joiner) joinWire(n *node) {
	if n.In != "" {
		for _, k := range n.came.keys() {
			for _, l := range j.left[k] {
				j.wire(l, n)
				if n.known >= enough {
					break
				}
			}
		}
	}
	if n.wire {
		for _, k := range n.left.keys() {
			for _, c := range j.came[k] {
				j.wire(n, c)
				if n.seen >= enough {
					break
				}
			}
		}
	}
}

// wire joins what left one host with what came to another one, if it is the same.
func (j *Joiner) wire(left, came *node) {
	if !left.wire || came.In == "" || left.host == came.host || left.seen >= enough || came.known >= enough ||
		slices.Contains(left.to, came) { // found by another key
		return
	}
	o := left.left.overlap(&came.came)
	if o.common == 0 || !j.merge(left, came) {
		return
	}
	left.seen += o.ofLeft()
	came.known += o.ofCame()
	left.to, came.from = append(left.to, came), append(came.from, left)
	c, forth := j.clocksOf(left.host, came.host)
	if !c.same && left.alike == nil {
		c.add(came.Time.Sub(left.leftAt), forth)
	}
}

// joinFragments joins the fragments of one datagram that come to one host.
func (j *Joiner) joinFragments(n *node) {
	p := n.came.inner
	if n.came.outer.fragment {
		p = n.came.outer
	}
	if !p.fragment || n.In == "" {
		return
	}
	for _, o := range j.came[key{src: p.src, dst: p.dst, proto: p.proto, id: p.id}] {
		if o.host == n.host && o.In == n.In && (o.came.inner.fragment || o.came.outer.fragment) {
			j.merge(o, n)
			return
		}
	}
}

// joinCause looks for the packet because of which this one is there: the router says
// so itself, an ICMP error quotes it, an ARP reply is to the request.
func (j *Joiner) joinCause(n *node) {
	at := recordID{n.host.Name, n.ID}
	for _, made := range j.caused[at] {
		j.because(made, n)
	}
	delete(j.caused, at)
	if n.Cause != 0 {
		at.id = n.Cause
		if cause := j.causes[at]; cause != nil {
			j.because(n, cause)
		} else {
			j.caused[at] = append(j.caused[at], n)
		}
		return
	}
	if q, ok := n.came.inner.quoted(); ok {
		for _, k := range q.keys() {
			for _, o := range j.left[k] {
				if (o.left.inner.about(&q) || o.left.outer.about(&q)) && j.because(n, o) {
					return
				}
			}
		}
	}
	if p := &n.came.inner; p.proto == isARP && p.id == packet.ARPReply || p.proto == isND && p.id == packet.ICMPv6NeighborAdvertisement {
		request := key{src: p.dst, dst: p.src, proto: p.proto, id: packet.ARPRequest}
		if p.proto == isND {
			request.id = packet.ICMPv6NeighborSolicitation
		}
		for _, o := range j.left[request] {
			if o.host == n.host && o.In == "" && j.because(n, o) {
				return
			}
		}
	}
}

func (j *Joiner) because(made, cause *node) bool {
	if made == cause || !j.merge(made, cause) {
		return false
	}
	made.because = cause
	return true
}

// joinAnswer looks for the question that a packet answers, or for its answer, which may
// be recorded before it. Each host on the way sees both, so it need look at no other's.
// An answer waits for no answer.
func (j *Joiner) joinAnswer(n *node) {
	if n.isAnswer() {
		return
	}
	if q, ok := n.came.inner.answers(); ok {
		for _, asked := range j.questions[q] {
			if j.answer(asked, n) {
				return
			}
		}
		j.answers[q] = append(j.answers[q], n)
	}
	if q, ok := n.came.inner.asks(); ok && !n.isAnswered() {
		n.question = q
		for _, a := range j.answers[q] {
			if j.answer(n, a) {
				without(j.answers, q, a)
				return
			}
		}
		j.questions[q] = append(j.questions[q], n)
	}
}

// answer joins a question and its answer, where both were seen by one host. A clock may
// be set between the two, and a router that starts again counts from 1.
func (j *Joiner) answer(asked, n *node) bool {
	if before := n.ID < asked.ID && n.Time.Before(asked.Time); before || asked.host != n.host || asked.isAnswer() || asked.isAnswered() || n.isAnswer() || !j.merge(asked, n) {
		return false
	}
	asked.reply, n.replyTo = n, asked
	for _, o := range asked.way.nodes { // at other hosts, too
		if o.sameFlow(asked) {
			without(j.questions, o.question, o)
		}
	}
	return true
}

// isAnswer says whether a record's packet, at this or another host, answers another one.
func (n *node) isAnswer() bool {
	return n.same(func(o *node) bool { return o.replyTo != nil })
}

func (n *node) isAnswered() bool {
	return n.same(func(o *node) bool { return o.reply != nil })
}

// same says whether something is true of one of the records of a packet.
func (n *node) same(f func(*node) bool) bool {
	for _, o := range n.way.nodes {
		if o.sameFlow(n) && f(o) {
			return true
		}
	}
	return false
}
