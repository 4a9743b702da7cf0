package link

import (
	"slices"

	"github.com/vrouter/vrouter/internal/packet"
)

// big is what a packet socket keeps of superframes that are longer than an IP packet
// can be (BIG TCP: gro_ipv4_max_size, gso_ipv4_max_size): they are cut into several
// that are not, which wait, with all that came behind them, until they are asked for. So are
// datagrams of VXLAN that came as one frame.
type big struct {
	whole []byte          // a frame with its tail
	held  []*packet.Frame // to be handed over
	spare []*packet.Frame // to be held
}

// hold keeps the messages from one to another.
func (p *AFPacket) hold(frames []packet.Frame, from, to int) {
	for i := from; i < to; i++ {
		f := &frames[i]
		p.parse(f, i)
		if f.Len >= packet.MaxFrameLen { // of IPv4 one byte more than its header can say
			p.split(f, p.tails[i*tailLen:][:f.Len-packet.MaxFrameLen])
			continue
		}
		if p.joins(f) {
			packet.Segment(f, p.next)
			continue
		}
		g := p.next()
		g.Reset(f.Len)
		copy(g.Bytes(), f.Bytes())
		g.Offload = f.Offload
	}
}

// joins says whether a frame is several datagrams of VXLAN, each of which is to be unpacked by itself: an interface joins
// those that have a checksum (rx-udp-gro-forwarding). No kernel joins more than it can cut.
func (p *AFPacket) joins(f *packet.Frame) bool {
	const most = 128 // UDP_MAX_SEGMENTS
	port := p.vxlan.Load()
	return port != 0 && f.Offload.GSOType == packet.GSOUDPL4 && f.Admit() && f.JoinedTo(uint16(port)) && f.Segments() <= most
}

// split holds the pieces of a frame that ends in a tail.
func (p *AFPacket) split(f *packet.Frame, tail []byte) {
	p.whole = append(append(p.whole[:0], f.Buf[:f.Off+packet.MaxFrameLen]...), tail...)
	whole := packet.Frame{Buf: p.whole, Off: f.Off, Len: f.Len, Offload: f.Offload}
	if !whole.Admit() || !packet.Split(&whole, p.next) {
		p.lost.Add(1)
	}
}

// next lends a frame and holds it.
func (p *AFPacket) next() *packet.Frame {
	f := &packet.Frame{}
	if n := len(p.spare); n > 0 {
		f, p.spare = p.spare[n-1], p.spare[:n-1]
	}
	p.held = append(p.held, f)
	return f
}

// handOver fills frames with those that are held, and says how many.
func (p *AFPacket) handOver(frames []packet.Frame) int {
	n := min(len(p.held), len(frames))
	for i, f := range p.held[:n] {
		frames[i].Reset(f.Len)
		copy(frames[i].Bytes(), f.Bytes())
		frames[i].Offload = f.Offload
		if len(p.spare) < maxSpare {
			p.spare = append(p.spare, f)
		}
	}
	p.held = slices.Delete(p.held, 0, n)
	return n
}
