package forwarder

import (
	"fmt"

	"github.com/vrouter/vrouter/internal/ipv6"
	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/verdict"
	"github.com/vrouter/vrouter/rib"
)

// MTU judges whether the packet fits through the next link. An offloaded frame
// is judged by its segments, as they are what the link will carry.
var MTU = &Step{
	Word: "mtu", Help: "what is too big for the next link is fragmented, or refused if it may not be",
	RFC: "RFC 791 3.2, RFC 1191 3", RFC6: "RFC 8200 4.5, 5", Quiet: true,
	run: (*Path).mtu, facts: mtuFacts, say: saysMTU,
}

func (x *Path) mtu(p *Packet) Verdict {
	limit, size := p.Out.MTU, p.Frame.IPLen()
	if p.Route.Encap != rib.None {
		limit = x.tunnelLimit(p, size) - OuterLen(p.Route.Encap, p.Route.Via) // RFC 2003 3.1: room for the outer header
	}
	if limit = carries(p.Route, limit); p.Route.Encap != rib.None && p.six {
		limit = max(limit, ipv6.MinMTU) // the outer packet is cut (RFC 4213 3.2.2, RFC 2473 7.1)
	}
	p.limit, p.size = int32(limit), int32(size)
	if size <= limit {
		return pass
	}
	if !mayCut(p, limit) {
		return verdict.Dropped(verdict.MTUExceeded) // RFC 1191 4, RFC 8200 4.5
	}
	x.fragment(p, limit)
	return edit
}

// mayCut says whether a packet may be cut into fragments: of IPv6 by its source alone.
func mayCut(p *Packet, limit int) bool {
	if p.six {
		return p.Origin != Received && limit >= ipv6.MinMTU
	}
	ip := packet.IPv4(p.IP)
	return !ip.DF() && packet.Fragmentable(ip, limit)
}

// tunnelLimit is the largest outer packet that goes into the route's tunnel: what the
// path carries or, where that is old and the packet may find out, what the link does.
func (x *Path) tunnelLimit(p *Packet, size int) int {
	link, t := p.Out.MTU, x.Tunnel(p.Route.Via)
	if p.toEnd = x.RouteTo(p.Route.Via, p.IP); p.toEnd != nil {
		link = carries(p.toEnd, link)
	}
	if t == nil {
		return link
	}
	limit, outer := t.limit(link), size+OuterLen(p.Route.Encap, t.Peer)
	if t.Probe == ProbeDue && outer > limit && outer <= link && mayNotBeCut(p.IP) {
		c := p.add()
		c.Action, c.Tunnel, c.Bytes = SendProbe, t, outer
		return link
	}
	return limit
}

// mayNotBeCut says whether the source of a packet hears of it if it is too big.
func mayNotBeCut(ip packet.IP) bool { return ip.Version() == 6 || packet.IPv4(ip).DF() }

// carries is how much goes by a route, where its link takes so much. Linux forwards by a route's
// MTU too, locked or not (ip_dst_mtu_maybe_forward).
func carries(r *rib.Route, link int) int {
	if r.MTU == 0 {
		return link
	}
	return min(link, int(r.MTU))
}

// fragment cuts the packet, segments first where the frame is offloaded, as a
// fragment cannot be left to a device.
func (x *Path) fragment(p *Packet, limit int) {
	if p.Frame.Offload.IsGSO() {
		x.segment(p)
	}
	whole := append([]*packet.Frame{p.Frame}, p.extra...)
	p.extra = p.extra[:0]
	for i, f := range whole {
		if i > 0 {
			p.extra = append(p.extra, f)
		}
		f.FinishChecksum()
		if f.IPLen() <= limit {
			continue
		}
		add := func() *packet.Frame { return x.addFrame(p) }
		if packet.IP(f.Payload()).Version() == 6 {
			packet.Fragment6(f, limit, x.number32(p.Into), add)
			if i == 0 && p.outer != 0 {
				p.outer += packet.FragmentHeaderLen
			}
		} else {
			packet.Fragment(f, limit, add)
		}
	}
	p.IP = packet.IP(p.Frame.Payload())[p.outer:]
	p.pieces = int32(1 + len(p.extra))
}

// segment cuts an offloaded frame into the packets it stands for: the first
// takes its place, the others follow in extra.
func (x *Path) segment(p *Packet) {
	gso := p.Frame
	p.Frame = nil
	packet.Segment(gso, func() *packet.Frame {
		if p.Frame == nil {
			p.Frame = x.Borrow()
			return p.Frame
		}
		return x.addFrame(p)
	})
	p.IP = packet.IP(p.Frame.Payload())
}

func (x *Path) addFrame(p *Packet) *packet.Frame {
	f := x.Borrow()
	p.extra = append(p.extra, f)
	return f
}

func mtuFacts(p *Packet, f *Facts) {
	f.Fit, f.Size, f.Pieces, f.MTU = p.limit, p.size, p.pieces, int32(p.Out.MTU)
	switch {
	case p.Route.MTU != 0 && p.limit == int32(p.Route.MTU):
		f.Note = "by the mtu of the route "
		return
	case p.Route.Encap == rib.None:
		return
	}
	f.Outer = int32(OuterLen(p.Route.Encap, p.Route.Via))
	if p.toEnd != nil && p.toEnd.MTU != 0 && p.limit == int32(p.toEnd.MTU)-f.Outer {
		f.Note = "by the mtu of the route to the tunnel's end "
	}
}

func saysMTU(o *Seen) string {
	if o.Kind == verdict.Edit {
		return fmt.Sprintf("%s: cut into %d fragments", o.sum(), o.Pieces)
	}
	return o.sum()
}

// sum is the sum by which mtu decides, such as "1481 bytes, 1500 - 20 = 1480 fit".
func (f *Facts) sum() string {
	link := f.Fit + f.Outer
	fit := fmt.Sprint(f.Fit)
	if f.Outer > 0 {
		fit = fmt.Sprintf("%d - %d = %d", link, f.Outer, f.Fit)
	}
	switch {
	case f.Note != "":
		fit = f.Note + fit
	case link < f.MTU:
		fit = "the tunnel's path carries " + fit
	}
	return fmt.Sprintf("%d bytes, %s fit", f.Size, fit)
}
