package neigh

import (
	"cmp"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vrouter/vrouter/internal/packet"
)

// Table is the neighbours of all ports. P is what waits for an answer.
type Table[P any] struct {
	mu         sync.Mutex
	entries    map[key]*entry[P]
	incomplete int // entries in state Incomplete
	permanent  int // entries in state Permanent, which strangers cannot make more of
	waiting    int // bytes in all queues
	snapshot   atomic.Pointer[Snapshot]
}

// key tells neighbours apart: an address is another one on each port.
type key struct {
	port int
	addr netip.Addr
}

type entry[P any] struct {
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

// bytes is how many wait for an answer.
func (e *entry[P]) bytes() (n int) {
	for i := range e.queue {
		n += e.queue[i].bytes
	}
	return n
}

// NewTable makes an empty table.
func NewTable[P any]() *Table[P] {
	t := &Table[P]{entries: map[key]*entry[P]{}}
	t.snapshot.Store(&Snapshot{})
	return t
}

// Snapshot is the current state for the packet path: one atomic load.
func (t *Table[P]) Snapshot() *Snapshot { return t.snapshot.Load() }

// SetPermanent enters a neighbour that needs no asking: a workload's interface.
// What waited for it is returned.
func (t *Table[P]) SetPermanent(port int, a netip.Addr, mac packet.MAC, now time.Time) (released []P) {
	t.mu.Lock()
	defer t.mu.Unlock()
	k := key{port, a}
	e := t.entries[k]
	if e == nil {
		e = &entry[P]{state: Stale}
		t.entries[k] = e
	}
	t.setState(e, Permanent)
	e.mac, e.since = mac, now
	t.publish(k, e)
	return t.takeQueue(e)
}

// Forget takes a permanent neighbour back, if it is on that port.
func (t *Table[P]) Forget(port int, a netip.Addr) {
	t.mu.Lock()
	defer t.mu.Unlock()
	k := key{port, a}
	if e := t.entries[k]; e != nil && e.state == Permanent {
		t.remove(k, e)
	}
}

// RemovePort forgets every neighbour on a port, and returns what waited for them.
func (t *Table[P]) RemovePort(port int) (failed []P) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for k, e := range t.entries {
		if k.port == port {
			failed = append(failed, t.takeQueue(e)...)
			t.remove(k, e)
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
	for k, e := range t.entries {
		if k.port == port && (e.state == Reachable || e.state == Stale || e.state == Probe) {
			t.setState(e, Probe)
			e.tries = 0
		}
	}
}

// Held says what became of a packet given to Hold.
type Held[P any] struct {
	Ask     bool // send a request for the target now
	Refused bool // no room: the packet itself is to be dropped
	Known   bool // resolved in the meantime: look again and send the packet
	Evicted []P  // older packets that had to make room
}

// Hold lets a packet of some bytes wait for a next hop that is not resolved.
func (t *Table[P]) Hold(now time.Time, port int, a netip.Addr, p P, bytes int) (h Held[P]) {
	t.mu.Lock()
	defer t.mu.Unlock()
	k := key{port, a}
	e := t.entries[k]
	if e != nil && e.seen != nil {
		return Held[P]{Known: true}
	}
	if e == nil {
		if e = t.newEntry(now); e == nil {
			return Held[P]{Refused: true}
		}
		t.entries[k] = e
	} else if e.state == Failed {
		if t.incomplete >= MaxIncomplete {
			return Held[P]{Refused: true}
		}
		t.setState(e, Incomplete)
		e.since, e.tries = now, 0
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
	if t.waiting-e.bytes()+w.bytes > MaxWaitingBytes {
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
func (t *Table[P]) newEntry(now time.Time) *entry[P] {
	if t.incomplete >= MaxIncomplete || !t.makeRoom() {
		return nil
	}
	t.count(Incomplete, 1)
	return &entry[P]{state: Incomplete, since: now}
}

// makeRoom removes an entry that no packet goes by if the table is full, however young it
// is: who sends requests from many addresses keeps no next hop out.
func (t *Table[P]) makeRoom() bool {
	k, full := t.victim()
	if full && t.entries[k] != nil {
		t.remove(k, t.entries[k])
		return true
	}
	return !full
}

// victim is an entry that may make room, if the table is full and there is one.
func (t *Table[P]) victim() (k key, full bool) {
	if len(t.entries)-t.permanent < MaxNeighbors {
		return key{}, false
	}
	for k, e := range t.entries {
		unused := (e.state == Reachable || e.state == Stale) && !e.seen.used.Load()
		if unused || e.state == Failed {
			return k, true
		}
	}
	return key{}, true
}

// Peek says what Hold would do with a packet of some bytes: whether it would ask, refuse
// it, or not keep it at all. It changes nothing.
func (t *Table[P]) Peek(now time.Time, port int, a netip.Addr, bytes int) (h Held[P]) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.entries[key{port, a}]
	if e != nil && e.seen != nil {
		return Held[P]{Known: true}
	}
	own, anew := 0, e == nil || e.state == Failed
	if e != nil {
		own = e.bytes()
	} else if k, full := t.victim(); full && t.entries[k] == nil {
		return Held[P]{Refused: true}
	}
	if anew && t.incomplete >= MaxIncomplete {
		return Held[P]{Refused: true}
	}
	h.Refused = t.waiting-own+bytes > MaxWaitingBytes
	h.Ask = (anew || e.tries == 0) && (e == nil || now.Sub(e.asked) >= RetransTime)
	return h
}

// WouldLearn says whether Learn would know a neighbour, and how many packets it would
// let go on.
func (t *Table[P]) WouldLearn(port int, a netip.Addr) (known bool, waiting int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.entries[key{port, a}]
	if e == nil {
		return false, 0
	}
	return true, len(e.queue)
}

// Learn takes over what an ARP message says about its sender. A sender that is
// not in the table is entered if create says so: it asked for us, so that we
// will soon answer (RFC 826). What waited for it is returned.
func (t *Table[P]) Learn(now time.Time, port int, a netip.Addr, mac packet.MAC, create bool) (known bool, released []P) {
	t.mu.Lock()
	defer t.mu.Unlock()
	k := key{port, a}
	e := t.entries[k] // nobody speaks for a neighbour on another port
	if e == nil {
		if !create || !t.makeRoom() {
			return false, nil
		}
		e = &entry[P]{state: Stale}
		t.entries[k] = e
	}
	changed := e.mac != mac || e.seen == nil
	e.mac, e.since, e.tries = mac, now, 0
	if e.state != Permanent {
		t.setState(e, Reachable)
	}
	if changed {
		t.publish(k, e)
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
	for k, e := range t.entries {
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
				asks = t.askAgain(asks, now, k, e)
			} else if now.Sub(e.since) >= ReachableTime+ForgetTime {
				t.remove(k, e)
			}
		case Incomplete, Probe:
			if now.Sub(e.asked) < RetransTime {
				continue
			}
			if e.tries < Tries {
				asks = t.askAgain(asks, now, k, e)
				continue
			}
			failed = append(failed, t.takeQueue(e)...)
			t.setState(e, Failed)
			e.since = now
			t.unpublish(k, e)
		case Failed:
			if now.Sub(e.since) >= ForgetTime {
				t.remove(k, e)
			}
		}
	}
	return asks, failed
}

func (t *Table[P]) askAgain(asks []Ask, now time.Time, k key, e *entry[P]) []Ask {
	if now.Sub(e.asked) < RetransTime {
		return asks
	}
	e.asked = now
	e.tries++
	to := packet.Broadcast
	if e.state == Probe {
		to = e.mac // RFC 1122 2.3.2.1 (2): unicast poll
	}
	return append(asks, Ask{Port: k.port, Target: k.addr, To: to})
}

// List describes all entries, sorted by address and port.
func (t *Table[P]) List(now time.Time) []Info {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := make([]Info, 0, len(t.entries))
	for k, e := range t.entries {
		i := Info{Addr: k.addr, Port: k.port, State: e.state, Age: now.Sub(e.since), Waiting: len(e.queue), Bytes: e.bytes(), Tries: e.tries}
		if e.seen != nil {
			i.MAC = e.mac
		}
		list = append(list, i)
	}
	slices.SortFunc(list, func(x, y Info) int { return cmp.Or(x.Addr.Compare(y.Addr), x.Port-y.Port) })
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

func (t *Table[P]) publish(k key, e *entry[P]) {
	e.seen = &Neighbor{MAC: e.mac}
	if e.state != Permanent {
		since := e.since
		e.seen.confirmed.Store(&since)
	}
	t.snapshot.Store(t.snapshot.Load().With(k.port, k.addr, e.seen))
}

func (t *Table[P]) unpublish(k key, e *entry[P]) {
	if e.seen != nil {
		e.seen = nil
		t.snapshot.Store(t.snapshot.Load().Without(k.port, k.addr))
	}
}

func (t *Table[P]) remove(k key, e *entry[P]) {
	t.count(e.state, -1)
	t.unpublish(k, e)
	delete(t.entries, k)
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
