package neigh

import "net/netip"

// waiting is a packet that waits for an answer, or behind those that have.
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

// queues says whether a packet of some bytes waits behind others for a neighbour that is
// resolved. None is lost for the sake of order, and who sends them comes to an end.
func (t *Table[P]) queues(e *entry[P], bytes int) bool {
	return e.seen.Queued() && len(e.queue) < MaxQueue && e.late < maxLate && t.waiting+bytes <= MaxWaitingBytes
}

// Behind is what has queued up behind packets that were released, as soon as those are sent.
// When there is none, packets go there by the snapshot alone.
func (t *Table[P]) Behind(port int, a netip.Addr) []P {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.entries[key{port, a}]
	if e == nil || e.seen == nil {
		return nil
	}
	if len(e.queue) == 0 {
		e.seen.queued.Store(false)
	}
	return t.takeQueue(e)
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
