// Package filter selects packets with the language of pcap-filter(7), as far
// as hosts, nets, ports, protocols, bytes and and/or/not go, for IPv4, IPv6 and ARP on Ethernet.
//
// Match runs on the packet path, before anything is recorded: it reads the
// frame where it lies and allocates nothing.
package filter

import "fmt"

// MaxWords is how many words, operators and parentheses a filter may have: it is asked about every
// packet. Nobody types as many; a list of some hundred hosts fits.
const MaxWords = 1000

// Filter is an expression ready to match. It never changes, so that any number
// of goroutines may use it. The zero Filter matches everything.
type Filter struct {
	root *node
}

// Parse reads an expression; a blank one matches everything. An error is one
// line and names the column and the word that is wrong.
//
// Where pcap-filter(7) asks for more typing, this language is kinder: an
// address may stand alone for "host", "ip proto" takes names without a
// backslash, any protocol may qualify a host or net ("icmp host A"), and
// "ipip" is "ip proto 4", and "vxlan" VXLAN by any port. As there, what is behind extension headers of IPv6
// counts for nothing: "ip6 proto" looks at the fixed header and, if a fragment
// header comes next, at that; ports and "icmp6[…]" need the transport header
// right behind the fixed one; "tcp[…]" and "udp[…]" are of IPv4 alone.
func Parse(expr string) (*Filter, error) {
	p := &parser{toks: lex(expr)}
	if t := p.toks[len(p.toks)-1]; len(p.toks) > MaxWords+1 {
		return nil, fmt.Errorf("filter: column %d: it goes on after %d words, and is asked about every packet: give a shorter one, such as nets instead of hosts", t.col, MaxWords)
	}
	if p.peek().kind == end {
		return &Filter{}, nil
	}
	root, err := p.chain(p.term)
	if err != nil {
		return nil, err
	}
	if t := p.peek(); t.kind != end {
		return nil, leftover(t)
	}
	return &Filter{root: root}, nil
}

// Match tells whether the frame, from its Ethernet header on, is selected as
// it is on the wire. A primitive about a field that the frame is too short to
// hold does not match; so "not tcp" selects what is too broken to be TCP.
func (f *Filter) Match(frame []byte) bool {
	return f.match(frame, 0)
}

// MatchInner is Match on the innermost packet of IP in IP and VXLAN, of either family in
// either, below at most maxLayers headers. Such a packet still counts as what is
// around it, so that "ipip and icmp" selects the pings that travel in a tunnel, and
// "ip proto 41 and icmp6" those of IPv6 in IPv4; Ethernet is the frame's own, and
// the length is what is left without the outer headers.
func (f *Filter) MatchInner(frame []byte) bool {
	return f.match(frame, maxLayers)
}

func (f *Filter) match(frame []byte, unwrap int) bool {
	if f.root == nil {
		return true
	}
	var v view
	v.decode(frame, unwrap)
	return f.root.match(&v)
}

// Cost is how many nodes of the expression Match, or MatchInner, looks at for this frame, and
// decodeCost for reading it: a node takes some nanoseconds.
func (f *Filter) Cost(frame []byte, inner bool) int {
	if f.root == nil {
		return 0
	}
	var v view
	unwrap := 0
	if inner {
		unwrap = maxLayers
	}
	v.decode(frame, unwrap)
	_, n := f.root.cost(&v)
	return decodeCost + n
}

// decodeCost is what it takes to read a frame, in nodes.
const decodeCost = 5

// cost is match, and the number of nodes that it looks at.
func (n *node) cost(v *view) (matches bool, nodes int) {
	if n.op == word {
		return n.match(v), 1
	}
	matches, nodes = n.left.cost(v)
	switch {
	case n.op == not:
		return !matches, nodes + 1
	case matches == (n.op == or): // decided
		return matches, nodes + 1
	}
	matches, right := n.right.cost(v)
	return matches, nodes + right + 1
}

// node is an operator with its operands, or a primitive.
type node struct {
	op    kind // and, or, not; word for a primitive
	left  *node
	right *node
	prim
}

// prim is true of a packet that has the layer and, there, the value.
type prim struct {
	qual
	addr, mask addr   // host, net
	family     family // of the address
	lo, hi     uint32 // port, portrange, length, bytes: inclusive
	outside    bool   // not in that range: length, bytes
	off, size  uint32 // bytes
	bits       uint32 // of these bytes
	mac        [6]byte
}

// qual is what pcap-filter(7) calls the qualifiers: proto, dir and type.
type qual struct {
	layer layer
	proto uint8 // of ipProto, ip4Proto, ip6Proto
	dir   dir
	typ   typ
}

type layer uint8

const (
	anyLayer layer = iota
	ether
	ip
	ip6
	arp
	ipProto  // of both families
	ip4Proto // of IPv4's
	ip6Proto // of IPv6's
	vxlan
)

// family is that of an address; 0: there is none.
type family uint8

const (
	v4 family = 4
	v6 family = 6
)

// addr is an address of either family, from the left: an IPv4 address has 32 bits of hi.
type addr struct{ hi, lo uint64 }

func (a addr) and(b addr) addr { return addr{a.hi & b.hi, a.lo & b.lo} }

type dir uint8

const (
	either dir = iota // "src or dst", and the default
	src
	dst
	both // "src and dst"
)

// test combines what holds of the source with what holds of the destination.
func (d dir) test(atSrc, atDst bool) bool {
	switch d {
	case src:
		return atSrc
	case dst:
		return atDst
	case both:
		return atSrc && atDst
	}
	return atSrc || atDst
}

type typ uint8

// Primitives have the types of the first group alone; a net is a host with a
// mask, a port a range of one, and a proto a layer.
const (
	none typ = iota // the layer says it all
	host
	mac
	port
	length
	octets
	broadcast
	multicast

	network
	portRange
	proto
)
