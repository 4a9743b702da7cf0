package forwarder

import (
	"slices"

	"github.com/vrouter/vrouter/internal/verdict"
)

// RPF lets a workload send from its own addresses alone: strict reverse-path
// filtering (RFC 3704 2.2), where the reverse path is one address.
var RPF = &Step{
	Word: "rpf", Help: "a workload sends from its own address alone", RFC: "RFC 3704 2.2", Quiet: true,
	run: (*Path).rpf, facts: rpfFacts, say: saysRPF,
}

func (x *Path) rpf(p *Packet) Verdict {
	if x.RPF && p.In.Kind == Workload && !slices.Contains(p.In.Addresses, p.IP.Src()) {
		return verdict.Dropped(verdict.RPFFailed)
	}
	return pass
}

func rpfFacts(p *Packet, f *Facts) {
	if p.In != nil {
		f.Addrs = p.In.Addresses
	}
}

func saysRPF(o *Seen) string {
	ip := header(o.After)
	switch {
	case o.Kind == verdict.Drop:
		return "the workload is " + list(o.Addrs)
	case len(o.Addrs) == 0:
		return "only a workload is held to one source"
	case ip != nil && slices.Contains(o.Addrs, ip.Src()):
		return ip.Src().String() + " is the workload's own"
	}
	return "rpf is off"
}
