package forwarder

import (
	"net/netip"

	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/verdict"
	"github.com/vrouter/vrouter/rib"
)

// ownTTL is the TTL of what this router sends itself (RFC 1700, "ASSIGNED NUMBERS").
const ownTTL = 64

const (
	ecnMask = 3
	notECT  = 0
	ect1    = 1
	ect0    = 2
	ce      = 3
)

// decap unpacks IP-in-IP that a peer sent to this host. From then on the packet
// is the inner one, and meets the same steps as any other.
func (x *path) decap(p *Packet) verdict.Verdict {
	if p.ip.Protocol() != packet.ProtocolIPIP || p.in.Kind != Uplink || !x.isOwn(p.ip.Dst()) {
		return pass
	}
	t := x.tunnel(p.ip.Src())
	if t == nil || !t.accept {
		return verdict.Dropped(verdict.IPIPUnknownPeer)
	}
	if p.ip.IsFragment() {
		p.asked = verdict.Decap
		return hold // RFC 1812 4.2.2.8: put together what is for this host
	}
	outer := p.ip
	inner := packet.IPv4(outer.Payload())
	if badHeader(inner) != verdict.None {
		return verdict.Dropped(verdict.IPIPBadInner)
	}
	if inner.TTL() == 0 {
		return verdict.Dropped(verdict.IPIPInnerTTLZero)
	}
	ecn, ok := innerECN(inner.TOS()&ecnMask, outer.TOS()&ecnMask)
	if !ok {
		return verdict.Dropped(verdict.IPIPECN)
	}
	p.frame.Strip(outer.HeaderLen())
	p.frame.Trim(inner.TotalLen())
	p.ip = packet.IPv4(p.frame.Payload())
	if !p.frame.OffloadValid() {
		return verdict.Dropped(verdict.FrameTooShort)
	}
	if p.ip.TOS()&ecnMask != ecn {
		p.ip.SetECN(ecn)
	}
	if x.badAddress(p) != verdict.None || x.isLocal(p.ip.Src()) {
		return verdict.Dropped(verdict.IPIPBadInner)
	}
	p.tunnel = t
	return edit
}

// isLocal says whether an address is this host's or one of its workloads': no
// packet from there comes out of a tunnel.
func (x *path) isLocal(a netip.Addr) bool {
	r := x.fib.Lookup(a)
	return x.isOwn(a) || r != nil && r.Source == rib.Workload
}

// innerECN is the table of RFC 6040 4.2: what leaves a tunnel, from what came in
// it; not ok where a congestion mark would be lost.
func innerECN(inner, outer byte) (ecn byte, ok bool) {
	switch {
	case inner == notECT:
		return notECT, outer != ce
	case outer == ce:
		return ce, true
	case inner == ect0 && outer == ect1:
		return ect1, true
	}
	return inner, true
}

// encap puts an outer header around what the route sends through a tunnel (RFC
// 2003 3.1). A virtio header cannot speak of a packet in a packet, so an
// offloaded frame is cut into its segments first.
func (x *path) encap(p *Packet) verdict.Verdict {
	if p.route.Encap != rib.IPIP {
		return pass
	}
	end := p.nextHop
	if p.origin == Received && (x.isOwn(p.ip.Src()) || p.ip.Src() == end || p.ip.Dst() == end) {
		return verdict.Dropped(verdict.IPIPLoop) // RFC 2003 3.2
	}
	r := x.way(end, p.ip)
	if r == nil || r.Type != rib.Unicast || x.port(r.Port) == nil {
		return verdict.Dropped(verdict.NoRoute)
	}
	if r.Encap == rib.IPIP || x.port(r.Port).Kind != Uplink {
		return verdict.Dropped(verdict.IPIPLoop)
	}
	if p.frame.Offload.IsGSO() {
		x.segment(p)
	}
	p.outer, p.tunnel = packet.IPv4MinLen, x.tunnel(end)
	h := packet.Header{TTL: ownTTL, Protocol: packet.ProtocolIPIP, Src: x.sourceFor(end), Dst: end}
	idents := x.idents
	if p.tunnel != nil { // else it is about to be one
		idents = p.tunnel.idents
	}
	p.tunnel.wrap(p.frame, h, idents)
	for _, f := range p.extra {
		p.tunnel.wrap(f, h, idents)
	}
	p.out, p.nextHop = x.port(r.Port), end
	if r.Via.IsValid() {
		p.nextHop = r.Via
	}
	return edit
}

// wrap moves the frame's start back into the headroom. DSCP and ECN are copied
// out (RFC 2983 3.1 uniform, RFC 6040 4.1), Don't Fragment as the inner has it unless
// the tunnel's path carries less than is believed of any.
func (t *Tunnel) wrap(f *packet.Frame, h packet.Header, idents *idents) {
	inner := packet.IPv4(f.Payload())
	h.TOS, h.TotalLen = inner.TOS(), len(inner)+packet.IPv4MinLen
	if h.DF = inner.DF() && !t.cuts(h.TotalLen); h.DF {
		h.ID = idents.of(h.TotalLen, inner)
	} else {
		h.ID = idents.unique()
	}
	f.Prepend(packet.IPv4MinLen)
	packet.PutIPv4(f.Payload(), &h)
}
