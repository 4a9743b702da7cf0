package neigh

import (
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gaissmai/bart"

	"github.com/vrouter/vrouter/internal/packet"
)

// Table is the neighbours of all ports. P is what waits for an answer.
type Table[P any] struct {
	mu         sync.Mutex
	entries    map[netip.Addr]*entry[P]
	incomplete int // entries in state Incomplete
	permanent  int // entries in state Permanent, which strangers cannot make more of
	waiting    int // bytes in all queues
	snapshot   atomic.Pointer[Snapshot]
}

type entry[P any] struct {
	port  int
	mac   packet.MAC
	state State
	since time.Time // last known to be right; while never known, first asked for
	asked time.Time // last request
	tries int
	queue []waiting[P]
	seen  *Neighbor // what the packet path sees of it, nil if it is not resolved
}

type waiting[P any] struct {
	packet P
	bytes  int
}

// NewTable makes an empty table.
func NewTable[P any]() *Table[P] {
	t := &Table[P]{entries: map[netip.Addr]*entry[P]{}}
	t.snapshot.Store(&Snapshot{new(bart.Table[*Neighbor])})
	return t
}

// Snapshot is the current state for the packet path: one atomic load.
func (t *Table[P]) Snapshot() *Snapshot { return t.snapshot.Load() }

// SetPermanent enters a neighbour that needs no asking: a workload's interface.
// What waited for it is returned.
func (t *Table[P]) SetPermanent(port int, a netip.Addr, mac packet.MAC, now time.Time) (released []P) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.entries[a]
	if e == nil {
		e = &entry[P]{state: Stale}
		t.entries[a] = e
	}
	t.setState(e, Permanent)
	e.port, e.mac, e.since = port, mac, now
	t.publish(a, e)
	return t.takeQueue(e)
}

// Forget takes a permanent neighbour back, if it is on that port.
func (t *Table[P]) Forget(port int, a netip.Addr) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e := t.entries[a]; e != nil && e.port == port && e.state == Permanent {
		t.remove(a, e)
	}
}

// RemovePort forgets every neighbour on a port, and returns what waited for them.
func (t *Table[P]) RemovePort(port int) (failed []P) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for a, e := range t.entries {
		if e.port == port {
			failed = append(failed, t.takeQueue(e)...)
			t.remove(a, e)
		}
	}
	return failed
}

// Confirm has every neighbour that was learnt on a port confirmed: the router's own
// address there is another one now, and the request tells it to them (RFC 826).
// Those that never answered are asked again in any case.
func (t *Table[P]) Confirm(port int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, e := range t.entries {
		if e.port == port && (e.state == Reachable || e.state == Stale || e.state == Probe) {
			t.setState(e, Probe)
			e.tries = 0
		}
	}
}

// Held says what became of a packet given to Hold.
type Held[P any] struct {
	Ask       bool // send a request for the target now
	Refused   bool // no room: the packet itself is to be dropped
	Known     bool // resolved in the meantime: look again and send the packet
	Elsewhere bool // the target is on another port: the packet cannot reach it
	Evicted   []P  // older packets that had to make room
}

// Hold lets a packet of some bytes wait for a next hop that is not resolved.
func (t *Table[P]) Hold(now time.Time, port int, a netip.Addr, p P, bytes int) (h Held[P]) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.entries[a]
	if e != nil && e.port != port && e.state != Failed {
		return Held[P]{Elsewhere: true}
	}
	if e != nil && e.seen != nil {
		return Held[P]{Known: true}
	}
	if e == nil {
		if e = t.newEntry(port, now); e == nil {
			return Held[P]{Refused: true}
		}
		t.entries[a] = e
	} else if e.state == Failed {
		if t.incomplete >= MaxIncomplete {
			return Held[P]{Refused: true}
		}
		t.setState(e, Incomplete)
		e.port, e.since, e.tries = port, now, 0
	}
	h.Refused, h.Evicted = t.enqueue(e, waiting[P]{p, bytes})
	if e.tries == 0 && now.Sub(e.asked) >= RetransTime {
		h.Ask = true
		e.asked, e.tries = now, 1
	}
	return h
}

// enqueue lets a packet wait. The oldest of the same target make room for it
// (RFC 1122 2.3.2.2), unless even all of them would not.
func (t *Table[P]) enqueue(e *entry[P], w waiting[P]) (refused bool, evicted []P) {
	own := 0
	for i := range e.queue {
		own += e.queue[i].bytes
	}
	if t.waiting-own+w.bytes > MaxWaitingBytes {
		return true, nil
	}
	for len(e.queue) > 0 && (len(e.queue) >= MaxQueue || t.waiting+w.bytes > MaxWaitingBytes) {
		evicted = append(evicted, t.takeOldest(e))
	}
	e.queue = append(e.queue, w)
	t.waiting += w.bytes
	return false, evicted
}

// newEntry makes an entry to be asked for, or nil if there are too many.
func (t *Table[P]) newEntry(port int, now time.Time) *entry[P] {
	if t.incomplete >= MaxIncomplete || !t.makeRoom() {
		return nil
	}
	t.count(Incomplete, 1)
	return &entry[P]{port: port, state: Incomplete, since: now}
}

// makeRoom removes an entry that no packet goes by if the table is full, however young it
// is: who sends requests from many addresses keeps no next hop out.
func (t *Table[P]) makeRoom() bool {
	if len(t.entries)-t.permanent < MaxNeighbors {
		return true
	}
	for a, e := range t.entries {
		unused := (e.state == Reachable || e.state == Stale) && !e.seen.used.Load()
		if unused || e.state == Failed {
			t.remove(a, e)
			return true
		}
	}
	return false
}

// Learn takes over what an ARP message says about its sender. A sender that is
// not in the table is entered if create says so: it asked for us, so that we
// will soon answer (RFC 826). What waited for it is returned.
func (t *Table[P]) Learn(now time.Time, port int, a netip.Addr, mac packet.MAC, create bool) (known bool, released []P) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.entries[a]
	if e == nil {
		if !create || !t.makeRoom() {
			return false, nil
		}
		e = &entry[P]{port: port, state: Stale}
		t.entries[a] = e
	}
	if e.port != port {
		return false, nil // nobody speaks for a neighbour on another port
	}
	changed := e.mac != mac || e.seen == nil
	e.mac, e.since, e.tries = mac, now, 0
	if e.state != Permanent {
		t.setState(e, Reachable)
	}
	if changed {
		t.publish(a, e)
	} else if e.state != Permanent {
		e.seen.confirmed.Store(&now)
	}
	return true, t.takeQueue(e)
}

// Tick does what is due: requests to send again, confirmations, and next hops
// that nobody answered for, with the packets that waited for them.
func (t *Table[P]) Tick(now time.Time) (asks []Ask, failed []P) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for a, e := range t.entries {
		switch e.state {
		case Reachable:
			if now.Sub(e.since) >= ReachableTime {
				t.setState(e, Stale)
				e.seen.used.Store(false)
			}
		case Stale:
			if e.seen.used.Load() {
				t.setState(e, Probe)
				e.tries = 0
				asks = t.askAgain(asks, now, a, e)
			} else if now.Sub(e.since) >= ReachableTime+ForgetTime {
				t.remove(a, e)
			}
		case Incomplete, Probe:
			if now.Sub(e.asked) < RetransTime {
				continue
			}
			if e.tries < Tries {
				asks = t.askAgain(asks, now, a, e)
				continue
			}
			failed = append(failed, t.takeQueue(e)...)
			t.setState(e, Failed)
			e.since = now
			t.unpublish(a, e)
		case Failed:
			if now.Sub(e.since) >= ForgetTime {
				t.remove(a, e)
			}
		}
	}
	return asks, failed
}

func (t *Table[P]) askAgain(asks []Ask, now time.Time, a netip.Addr, e *entry[P]) []Ask {
	if now.Sub(e.asked) < RetransTime {
		return asks
	}
	e.asked = now
	e.tries++
	to := packet.Broadcast
	if e.state == Probe {
		to = e.mac // RFC 1122 2.3.2.1 (2): unicast poll
	}
	return append(asks, Ask{Port: e.port, Target: a, To: to})
}

// List describes all entries, sorted by address.
func (t *Table[P]) List(now time.Time) []Info {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := make([]Info, 0, len(t.entries))
	for a, e := range t.entries {
		i := Info{Addr: a, Port: e.port, State: e.state, Age: now.Sub(e.since), Waiting: len(e.queue)}
		if e.seen != nil {
			i.MAC = e.mac
		}
		list = append(list, i)
	}
	slices.SortFunc(list, func(x, y Info) int { return x.Addr.Compare(y.Addr) })
	return list
}

func (t *Table[P]) setState(e *entry[P], s State) {
	t.count(e.state, -1)
	t.count(s, 1)
	e.state = s
}

// count keeps the numbers of entries in the states that are bounded, or not.
func (t *Table[P]) count(s State, n int) {
	switch s {
	case Incomplete:
		t.incomplete += n
	case Permanent:
		t.permanent += n
	}
}

func (t *Table[P]) publish(a netip.Addr, e *entry[P]) {
	e.seen = &Neighbor{MAC: e.mac, Port: e.port}
	if e.state != Permanent {
		since := e.since
		e.seen.confirmed.Store(&since)
	}
	t.snapshot.Store(&Snapshot{t.snapshot.Load().t.InsertPersist(netip.PrefixFrom(a, 32), e.seen)})
}

func (t *Table[P]) unpublish(a netip.Addr, e *entry[P]) {
	if e.seen != nil {
		e.seen = nil
		t.snapshot.Store(&Snapshot{t.snapshot.Load().t.DeletePersist(netip.PrefixFrom(a, 32))})
	}
}

func (t *Table[P]) remove(a netip.Addr, e *entry[P]) {
	t.count(e.state, -1)
	t.unpublish(a, e)
	delete(t.entries, a)
}

func (t *Table[P]) takeOldest(e *entry[P]) P {
	w := e.queue[0]
	e.queue[0] = waiting[P]{} // the array lives on, the packet must not
	e.queue = e.queue[1:]
	t.waiting -= w.bytes
	return w.packet
}

func (t *Table[P]) takeQueue(e *entry[P]) []P {
	var all []P
	for len(e.queue) > 0 {
		all = append(all, t.takeOldest(e))
	}
	e.queue = nil
	return all
}
