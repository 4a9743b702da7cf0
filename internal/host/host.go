// Package host brings about on a host what a router wants to be there, and writes it down: desired objects are
// values, one comparison says what is to be done about each, one executor does it object by object, and writes
// what it makes and what it replaces to the record before it does. What is not in the record is not the
// router's, and is never removed.
package host

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"sync/atomic"
)

// Host is what a router has, and is to have, on its host. One goroutine at a time uses it.
type Host struct {
	// Stands is told of an object that came to stand, or of one whose properties changed: the
	// forwarder has to know. Lost is told of one that stands no longer, before anything else is done.
	Stands func(*Item) error
	Lost   func(it *Item, why string)

	log     *slog.Logger
	lock    net.Listener
	record  *Record
	items   map[ID]*Item
	watch   *watch
	turns   turns
	repairs map[Kind]*atomic.Uint64
	rooms   rooms // while some objects are settled
	asked   bool  // somebody asks for all that is wanted
}

// chunk is how many objects are written down together.
const chunk = 64

// Open takes an uplink and its record for this process: the error is a *Busy if another one has it. socket is
// where the router can be asked.
func Open(uplink, socket string, log *slog.Logger) (*Host, error) {
	l, err := lock(uplink, log)
	if err != nil {
		return nil, err
	}
	h := &Host{log: log, lock: l, items: map[ID]*Item{}, repairs: map[Kind]*atomic.Uint64{}, Stands: func(*Item) error { return nil }, Lost: func(*Item, string) {}}
	h.record, err = loadRecord(Directory, uplink)
	if errors.Is(err, ErrDamaged) {
		log.Warn("the record of what was done to this host cannot be used; nothing that it told of will be removed", "error", err)
		err = nil
	}
	if err == nil {
		h.watch, err = newWatch()
	}
	if err != nil {
		h.release()
		return nil, err
	}
	o := &h.record.Owner
	o.PID, o.Socket = os.Getpid(), socket
	o.Start, _ = StartTime(o.PID)
	if err := h.record.save(); err != nil {
		h.release()
		return nil, err
	}
	for _, e := range h.record.Objects {
		h.items[e.ID] = &Item{entry: e, host: h}
	}
	for _, k := range []Kind{KindGuard, KindProgram, KindInterface, KindExports} {
		h.repairs[k] = &atomic.Uint64{}
	}
	return h, nil
}

func (h *Host) release() {
	if h.watch != nil {
		h.watch.close()
	}
	if h.lock != nil {
		h.lock.Close()
	}
}

// Close lets go of the uplink. What stands is for the next router.
func (h *Host) Close() error {
	defer h.release()
	if len(h.record.Objects) == 0 {
		return h.record.remove()
	}
	return nil
}

// Item is an object by its ID, nil if there is none.
func (h *Host) Item(id ID) *Item { return h.items[id] }

// Repairs counts how often something of a kind was made right again that somebody else had changed. Any goroutine may
// ask.
func (h *Host) Repairs() map[Kind]uint64 {
	all := map[Kind]uint64{}
	for k, n := range h.repairs {
		all[k] = n.Load()
	}
	return all
}

// Ask has the next Apply bring about what is wanted also where somebody has chosen otherwise, as a reload asks for.
// By itself no change of something else does.
func (h *Host) Ask() { h.asked = true }

// Apply has these objects be on the host, and no others of the record's but those that Set is yet to see to, and
// those that commands of an earlier run have asked for. What cannot be done is the items' error, and is tried
// again by Settle; what cannot be taken away is the error here.
func (h *Host) Apply(want []Object, later ...ID) error {
	defer func() { h.asked = false }()
	ids := map[ID]bool{}
	for _, id := range later {
		ids[id] = true
	}
	for _, o := range want {
		ids[o.ID()] = true
	}
	err := h.removeUnless(func(it *Item) bool { return ids[it.id()] || it.orphan() })
	return errors.Join(err, h.Set(want...))
}

// Set has these objects be on the host, beside the others.
func (h *Host) Set(want ...Object) error {
	var now []*Item
	for _, o := range want {
		it := h.items[o.ID()]
		if it == nil {
			it = &Item{host: h}
			h.items[o.ID()] = it
		}
		it.lost, it.doomed = false, false
		if it.Object != nil && it.Stands && same(it.Object, o) && !it.dirty && !(it.theirs && h.asked) && it.Err == nil {
			continue
		}
		it.anew = it.anew || !it.Stands || !same(it.Object, o) || it.theirs && h.asked
		if it.Stands && !o.grows(it.Object) {
			it.lose("")
		}
		it.Object = o
		now = append(now, it)
	}
	return h.settle(now, false)
}

// Check looks whether what is new among these objects can be done, as far as that can be known beforehand.
// What waits for somebody else is none of its business.
func (h *Host) Check(want []Object) error {
	for _, o := range want {
		is := h.items[o.ID()]
		if is != nil && is.Object != nil && (same(is.Object, o) || is.Stands && o.grows(is.Object)) {
			continue
		}
		_, err := h.foresee(o)
		var waits *Waits
		if err != nil && !errors.As(err, &waits) {
			if w, _ := o.For(); w != "" {
				err = fmt.Errorf("workload %s: %w", w, err)
			}
			return err
		}
	}
	return nil
}

// foresee says what would be done about an object that is not there yet, or would not stay as it is.
func (h *Host) foresee(o Object) (*deeds, error) {
	it := Item{Object: o, host: h}
	if is := h.items[o.ID()]; is != nil {
		it.entry, it.TAP = is.entry, is.TAP
	}
	return o.look(&it)
}

// Why says why an item is not as it is to be: an interface that waits for a namespace, why that cannot be made.
func (it *Item) Why() error {
	var waits *Waits
	if ns := it.host.items[ID{Kind: KindNamespace, Name: string(it.id().Namespace)}]; ns != nil && errors.As(it.Err, &waits) && ns.Err != nil {
		return ns.Err
	}
	return it.Err
}

// orphan is what an earlier run made because a command had asked for it: it holds until somebody takes it back.
func (it *Item) orphan() bool {
	return it.Object == nil && !it.doomed && it.entry != nil && it.entry.Command && it.entry.Container == nil
}

// Containers are the interfaces of containers that the record tells of.
func (h *Host) Containers() (all []*Entry) {
	for _, e := range h.record.Objects {
		if e.Container != nil {
			all = append(all, e)
		}
	}
	return all
}

func (it *Item) id() ID {
	if it.Object != nil {
		return it.Object.ID()
	}
	return it.entry.ID
}

// settle brings about what is wanted of these items, kind by kind. What stood already and is to be what it was is
// repaired, whoever asks, and however many attempts that takes. following says that something on the host has changed,
// and nobody has asked for what is wanted.
func (h *Host) settle(items []*Item, following bool) error {
	for some := range slices.Chunk(items, chunk) {
		if err := h.settleSome(some, following); err != nil {
			return err
		}
	}
	return nil
}

func (h *Host) settleSome(items []*Item, following bool) error {
	h.rooms = rooms{}
	defer func() {
		h.rooms.leave()
		h.rooms = nil
	}()
	for _, k := range kinds {
		var of []*Item
		for _, it := range items {
			if it.id().Kind == k.Kind {
				of = append(of, it)
			}
		}
		if err := h.settleKind(of, following); err != nil {
			return err
		}
	}
	return nil
}

// plan is an item with what is to be done about it.
type plan struct {
	*Item
	*deeds
	stood    bool
	repaired bool
}

// settleKind looks at items of one kind, writes down what is to be done about them, and does it. An error is about
// the record: then nothing was done.
func (h *Host) settleKind(items []*Item, following bool) error {
	var plans []plan
	changed := false
	for _, it := range items {
		it.dirty, it.following = false, following || it.Stands && !h.asked
		h.watch.rearm(it)
		d, err := it.Object.look(it)
		if err == nil && d.draft != nil {
			err = d.draft()
			written()
		}
		if err != nil {
			it.Err = err
			it.Stands = it.Stands && it.id().Kind != KindNamespace
			continue
		}
		changed = h.write(it, d.entry) || changed
		plans = append(plans, plan{it, d, it.Stands, it.Stands && !it.anew && len(d.words) > 0})
	}
	if changed || h.record.unsaved {
		if err := h.record.save(); err != nil {
			for _, p := range plans {
				if p.drop != nil {
					p.drop()
				}
				p.Err, p.dirty = err, true
			}
			return err
		}
	}
	for _, p := range plans {
		h.finish(p)
	}
	if slices.ContainsFunc(h.record.Objects, func(e *Entry) bool { return e.line == nil }) {
		return h.record.save() // something that was replaced is put back, say
	}
	return nil
}

func (h *Host) finish(p plan) {
	it := p.Item
	mac, mtu, linkLocal := it.MAC, it.mtu, it.LinkLocal
	if it.Err = p.do(); it.Err != nil {
		return
	}
	it.anew = false
	written()
	if p.repaired {
		h.repairs[it.id().Kind].Add(1)
		h.log.Warn("somebody has changed what the router has on this host; it is as it was again", "object", it.id(), "done", p.String())
	}
	if p.stood && mac == it.MAC && mtu == it.mtu && slices.Equal(linkLocal, it.LinkLocal) {
		return
	}
	it.Stands = true
	if err := h.Stands(it); err != nil {
		it.Err = err
		it.lose("")
	}
}

// write enters what is to be known of an item into the record; false if it was known.
func (h *Host) write(it *Item, e *Entry) bool {
	if e == it.entry {
		return false
	}
	if e != nil {
		e.ID = it.id()
		e.Workload, e.Command = it.Object.For()
		if it.entry != nil && same(it.entry.known(), e.known()) {
			return false
		}
	}
	h.forget(it)
	if it.entry = e; e != nil {
		e.line = nil
		h.record.Objects = append(h.record.Objects, e)
	}
	return true
}

// known is an entry without what is not written.
func (e *Entry) known() Entry {
	k := *e
	k.old, k.line = false, nil
	return k
}

func (h *Host) forget(it *Item) {
	if i := slices.Index(h.record.Objects, it.entry); i >= 0 && it.entry != nil {
		h.record.Objects = slices.Delete(h.record.Objects, i, i+1)
	}
}

// lose is about an item that stands no longer.
func (it *Item) lose(why string) {
	if !it.Stands {
		return
	}
	it.Stands = false
	it.host.watch.remove(it)
	it.host.Lost(it, why)
	it.closeUnlessStands()
}

func (it *Item) closeUnlessStands() {
	if it.Stands {
		return
	}
	if it.TAP != nil {
		it.TAP.Close() // the forwarder may have done so
		it.TAP = nil
	}
	if it.Program != nil {
		it.Program.Close()
		it.Program = nil
	}
}

// removeUnless takes back what nobody wants, the last made first.
func (h *Host) removeUnless(wanted func(*Item) bool) error {
	var gone []*Item
	for _, it := range h.items {
		if !wanted(it) {
			gone = append(gone, it)
		}
	}
	slices.SortFunc(gone, func(a, b *Item) int { return rank(b.id().Kind) - rank(a.id().Kind) })
	var errs []error
	changed := false
	for _, it := range gone {
		it.lose("")
		h.watch.remove(it)
		if it.entry == nil {
			delete(h.items, it.id())
			continue
		}
		if err := removal(it.id().Kind)(it.entry); err != nil {
			errs = append(errs, &Left{it.id(), err})
			it.Object, it.Err, it.doomed = nil, err, true
			continue
		}
		written()
		h.forget(it)
		changed = true
		delete(h.items, it.id())
	}
	if changed {
		errs = append(errs, h.record.save())
	}
	return errors.Join(errs...)
}

// Left is an error about something that nobody wants any more, and that could not be taken away: it is tried again.
type Left struct {
	ID  ID
	Err error
}

func (l *Left) Error() string { return fmt.Sprintf("taking back %s: %v", l.ID, l.Err) }

func (l *Left) Unwrap() error { return l.Err }

// ButLeft is an error without what it says of things that are left: those who want something else need not care.
func ButLeft(err error) error {
	switch e := err.(type) {
	case *Left:
		return nil
	case interface{ Unwrap() []error }:
		var rest []error
		for _, one := range e.Unwrap() {
			rest = append(rest, ButLeft(one))
		}
		return errors.Join(rest...)
	}
	return err
}

// Undo takes back what this run has made, and leaves what it found.
func (h *Host) Undo() error {
	err := h.removeUnless(func(it *Item) bool { return it.entry != nil && it.entry.old })
	for _, it := range h.items {
		it.lose("")
	}
	return err
}

// Withdraw takes back what is of no use without a router that forwards.
func (h *Host) Withdraw(k Kind) error {
	return h.removeUnless(func(it *Item) bool { return it.id().Kind != k })
}
