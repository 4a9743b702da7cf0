package forwarder

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/vrouter/vrouter/internal/ipv4"
	"github.com/vrouter/vrouter/internal/ipv6"
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

// quoted is what an ICMP error to this host says of a packet in one of its tunnels.
type quoted struct {
	*Tunnel
	encap        rib.Encap
	outer, inner packet.IP // as far as they are quoted; of VXLAN it may be nothing of the inner one
	number       uint16    // by which the outer one of IPv4 is numbered (numberOf)
	told         int       // what fits, by its header; 0: it does not say
	said         Meaning
	// sent says whether it quotes a packet that was sent lately, as only who was on the
	// way of one can.
	sent bool
	may  bool // routers on the way might have cut it
}

// tunnelError finds the tunnel that an ICMP error sent to this host is about: it
// quotes an outer header of ours, to an end that we send to, around what may be a
// packet that our routes put into that tunnel. Anything else is not about us: it has no
// tunnel.
func (x *Path) tunnelError(ip packet.IP) quoted {
	if !packet.Quotes(ip) {
		return quoted{}
	}
	outer, protocol, at := packet.Quoted(ip), byte(0), 0
	if outer == nil {
		return quoted{}
	}
	q := quoted{outer: outer, encap: rib.IPIP}
	if ip.Version() == 6 {
		protocol, at = q.of6(packet.IPv6(ip), packet.IPv6(outer))
	} else {
		protocol, at = q.of4(packet.IPv4(ip), packet.IPv4(outer))
	}
	if at == 0 || !x.isOwn(outer.Src()) {
		return quoted{}
	}
	if q.Tunnel = x.Tunnel(outer.Dst()); q.Tunnel == nil || !q.Sent {
		return quoted{}
	}
	if protocol == packet.ProtocolUDP {
		q.encap = rib.VXLAN
		if !x.quotesVXLAN(&q, packet.VXLAN(outer[at:])) {
			return quoted{}
		}
	} else if q.inner = innerOf(outer[at:], protocol == packet.ProtocolIPv6); q.inner == nil {
		return quoted{}
	} else {
		q.number = idOf(q.inner)
	}
	if whole(q.inner) && !x.goesInto(q.encap, q.Peer, q.inner.Dst()) {
		return quoted{}
	}
	switch v4 := packet.IPv4(outer); {
	case outer.Version() == 6:
		q.sent = whole(q.inner) && packet.IPv6(outer).FlowLabel() == x.label(outer.Src(), outer.Dst(), q.inner)
	case v4.DF():
		q.sent = x.Keys.Gave(v4, q.number, x.fewMore(&q))
	default:
		q.may, q.sent = true, x.Numbers.Gave(q.Tunnel, v4.ID())
	}
	return q
}

// of4 reads an error about an outer packet of IPv4, and says of what protocol what follows its header
// is and where it begins in that; 0: it is no such error. A router need quote no more of it than 8 bytes (RFC 792),
// which have no address.
func (q *quoted) of4(ip, outer packet.IPv4) (protocol byte, at int) {
	b := ip.Payload()
	if ip.IsFragment() || len(outer) < packet.IPv4MinLen+8 || packet.Checksum(b) != 0 {
		return 0, 0
	}
	protocol, at, _ = packet.Transport(packet.IP(outer))
	if !inTunnel(packet.IP(outer), protocol, false) || at != packet.IPv4MinLen || outer.FragOffset() != 0 {
		return 0, 0
	}
	q.said = ipv4.MeaningOf(ipv4.ICMP{Type: b[0], Code: b[1]})
	q.told = int(binary.BigEndian.Uint16(b[6:]))
	return protocol, at
}

// of6 is of4 of IPv6, of which a router quotes as much as it can (RFC 4443 2.4 (c)): of a
// first fragment, too.
func (q *quoted) of6(ip, outer packet.IPv6) (protocol byte, at int) {
	u, of := ip.Upper(), outer.Upper()
	if u.Fragment != 0 || packet.ICMPv6Sum(ip, u.At) != 0xffff {
		return 0, 0
	}
	protocol, at, fragment := packet.Transport(packet.IP(outer))
	if !inTunnel(packet.IP(outer), protocol, fragment) || !of.OK || isLaterFragment(outer, of) || at+8 > len(outer) {
		return 0, 0
	}
	b := ip[u.At:]
	q.said = ipv6.MeaningOf(ipv6.ICMP{Type: b[0], Code: b[1]})
	q.told = int(min(binary.BigEndian.Uint32(b[4:]), packet.IPv6MaxLen))
	return protocol, at
}

// inTunnel says whether an outer packet may be one of ours by what follows its headers.
func inTunnel(outer packet.IP, protocol byte, fragment bool) bool {
	return protocol == packet.ProtocolUDP || isIPInIP(outer, protocol, fragment)
}

// innerOf is the inner packet, as far as the quote of the outer one goes: 8 bytes at
// least; nil, if it is none. Who quotes 8 bytes of it may fill up with zeros (RFC 4884
// 4.3), and 0.0.0.0 is nobody.
func innerOf(inner packet.IP, six bool) packet.IP {
	if len(inner) < 8 || (inner.Version() == 6) != six {
		return nil
	}
	if len(inner) >= headerLen(inner) && inner.Dst().IsUnspecified() {
		inner = inner[:8]
	}
	switch v4 := packet.IPv4(inner); inner.Version() {
	case 6:
		return inner
	case 4:
		if v4.HeaderLen() >= packet.IPv4MinLen && v4.TotalLen() >= v4.HeaderLen() {
			return inner
		}
	}
	return nil
}

// plausible says whether the outer packet may have had its length, on a link that carries
// mtu bytes.
func (q *quoted) plausible(mtu int) bool {
	n := q.outer.Len()
	return (q.inner == nil || n == OuterLen(q.encap, q.Peer)+q.inner.Len()) && n <= mtu
}

// whole says whether a quote has the whole header of a packet.
func whole(quote packet.IP) bool {
	if len(quote) == 0 {
		return false
	}
	if quote.Version() == 6 {
		return len(quote) >= packet.IPv6MinLen
	}
	return len(quote) >= packet.IPv4MinLen && len(quote) >= packet.IPv4(quote).HeaderLen()
}

// goesInto says whether the routes put packets to dst into the tunnel to a peer:
// some of them, where there are several next hops.
func (x *Path) goesInto(e rib.Encap, peer, dst netip.Addr) bool {
	r := x.FIB.Lookup(dst)
	if r == nil {
		return false
	}
	into := func(r rib.Route) bool { return r.Encap == e && r.Via == peer }
	return into(*r) || slices.ContainsFunc(r.Multipath.Paths(), into)
}

// takeTunnelError acts on an ICMP error about a tunnel (RFC 2003 4 and 5.1). Whose
// packet it was is known from a whole inner header alone.
func (x *Path) takeTunnelError(p *Packet, q *quoted) {
	t, inner := q.Tunnel, q.inner
	if q.said == verdict.MeansTooBig {
		if q.may && x.Numbers.Lately(t) > FewNumbers || !q.plausible(p.In.MTU) {
			c := p.add()
			c.Action, c.Tunnel = Doubt, t
			return
		}
		x.lower(p, t, q.told, q.outer.Len())
		return
	}
	if !whole(inner) {
		return
	}
	m := x.relayed(q, inner)
	if m == verdict.MeansNothing {
		return
	}
	c := p.add()
	c.Action, c.Meaning, c.About, c.Tunnel, c.Addr = Relay, m, inner, t, inner.Src()
	if c.Withheld = x.withheld(inner, p.In, p.In.MAC, m); x.isOwn(inner.Src()) {
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
	told = max(told, leastMTU(t.Peer))
	probed := t.PathMTU != 0 && sent > t.PathMTU && t.Probe == ProbeSent
	if told >= sent || t.PathMTU != 0 && told >= t.PathMTU && !probed {
		return
	}
	c, least := p.add(), max(leastMTU(t.Peer), x.MinPathMTU)
	c.Action, c.Tunnel, c.Bytes, c.Less, c.Addr = Lower, t, max(told, least), told < least, p.IP.Src()
}

// relayed is what the inner source hears of what was said about the outer packet
// (RFC 2003 4.1 to 4.4): that the tunnel's end can't be reached is its business,
// what speaks of the outer header's fields is ours alone.
func (x *Path) relayed(q *quoted, inner packet.IP) Meaning {
	said := q.said
	if said == verdict.MeansNoPort && q.encap == rib.VXLAN {
		said = verdict.MeansNoProtocol // the other end does not speak it
	}
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
