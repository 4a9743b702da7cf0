package forwarder

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"time"

	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/verdict"
	"github.com/vrouter/vrouter/rib"
)

const (
	// MinPathMTU in bytes: every link carries that much (RFC 791 3.2, RFC 1191 3).
	MinPathMTU = 68
	// PathMTUTime is how long a lowered path MTU is believed (RFC 1191 6.3).
	PathMTUTime = 10 * time.Minute
)

// PathMTU is the largest outer packet that the path to a tunnel's other end
// carries, as a router on the way has told. It only ever goes down, and is
// forgotten after a time.
type PathMTU struct {
	Bytes int
	From  netip.Addr // the router that told
	Since time.Time
}

// plateaus are the MTUs to try where a router does not say which (RFC 1191 7.1).
var plateaus = []int{32000, 17914, 8166, 4352, 2002, 1492, 1006, 508, 296, MinPathMTU}

// tunnelError finds the tunnel that an ICMP error sent to this host is about: it
// quotes an outer header of ours, to an end that we send to, around what may be a
// packet that our routes put into that tunnel. A router need quote no more of that
// one than 8 bytes (RFC 792), which have no address. Anything else is not about us.
func (x *path) tunnelError(ip packet.IPv4) *Tunnel {
	quote := packet.Quoted(ip)
	if len(quote) < packet.IPv4MinLen+8 || packet.Checksum(ip.Payload()) != 0 {
		return nil
	}
	if quote.HeaderLen() != packet.IPv4MinLen || quote.FragOffset() != 0 || quote.Protocol() != packet.ProtocolIPIP || !x.isOwn(quote.Src()) {
		return nil
	}
	t := x.tunnel(quote.Dst())
	if t == nil || t.tx.Load() == 0 {
		return nil
	}
	inner := innerOf(quote)
	if inner.Version() != 4 || inner.HeaderLen() < packet.IPv4MinLen || inner.TotalLen() < inner.HeaderLen() {
		return nil
	}
	if len(inner) >= packet.IPv4MinLen && !x.goesInto(t.Peer, inner.Dst()) {
		return nil
	}
	return t
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
	if b[0] == packet.ICMPUnreachable && b[1] == packet.CodeFragNeeded {
		told := int(binary.BigEndian.Uint16(b[6:]))
		p.tunnel.lower(told, quote.TotalLen(), p.ip.Src(), w.now())
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

// lower takes over a path MTU for packets that were as long as sent. A router
// that does not say how much fits gets the next plateau (RFC 1191 5).
func (t *Tunnel) lower(told, sent int, from netip.Addr, now time.Time) {
	if told == 0 {
		for _, p := range plateaus {
			if told = p; p < sent {
				break
			}
		}
	}
	told = max(told, MinPathMTU)
	if was := t.pathMTU.Load(); told >= sent || was != nil && told >= was.Bytes {
		return
	}
	t.pathMTU.Store(&PathMTU{Bytes: told, From: from, Since: now})
}

// forget drops a path MTU that is too old to be believed.
func (t *Tunnel) forget(now time.Time) {
	if p := t.pathMTU.Load(); p != nil && now.Sub(p.Since) >= PathMTUTime {
		t.pathMTU.CompareAndSwap(p, nil) // it may just have been told anew
	}
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
