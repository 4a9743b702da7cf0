package forwarder

import (
	"net/netip"

	"github.com/vrouter/vrouter/internal/ipv4"
	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/verdict"
	"github.com/vrouter/vrouter/rib"
)

// Withheld is why the source of a packet is not told where it should be.
type Withheld uint8

const (
	NotWithheld    Withheld = iota
	AboutError              // the packet is an ICMP error itself
	AboutFragment           // a fragment but the first
	AboutBroadcast          // it was sent to more than one station
	AboutSource             // its source is not one host
	RateLimited             // by whoever carries it out: too many are sent
	numWithheld
	Unbelieved = numWithheld     // Relay, Lower: by whoever carries it out: too many others guess
	TooSoon    = numWithheld + 1 // Ask, Answer: by whoever carries it out: it was just said
)

// NumWithheld counts NotWithheld too.
const NumWithheld = int(numWithheld)

var withheldWords = [...]string{
	AboutError: "icmp_error", AboutFragment: "fragment", AboutBroadcast: "broadcast", AboutSource: "source", RateLimited: "rate_limit", Unbelieved: "too many guess", TooSoon: "said just before",
}

// String is the word of the metrics; "" for NotWithheld.
func (w Withheld) String() string { return withheldWords[w] }

// tell has the source of a dropped packet told, unless a rule forbids it.
func (x *Path) tell(p *Packet, r Reason) {
	m := r.Tells()
	if r == verdict.LocalUnsupported {
		m = tellsOfLocal(p.IP.Protocol())
	}
	if m == verdict.MeansNothing {
		return
	}
	c, ip := p.add(), packet.IPv4(p.Frame.Payload())[p.outer:]
	c.Action, c.Meaning, c.Bytes, c.Addr = Tell, m, int(p.limit), ip.Src()
	c.Withheld = x.withheld(ip, p.In, p.Frame.DstMAC())
}

// tellsOfLocal: what the router itself does not speak. A closed port is said with its
// own words, and ICMP is never answered with an error of protocol.
func tellsOfLocal(protocol byte) Meaning {
	switch protocol {
	case packet.ProtocolICMP:
		return verdict.MeansNothing
	case packet.ProtocolUDP:
		return verdict.MeansNoPort
	}
	return verdict.MeansNoProtocol
}

// withheld says why the source of a packet may not be told (RFC 1812 4.3.2.7).
func (x *Path) withheld(ip packet.IPv4, in *Port, to packet.MAC) Withheld {
	switch {
	case packet.IsICMPError(ip):
		return AboutError
	case ip.FragOffset() != 0:
		return AboutFragment
	case to.IsGroup():
		return AboutBroadcast
	case notOneHost(ip[12:16]) || isLinkLocal(ip[12:16]) && in.Kind != Host || x.isBroadcast(ip.Src()):
		return AboutSource
	}
	return NotWithheld
}

// isBroadcast says whether an address is a subnet's broadcast address.
func (x *Path) isBroadcast(a netip.Addr) bool {
	r := x.FIB.Lookup(a)
	return r != nil && r.Type == rib.Broadcast
}

// icmpError builds the error that a source is told: about the packet as it came, or
// about one that was in a tunnel.
func (x *Path) icmpError(p *Packet, c *Consequence) *packet.Frame {
	about, lowered := c.About, true
	if c.Action == Tell {
		about, lowered = packet.IPv4(p.Frame.Payload())[p.outer:], p.lowered
	}
	src := x.source()
	if p.In.Kind == Host {
		src = x.Gateway // the host takes nothing from its own addresses
	}
	f := x.Borrow()
	ipv4.PutError(f, x.Numbers.Next(nil), src, c.Meaning, c.Bytes, about, lowered)
	return f
}
