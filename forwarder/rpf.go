package forwarder

import (
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
	if !slices.Contains(p.In.Addresses, p.IP.Src()) || packet.Quotes(p.IP) && x.speaksForOthers(p) {
		return verdict.Dropped(verdict.RPFFailed)
	}
	return pass
}

// speaksForOthers says whether a workload's ICMP error is about a packet of a tunnel that
// did not come to it: it is on no other tunnel's way, and could only forge what a router
// there would say. A first fragment that is too short to tell hides what it is about.
func (x *Path) speaksForOthers(p *Packet) bool {
	quote := packet.Quoted(p.IP)
	if quote == nil {
		return p.IP.MF() && len(p.IP.Payload()) < packet.ICMPHeaderLen+packet.IPv4MinLen && packet.IsICMPError(p.IP)
	}
	if quote.Protocol() != packet.ProtocolIPIP || slices.Contains(p.In.Addresses, quote.Dst()) {
		return false
	}
	r := x.RouteTo(quote.Dst(), quote)
	return r == nil || r.Port != p.In.ID
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
	}
	return "rpf is off"
}
