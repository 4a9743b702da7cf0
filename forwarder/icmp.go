package forwarder

import (
	"net/netip"

	"github.com/vrouter/vrouter/internal/ipv4"
	"github.com/vrouter/vrouter/internal/ipv6"
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
	if r == verdict.LocalUnsupported || r == verdict.IP6BadHeader {
		m = p.tells
	}
	if m == verdict.MeansNothing {
		return
	}
	c, ip := p.add(), packet.IP(p.Frame.Payload())[p.outer:]
	c.Action, c.Meaning, c.Bytes, c.Addr = Tell, m, int(p.limit), ip.Src()
	if m == verdict.MeansTooBig && ip.Version() == 6 {
		c.Bytes = max(c.Bytes, ipv6.MinMTU) // nobody may be told less (RFC 8201 4)
	}
	c.Withheld = x.withheld(ip, p.In, p.Frame.DstMAC(), m)
}

// withheld says why the source of a packet may not be told (RFC 1812 4.3.2.7).
func (x *Path) withheld(about packet.IP, in *Port, to packet.MAC, m Meaning) Withheld {
	if about.Version() == 6 {
		return withheld6(about, to, m)
	}
	ip := packet.IPv4(about)
	switch {
	case packet.IsICMPError(about):
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

// withheld6 is withheld of IPv6 (RFC 4443 2.4 (e)): there what is wrong with a fragment is
// told, and who is on this link alone is told by it. What speaks of many stations is told
// where they have to know; a packet that was not put together, of its first fragment alone (3.3).
func withheld6(ip packet.IP, to packet.MAC, m Meaning) Withheld {
	many := ip[24] == 0xff || to.IsGroup()
	switch {
	case packet.IsICMPError(ip):
		return AboutError
	case m == verdict.MeansNotAssembled && isLaterFragment(packet.IPv6(ip), packet.IPv6(ip).Upper()):
		return AboutFragment
	case many && m != verdict.MeansTooBig && m != verdict.MeansBadOption:
		return AboutBroadcast
	case words(ip[8:]).notOneHost():
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
		about, lowered = packet.IP(p.Frame.Payload())[p.outer:], p.lowered
	}
	six := about.Version() == 6
	src := x.source(six)
	switch {
	case p.In.Kind == Host:
		src = x.gateway(six) // the host takes nothing from its own addresses
	case p.In.Kind == Uplink && src == x.Gateway:
		src = dummy
	}
	f := x.Borrow()
	if six {
		ipv6.PutError(f, src, c.Meaning, c.Bytes, packet.IPv6(about), lowered)
		return f
	}
	ipv4.PutError(f, x.Numbers.Next(nil), src, c.Meaning, c.Bytes, packet.IPv4(about), lowered)
	return f
}
