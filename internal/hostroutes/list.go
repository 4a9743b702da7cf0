package hostroutes

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"unique"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// listTries is how often a list is asked for again that the kernel says is
// inconsistent, as something changed meanwhile. Those changes are told besides.
const listTries = 3

// ask sends a request with a fixed header, and hands over the bodies of the answers.
func ask(kind, flags int, header []byte, answer uint16, each func([]byte)) error {
	req := nl.NewNetlinkRequest(kind, flags)
	req.AddRawData(header)
	return req.ExecuteIter(unix.NETLINK_ROUTE, answer, func(b []byte) bool {
		each(b)
		return true
	})
}

// dump asks for all there are of a kind.
func dump(kind int, header []byte, answer uint16, begin func(), each func([]byte)) (err error) {
	for range listTries {
		begin()
		if err = ask(kind, unix.NLM_F_DUMP, header, answer, each); !errors.Is(err, nl.ErrDumpInterrupted) {
			return err
		}
	}
	return nil
}

// List asks the kernel for all routes and nexthop objects, and says which keys have others than
// they had. With an error nothing has changed.
func (t *Table) List() (touched Touched, err error) {
	objects, err := listObjects()
	if err != nil {
		return nil, fmt.Errorf("listing the host's nexthop objects: %w", err)
	}
	families := []uint8{unix.AF_INET}
	if t.IPv6 {
		families = append(families, unix.AF_INET6)
	}
	first, more, err := listRoutes(families, t.Len())
	if err != nil {
		return nil, fmt.Errorf("listing the host's routes: %w", err)
	}
	return t.replace(objects, first, more), nil
}

func listObjects() (all map[uint32]objectState, err error) {
	err = dump(unix.RTM_GETNEXTHOP, make([]byte, unix.SizeofNhmsg), unix.RTM_NEWNEXTHOP,
		func() { all = map[uint32]objectState{} },
		func(b []byte) {
			if id, s, ok := readObject(b); ok {
				all[id] = s
			}
		})
	if errors.Is(err, unix.EOPNOTSUPP) { // Linux before 5.3
		return nil, nil
	}
	return all, err
}

// listRoutes has the routes as they were told: without the objects they lead over.
func listRoutes(families []uint8, size int) (first map[Key]Shared, more map[Key][]Shared, err error) {
	first, more = make(map[Key]Shared, size), map[Key][]Shared{}
	for _, family := range families {
		header := make([]byte, unix.SizeofRtMsg)
		header[0] = family
		of := netip.AddrFrom4([4]byte{})
		if family == unix.AF_INET6 {
			of = netip.IPv6Unspecified()
		}
		err = dump(unix.RTM_GETROUTE, header, unix.RTM_NEWROUTE,
			func() { forget(first, of); forget(more, of) },
			func(b []byte) {
				k, r, ok := readRoute(b)
				if !ok {
					return
				}
				if _, there := first[k]; there {
					more[k] = append(more[k], unique.Make(r))
				} else {
					first[k] = unique.Make(r)
				}
			})
		if err != nil && !(family == unix.AF_INET6 && errors.Is(err, unix.EOPNOTSUPP)) { // a kernel without IPv6
			return nil, nil, err
		}
	}
	return first, more, nil
}

// forget drops what a dump has brought that begins anew.
func forget[V any](m map[Key]V, family netip.Addr) {
	maps.DeleteFunc(m, func(k Key, _ V) bool { return k.Prefix().Addr().Is4() == family.Is4() })
}

// replace makes these all there are.
func (t *Table) replace(objects map[uint32]objectState, first map[Key]Shared, more map[Key][]Shared) Touched {
	touched, turned := Touched{}, map[*object]bool{}
	for id, s := range objects {
		if o := t.object(id); !o.equal(&s) {
			o.objectState = s
			t.turn(o, turned)
		}
	}
	for id, o := range t.objects {
		if _, there := objects[id]; !there {
			delete(t.objects, id)
			o.gone = true
			t.turn(o, turned)
		}
	}
	t.resolve(first, more)
	for k, f := range first {
		was, there := t.first[k]
		if !there || was != f || turned[f.Value().object] || !slices.Equal(t.more[k], more[k]) || slices.ContainsFunc(more[k], func(r Shared) bool { return turned[r.Value().object] }) {
			touched[k] = struct{}{}
		}
	}
	for k := range t.first {
		if _, there := first[k]; !there {
			touched[k] = struct{}{}
		}
	}
	users := map[Shared]int{}
	for k, f := range first {
		users[f]++
		for _, r := range more[k] {
			users[r]++
		}
	}
	t.turned = t.turned || len(turned) > 0 || !maps.Equal(users, t.users)
	for _, o := range t.objects {
		o.users = 0
	}
	for r, n := range users {
		if o := r.Value().object; o != nil {
			o.users += n
		}
	}
	t.first, t.more, t.users, t.most = first, more, users, len(first)
	return touched
}

// resolve gives the routes the objects they lead over.
func (t *Table) resolve(first map[Key]Shared, more map[Key][]Shared) {
	known := map[Shared]Shared{}
	over := func(r Shared) Shared {
		o, ok := known[r]
		if !ok {
			o = t.over(r)
			known[r] = o
		}
		return o
	}
	for k, f := range first {
		if o := over(f); o != f {
			first[k] = o
		}
	}
	for _, list := range more {
		for i, r := range list {
			list[i] = over(r)
		}
	}
}

// Way is how the host itself reaches an address.
type Way struct {
	Link int        // index of the interface
	Via  netip.Addr // zero: it is on the link
	MTU  int        // of the route; 0: the link's
}

// OnLink says whether the host reaches a by asking for it on the link.
func (w *Way) OnLink(a netip.Addr) bool { return !w.Via.IsValid() || w.Via == a }

// Get asks the kernel for the way to an address.
func Get(a netip.Addr) (w Way, err error) {
	b := make([]byte, unix.SizeofRtMsg, unix.SizeofRtMsg+unix.SizeofRtAttr+16)
	if b[0] = unix.AF_INET; a.Is6() {
		b[0] = unix.AF_INET6
	}
	b[1] = uint8(a.BitLen())
	b = native.AppendUint16(native.AppendUint16(b, uint16(unix.SizeofRtAttr+a.BitLen()/8)), unix.RTA_DST)
	b = append(b, a.AsSlice()...)
	err = ask(unix.RTM_GETROUTE, 0, b, unix.RTM_NEWROUTE, func(b []byte) {
		if len(b) < unix.SizeofRtMsg {
			return
		}
		h, learnt := Hop{}, false
		for kind, v := range attributes(b[unix.SizeofRtMsg:]) {
			switch kind {
			case unix.RTA_METRICS:
				w.MTU = int(routeMTU(v))
			case unix.RTA_CACHEINFO:
				const expires = 8 // struct rta_cacheinfo
				learnt = len(v) >= expires+4 && native.Uint32(v[expires:]) != 0
			default:
				h.read(kind, v)
			}
		}
		w.Link, w.Via = h.Link, h.Via
		if learnt {
			w.MTU = 0 // a path MTU that the host has learnt and will forget, not the route's
		}
	})
	if err != nil {
		return Way{}, fmt.Errorf("the host has no way to %s: %w", a, err)
	}
	return w, nil
}
