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
// quotes an outer header of ours, to an end that we send to, around a packet that
// our routes put into that tunnel. Anything else is not about us.
func (x *path) tunnelError(ip packet.IPv4) (t *Tunnel, quote packet.IPv4) {
	b := ip.Payload()
	if ip.Protocol() != packet.ProtocolICMP || ip.IsFragment() || !packet.IsICMPError(ip) || len(b) < packet.ICMPHeaderLen+2*packet.IPv4MinLen || packet.Checksum(b) != 0 {
		return nil, nil
	}
	quote = packet.IPv4(b[packet.ICMPHeaderLen:])
	if quote.Version() != 4 || quote.HeaderLen() != packet.IPv4MinLen || quote.FragOffset() != 0 || quote.Protocol() != packet.ProtocolIPIP || !x.isOwn(quote.Src()) {
		return nil, nil
	}
	if t = x.tunnel(quote.Dst()); t == nil || t.tx.Load() == 0 {
		return nil, nil
	}
	inner := quote[packet.IPv4MinLen:]
	if inner.Version() != 4 || inner.HeaderLen() < packet.IPv4MinLen || min(len(inner), inner.TotalLen()) < inner.HeaderLen() {
		return nil, nil
	}
	if !x.goesInto(t.Peer, inner.Dst()) {
		return nil, nil
	}
	return t, quote
}

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

// takeTunnelError acts on an ICMP error about a tunnel (RFC 2003 4 and 5.1).
func (w *worker) takeTunnelError(p *Packet) {
	b := p.ip.Payload()
	quote := packet.IPv4(b[packet.ICMPHeaderLen:])
	if b[0] == packet.ICMPUnreachable && b[1] == packet.CodeFragNeeded {
		told := int(binary.BigEndian.Uint16(b[6:]))
		p.tunnel.lower(told, quote.TotalLen(), p.ip.Src(), w.now())
		return
	}
	if e, relay := w.path.relayed(b[0], b[1], quote[packet.IPv4MinLen:]); relay {
		w.relay(p, e, quote[packet.IPv4MinLen:])
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
