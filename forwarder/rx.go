package forwarder

import (
	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/verdict"
)

// rx judges the frame itself: whole, honest about its offloads, and for this station.
func (x *path) rx(p *Packet) verdict.Verdict {
	f := p.frame
	if f.Len < packet.EthernetLen || !f.OffloadValid() {
		return verdict.Dropped(verdict.FrameTooShort)
	}
	if dst := f.DstMAC(); dst != p.in.MAC && !dst.IsGroup() {
		return verdict.Overheard(verdict.NotForRouter)
	}
	return pass
}

// refuse drops a packet by what its frame says: it is lost if it was sent to this
// station, and noise if it was for a group, which no router is a member of.
func (p *Packet) refuse(r verdict.Reason) verdict.Verdict {
	if p.frame.DstMAC().IsGroup() {
		return verdict.Overheard(r)
	}
	return verdict.Dropped(r)
}
