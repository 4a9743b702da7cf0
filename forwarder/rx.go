package forwarder

import (
	"github.com/vrouter/vrouter/internal/verdict"
)

// rx judges the frame itself: whole, honest about its offloads, and for this station.
func (x *path) rx(p *Packet) verdict.Verdict {
	if p.lies {
		return verdict.Dropped(verdict.FrameTooShort)
	}
	if dst := p.frame.DstMAC(); dst != p.in.MAC && !dst.IsGroup() {
		return verdict.Dropped(verdict.NotForRouter)
	}
	return pass
}
