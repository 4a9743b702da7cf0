package timeline

import (
	"cmp"
	"slices"
	"time"

	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/trace"
)

// Expire returns the ways that are over at a time of the reader's clock, the oldest
// first.
func (j *Joiner) Expire(now time.Time) []*Way {
	return j.show(false, func(w *way) bool {
		quiet := now.Sub(w.last)
		return quiet >= j.opts.Within || quiet >= linger && j.complete(w)
	})
}

// End returns what there still is. What has not been seen until then may yet come.
func (j *Joiner) End() []*Way {
	for _, h := range j.hosts {
		h.gone = true
	}
	return j.show(false, func(*way) bool { return true })
}

// makeRoom returns the older half of what waits.
func (j *Joiner) makeRoom(now time.Time) []*Way {
	var times []time.Time
	for w := range j.ways {
		times = append(times, w.last)
	}
	slices.SortFunc(times, time.Time.Compare)
	middle := times[len(times)/2]
	return j.show(true, func(w *way) bool { return !w.last.After(middle) })
}

// show takes ways out in the order in which they began; early: whether or not their time
// is over.
func (j *Joiner) show(early bool, which func(*way) bool) (list []*Way) {
	var over []*way
	for w := range j.ways {
		if which(w) {
			w.sort()
			over = append(over, w)
			if !early {
				for _, n := range w.nodes {
					j.weigh(n)
				}
			}
		}
	}
	slices.SortFunc(over, func(a, b *way) int {
		return cmp.Or(a.since.Compare(b.since), a.nodes[0].Time.Compare(b.nodes[0].Time), cmp.Compare(a.nodes[0].ID, b.nodes[0].ID))
	})
	for _, w := range over {
		if slices.ContainsFunc(w.nodes, func(n *node) bool { return n.wanted }) {
			list = append(list, j.view(w, early))
		}
		j.forget(w)
	}
	return list
}

func (w *way) sort() {
	slices.SortFunc(w.nodes, func(a, b *node) int {
		return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.host.Name, b.host.Name), cmp.Compare(a.ID, b.ID))
	})
}

// complete says whether nothing more is expected of a way.
func (j *Joiner) complete(w *way) bool {
	for _, n := range w.nodes {
		switch {
		case n.seen < enough && listened(j.nextHost(n)),
			n.known < enough && listened(j.formerHost(n)),
			n.Cause != 0 && n.because == nil,
			n.question != question{} && !n.isAnswered() && !n.isAnswer() && !n.same(isDropped):
			return false
		}
	}
	return true
}

func listened(h *host) bool { return h != nil && !h.gone }

func isDropped(n *node) bool { return n.Outcome == trace.Dropped }

// nextHost is the host that is to see what left; nil if nobody is listened to there, or
// if its router has nothing to do with it: what is for the host's own stack.
func (j *Joiner) nextHost(n *node) *host {
	if !n.wire || n.left.inner.resolves() || !n.left.inner.valid() {
		return nil
	}
	f := n.lastFrame()
	to := packet.MAC(f.Bytes)
	h := j.byMAC[to]
	switch {
	case to.IsGroup():
		return nil
	case h == nil:
		h = j.byAddr[n.left.inner.dst] // by a router that nobody listens to
	case !n.left.outer.valid() && !n.via():
		return nil
	}
	if h == nil || h == n.host || j.opts.Traced != nil && !j.opts.Traced(f.Padded()) {
		return nil
	}
	return h
}

// formerHost is the host whose router must have sent what came by an uplink: the one of
// the workload that it is from.
func (j *Joiner) formerHost(n *node) *host {
	if !slices.Contains(n.host.Uplinks, n.In) || n.came.inner.resolves() {
		return nil
	}
	h := j.byAddr[n.came.inner.src]
	if h == n.host {
		return nil
	}
	return h
}

// forget takes a way out of all indexes, and remembers for a while what left.
func (j *Joiner) forget(w *way) {
	for _, n := range w.nodes {
		for _, k := range n.came.keys() {
			without(j.came, k, n)
		}
		for _, k := range n.left.keys() {
			without(j.left, k, n)
		}
		if q, ok := n.came.inner.answers(); ok {
			without(j.answers, q, n)
		}
		without(j.questions, n.question, n)
		without(j.caused, recordID{n.host.Name, n.Cause}, n)
		delete(j.causes, recordID{n.host.Name, n.ID})
		if n.wire {
			j.ghosts = append(j.ghosts, ghost{n.left, n.host, n.ID, n.seen >= enough})
		}
	}
	if more := len(j.ghosts) - maxGhosts; more > 0 {
		j.ghosts = slices.Delete(j.ghosts, 0, more)
	}
	j.records -= len(w.nodes)
	delete(j.ways, w)
}

func without[K comparable](index map[K][]*node, k K, n *node) {
	list := index[k]
	if i := slices.Index(list, n); i >= 0 {
		list = slices.Delete(list, i, i+1)
	}
	if len(list) == 0 {
		delete(index, k)
		return
	}
	index[k] = list
}
