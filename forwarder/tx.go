package forwarder

import "github.com/vrouter/vrouter/internal/verdict"

// TX makes the frames what the port can be given: it finishes checksums and segments
// where the port leaves that to nobody. What becomes of them is the kernel's verdict.
var TX = &Step{
	Word: "tx", Help: "the frame is handed to its port",
	run: (*Path).tx, say: saysTX,
}

func (x *Path) tx(p *Packet) Verdict {
	if !p.Frame.Offload.Pending() || p.Out.Offload && p.Frame.Plain() || p.leavesWhole() {
		return pass
	}
	if p.Frame.Offload.IsGSO() {
		x.segment(p)
		return pass
	}
	p.Frame.FinishChecksum()
	for _, f := range p.extra {
		f.FinishChecksum()
	}
	return pass
}

// leavesWhole says whether it is a superframe in a tunnel, and the port still takes it as it did
// when it came to encap.
func (p *Packet) leavesWhole() bool {
	if p.Cut != CutByKernel {
		return false
	}
	_, cut := p.Out.WhyCut(p.Route.Encap, p.Route.Via)
	return !cut
}

func saysTX(o *Seen) string {
	if o.Kind == verdict.Drop {
		return ""
	}
	return o.Out
}
