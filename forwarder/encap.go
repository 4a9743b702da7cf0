package forwarder

import (
	"fmt"
	"net/netip"

	"github.com/vrouter/vrouter/internal/ipv4"
	"github.com/vrouter/vrouter/internal/ipv6"
	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/verdict"
	"github.com/vrouter/vrouter/rib"
)

// Encap puts an outer header around what the route sends through a tunnel: of the family
// of the tunnel's end (RFC 2003 3.1, RFC 4213 3, RFC 2473 3), and by VXLAN behind it those
// of UDP, VXLAN and Ethernet (RFC 7348 5). A virtio header cannot speak
// of a packet in a packet, so an offloaded frame is cut into its segments first, unless
// the way out has the kernel know what it is (CarriesTunnels).
var Encap = &Step{
	Word: "encap", Help: "an outer header is put around what goes through a tunnel", RFC: "RFC 2003 3.1", RFC6: "RFC 4213 3.2.2, RFC 2473 3.1", RFCVXLAN: "RFC 7348 5", Quiet: true,
	run: (*Path).encap, facts: encapFacts, say: saysEncap,
}

func (x *Path) encap(p *Packet) Verdict {
	if p.Route.Encap == rib.None {
		return pass
	}
	end := p.NextHop
	if p.Origin == Received {
		if src := p.IP.Src(); x.isOwn(src) || src == end || p.IP.Dst() == end {
			return verdict.Dropped(verdict.IPIPLoop) // RFC 2003 3.2
		}
	}
	r := p.toEnd
	if r == nil || r.Type != rib.Unicast || x.Port(r.Port) == nil || p.Route.Encap == rib.VXLAN && x.VXLAN.Port == 0 {
		return verdict.Dropped(verdict.NoRoute)
	}
	if r.Encap != rib.None || x.Port(r.Port).Kind != Uplink {
		return verdict.Dropped(verdict.IPIPLoop)
	}
	p.outer, p.Into = uint8(OuterLen(p.Route.Encap, end)), x.Tunnel(end)
	if p.Frame.Offload.IsGSO() {
		if p.Cut, p.why = p.whoCuts(x.Port(r.Port)); p.Cut == CutHere {
			x.segment(p)
		}
	}
	if end.Is6() {
		x.wrapAll6(p, end)
	} else {
		x.wrapAll(p, end)
	}
	p.Out, p.NextHop = x.Port(r.Port), end
	if p.six {
		if limit := x.outerLimit(p, r); p.Frame.IPLen() > limit {
			if p.Cut == CutByKernel {
				p.Cut, p.why = CutHere, "fragments are made of it"
			}
			x.fragment(p, limit)
		}
	}
	if r.Via.IsValid() {
		p.NextHop = r.Via
	}
	return edit
}

// whoCuts says where a superframe is cut that goes into a tunnel and leaves by a port, and why here.
func (p *Packet) whoCuts(out *Port) (Cut, string) {
	f, outer := p.Frame, int(p.outer)
	why, cut := out.WhyCut(p.Route.Encap, p.Route.Via)
	switch {
	case cut:
		return CutHere, why
	case !f.Plain():
		return CutHere, "no device could cut it"
	case f.Len-packet.EthernetLen+outer > packet.IPv4MaxLen:
		return CutHere, "with the outer header it is too long"
	}
	return CutByKernel, ""
}

// OuterLen is the length in bytes of the headers that are put around what goes to an end.
func OuterLen(e rib.Encap, end netip.Addr) int {
	n := packet.IPv4MinLen
	if end.Is6() {
		n = packet.IPv6MinLen
	}
	if e == rib.VXLAN {
		n += packet.VXLANLen
	}
	return n
}

// wrapAll puts an IPv4 header around each frame.
func (x *Path) wrapAll(p *Packet, end netip.Addr) {
	h := packet.Header{TTL: ipv4.OwnTTL, Protocol: p.inTunnel(), Src: x.tunnelSource(end), Dst: end}
	var v packet.VXLANHeader
	if p.Route.Encap == rib.VXLAN {
		v = x.vxlan(p, h.Src, end)
	}
	x.wrap(p, p.Frame, h, v)
	for _, f := range p.extra {
		x.wrap(p, f, h, v)
	}
}

// inTunnel is the protocol of what follows the outer IP header.
func (p *Packet) inTunnel() byte {
	if p.Route.Encap == rib.VXLAN {
		return packet.ProtocolUDP
	}
	if p.six {
		return packet.ProtocolIPv6
	}
	return packet.ProtocolIPIP
}

// wrap moves the frame's start back into the headroom. DSCP and ECN are copied
// out (RFC 2983 3.1 uniform, RFC 6040 4.1), Don't Fragment as the inner has it unless
// the tunnel's path carries less than is believed of any. A superframe has the numbers of
// its segments, of which it says the first.
func (x *Path) wrap(p *Packet, f *packet.Frame, h packet.Header, v packet.VXLANHeader) {
	inner, outer := packet.IP(f.Payload()), int(p.outer)
	h.TOS, h.TotalLen = inner.TrafficClass(), len(inner)+outer
	length, segments := h.TotalLen, uint64(1)
	if f.Offload.IsGSO() {
		length = f.IPLen() + outer // of a segment
		segments, _ = f.OnWire()
	}
	if h.DF = p.staysWhole(inner) && !p.Into.cuts(length); h.DF {
		h.ID = x.Keys.Number(h.Src, h.Dst, length, numberOf(inner, v.SrcPort))
	} else {
		h.ID = x.numbers(p.Into, int(segments))
	}
	f.Prepend(outer)
	packet.PutIPv4(f.Payload(), &h)
	if v.DstPort != 0 {
		v.Len = h.TotalLen - packet.IPv4MinLen
		packet.PutVXLAN(f.Payload()[packet.IPv4MinLen:], &v)
	}
	if p.six {
		f.SetEtherType(packet.EtherTypeIPv4)
	}
}

// wrapAll6 puts an IPv6 header around each frame (RFC 2473 3.1).
func (x *Path) wrapAll6(p *Packet, end netip.Addr) {
	h := packet.Header6{NextHeader: p.inTunnel(), HopLimit: ipv6.OwnHopLimit, Src: x.tunnelSource(end), Dst: end}
	var v packet.VXLANHeader
	if p.Route.Encap == rib.VXLAN {
		v = x.vxlan(p, h.Src, end)
	}
	x.wrap6(p.Frame, h, v)
	for _, f := range p.extra {
		x.wrap6(f, h, v)
	}
}

// wrap6 is wrap of IPv6, which has UDP make a checksum: by RFC 6935 VXLAN needs none, but
// whoever has not been told so drops what has none.
func (x *Path) wrap6(f *packet.Frame, h packet.Header6, v packet.VXLANHeader) {
	inner := packet.IP(f.Payload())
	h.TrafficClass, h.PayloadLen, h.FlowLabel = inner.TrafficClass(), len(inner), x.label(h.Src, h.Dst, inner)
	if v.DstPort != 0 {
		f.FinishChecksum()
		h.PayloadLen += packet.VXLANLen
		v.Len = h.PayloadLen
		f.Prepend(packet.VXLANLen)
		packet.PutVXLAN(f.Payload(), &v)
	}
	f.Prepend(packet.IPv6MinLen)
	packet.PutIPv6(f.Payload(), &h)
	if v.DstPort != 0 {
		packet.IPv6(f.Payload()).SetUDPChecksum()
	}
	f.SetEtherType(packet.EtherTypeIPv6)
}

// staysWhole says whether routers on the way of an outer packet of IPv4 are not to cut it:
// as the inner one has it. IPv6's would rather hear that it is too long, unless its source
// can make it no shorter (RFC 4213 3.2.2).
func (p *Packet) staysWhole(inner packet.IP) bool {
	if p.six {
		return p.limit > ipv6.MinMTU
	}
	return packet.IPv4(inner).DF()
}

// outerLimit is the longest outer packet that goes as it is. What is longer, as its source
// could make it no shorter, is cut here: of IPv6, nobody else does (RFC 2473 7.1).
func (x *Path) outerLimit(p *Packet, toEnd *rib.Route) int {
	limit := carries(toEnd, p.Out.MTU)
	if p.Into != nil && p.Into.Peer.Is6() && p.Due(SendProbe) == nil {
		limit = p.Into.limit(limit)
	}
	return limit
}

func encapFacts(p *Packet, f *Facts) {
	if p.Route.Encap != rib.None {
		f.Addr, f.Cut, f.Note = p.Route.Via, p.Cut, p.why
	}
}

func saysEncap(o *Seen) string {
	ip := header(o.After)
	switch {
	case o.Reason == verdict.NoRoute:
		return "no route contains " + o.Addr.String() + ", the tunnel's other end"
	case o.Kind == verdict.Pass:
		return "the route has no encapsulation"
	case o.Kind == verdict.Drop || ip == nil:
		return ""
	}
	if v := packet.VXLANIn(ip); v != nil {
		return saysVXLAN(ip, v) + o.whereCut()
	}
	protocol, _, fragment := packet.Transport(ip)
	text := fmt.Sprintf("%s > %s proto %d ttl %d, %d bytes", ip.Src(), ip.Dst(), protocol, ip.HopLimit(), ip.Len())
	if fragment {
		text += ", a fragment"
	}
	return text + o.whereCut()
}

// whereCut is where a superframe is cut, in words.
func (f *Facts) whereCut() string {
	switch f.Cut {
	case CutByKernel:
		return ": a superframe, which the kernel cuts"
	case CutHere:
		return ": of a superframe that is cut here: " + f.Note
	}
	return ""
}
