package forwarder

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/vrouter/vrouter/internal/ipv4"
	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/verdict"
	"github.com/vrouter/vrouter/rib"
)

// plateaus are the MTUs to try where a router does not say which (RFC 1191 7.1).
var plateaus = []int{32000, 17914, 8166, 4352, 2002, 1492, 1006, 508, 296, MinPathMTU}

// FewNumbers is how many packets that may be cut a tunnel may lately have had for one of
// them to be believed too big: no router has a reason to say so, and among many
// numbers one is soon guessed.
const FewNumbers = 32

// tunnelError finds the tunnel that an ICMP error sent to this host is about: it
// quotes an outer header of ours, to an end that we send to, around what may be a
// packet that our routes put into that tunnel. A router need quote no more of that
// one than 8 bytes (RFC 792), which have no address. Anything else is not about us.
// sent says whether it quotes a packet that was sent lately, as only who was on the
// way of one can.
func (x *Path) tunnelError(ip packet.IPv4) (t *Tunnel, sent bool) {
	quote := packet.Quoted(ip)
	if ip.IsFragment() || len(quote) < packet.IPv4MinLen+8 || packet.Checksum(ip.Payload()) != 0 {
		return nil, false
	}
	if quote.HeaderLen() != packet.IPv4MinLen || quote.FragOffset() != 0 || quote.Protocol() != packet.ProtocolIPIP || !x.isOwn(quote.Src()) {
		return nil, false
	}
	if t = x.Tunnel(quote.Dst()); t == nil || !t.Sent {
		return nil, false
	}
	inner := innerOf(quote)
	if inner.Version() != 4 || inner.HeaderLen() < packet.IPv4MinLen || inner.TotalLen() < inner.HeaderLen() {
		return nil, false
	}
	if len(inner) >= packet.IPv4MinLen && !x.goesInto(t.Peer, inner.Dst()) {
		return nil, false
	}
	if quote.DF() {
		return t, x.Keys.Gave(quote, inner)
	}
	return t, x.Numbers.Gave(t, quote.ID())
}

// innerOf is what the quote of a packet in a tunnel has of the inner one. Who quotes
// 8 bytes of it may fill up with zeros (RFC 4884 4.3), and 0.0.0.0 is nobody.
func innerOf(outer packet.IPv4) packet.IPv4 {
	inner := outer[packet.IPv4MinLen:]
	if len(inner) >= packet.IPv4MinLen && inner.Dst().IsUnspecified() {
		return inner[:8]
	}
	return inner
}

// plausible says whether an outer packet that somebody quotes may have had its length, on
// a link that carries mtu bytes.
func plausible(quote packet.IPv4, mtu int) bool {
	return quote.TotalLen() == packet.IPv4MinLen+innerOf(quote).TotalLen() && quote.TotalLen() <= mtu
}

// whole says whether a quote has the whole header of a packet.
func whole(quote packet.IPv4) bool { return len(quote) >= quote.HeaderLen() }

// goesInto says whether the routes put packets to dst into the tunnel to a peer:
// some of them, where there are several next hops.
func (x *Path) goesInto(peer, dst netip.Addr) bool {
	r := x.FIB.Lookup(dst)
	if r == nil {
		return false
	}
	into := func(r rib.Route) bool { return r.Encap == rib.IPIP && r.Via == peer }
	return into(*r) || slices.ContainsFunc(r.Multipath.Paths(), into)
}

// takeTunnelError acts on an ICMP error about a tunnel (RFC 2003 4 and 5.1). Whose
// packet it was is known from a whole inner header alone.
func (x *Path) takeTunnelError(p *Packet, t *Tunnel) {
	ip := packet.IPv4(p.IP)
	b, quote := ip.Payload(), packet.Quoted(ip)
	said := ipv4.MeaningOf(ipv4.ICMP{Type: b[0], Code: b[1]})
	if said == verdict.MeansTooBig {
		if !quote.DF() && x.Numbers.Lately(t) > FewNumbers || !plausible(quote, p.In.MTU) {
			c := p.add()
			c.Action, c.Tunnel = Doubt, t
			return
		}
		x.lower(p, t, int(binary.BigEndian.Uint16(b[6:])), quote.TotalLen())
		return
	}
	inner := innerOf(quote)
	if !whole(inner) {
		return
	}
	m := x.relayed(said, inner)
	if m == verdict.MeansNothing {
		return
	}
	c := p.add()
	c.Action, c.Meaning, c.About, c.Tunnel, c.Addr = Relay, m, packet.IP(inner), t, inner.Src()
	if c.Withheld = x.withheld(packet.IP(inner), p.In, p.In.MAC, m); x.isOwn(inner.Src()) {
		c.Withheld = AboutSource // we need no telling
	}
}

// lower takes over a path MTU for packets that were as long as sent. A router
// that does not say how much fits gets the next plateau (RFC 1191 5). What it says of a
// probe may be more than before.
func (x *Path) lower(p *Packet, t *Tunnel, told, sent int) {
	if told == 0 {
		for _, n := range plateaus {
			if told = n; n < sent {
				break
			}
		}
	}
	told = max(told, MinPathMTU)
	probed := t.PathMTU != 0 && sent > t.PathMTU && t.Probe == ProbeSent
	if told >= sent || t.PathMTU != 0 && told >= t.PathMTU && !probed {
		return
	}
	c, least := p.add(), max(MinPathMTU, x.MinPathMTU)
	c.Action, c.Tunnel, c.Bytes, c.Less, c.Addr = Lower, t, max(told, least), told < least, p.IP.Src()
}

// relayed is what the inner source hears of what was said about the outer packet
// (RFC 2003 4.1 to 4.4): that the tunnel's end can't be reached is its business,
// what speaks of the outer header's fields is ours alone.
func (x *Path) relayed(said Meaning, inner packet.IPv4) Meaning {
	switch said {
	case verdict.MeansNothing, verdict.MeansNoPort:
		return verdict.MeansNothing
	case verdict.MeansNoRoute, verdict.MeansNoProtocol:
		if !x.onUplink(inner.Dst()) {
			return verdict.MeansNoRoute
		}
	}
	return verdict.MeansNoHost
}
