package host

import (
	"slices"
	"time"
)

const (
	// again is how long an object waits that was just looked at: one that changes all the time costs its own
	// share.
	again = time.Second
	// share of a second is for all that somebody else has changed; the rest waits.
	share = 100 * time.Millisecond
)

// turns is the time that was taken of the present second's share.
type turns struct {
	began time.Time
	taken time.Duration
}

func (t *turns) left(now time.Time) bool {
	if now.Sub(t.began) >= time.Second {
		t.began, t.taken = now, 0
	}
	return t.taken < share
}

// Touch has an item be looked at, as there may be something new about it.
func (h *Host) Touch(id ID) {
	if it := h.items[id]; it != nil {
		it.dirty = true
	}
}

// TouchAll is Touch for all of a kind.
func (h *Host) TouchAll(k Kind) {
	for id := range h.items {
		if id.Kind == k {
			h.Touch(id)
		}
	}
}

// News is told whenever something has changed that Settle looks at.
func (h *Host) News() <-chan struct{} { return h.watch.arrived }

// Settle makes one thing right, of those that are due: what changed, or could not be done. It returns whether
// there was one, and there may be more.
func (h *Host) Settle(now time.Time) bool {
	for _, id := range h.watch.take() {
		h.Touch(id)
	}
	if !h.turns.left(now) {
		return false
	}
	var due *Item
	for _, it := range h.items {
		wrong := it.dirty || it.doomed || it.Err != nil || it.Object != nil && !it.Stands
		if wrong && !it.orphan() && !now.Before(it.next) && (due == nil || earlier(it, due)) {
			due = it
		}
	}
	if due == nil {
		return false
	}
	due.next = now.Add(again)
	began := time.Now()
	if due.Object == nil {
		id := due.id()
		if err := h.removeUnless(func(it *Item) bool { return it.id() != id }); err != nil {
			if due.said != err.Error() { // once, as it is tried each second
				h.log.Warn("trying again", "error", err)
			}
			due.said = err.Error()
		}
	} else if err := h.settle([]*Item{due}, true); err != nil {
		h.log.Warn("trying again", "error", err)
	}
	h.turns.taken += time.Since(began)
	return true
}

// earlier is by who waits longest, and by what others stand on.
func earlier(a, b *Item) bool {
	if r := rank(a.id().Kind) - rank(b.id().Kind); r != 0 {
		return r < 0
	}
	return a.next.Before(b.next)
}

// LookForNamespaces finds those that were removed: the kernel tells nobody about it, and the router's own end
// of a TAP keeps a namespace alive.
func (h *Host) LookForNamespaces() {
	gone := map[ID]bool{}
	for id, it := range h.items {
		n, ok := it.Object.(*Namespace)
		if !ok || !it.Stands {
			continue
		}
		if inode, err := n.Path.Inode(); err != nil || inode != it.inode {
			it.Stands, it.lost = false, true
			gone[id] = true
		}
	}
	if len(gone) == 0 {
		return
	}
	for id, it := range h.items {
		if gone[ID{Kind: KindNamespace, Name: string(id.Namespace)}] {
			it.dirty, it.next = true, time.Time{}
		}
	}
}

// Waiting are the items that are not as they are to be, by ID.
func (h *Host) Waiting() (list []*Item) {
	for _, it := range h.items {
		if it.Object != nil && it.Err != nil {
			list = append(list, it)
		}
	}
	slices.SortFunc(list, func(a, b *Item) int { return compare(a.id(), b.id()) })
	return list
}
