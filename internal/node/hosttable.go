package node

import (
	"errors"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// hostTable is the host's main routing table, as far as it can matter to the
// router: IPv4, without type of service. Routes to one prefix with one metric are
// in the kernel's order, in which the first one is used.
type hostTable map[hostKey][]hostRoute

type hostKey struct {
	prefix netip.Prefix
	metric int
}

// hostRoute is one of its routes. What changes while a route stays, as that its
// link has no carrier, is left out.
type hostRoute struct {
	protocol netlink.RouteProtocol
	kind     int // RTN_UNICAST, RTN_BLACKHOLE, RTN_UNREACHABLE, RTN_PROHIBIT
	hops     []hostHop
}

type hostHop struct {
	link   int        // index of the interface; 0: a way that the router cannot go
	via    netip.Addr // zero: the destination is on the link
	onlink bool       // via is on the link, whatever the link's subnets
	weight uint16     // 1 and up
}

func (r *hostRoute) equal(o *hostRoute) bool {
	return r.protocol == o.protocol && r.kind == o.kind && slices.Equal(r.hops, o.hops)
}

// hostChange is what the kernel tells about one route.
type hostChange struct {
	key   hostKey
	route hostRoute
	how   change
}

type change uint8

const (
	prepended change = iota // in front of those with the same key, as `ip route add` does
	appended
	replaced // the first of those with the same key
	removed
)

// changeOf reads a notification; not ok if it is about a route that does not matter here.
func changeOf(u *netlink.RouteUpdate) (c hostChange, ok bool) {
	switch {
	case u.Type == unix.RTM_DELROUTE:
		c.how = removed
	case u.NlFlags&unix.NLM_F_REPLACE != 0:
		c.how = replaced
	case u.NlFlags&unix.NLM_F_APPEND != 0:
		c.how = appended
	}
	c.key, c.route, ok = readRoute(&u.Route)
	return c, ok
}

func readRoute(k *netlink.Route) (key hostKey, r hostRoute, ok bool) {
	if k.Family != unix.AF_INET || k.Table != unix.RT_TABLE_MAIN || k.Tos != 0 {
		return key, r, false
	}
	key = hostKey{prefix: netip.PrefixFrom(netip.IPv4Unspecified(), 0), metric: k.Priority}
	if k.Dst != nil {
		a, _ := netip.AddrFromSlice(k.Dst.IP.To4())
		bits, _ := k.Dst.Mask.Size()
		key.prefix = netip.PrefixFrom(a, bits)
	}
	r = hostRoute{protocol: k.Protocol, kind: k.Type}
	switch k.Type {
	case unix.RTN_BLACKHOLE, unix.RTN_UNREACHABLE, unix.RTN_PROHIBIT:
	case unix.RTN_UNICAST:
		r.hops = readHops(k)
	default:
		return key, r, false
	}
	return key, r, key.prefix.IsValid()
}

func readHops(k *netlink.Route) []hostHop {
	if len(k.MultiPath) == 0 {
		return []hostHop{readHop(k.LinkIndex, k.Gw, k.Flags, 0, k.Via != nil || k.Encap != nil)}
	}
	var hops []hostHop
	for _, h := range k.MultiPath {
		hops = append(hops, readHop(h.LinkIndex, h.Gw, h.Flags, h.Hops, h.Via != nil || h.Encap != nil))
	}
	return hops
}

// readHop has no link for a next hop of another family, or with an encapsulation
// of the kernel's.
func readHop(link int, gw net.IP, flags, hops int, foreign bool) hostHop {
	if foreign {
		link = 0
	}
	via, _ := netip.AddrFromSlice(gw.To4())
	return hostHop{link: link, via: via, onlink: flags&unix.RTNH_F_ONLINK != 0, weight: uint16(hops) + 1}
}

// apply follows one change. A change that the table was listed after is no
// change any more: it is told once, and may have been seen already.
func (t hostTable) apply(c hostChange) {
	have := t[c.key]
	at := slices.IndexFunc(have, func(r hostRoute) bool { return r.equal(&c.route) })
	if at >= 0 && (c.how == removed || c.how == replaced) {
		have = slices.Delete(have, at, at+1)
	}
	switch {
	case c.how == removed:
	case c.how == replaced && at != 0 && len(have) > 0:
		have[0] = c.route
	case c.how == replaced:
		have = slices.Insert(have, 0, c.route)
	case at >= 0: // seen already
	case c.how == appended:
		have = append(have, c.route)
	default:
		have = slices.Insert(have, 0, c.route)
	}
	if len(have) == 0 {
		delete(t, c.key)
		return
	}
	t[c.key] = have
}

// listTries is how often a list is asked for again that the kernel says is
// inconsistent, as routes changed meanwhile. Those changes are told besides.
const listTries = 3

// listHostTable asks the kernel for all of it.
func listHostTable() (t hostTable, err error) {
	for range listTries {
		t = hostTable{}
		err = netlink.RouteListFilteredIter(unix.AF_INET, &netlink.Route{Table: unix.RT_TABLE_MAIN}, netlink.RT_FILTER_TABLE,
			func(k netlink.Route) bool {
				if key, r, ok := readRoute(&k); ok {
					t[key] = append(t[key], r)
				}
				return true
			})
		if !errors.Is(err, netlink.ErrDumpInterrupted) {
			return t, err
		}
	}
	return t, nil
}
