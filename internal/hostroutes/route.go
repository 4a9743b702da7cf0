// Package hostroutes knows the host's main routing table, of both families: the routes and the nexthop
// objects that they may lead over. It reads them from the kernel by rtnetlink(7), follows
// what the kernel tells of changes, and asks it for the way to one address.
package hostroutes

import (
	"net/netip"
	"unique"

	"golang.org/x/sys/unix"
)

// Key is what the kernel tells routes apart by: routes with one key are in an order, in
// which the first one is used. There may be a million, so it is kept small.
type Key struct {
	addr   [16]byte // of IPv4 in the form of IPv6
	bits   uint8
	TOS    uint8
	Metric uint32
}

// KeyOf is that of a route to a prefix for any type of service.
func KeyOf(p netip.Prefix, metric uint32) Key {
	return Key{addr: p.Addr().As16(), bits: uint8(p.Bits()), Metric: metric}
}

// Prefix is where the route leads to.
func (k Key) Prefix() netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom16(k.addr).Unmap(), int(k.bits))
}

// Route is what the host does with packets to a prefix. What changes while a route stays, as
// that its link has no carrier, is left out.
type Route struct {
	Six      bool  // to an IPv6 prefix
	Protocol uint8 // rtnetlink's number
	rtype    uint8 // RTN_UNICAST, RTN_BLACKHOLE, …
	tos      uint8
	MTU      uint32  // 0: the link's
	source   [4]byte // that the host sends from, by an IPv4 route; zero: none is given
	nexthop  uint32  // ID of the nexthop object; 0: the hops are its own
	object   *object // nil while it is not in a table
	hops     hopList
}

// IsStatic says whether people call a protocol static: what is entered by hand without a word about it is
// boot, and FRR has a number of its own for what its configuration says, and names it so.
func IsStatic(protocol uint8) bool {
	const zstatic = 196 // RTPROT_ZSTATIC of FRR
	return protocol == unix.RTPROT_STATIC || protocol == unix.RTPROT_BOOT || protocol == zstatic
}

// Shared is a route in a table. Equal ones are the same, however many prefixes have them.
type Shared = unique.Handle[Route]

// Hop is a next hop.
type Hop struct {
	Link   int        // index of the interface
	Via    netip.Addr // zero: the destination is on the link
	OnLink bool       // via is on the link, whatever the link's subnets
	Weight int        // its share, 1 and up
	Fault  Fault      // why nobody but the kernel can go there
}

// Fault says what of a route only the kernel can do, or nobody.
type Fault uint8

const (
	NoFault      Fault = iota
	ViaOther           // the next hop is an address of another family than IPv4 and IPv6
	Encapsulated       // the kernel encapsulates what goes there (lwtunnel)
	NoObject           // its nexthop object is not known
)

var faultWords = [...]string{
	NoFault: "", ViaOther: "has a next hop that is neither IPv4 nor IPv6", Encapsulated: "has the kernel encapsulate what goes there",
	NoObject: "leads over a nexthop object that is gone",
}

// String says it in words, of the route; "" for NoFault.
func (f Fault) String() string { return faultWords[f] }

// hopList is next hops in a form that can be compared: hopSize bytes each.
type hopList string

const hopSize = 24

// appendHop adds one: link, via, weight - 1 in two bytes, whether via is there and on the
// link, fault.
func appendHop(b []byte, h *Hop) []byte {
	b = native.AppendUint32(b, uint32(h.Link))
	via, flags := [16]byte{}, byte(0)
	if h.Via.IsValid() {
		via, flags = h.Via.As16(), 1
	}
	if h.OnLink {
		flags |= 2
	}
	b = native.AppendUint16(append(b, via[:]...), uint16(h.Weight-1))
	return append(b, flags, byte(h.Fault))
}

func (l hopList) len() int { return len(l) / hopSize }

func (l hopList) at(i int) Hop {
	b := []byte(l[i*hopSize:][:hopSize])
	h := Hop{Link: int(native.Uint32(b)), OnLink: b[22]&2 != 0, Weight: int(native.Uint16(b[20:])) + 1, Fault: Fault(b[23])}
	if b[22]&1 != 0 {
		h.Via = netip.AddrFrom16([16]byte(b[4:20])).Unmap()
	}
	return h
}

// readRoute reads RTM_NEWROUTE or RTM_DELROUTE; not ok if it is about a route of another family
// or table.
func readRoute(b []byte) (k Key, r Route, ok bool) {
	if len(b) < unix.SizeofRtMsg || b[0] != unix.AF_INET && b[0] != unix.AF_INET6 || native.Uint32(b[8:])&unix.RTM_F_CLONED != 0 {
		return k, r, false
	}
	to := netip.IPv4Unspecified()
	if b[0] == unix.AF_INET6 {
		to, r.Six = netip.IPv6Unspecified(), true
	}
	k.bits, k.TOS, r.tos, r.Protocol, r.rtype = b[1], b[3], b[3], b[5], b[7]
	table := uint32(b[4])
	h, several := Hop{OnLink: native.Uint32(b[8:])&unix.RTNH_F_ONLINK != 0, Weight: 1}, []byte(nil)
	for kind, v := range attributes(b[unix.SizeofRtMsg:]) {
		switch kind {
		case unix.RTA_TABLE:
			table = number(v)
		case unix.RTA_DST:
			to = address(v)
		case unix.RTA_PRIORITY:
			k.Metric = number(v)
		case unix.RTA_PREFSRC:
			if a := address(v); a.Is4() {
				r.source = a.As4()
			}
		case unix.RTA_METRICS:
			r.MTU = routeMTU(v)
		case rtaNexthopID:
			r.nexthop = number(v)
		case unix.RTA_MULTIPATH:
			several = v
		default:
			h.read(kind, v)
		}
	}
	switch {
	case r.nexthop != 0:
		r.rtype = unix.RTN_UNICAST // of a blackhole object the kernel makes a blackhole route, for those who do not know objects
	case r.rtype != unix.RTN_UNICAST:
	case several != nil:
		r.hops = readMultipath(several)
	default:
		r.hops = hopList(appendHop(nil, &h))
	}
	if !to.IsValid() || to.Is4() == r.Six || to.Is6() && never(to) {
		return k, r, false
	}
	k.addr = to.As16()
	return k, r, table == unix.RT_TABLE_MAIN && int(k.bits) <= to.BitLen()
}

// never says whether an IPv6 prefix with this address is one that nobody forwards to: each link has its own of fe80::/10, and
// groups and IPv4 addresses in the form of IPv6 are on none.
func never(a netip.Addr) bool { return a.IsLinkLocalUnicast() || a.IsMulticast() || a.Is4In6() }

// rtaNexthopID is RTA_NH_ID of linux/rtnetlink.h.
const rtaNexthopID = 30

// read takes what says where a hop leads, of a route or of one of several.
func (h *Hop) read(kind int, v []byte) {
	switch kind {
	case unix.RTA_OIF:
		h.Link = int(number(v))
	case unix.RTA_GATEWAY:
		h.Via = given(address(v))
	case unix.RTA_VIA: // struct rtvia: a family, and an address of it
		if h.Via = given(address(v[min(2, len(v)):])); !h.Via.IsValid() {
			h.Fault = max(h.Fault, ViaOther)
		}
	case unix.RTA_ENCAP_TYPE:
		h.Fault = Encapsulated
	}
}

func readMultipath(b []byte) hopList {
	var list []byte
	for len(b) >= unix.SizeofRtNexthop {
		n := int(native.Uint16(b))
		if n < unix.SizeofRtNexthop || n > len(b) {
			break
		}
		h := Hop{OnLink: b[2]&unix.RTNH_F_ONLINK != 0, Weight: int(b[3]) + 1, Link: int(native.Uint32(b[4:]))}
		for kind, v := range attributes(b[unix.SizeofRtNexthop:n]) {
			h.read(kind, v)
		}
		list = appendHop(list, &h)
		b = b[min(len(b), aligned(n)):]
	}
	return hopList(list)
}

// routeMTU is that of the metrics, 0 if there is none. Locked or not, Linux forwards by it.
func routeMTU(b []byte) uint32 {
	for kind, v := range attributes(b) {
		if kind == unix.RTAX_MTU {
			return number(v)
		}
	}
	return 0
}
