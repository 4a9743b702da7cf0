package engine

import (
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/vrouter/vrouter/arpproxy"
	"github.com/vrouter/vrouter/forwarder"
	"github.com/vrouter/vrouter/internal/neigh"
	"github.com/vrouter/vrouter/internal/packet"
)

// icmpRate and icmpBurst limit the errors about what comes in by one port, a
// second (RFC 1812 4.3.2.8): enough for a dozen traceroutes at once.
const (
	icmpRate  = 1000
	icmpBurst = 200
)

// DefendInterval is how seldom the router defends its addresses on a port (RFC 5227 1.1).
const (
	DefendInterval = 10 * time.Second
	defenceRate    = float64(time.Second) / float64(DefendInterval) // a second
)

// carryOut does what is to be done because of a packet, besides sending it and letting it
// wait.
func (w *worker) carryOut(t *transit) {
	due := t.Consequences()
	for i := range due {
		c := &due[i]
		switch c.Action {
		case forwarder.Answer:
			w.answer(t, c)
		case forwarder.Tell, forwarder.Relay:
			w.tell(t, c)
		case forwarder.Learn:
			w.learn(t, c)
		case forwarder.Lower:
			w.lower(t, c)
		case forwarder.SendProbe:
			w.probe(t, c)
		case forwarder.Guess:
			c.Tunnel.Owner.(*tunnelBook).guesses.allow(w.now(), guessRate, guessBurst)
			fallthrough
		case forwarder.Doubt:
			c.Tunnel.Owner.(*tunnelBook).refused.Add(1)
			t.note(c)
		case forwarder.LeaveToHost:
			t.note(c)
		}
	}
}

// answer sends what the router says to a packet that it took. An ARP request or a neighbour
// solicitation is counted by how it is answered, even by silence.
func (w *worker) answer(t *transit, c *forwarder.Consequence) {
	if c.Asked {
		t.in.arpRequests[c.Why].Add(1)
	}
	if c.Solicited {
		t.in.solicitations[c.Why].Add(1)
	}
	if c.Why == arpproxy.Conflict {
		w.complain(t, c)
		if c.Frame != nil && !t.in.defence.allow(w.now(), defenceRate, 1) {
			c.Withheld = forwarder.TooSoon
		}
	}
	t.note(c)
	if c.Withheld == forwarder.NotWithheld {
		w.cause(t, c)
	}
}

// complain tells of a claim to an address of the router (RFC 5227 2.4 (c)): of the
// first one, and whenever there are twice as many.
func (w *worker) complain(t *transit, c *forwarder.Consequence) {
	if n := t.in.conflicts.Add(1); n&(n-1) == 0 {
		w.router.log.Warn("another station claims an address of this router: find out who has that MAC, and give it an address of its own",
			"port", t.In.Name, "address", c.Addr, "mac", c.MAC, "claims", n)
	}
}

// tell tells the source of a packet what became of it, and counts what is said or
// held back.
func (w *worker) tell(t *transit, c *forwarder.Consequence) {
	if c.Action == forwarder.Relay && !w.believes(t, c) {
		return
	}
	if c.Withheld == forwarder.NotWithheld && !t.in.limiter.allow(w.now(), icmpRate, icmpBurst) {
		c.Withheld = forwarder.RateLimited
	}
	t.note(c)
	if c.Withheld != forwarder.NotWithheld {
		w.router.withheld[c.Withheld].Add(1)
		return
	}
	w.router.told[forwarder.FamilyOf(c.Addr)][c.Meaning].Add(1)
	w.cause(t, c)
}

// believes says whether an error about a tunnel counts: not while too many others guess.
func (w *worker) believes(t *transit, c *forwarder.Consequence) bool {
	book := c.Tunnel.Owner.(*tunnelBook)
	if book.guesses.allows(w.now(), guessRate, guessBurst) {
		return true
	}
	book.refused.Add(1)
	c.Withheld = forwarder.Unbelieved
	t.note(c)
	return false
}

// lower takes over a tunnel's path MTU.
func (w *worker) lower(t *transit, c *forwarder.Consequence) {
	if w.believes(t, c) {
		w.router.lowerPathMTU(c.Tunnel.Peer, PathMTU{Bytes: c.Bytes, Less: c.Less, From: c.Addr, Since: w.now()})
		t.note(c)
	}
}

// probe notes that one is under way, so that no other packet of this worker goes as one.
func (w *worker) probe(t *transit, c *forwarder.Consequence) {
	w.router.changeTunnel(c.Tunnel.Peer, func(t *forwarder.Tunnel) {
		if t.Probe == forwarder.ProbeDue {
			t.Probe = forwarder.ProbeSent
		}
	})
	w.state = w.router.state.Load()
	w.path.State = &w.state.State
	t.note(c)
}

// learn enters what ARP or Neighbor Discovery says about somebody. What has waited for it
// goes on when the packet that told it has ended.
func (w *worker) learn(t *transit, c *forwarder.Consequence) {
	known, released := w.enter(t.In.ID, c)
	if known {
		t.note(c)
	}
	w.learnt = learnt{t.In.ID, c.Addr, released}
}

func (w *worker) enter(port int, c *forwarder.Consequence) (known bool, released []*transit) {
	table := w.router.neighbors
	switch c.ByND {
	case packet.ICMPv6NeighborSolicitation:
		return table.Solicited(w.now(), port, c.Addr, c.MAC, c.Create)
	case packet.ICMPv6NeighborAdvertisement:
		return table.Advertised(w.now(), port, c.Addr, c.MAC, c.MAC != packet.MAC{}, c.Override, c.Solicited)
	}
	return table.Learn(w.now(), port, c.Addr, c.MAC, c.Create)
}

// cause makes the packet that a consequence asks for, and takes it on its way.
func (w *worker) cause(t *transit, c *forwarder.Consequence) {
	q := w.newPacket()
	from := w.path.Compose(&q.Packet, &t.Packet, c)
	if from == nil {
		w.madeLen--
		return
	}
	w.begetBy(q, t)
	w.forward(q, from)
}

// begetBy enters a packet of the router's own, recorded for those who see its cause.
func (w *worker) begetBy(q, cause *transit) {
	w.router.made[q.Origin].total.Add(1)
	if cause != nil && cause.rec != nil {
		q.rec = w.record(q.Frame, "")
		q.rec.ForSame(cause.rec)
		q.watch()
	}
}

// request asks for a neighbour whom no packet waits for in this batch: everybody, or
// the one station whose address is to be confirmed.
func (w *worker) request(out *forwarder.Port, a neigh.Ask) {
	q := w.newPacket()
	w.path.BeginRequest(&q.Packet, out, a.Target, a.To)
	w.begetBy(q, nil)
	w.forward(q, forwarder.TX)
}

// announce says to everybody on a port's link where the router's addresses there are.
func (w *worker) announce(out *forwarder.Port) {
	var said []netip.Addr
	for _, n := range w.state.Uplink {
		if out.Kind != forwarder.Uplink || slices.Contains(said, n.Address) {
			continue
		}
		said = append(said, n.Address)
		q := w.newPacket()
		w.path.BeginAnnouncement(&q.Packet, out, n.Address)
		w.begetBy(q, nil)
		w.forward(q, forwarder.TX)
		w.relieve()
	}
}

// newPacket lends an empty packet, until the batch is written.
func (w *worker) newPacket() *transit {
	if w.madeLen == len(w.made) {
		w.made = append(w.made, &transit{})
	}
	t := w.made[w.madeLen]
	w.madeLen++
	t.books = books{weight: 1}
	return t
}

// limiter is a token bucket.
type limiter struct {
	mu     sync.Mutex
	tokens float64
	last   time.Time
}

// allow takes a token, if there is one.
func (l *limiter) allow(now time.Time, rate, burst float64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tokens, l.last = l.at(now, rate, burst), now
	if l.tokens < 1 {
		return false
	}
	l.tokens--
	return true
}

// at is how many tokens there are at a moment.
func (l *limiter) at(now time.Time, rate, burst float64) float64 {
	if l.last.IsZero() {
		return burst
	}
	return min(burst, l.tokens+now.Sub(l.last).Seconds()*rate)
}

// allows says what allow would, and takes nothing.
func (l *limiter) allows(now time.Time, rate, burst float64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.at(now, rate, burst) >= 1
}
