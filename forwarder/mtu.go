package forwarder

import (
	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/verdict"
	"github.com/vrouter/vrouter/rib"
)

// mtu judges whether the packet fits through the next link. An offloaded frame
// is judged by its segments, as they are what the link will carry.
func (x *path) mtu(p *Packet) verdict.Verdict {
	p.limit, p.ipLen = p.out.MTU, p.frame.IPLen()
	if p.route.Encap == rib.IPIP {
		if t := x.tunnel(p.route.Via); t != nil {
			if path := t.pathMTU.Load(); path != nil {
				p.limit = p.pathLimit(t, path)
			}
		}
		p.limit -= packet.IPv4MinLen // RFC 2003 3.1: room for the outer header
	}
	if p.ipLen <= p.limit {
		return pass
	}
	if p.ip.DF() || !packet.Fragmentable(p.ip, p.limit) {
		return verdict.Dropped(verdict.MTUExceeded) // RFC 1191 4
	}
	x.fragment(p)
	return edit
}

// fragment cuts the packet, segments first where the frame is offloaded, as a
// fragment cannot be left to a device.
func (x *path) fragment(p *Packet) {
	if p.frame.Offload.IsGSO() {
		x.segment(p)
	}
	whole := append([]*packet.Frame{p.frame}, p.extra...)
	p.extra = p.extra[:0]
	for i, f := range whole {
		if i > 0 {
			p.extra = append(p.extra, f)
		}
		f.FinishChecksum()
		if f.IPLen() > p.limit {
			packet.Fragment(f, p.limit, func() *packet.Frame { return x.addFrame(p) })
		}
	}
	p.ip = packet.IPv4(p.frame.Payload())
	p.fragments = 1 + len(p.extra)
}

// segment cuts an offloaded frame into the packets it stands for: the first
// takes its place, the others follow in extra.
func (x *path) segment(p *Packet) {
	gso := p.frame
	p.frame = nil
	packet.Segment(gso, func() *packet.Frame {
		if p.frame == nil {
			p.frame = x.borrow()
			return p.frame
		}
		return x.addFrame(p)
	})
	p.ip = packet.IPv4(p.frame.Payload())
}

func (x *path) addFrame(p *Packet) *packet.Frame {
	f := x.borrow()
	p.extra = append(p.extra, f)
	return f
}
