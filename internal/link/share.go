package link

import "time"

const (
	// turn is about how long what one batch holds may keep the worker: so long
	// another port's frames wait for their turn at the most.
	turn = 500 * time.Microsecond
	// mostDebt is how far one port can be ahead of the others: longer than any batch
	// takes, and short enough that it gets over a pause of the whole machine.
	mostDebt = 250 * time.Millisecond
)

// share is what a port has had of its worker's time. All that its frames cost counts:
// reading them, the packet path, each frame that is made of them, and writing those,
// with what the receiver's stack does meanwhile. Of the ports that have frames, who has
// had the least is read next, so that each has as much time as any other that wants it; a
// port that is alone has all of it.
type share struct {
	spent  time.Duration // what it has had, or where the others were when it came back
	total  time.Duration // what it has had
	cost   time.Duration // of one of its frames, as far as known
	used   time.Duration // in this batch
	frames int           // in this batch
}

// wants is how many frames to read in the time that is left of a turn.
func (p *polled) wants(left time.Duration) int {
	if p.cost == 0 {
		return p.ask
	}
	return max(1, min(p.ask, int(left/p.cost)))
}

// expected is what so many frames will take.
func (s *share) expected(frames int) time.Duration { return time.Duration(frames) * s.cost }

// endTurn learns from a batch what a frame costs. More is believed at once, less by half:
// one frame a turn is the least, and a pause of the worker is soon forgotten.
func (s *share) endTurn() {
	if s.frames > 0 {
		c := min(s.used/time.Duration(s.frames), turn)
		s.cost = max(c, (s.cost+c)/2)
	}
	s.used, s.frames = 0, 0
}

// clock tells what ports cost.
type clock struct {
	now   func() time.Duration
	lap   time.Duration // when Lap was called last
	floor time.Duration // what the port had had that was the last to come first
}

func newClock() clock {
	start := time.Now()
	return clock{now: func() time.Duration { return time.Since(start) }}
}

// Lap implements Poller.
func (c *clock) Lap() time.Duration {
	was := c.lap
	c.lap = c.now()
	return c.lap - was
}

// Charge implements Poller.
func (p *epoll) Charge(id int, d time.Duration) {
	if port := p.ports[id]; port != nil {
		port.spent = min(port.spent+d, p.floor+mostDebt)
		port.total += d
		port.used += d
	}
}

// Cost implements Poller.
func (p *epoll) Cost(id int) time.Duration { return p.ports[id].total }

// queue is a heap of ports' ids: who has had the least comes first.
type queue []int

func (q *queue) add(ports []*polled, id int) {
	*q = append(*q, id)
	q.up(ports, len(*q)-1)
}

// remove takes out what is at a place.
func (q *queue) remove(ports []*polled, at int) {
	h, last := *q, len(*q)-1
	h[at] = h[last]
	*q = h[:last]
	if at < last {
		q.down(ports, at)
		q.up(ports, at)
	}
}

func (q queue) up(ports []*polled, at int) {
	for at > 0 {
		parent := (at - 1) / 2
		if ports[q[parent]].spent <= ports[q[at]].spent {
			return
		}
		q[parent], q[at] = q[at], q[parent]
		at = parent
	}
}

func (q queue) down(ports []*polled, at int) {
	for {
		least := 2*at + 1
		if least >= len(q) {
			return
		}
		if right := least + 1; right < len(q) && ports[q[right]].spent < ports[q[least]].spent {
			least = right
		}
		if ports[q[at]].spent <= ports[q[least]].spent {
			return
		}
		q[at], q[least] = q[least], q[at]
		at = least
	}
}
