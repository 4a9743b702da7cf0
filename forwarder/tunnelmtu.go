package forwarder

import (
	"net/netip"
	"time"

	"github.com/vrouter/vrouter/internal/packet"
)

const (
	// MinPathMTU in bytes: every link carries that much (RFC 791 3.2, RFC 1191 3).
	// Settings may say that a path carries more.
	MinPathMTU = 68
	// PathMTUTime is how long a lowered path MTU is believed (RFC 1191 6.3).
	PathMTUTime = 10 * time.Minute
	// ProbeAfter is when a packet that is longer may go, to see whether the path carries
	// it by now: not before (RFC 1191 6.3).
	ProbeAfter = 5 * time.Minute
	// ProbeTime is how long a router may take to say that it does not.
	ProbeTime = 5 * time.Second
)

// PathMTU is the largest outer packet that the path to a tunnel's other end
// carries, as a router on the way has told. It goes down, and up when a longer packet
// has got through or the time is over.
type PathMTU struct {
	Bytes int
	From  netip.Addr // the router that told
	Since time.Time
	Less  bool // it told less than is believed of any path: routers are to cut what is longer
}

// States of a probe.
const (
	noProbe = iota
	probeDue
	probeSent
)

// plateaus are the MTUs to try where a router does not say which (RFC 1191 7.1).
var plateaus = []int{32000, 17914, 8166, 4352, 2002, 1492, 1006, 508, 296, MinPathMTU}

// pathLimit is the largest outer packet that goes into a tunnel: what its path carries
// or, where that was told long ago and this packet may find out, what the link does.
func (p *Packet) pathLimit(t *Tunnel, path *PathMTU) int {
	link, outer := p.out.MTU, p.ipLen+packet.IPv4MinLen
	if outer > path.Bytes && outer <= link && p.ip.DF() && t.probes(p.dry) {
		return link
	}
	return min(link, path.Bytes)
}

// probes says whether an outer packet goes as a probe. A dry run leaves it to the next one.
func (t *Tunnel) probes(dry bool) bool {
	if dry {
		return t.probe.Load() == probeDue
	}
	return t.probe.Load() == probeDue && t.probe.CompareAndSwap(probeDue, probeSent)
}

// cuts says whether routers on the way are to cut an outer packet of a length, though
// its sender would rather hear that it is too long: of a path that carries less than is
// believed he would hear nothing. A probe is to be heard of.
func (t *Tunnel) cuts(length int) bool {
	if t == nil {
		return false
	}
	path := t.pathMTU.Load()
	return path != nil && path.Less && length <= path.Bytes
}

// lower takes over a path MTU, least at least, for packets that were as long as sent.
// A router that does not say how much fits gets the next plateau (RFC 1191 5). What it
// says of a probe may be more than before.
func (t *Tunnel) lower(told, sent, least int, from netip.Addr, now time.Time) {
	if told == 0 {
		for _, p := range plateaus {
			if told = p; p < sent {
				break
			}
		}
	}
	told = max(told, MinPathMTU)
	was := t.pathMTU.Load()
	probed := was != nil && sent > was.Bytes && t.probe.Load() == probeSent
	if told >= sent || was != nil && told >= was.Bytes && !probed {
		return
	}
	t.pathMTU.Store(&PathMTU{Bytes: max(told, least), Less: told < least, From: from, Since: now})
	t.probe.Store(noProbe)
}

// tick does what is due: a path MTU that is too old is not believed any more, nor one
// that a probe was longer than and nobody has said so. Housekeeping calls it.
func (t *Tunnel) tick(now time.Time) {
	p := t.pathMTU.Load()
	if p == nil {
		return
	}
	switch t.probe.Load() {
	case noProbe:
		t.answerBy = time.Time{}
		if now.Sub(p.Since) >= ProbeAfter {
			t.probe.CompareAndSwap(noProbe, probeDue)
		}
	case probeSent:
		if t.answerBy.IsZero() {
			t.answerBy = now.Add(ProbeTime)
		}
		if !now.Before(t.answerBy) {
			t.forget(p)
			return
		}
	}
	if now.Sub(p.Since) >= PathMTUTime {
		t.forget(p)
	}
}

// forget drops a path MTU, unless it has just been told anew.
func (t *Tunnel) forget(p *PathMTU) {
	if t.pathMTU.CompareAndSwap(p, nil) {
		t.probe.Store(noProbe)
		t.answerBy = time.Time{}
	}
}
