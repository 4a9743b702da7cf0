package forwarder

import (
	"net/netip"
	"slices"

	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/verdict"
)

// RPF lets a workload send from its own addresses alone: strict reverse-path
// filtering (RFC 3704 2.2), where the reverse path is one address.
var RPF = &Step{
	Word: "rpf", Help: "a workload sends from its own address alone", RFC: "RFC 3704 2.2", Quiet: true,
	run: (*Path).rpf, facts: portFacts, say: saysRPF,
}

func (x *Path) rpf(p *Packet) Verdict {
	if !x.RPF || p.In.Kind != Workload {
		return pass
	}
	if p.six {
		return x.rpf6(p)
	}
	ip := packet.IPv4(p.IP)
	if !slices.Contains(p.In.Addresses, ip.Src()) || ip.Protocol() == packet.ProtocolICMP && x.speaksForOthers(p) {
		return verdict.Dropped(verdict.RPFFailed)
	}
	return pass
}

func (x *Path) rpf6(p *Packet) Verdict {
	ip := packet.IPv6(p.IP)
	if src := ip.Src(); !slices.Contains(p.In.Addresses, src) && !x.isOnLink(p, src) || packet.Quotes(p.IP) && x.speaksForOthers(p) {
		return verdict.Dropped(verdict.RPFFailed)
	}
	return pass
}

// isOnLink says whether a workload speaks from an address of its link, which it may give
// itself, to the router: check has let it speak to nobody else.
func (x *Path) isOnLink(p *Packet, src netip.Addr) bool {
	return src.IsLinkLocalUnicast() && !x.isRouter(p.In, src)
}

// speaksForOthers says whether a workload's ICMP error is about a packet of a tunnel that
// did not come to it: it is on no other tunnel's way, and could only forge what a router
// there would say. A first fragment that is too short to tell hides what it is about.
func (x *Path) speaksForOthers(p *Packet) bool {
	if !packet.Quotes(p.IP) {
		return false
	}
	quote := packet.Quoted(p.IP)
	if quote == nil {
		return isTooShortToTell(p.IP)
	}
	protocol, at, _ := packet.Transport(quote)
	tunnel := protocol == packet.ProtocolIPIP || protocol == packet.ProtocolIPv6 ||
		protocol == packet.ProtocolUDP && x.VXLAN.Port != 0 && len(quote) >= at+packet.UDPLen && packet.VXLAN(quote[at:]).DstPort() == x.VXLAN.Port
	if !tunnel || slices.Contains(p.In.Addresses, quote.Dst()) {
		return false
	}
	r := x.RouteTo(quote.Dst(), quote)
	return r == nil || r.Port != p.In.ID
}

// isTooShortToTell says whether an ICMP error ends, as a first fragment, before its quote
// says what it is about.
func isTooShortToTell(ip packet.IP) bool {
	if !packet.IsICMPError(ip) {
		return false
	}
	_, at, fragment := packet.Transport(ip)
	return fragment && len(ip) < at+packet.ICMPHeaderLen+headerLen(ip)
}

func saysRPF(o *Seen) string {
	ip := header(o.After)
	if o.Port == nil {
		return ""
	}
	switch own := o.Port.Addresses; {
	case o.Kind == verdict.Drop:
		return "the workload is " + list(own)
	case len(own) == 0:
		return "only a workload is held to one source"
	case ip != nil && slices.Contains(own, ip.Src()):
		return ip.Src().String() + " is the workload's own"
	case ip != nil && ip.Version() == 6 && ip.Src().IsLinkLocalUnicast():
		return "from an address of its link, to the router alone"
	}
	return "rpf is off"
}
