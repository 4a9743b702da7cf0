package hostroutes

import (
	"fmt"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

var typeWords = map[int]string{
	unix.RTN_LOCAL: "local", unix.RTN_BROADCAST: "broadcast", unix.RTN_ANYCAST: "anycast", unix.RTN_MULTICAST: "multicast",
	unix.RTN_THROW: "throw", unix.RTN_NAT: "nat", unix.RTN_XRESOLVE: "xresolve",
}

// Usable are those next hops of a route by which somebody else than the kernel can go, by one
// interface; and why all or some of it cannot be used: what it does that nobody else can.
// A route that is no unicast route has no next hops.
func (t *Table) Usable(r *Route, link int) (hops []Hop, why string) {
	typ := t.Type(r)
	switch {
	case r.tos != 0:
		return nil, "is for one type of service alone"
	case typ == unix.RTN_BLACKHOLE, typ == unix.RTN_UNREACHABLE, typ == unix.RTN_PROHIBIT:
		return nil, ""
	case typ != unix.RTN_UNICAST:
		if word := typeWords[typ]; word != "" {
			return nil, "is of type " + word
		}
		return nil, fmt.Sprintf("is of type %d", typ)
	}
	for _, h := range t.Hops(r) {
		switch {
		case h.Fault != NoFault:
			why = h.Fault.String()
		case h.Link != link:
			why = fmt.Sprintf("leaves by %s, not by %s", interfaceName(h.Link), interfaceName(link))
		default:
			hops = append(hops, h)
		}
	}
	return hops, why
}

func interfaceName(index int) string {
	if l, err := netlink.LinkByIndex(index); err == nil {
		return l.Attrs().Name
	}
	return fmt.Sprintf("interface %d", index)
}
