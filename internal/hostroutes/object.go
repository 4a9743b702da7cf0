package hostroutes

import (
	"slices"

	"golang.org/x/sys/unix"
)

// object is a nexthop object: `ip nexthop`. Routes lead over it by its ID. When it is replaced
// they lead elsewhere, and when it is deleted they go; the kernel does not say so of each
// of them.
type object struct {
	objectState
	id    uint32
	gone  bool // deleted: one that gets its ID is another one
	users int  // routes of the table that lead over it
}

// objectState is what may change of one.
type objectState struct {
	known     bool // false: a route has spoken of it, and nobody else
	blackhole bool
	hops      hopList // one, or none of a group
	group     []member
}

// member is a part of a group.
type member struct {
	id     uint32
	weight int // 1 and up
}

func (s *objectState) equal(o *objectState) bool {
	return s.known == o.known && s.blackhole == o.blackhole && s.hops == o.hops && slices.Equal(s.group, o.group)
}

func (s *objectState) has(id uint32) bool {
	return slices.ContainsFunc(s.group, func(m member) bool { return m.id == id })
}

// readObject reads RTM_NEWNEXTHOP or RTM_DELNEXTHOP.
func readObject(b []byte) (id uint32, s objectState, ok bool) {
	if len(b) < unix.SizeofNhmsg {
		return 0, s, false
	}
	s.known = true
	h := Hop{OnLink: native.Uint32(b[4:])&unix.RTNH_F_ONLINK != 0, Weight: 1}
	for kind, v := range attributes(b[unix.SizeofNhmsg:]) {
		switch kind {
		case unix.NHA_ID:
			id = number(v)
		case unix.NHA_GROUP:
			s.group = readGroup(v)
		case unix.NHA_BLACKHOLE:
			s.blackhole = true
		case unix.NHA_OIF:
			h.Link = int(number(v))
		case unix.NHA_GATEWAY:
			h.Via = given(address(v))
		case unix.NHA_ENCAP_TYPE:
			h.Fault = Encapsulated
		}
	}
	if s.group == nil && !s.blackhole {
		s.hops = hopList(appendHop(nil, &h))
	}
	return id, s, id != 0
}

// readGroup reads struct nexthop_grp: an ID, and the weight less 1, the upper half of which came
// with Linux 6.12.
func readGroup(b []byte) (group []member) {
	const size = 8
	for ; len(b) >= size; b = b[size:] {
		group = append(group, member{native.Uint32(b), int(b[4]) + int(b[5])<<8 + 1})
	}
	return group
}
