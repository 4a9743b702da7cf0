package rib

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
)

// NoPort is the Port of a route that leaves by none.
const NoPort = -1

// Route is one way to reach a prefix. It is immutable once it is in a table:
// who got a *Route from there may keep it and read it at any time. The order of
// the fields keeps it at 128 bytes, as there may be a million of them, and has what
// forwarding asks of it in the first 64, a line of the processor's cache. Two routes
// are compared with Equal.
type Route struct {
	Via       netip.Addr // next hop, of IPv6 for IPv4 too (RFC 8950); zero: the destination is on the link
	Multipath *Multipath
	Port      int    // number of the port in the forwarder; NoPort if there is none
	MTU       uint32 // bytes of IP that go by it, if the link carries more; 0: as the link does
	Metric    uint32 // lower wins within a source
	slot      uint32 // see Slot
	born      uint32 // see Later
	Type      Type
	Encap     Encap
	Source    Source

	nth, of  uint8        // in a multipath: which of how many; 0 elsewhere
	weight   uint16       // in a multipath: 1 and up
	Prefix   netip.Prefix // without host bits
	Dev      string       // name of the port; empty for a type that sends nothing
	Protocol string       // who made it, in iproute2's word: "static", "kernel", "bird", "workload", …
}

// Slot is a small number that no other route of the table has, nor any path of one, for
// as long as this one is in it: the place of its counters. A table of n routes gives
// out little more than n of them, as what is taken out leaves its number to the next.
func (r *Route) Slot() uint32 { return r.slot }

// Later says whether the route came into the table after another one: of two that had
// the same slot it is the one that has it now. It is right within 2^31 changes.
func (r *Route) Later(o *Route) bool { return int32(r.born-o.born) > 0 }

// Equal says whether two routes are the same, next hops and weights included.
func (r *Route) Equal(o *Route) bool {
	a, b := *r, *o
	a.Multipath, b.Multipath = nil, nil
	a.slot, a.born, b.slot, b.born = 0, 0, 0, 0
	return a == b && slices.EqualFunc(r.Multipath.Paths(), o.Multipath.Paths(), func(x, y Route) bool { return x.Equal(&y) })
}

// Type says what becomes of a packet that a route matches. The types other
// than Unicast are routes too: they win over a shorter prefix like any other
// (RFC 1812 5.2.4.3), and each ends the packet in its own way.
type Type uint8

const (
	Unicast     Type = iota // forwarded
	Blackhole               // dropped in silence
	Unreachable             // dropped, "host unreachable" to the source; RFC 1812 5.2.7.1, RFC 4443 3.1
	Prohibit                // dropped, "administratively prohibited"; RFC 1812 5.2.7.1, RFC 4443 3.1
	Broadcast               // a directed broadcast address; RFC 1812 5.3.5.2
)

var typeNames = [...]string{"unicast", "blackhole", "unreachable", "prohibit", "broadcast"}

// String gives the word of ip-route(8).
func (t Type) String() string { return word(typeNames[:], int(t)) }

// Source is where a route comes from. The order is the preference among equal
// prefixes, the lower wins: an administrative preference, RFC 1812 5.2.4.4.
type Source uint8

const (
	Workload  Source = iota // addresses of the workloads on this host
	Connected               // subnets of the uplink
	Static                  // configuration and `route add`
	Kernel                  // imported from the host's own table
)

var sourceNames = [...]string{"workload", "connected", "static", "kernel"}

// String gives the source's name, in lower case.
func (s Source) String() string { return word(sourceNames[:], int(s)) }

// Encap is what is put around a packet on its way to the next hop.
type Encap uint8

const (
	None  Encap = iota
	IPIP        // a packet of either family in one of Via's, to Via; RFC 2003, RFC 4213, RFC 2473
	VXLAN       // the same, as an Ethernet frame in a UDP datagram; RFC 7348
)

var encapNames = [...]string{"none", "ipip", "vxlan"}

// String gives "none", "ipip" or "vxlan", the words of the configuration.
func (e Encap) String() string { return word(encapNames[:], int(e)) }

// EncapNamed is the reverse.
func EncapNamed(word string) (e Encap, ok bool) {
	i := slices.Index(encapNames[:], word)
	return Encap(max(i, 0)), i >= 0
}

func word(names []string, i int) string {
	if i < len(names) {
		return names[i]
	}
	return "unknown(" + strconv.Itoa(i) + ")"
}

// String gives the route in the words of `ip route`, for example
// "10.70.2.1/32 via 192.168.0.12 dev ens160 proto static". The prefix always
// shows its length, save for "default". The source is not part of it.
func (r *Route) String() string {
	b := make([]byte, 0, 96)
	if r.Type != Unicast {
		b = append(append(b, r.Type.String()...), ' ')
	}
	b = append(b, prefixText(r.Prefix)...)
	if r.Via.IsValid() {
		b = append(append(b, " via "...), r.Via.String()...)
	}
	if r.Dev != "" {
		b = append(append(b, " dev "...), r.Dev...)
	}
	if r.Protocol != "" {
		b = append(append(b, " proto "...), r.Protocol...)
	}
	if r.Dev != "" && !r.Via.IsValid() {
		b = append(b, " scope link"...)
	}
	if r.Encap != None {
		b = append(append(b, " encap "...), r.Encap.String()...)
	}
	if r.Metric != 0 {
		b = strconv.AppendUint(append(b, " metric "...), uint64(r.Metric), 10)
	}
	if r.MTU != 0 {
		b = strconv.AppendUint(append(b, " mtu "...), uint64(r.MTU), 10)
	}
	if r.of != 0 {
		b = fmt.Appendf(b, " weight %d: next hop %d of %d", r.weight, r.nth, r.of)
	}
	return string(r.Multipath.appendText(b))
}

func prefixText(p netip.Prefix) string {
	if p.IsValid() && p.Bits() == 0 && p.Addr().Is4() {
		return "default"
	}
	return p.String()
}
