package forwarder

import (
	"fmt"

	"github.com/vrouter/vrouter/internal/ipv4"
	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/verdict"
	"github.com/vrouter/vrouter/rib"
)

// Encap puts an outer header around what the route sends through a tunnel (RFC
// 2003 3.1). A virtio header cannot speak of a packet in a packet, so an
// offloaded frame is cut into its segments first.
var Encap = &Step{
	Word: "encap", Help: "an outer header is put around what goes through a tunnel", RFC: "RFC 2003 3.1", Quiet: true,
	run: (*Path).encap, facts: encapFacts, say: saysEncap,
}

func (x *Path) encap(p *Packet) Verdict {
	if p.Route.Encap != rib.IPIP {
		return pass
	}
	end := p.NextHop
	if p.IP.Version() != 4 || !end.Is4() {
		return verdict.Dropped(verdict.NoRoute)
	}
	if p.Origin == Received && (x.isOwn(p.IP.Src()) || p.IP.Src() == end || p.IP.Dst() == end) {
		return verdict.Dropped(verdict.IPIPLoop) // RFC 2003 3.2
	}
	r := p.toEnd
	if r == nil || r.Type != rib.Unicast || x.Port(r.Port) == nil {
		return verdict.Dropped(verdict.NoRoute)
	}
	if r.Encap == rib.IPIP || x.Port(r.Port).Kind != Uplink {
		return verdict.Dropped(verdict.IPIPLoop)
	}
	if p.Frame.Offload.IsGSO() {
		x.segment(p)
	}
	h := packet.Header{TTL: ipv4.OwnTTL, Protocol: packet.ProtocolIPIP, Src: x.tunnelSource(end), Dst: end}
	p.outer, p.Into = packet.IPv4MinLen, x.Tunnel(end)
	x.wrap(p.Frame, h, p.Into)
	for _, f := range p.extra {
		x.wrap(f, h, p.Into)
	}
	p.Out, p.NextHop = x.Port(r.Port), end
	if r.Via.IsValid() {
		p.NextHop = r.Via
	}
	return edit
}

// wrap moves the frame's start back into the headroom. DSCP and ECN are copied
// out (RFC 2983 3.1 uniform, RFC 6040 4.1), Don't Fragment as the inner has it unless
// the tunnel's path carries less than is believed of any.
func (x *Path) wrap(f *packet.Frame, h packet.Header, t *Tunnel) {
	inner := packet.IPv4(f.Payload())
	h.TOS, h.TotalLen = inner.TOS(), len(inner)+packet.IPv4MinLen
	if h.DF = inner.DF() && !t.cuts(h.TotalLen); h.DF {
		h.ID = x.Keys.Number(h.Src, h.Dst, h.TotalLen, inner)
	} else {
		h.ID = x.Numbers.Next(t)
	}
	f.Prepend(packet.IPv4MinLen)
	packet.PutIPv4(f.Payload(), &h)
}

func encapFacts(p *Packet, f *Facts) {
	if p.Route.Encap == rib.IPIP {
		f.Addr = p.Route.Via
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
	return fmt.Sprintf("%s > %s proto %d ttl %d, %d bytes", ip.Src(), ip.Dst(), packet.IPv4(ip).Protocol(), ip.HopLimit(), ip.Len())
}
