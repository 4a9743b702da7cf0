package link

import "github.com/vrouter/vrouter/internal/packet"

const (
	// turnSegments is how many segments a port's turn may bring: each may become a
	// frame of its own, and a write.
	turnSegments = 512
	// socketStep is how many frames are read from a packet socket before it is asked
	// whether they were enough.
	socketStep = 16
	// maxSpareParts is how many buffers are kept for superframes that are taken in parts.
	maxSpareParts = 16
)

// parts is how a port is read: as many frames as do not bring more segments than a turn
// may have. A superframe that brings more by itself is taken in parts, of which each is
// a superframe with headers of its own; the next one is for the port's next turn.
type parts struct {
	step  int           // frames that are read before they are looked at
	whole *packet.Frame // a superframe that is taken in parts; nil: there is none
	next  int           // the first of its segments that is to come
	spare *spare
}

// A TAP is read frame by frame: each is a system call of its own.
func newParts(p Port, s *spare) parts {
	if _, ok := p.(*AFPacket); ok {
		return parts{step: socketStep, spare: s}
	}
	return parts{step: 1, spare: s}
}

// take fills frames, and says how many, and whether there may be more.
func (p *polled) take(frames []packet.Frame) (n int, more bool, err error) {
	if p.whole != nil {
		p.part(&frames[0])
		return 1, true, nil // the port itself may have more, too
	}
	for segments := 0; n < len(frames) && segments < turnSegments; {
		ask := min(p.step, len(frames)-n)
		k, err := p.Read(frames[n : n+ask])
		for i := range k {
			segments += segmentsOf(&frames[n+i])
		}
		n += k
		if k > 0 && overlong(&frames[n-1]) {
			p.split(&frames[n-1])
			return n, true, err
		}
		if k < ask {
			return n, false, err
		}
	}
	return n, true, nil
}

// segmentsOf is about how many segments a frame brings, whatever its headers are.
func segmentsOf(f *packet.Frame) int {
	if !f.Offload.IsGSO() || f.Offload.GSOSize == 0 {
		return 1
	}
	return 1 + f.Len/int(f.Offload.GSOSize)
}

// overlong says whether a frame is a superframe that one turn may not have. What lies is left to the
// packet path, which tells.
func overlong(f *packet.Frame) bool {
	return segmentsOf(f) > turnSegments && f.Admit() && f.Segments() > turnSegments
}

// split keeps a superframe, and leaves the first part of it in its place.
func (p *parts) split(f *packet.Frame) {
	p.whole, p.next = p.spare.take(), 0
	p.whole.Reset(f.Len)
	copy(p.whole.Bytes(), f.Bytes())
	p.whole.Offload = f.Offload
	p.part(f)
}

// part makes the next part.
func (p *parts) part(f *packet.Frame) {
	more := p.whole.Part(p.next, turnSegments, f)
	if p.next += turnSegments; !more {
		p.drop()
	}
}

// drop forgets what is to come of a superframe.
func (p *parts) drop() {
	if p.whole != nil {
		p.spare.give(p.whole)
		p.whole = nil
	}
}

// spare are buffers that ports take in turns.
type spare []*packet.Frame

func (s *spare) take() *packet.Frame {
	n := len(*s)
	if n == 0 {
		return &packet.Frame{}
	}
	f := (*s)[n-1]
	*s = (*s)[:n-1]
	return f
}

func (s *spare) give(f *packet.Frame) {
	if len(*s) < maxSpareParts {
		*s = append(*s, f)
	}
}
