package hostroutes

import (
	"net/netip"
	"slices"
	"unique"

	"golang.org/x/sys/unix"
)

// Change is what the kernel tells about one route or nexthop object.
type Change struct {
	Key
	route  Shared
	object *told
	op     op
}

// told is a nexthop object as the kernel tells of it.
type told struct {
	id    uint32
	state objectState
}

type op uint8

const (
	prepended op = iota // in front of those with the same key, as `ip route add` does
	appended
	replaced // the first of those with the same key
	removed
	objectSet
	objectGone
)

// readChange reads a notification; not ok if it is about nothing that matters here.
func readChange(m *message) (c Change, ok bool) {
	switch m.kind {
	case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
		var r Route
		if c.Key, r, ok = readRoute(m.body); !ok {
			return c, false
		}
		c.route = unique.Make(r)
	case unix.RTM_NEWNEXTHOP, unix.RTM_DELNEXTHOP:
		o := &told{}
		if o.id, o.state, ok = readObject(m.body); !ok {
			return c, false
		}
		c.object = o
	default:
		return c, false
	}
	switch {
	case m.kind == unix.RTM_NEWNEXTHOP:
		c.op = objectSet
	case m.kind == unix.RTM_DELNEXTHOP:
		c.op = objectGone
	case m.kind == unix.RTM_DELROUTE:
		c.op = removed
	case m.flags&unix.NLM_F_REPLACE != 0:
		c.op = replaced
	case m.flags&unix.NLM_F_APPEND != 0:
		c.op = appended
	}
	return c, true
}

// Removes says that a route of a protocol has gone.
func (c *Change) Removes(protocol uint8) bool {
	return c.op == removed && c.route.Value().Protocol == protocol
}

// Touched are keys of which something is another than before.
type Touched map[Key]struct{}

// Apply follows changes, in their order. A change that the table was listed after is no change any more:
// it is told once, and may have been seen already. Where that leaves a doubt, sure is
// false: then the table is to be listed again.
func (t *Table) Apply(changes []Change) (touched Touched, sure bool) {
	touched, sure = Touched{}, true
	turned := map[*object]bool{}
	for i := range changes {
		c := &changes[i]
		switch c.op {
		case objectSet:
			if o := t.object(c.object.id); !o.equal(&c.object.state) {
				o.objectState = c.object.state
				t.turn(o, turned)
			}
		case objectGone:
			if o := t.objects[c.object.id]; o != nil {
				delete(t.objects, o.id)
				o.gone = true
				t.turn(o, turned)
			}
		default:
			if !t.IPv6 && c.Prefix().Addr().Is6() {
				continue
			}
			left := len(turned) > 0 && t.leave(c.Key) // so that what is the first one here is so in the kernel
			changed, known := t.apply(c.Key, c.op, t.over(c.route))
			if left || changed {
				touched[c.Key] = struct{}{}
			}
			sure = sure && known
		}
	}
	if len(turned) > 0 {
		t.touch(turned, touched)
	}
	t.slim()
	return touched, sure
}

func (t *Table) apply(k Key, op op, r Shared) (changed, sure bool) {
	have := t.At(k)
	at := slices.Index(have, r)
	if v := r.Value(); v.Six && (len(have) > 1 || len(have) == 1 && at < 0 && (op != replaced || joins(&v) != joins(valueOf(have[0])))) {
		// The kernel makes one route of several IPv6 routes with one key, or takes one of its next hops out, and
		// tells of the part or of the whole; and it replaces only like by like.
		return false, false
	}
	switch {
	case op == removed && at < 0, op == replaced && at == 0, op != removed && op != replaced && at >= 0:
		return false, true // seen already
	case op == removed:
		have = slices.Delete(have, at, at+1)
		t.count(r, -1)
	case op == replaced && at > 0 && r.Value().nexthop != 0:
		return false, false // somebody replaced the first one by it, or it changed with its nexthop object
	case op == replaced && at > 0:
		t.count(have[0], -1)
		have = slices.Delete(have, at, at+1)
		have[0] = r
	case op == replaced && len(have) > 0:
		t.count(r, +1)
		t.count(have[0], -1)
		have[0] = r
	case op == appended:
		have = append(have, r)
		t.count(r, +1)
	default:
		have = slices.Insert(have, 0, r)
		t.count(r, +1)
	}
	t.store(k, have)
	t.buf = have
	return true, true
}

// joins says whether the kernel makes an IPv6 route and another one with its key one route with several next hops.
func joins(r *Route) bool { return r.nexthop == 0 && r.hops.len() > 0 && r.hops.at(0).Via.IsValid() }

func valueOf(r Shared) *Route {
	v := r.Value()
	return &v
}

// over is a route with the nexthop object that it speaks of, which is told of before it, unless
// the kernel was asked for all objects just before this one was made.
func (t *Table) over(r Shared) Shared {
	v := r.Value()
	if v.nexthop == 0 {
		return r
	}
	v.object = t.object(v.nexthop)
	return unique.Make(v)
}

func (t *Table) object(id uint32) *object {
	o := t.objects[id]
	if o == nil {
		o = &object{id: id}
		t.objects[id] = o
	}
	return o
}

// turn notes the object, and the groups that it is in, as others than before.
func (t *Table) turn(o *object, turned map[*object]bool) {
	turned[o] = true
	for _, g := range t.objects {
		if g.has(o.id) {
			turned[g] = true
		}
	}
}

// touch finds the routes over objects that are others than before; those over objects that are
// gone go with them.
func (t *Table) touch(turned map[*object]bool, touched Touched) {
	for o := range turned {
		if o.users == 0 {
			delete(turned, o)
		}
	}
	if len(turned) == 0 {
		return
	}
	t.turned = true
	over := func(r Shared) bool { return turned[r.Value().object] }
	for k, f := range t.first {
		if over(f) || slices.ContainsFunc(t.more[k], over) {
			touched[k] = struct{}{}
			t.leave(k)
		}
	}
}

// leave takes out the routes over objects that are gone.
func (t *Table) leave(k Key) (left bool) {
	have := slices.DeleteFunc(t.At(k), func(r Shared) bool {
		o := r.Value().object
		if o == nil || !o.gone {
			return false
		}
		t.count(r, -1)
		left = true
		return true
	})
	if left {
		t.store(k, have)
	}
	return left
}

// Of is where the change may matter: one of a nexthop object, anywhere.
func (c *Change) Of() (to netip.Prefix, anywhere bool) {
	if c.object != nil {
		return to, true
	}
	return c.Prefix(), false
}
