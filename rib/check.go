package rib

import (
	"errors"
	"fmt"
	"net/netip"
)

// What a change to a table can fail with. The errors that the methods return
// wrap one of these, name the route and say what to do.
var (
	ErrExists   = errors.New("route exists")
	ErrNotFound = errors.New("no such route")
	ErrInvalid  = errors.New("invalid route")
)

func invalidError(r Route, why string) error {
	return fmt.Errorf("%s: %w: %s", &r, ErrInvalid, why)
}

func existsError(r Route) error {
	return fmt.Errorf("%s: %w from source %s with that prefix and metric %d: replace it, or use another metric",
		&r, ErrExists, r.Source, r.Metric)
}

func twiceError(r Route, s Source) error {
	return fmt.Errorf("%s: %w: source %s lists that prefix and metric %d twice: leave one out, or give it another metric",
		&r, ErrExists, s, r.Metric)
}

func notFoundError(p netip.Prefix, s Source, metric uint32) error {
	return fmt.Errorf("%s: %w from source %s with metric %d: list the routes to see which there are",
		prefixText(p), ErrNotFound, s, metric)
}

// fault tells why the route cannot be in a table and what to do; "" if it can.
func (r *Route) fault() string {
	if why := prefixFault(r.Prefix); why != "" {
		return why
	}
	if r.Source > Kernel {
		return "its source is none of workload, connected, static, kernel"
	}
	switch r.Type {
	case Unicast:
		if r.Multipath != nil {
			return r.Multipath.fault(r)
		}
		return r.unicastFault()
	case Broadcast:
		return r.broadcastFault()
	case Blackhole, Unreachable, Prohibit:
		return r.specialFault()
	}
	return "its type is none of unicast, blackhole, unreachable, prohibit, broadcast"
}

func prefixFault(p netip.Prefix) string {
	switch {
	case !p.IsValid():
		return "the destination is no prefix; write one, such as 10.70.2.0/24 or fd00:70:2::/64"
	case p.Addr().Is4In6():
		return "the destination is an IPv4 address in an IPv6 one; write it as IPv4"
	case p != p.Masked():
		return "the prefix has host bits; write " + p.Masked().String()
	}
	return ""
}

func (r *Route) unicastFault() string {
	switch {
	case r.Port < 0:
		return "a unicast route leaves by a port and this one has none; name a device that the router has"
	case r.Via.IsValid() && !isHost(r.Via):
		return "the next hop is not the address of a host; give the neighbour's unicast address"
	case r.Encap > VXLAN:
		return "its encapsulation is none of none, ipip, vxlan"
	case r.Encap != None && !r.Via.IsValid():
		return r.Encap.String() + " needs a next hop to be sent to; add one, or drop the encapsulation"
	case r.Encap != None && r.Via.Is6() && r.Via.IsLinkLocalUnicast():
		return "the end of a tunnel is not on the link alone; give another address of it as the next hop"
	case r.Encap == None && r.Via.Is4() && !r.Prefix.Addr().Is4():
		return "no IPv6 packet is sent to an IPv4 next hop but by a tunnel; give an IPv6 one, or `encap: ipip` or `vxlan`"
	}
	return ""
}

// broadcastFault accepts both forms: with the link's port, as the kernel
// lists it, and without.
func (r *Route) broadcastFault() string {
	if r.Via.IsValid() || r.Encap != None || r.Multipath != nil {
		return "a broadcast route has no next hop and no encapsulation; leave them out"
	}
	return ""
}

func (r *Route) specialFault() string {
	switch {
	case r.Via.IsValid() || r.Dev != "" || r.Encap != None || r.Multipath != nil:
		return "a " + r.Type.String() + " route sends nothing; leave out next hop, device and encapsulation"
	case r.Port != NoPort:
		return "a " + r.Type.String() + " route has no port; set it to -1"
	}
	return ""
}

// isHost says whether an address is one host's. Which link it is on the port says, and no zone.
func isHost(a netip.Addr) bool {
	return !a.IsUnspecified() && !a.IsMulticast() && !a.Is4In6() && a.Zone() == "" && a != netip.AddrFrom4([4]byte{255, 255, 255, 255})
}
