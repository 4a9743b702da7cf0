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
	mu       sync.Mutex
	entries  map[key]*entry[P]
	ports    map[int]*counts
	all      counts // of all ports
	waiting  int    // bytes in all queues
	snapshot atomic.Pointer[Snapshot]
}

// counts are the entries that strangers can make more of: all but the permanent ones.
type counts struct{ learnt, incomplete, failed int }

func (c *counts) add(s State, n int) {
	if s == Permanent {
		return
	}
	c.learnt += n
	switch s {
	case Incomplete:
		c.incomplete += n
	case Failed:
		c.failed += n
	}
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
	late  int       // how many have queued up since it is resolved
	seen  *Neighbor // what the packet path sees of it, nil if it is not resolved
}

// NewTable makes an empty table.
func NewTable[P any]() *Table[P] {
	t := &Table[P]{entries: map[key]*entry[P]{}, ports: map[int]*counts{}}
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
		e = t.enter(k, Permanent, now)
	}
	t.setState(k, e, Permanent)
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
			t.setState(k, e, Probe)
			e.tries = 0
		}
	}
}

// Held says what became of a packet given to Hold.
type Held[P any] struct {
	Ask     bool // send a request for the target now
	Refused bool // no room: the packet itself is to be dropped
	Known   bool // resolved in the meantime: send the packet there
	Evicted []P  // older packets that had to make room
}

// Hold lets a packet of some bytes wait for a next hop that is not resolved.
func (t *Table[P]) Hold(now time.Time, port int, a netip.Addr, p P, bytes int) (h Held[P]) {
	t.mu.Lock()
	defer t.mu.Unlock()
	k := key{port, a}
	e := t.entries[k]
	if e != nil && e.seen != nil {
		if !t.queues(e, bytes) {
			return Held[P]{Known: true}
		}
		e.late++
		t.enqueue(e, waiting[P]{p, bytes}) // there is room
		return Held[P]{}
	}
	if e == nil {
		if t.of(port).incomplete >= MaxIncomplete || !t.makeRoom(port) {
			return Held[P]{Refused: true}
		}
		e = t.enter(k, Incomplete, now)
	} else if e.state == Failed {
		if t.of(port).incomplete >= MaxIncomplete {
			return Held[P]{Refused: true}
		}
		t.setState(k, e, Incomplete)
		e.since, e.tries = now, 0
	}
	h.Refused, h.Evicted = t.enqueue(e, waiting[P]{p, bytes})
	if e.tries == 0 && now.Sub(e.asked) >= RetransTime {
		h.Ask = true
		e.asked, e.tries = now, 1
	}
	return h
}

// enter makes an entry, for which there is room.
func (t *Table[P]) enter(k key, s State, now time.Time) *entry[P] {
	e := &entry[P]{state: s, since: now}
	t.entries[k] = e
	t.count(k.port, s, 1)
	return e
}

// makeRoom removes an entry for one of a port that is to come, if the table is full: so who
// sends requests from many addresses keeps no next hop out.
func (t *Table[P]) makeRoom(port int) bool {
	k, full := t.victim(port)
	if full && t.entries[k] != nil {
		t.remove(k, t.entries[k])
		return true
	}
	return !full
}

// victim is an entry that may make room for one of a port, if the table is full and there
// is one: one that failed or, where there is none, one that no packet goes by, however
// young it is. It is never of a port that has fewer entries: what strangers make grow on
// one link is at the expense of that link.
func (t *Table[P]) victim(port int) (k key, full bool) {
	if t.all.learnt < MaxNeighbors {
		return key{}, false
	}
	own := t.of(port).learnt
	for k, e := range t.entries {
		switch {
		case k.port != port && t.of(k.port).learnt <= own:
		case t.all.failed > 0 && e.state == Failed, t.all.failed == 0 && (e.state == Reachable || e.state == Stale) && !e.seen.used.Load() && !e.seen.Queued():
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
		return Held[P]{Known: !t.queues(e, bytes)}
	}
	own, anew := 0, e == nil || e.state == Failed
	if e != nil {
		own = e.bytes()
	} else if k, full := t.victim(port); full && t.entries[k] == nil {
		return Held[P]{Refused: true}
	}
	if anew && t.of(port).incomplete >= MaxIncomplete {
		return Held[P]{Refused: true}
	}
	h.Refused = t.waiting-own+bytes > MaxWaitingBytes
	h.Ask = (anew || e.tries == 0) && (e == nil || now.Sub(e.asked) >= RetransTime)
	return h
}

// WouldLearn says whether Learn would know a neighbour or, of one that has failed, Solicited
// and Advertised, and how many packets it would let go on.
func (t *Table[P]) WouldLearn(port int, a netip.Addr, failed bool) (known bool, waiting int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.entries[key{port, a}]
	if e == nil || e.state == Failed && !failed {
		return false, 0
	}
	return true, len(e.queue)
}

// Learn takes over what an ARP message says about its sender. A sender that is
// not in the table is entered if create says so: it asked for us, so that we
// will soon answer (RFC 826). What waited for it is returned; once that is sent, Behind is to be
// called until it returns nothing. So it is with Solicited and Advertised.
func (t *Table[P]) Learn(now time.Time, port int, a netip.Addr, mac packet.MAC, create bool) (known bool, released []P) {
	t.mu.Lock()
	defer t.mu.Unlock()
	k := key{port, a}
	e := t.entries[k] // nobody speaks for a neighbour on another port
	if e == nil {
		if !create || !t.makeRoom(port) {
			return false, nil
		}
		e = t.enter(k, Stale, now)
	}
	return true, t.take(now, k, e, mac, true)
}

// Solicited takes over what a neighbour solicitation says about its sender: where it is,
// not that it hears us (RFC 4861 7.2.3). A sender that is not known is entered if create
// says so, as it asked for us. What waited for it is returned.
func (t *Table[P]) Solicited(now time.Time, port int, a netip.Addr, mac packet.MAC, create bool) (known bool, released []P) {
	t.mu.Lock()
	defer t.mu.Unlock()
	k := key{port, a}
	e := t.entries[k]
	if e == nil || e.state == Failed {
		if !create || e == nil && !t.makeRoom(port) {
			return false, nil
		}
		if e == nil {
			e = t.enter(k, Stale, now)
		}
	}
	return true, t.take(now, k, e, mac, false)
}

// Advertised takes over what a neighbour advertisement says about its target, if that is
// known or asked for, by RFC 4861 7.2.5: where it is, unless hasMAC is false; whether that
// overrides what is known; and whether it answers us, so that the neighbour hears us. What
// waited for it is returned.
func (t *Table[P]) Advertised(now time.Time, port int, a netip.Addr, mac packet.MAC, hasMAC, override, solicited bool) (known bool, released []P) {
	t.mu.Lock()
	defer t.mu.Unlock()
	k := key{port, a}
	e := t.entries[k]
	switch {
	case e == nil || e.state == Failed:
		return false, nil
	case e.state == Incomplete:
		if !hasMAC {
			return true, nil
		}
		return true, t.take(now, k, e, mac, solicited)
	case !hasMAC:
		mac = e.mac
	case !override && mac != e.mac: // somebody else says so: is it still right?
		if e.state == Reachable {
			t.setState(k, e, Stale)
		}
		return true, nil
	}
	return true, t.take(now, k, e, mac, solicited)
}

// take has a neighbour be at a hardware address. Where that is not confirmed by an answer
// to us it is stale, if it is new: the first packet that goes by has it confirmed.
func (t *Table[P]) take(now time.Time, k key, e *entry[P], mac packet.MAC, confirmed bool) (released []P) {
	changed := e.mac != mac || e.seen == nil
	if e.mac = mac; confirmed || changed {
		e.since, e.tries = now, 0
	}
	switch {
	case e.state == Permanent:
	case confirmed:
		t.setState(k, e, Reachable)
	case changed:
		t.setState(k, e, Stale)
	}
	if !changed { // what queues behind others is sent by who sends those
		if confirmed && e.state != Permanent {
			e.seen.confirmed.Store(&now)
		}
		return nil
	}
	t.publish(k, e)
	return t.takeQueue(e)
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
				t.setState(k, e, Stale)
				e.seen.used.Store(false)
			}
		case Stale:
			if e.seen.used.Load() {
				t.setState(k, e, Probe)
				e.tries = 0
				asks = t.askAgain(asks, now, k, e)
			} else if now.Sub(e.since) >= ReachableTime+ForgetTime && !e.seen.Queued() {
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
			t.setState(k, e, Failed)
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

func (t *Table[P]) setState(k key, e *entry[P], s State) {
	t.count(k.port, e.state, -1)
	t.count(k.port, s, 1)
	e.state = s
}

// of is how many entries of each kind a port has.
func (t *Table[P]) of(port int) counts {
	if c := t.ports[port]; c != nil {
		return *c
	}
	return counts{}
}

func (t *Table[P]) count(port int, s State, n int) {
	c := t.ports[port]
	if c == nil {
		c = new(counts)
		t.ports[port] = c
	}
	t.all.add(s, n)
	if c.add(s, n); *c == (counts{}) {
		delete(t.ports, port)
	}
}

func (t *Table[P]) publish(k key, e *entry[P]) {
	e.seen, e.late = &Neighbor{MAC: e.mac}, 0
	if e.state != Permanent {
		e.seen.queued.Store(len(e.queue) > 0)
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
	t.count(k.port, e.state, -1)
	t.unpublish(k, e)
	delete(t.entries, k)
}
