package forwarder

import "github.com/vrouter/vrouter/internal/verdict"

// TX makes the frames what the port can be given: it finishes checksums and segments
// where the port leaves that to nobody. What becomes of them is the kernel's verdict.
var TX = &Step{
	Word: "tx", Help: "the frame is handed to its port",
	run: (*Path).tx, say: saysTX,
}

func (x *Path) tx(p *Packet) Verdict {
	if !p.Frame.Offload.Pending() || p.Out.Offload && p.Frame.Plain() || p.Cut == CutByKernel && p.Out.CarriesTunnels {
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

func saysTX(o *Seen) string {
	if o.Kind == verdict.Drop {
		return ""
	}
	return o.Out
}
