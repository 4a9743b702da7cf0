package forwarder

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/verdict"
	"github.com/vrouter/vrouter/rib"
)

// Guesses are quotes that no packet of ours has lately looked like. Each tunnel bears
// so many of them, at once and a second; while there are more, none of its errors is
// believed, as one of them might be right.
const (
	guessRate  = 10
	guessBurst = 100
)

// fewNumbers is how many packets that may be cut a tunnel may lately have had for one of
// them to be believed too big: no router has a reason to say so, and among many
// numbers one is soon guessed.
const fewNumbers = 32

// tunnelError finds the tunnel that an ICMP error sent to this host is about: it
// quotes an outer header of ours, to an end that we send to, around what may be a
// packet that our routes put into that tunnel. A router need quote no more of that
// one than 8 bytes (RFC 792), which have no address. Anything else is not about us.
// sent says whether it quotes a packet that was sent lately, as only who was on the
// way of one can.
func (x *path) tunnelError(ip packet.IPv4) (t *Tunnel, sent bool) {
	quote := packet.Quoted(ip)
	if ip.IsFragment() || len(quote) < packet.IPv4MinLen+8 || packet.Checksum(ip.Payload()) != 0 {
		return nil, false
	}
	if quote.HeaderLen() != packet.IPv4MinLen || quote.FragOffset() != 0 || quote.Protocol() != packet.ProtocolIPIP || !x.isOwn(quote.Src()) {
		return nil, false
	}
	if t = x.tunnel(quote.Dst()); t == nil || t.tx.Load() == 0 {
		return nil, false
	}
	inner := innerOf(quote)
	if inner.Version() != 4 || inner.HeaderLen() < packet.IPv4MinLen || inner.TotalLen() < inner.HeaderLen() {
		return nil, false
	}
	if len(inner) >= packet.IPv4MinLen && !x.goesInto(t.Peer, inner.Dst()) {
		return nil, false
	}
	return t, t.idents.gave(quote, inner)
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
func (x *path) goesInto(peer, dst netip.Addr) bool {
	r := x.fib.Lookup(dst)
	if r == nil {
		return false
	}
	into := func(r rib.Route) bool { return r.Encap == rib.IPIP && r.Via == peer }
	return into(*r) || slices.ContainsFunc(r.Multipath.Paths(), into)
}

// takeTunnelError acts on an ICMP error about a tunnel (RFC 2003 4 and 5.1). Whose
// packet it was is known from a whole inner header alone.
func (w *worker) takeTunnelError(p *Packet) {
	b, quote := p.ip.Payload(), packet.Quoted(p.ip)
	if !p.tunnel.guesses.allows(w.now(), guessRate, guessBurst) {
		p.tunnel.refused.Add(1)
		return
	}
	if b[0] == packet.ICMPUnreachable && b[1] == packet.CodeFragNeeded {
		if !quote.DF() && p.tunnel.idents.lately() > fewNumbers || !plausible(quote, p.in.MTU) {
			p.tunnel.refused.Add(1)
			return
		}
		told := int(binary.BigEndian.Uint16(b[6:]))
		p.tunnel.lower(told, quote.TotalLen(), max(MinPathMTU, w.path.MinPathMTU), p.ip.Src(), w.now())
		return
	}
	inner := innerOf(quote)
	if !whole(inner) {
		return
	}
	if e, relay := w.path.relayed(b[0], b[1], inner); relay {
		w.relay(p, e, inner)
	}
}

// refuse counts an error about a tunnel that quotes nothing that was sent lately.
func (w *worker) refuse(t *Tunnel) {
	t.refused.Add(1)
	t.guesses.allow(w.now(), guessRate, guessBurst)
}

// relayed is the error that the inner source hears for one about the outer packet
// (RFC 2003 4.1 to 4.4): that the tunnel's end can't be reached is its business,
// what speaks of the outer header's fields is ours alone.
func (x *path) relayed(typ, code byte, inner packet.IPv4) (verdict.ICMPError, bool) {
	host := verdict.ICMPError{Type: packet.ICMPUnreachable, Code: packet.CodeHostUnreachable}
	switch {
	case typ == packet.ICMPTimeExceeded:
		return host, true
	case typ != packet.ICMPUnreachable, code == packet.CodePortUnreachable, code == packet.CodeSourceRouteFailed:
		return host, false
	case (code == packet.CodeNetUnreachable || code == packet.CodeProtocolUnreachable) && !x.onUplink(inner.Dst()):
		return verdict.ICMPError{Type: packet.ICMPUnreachable, Code: packet.CodeNetUnreachable}, true
	}
	return host, true
}

// relay tells the source of a packet that was lost in a tunnel. What the quote
// holds of it is quoted again, with the TTL that it had when it came.
func (w *worker) relay(cause *Packet, e verdict.ICMPError, inner packet.IPv4) {
	if w.path.isOwn(inner.Src()) {
		w.router.suppressed[aboutSource].Add(1) // we need no telling
		return
	}
	f := w.path.borrow()
	f.Reset(packet.EthernetLen + len(inner))
	copy(f.Payload(), inner)
	f.SetEthernet(cause.in.MAC, cause.in.MAC, packet.EtherTypeIPv4)
	lost := &Packet{frame: f, in: cause.in, lowered: true, rec: cause.rec}
	w.sendError(lost, e)
}
