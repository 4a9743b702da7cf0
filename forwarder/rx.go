package forwarder

import (
	"fmt"
	"strings"

	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/verdict"
)

// RX judges the frame itself: whole, honest about its offloads, and for this station.
var RX = &Step{
	Word: "rx", Help: "the frame is read from its port",
	run: (*Path).rx, facts: portFacts, say: saysRX,
}

func (x *Path) rx(p *Packet) Verdict {
	if p.lies {
		return verdict.Dropped(verdict.FrameTooShort)
	}
	if dst := p.Frame.DstMAC(); dst != p.In.MAC && !dst.IsGroup() {
		return verdict.Noise(verdict.NotForRouter)
	}
	return pass
}

// refuse drops a packet by what its frame says: it is lost if it was sent to this
// station, and noise if it was for a group, which no router is a member of.
func (p *Packet) refuse(r Reason) Verdict {
	if p.Frame.DstMAC().IsGroup() {
		return verdict.Noise(r)
	}
	return verdict.Dropped(r)
}

func portFacts(p *Packet, f *Facts) { f.Port = p.In }

func saysRX(o *Seen) string {
	switch {
	case o.Reason == verdict.NotForRouter && o.Port != nil && o.Port.MAC.IsUnicast():
		return "this port is " + o.Port.MAC.String()
	case o.Kind == verdict.Drop:
		return ""
	case len(o.After) < packet.EthernetLen:
		return o.In
	}
	return strings.TrimSpace(fmt.Sprintf("%s  %s > %s", o.In, packet.MAC(o.After[6:]), packet.MAC(o.After)))
}
