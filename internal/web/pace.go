package web

import (
	"math/bits"
	"time"
)

const (
	// recordRate is how many records a second a router makes for the page at most, whatever comes.
	recordRate = 500
	// fewEnough packets a second are all listened to. Of more it is one in so many, the same ones at every host, which makes
	// at most wantedRate: a record takes a router some 100 µs, and nobody reads more.
	fewEnough  = 400
	wantedRate = 30
	// shownRate is how many ways a second are shown at most.
	shownRate = 200
	// paceTime is over how long packets are counted before the pace changes.
	paceTime = time.Second
)

// pace finds out of how many packets one is to be traced. The page is to cost the routers next to nothing, and nobody reads
// more than some packets a second.
type pace struct {
	oneIn uint64 // of how many packets one is traced; a power of two

	counts map[string]uint64 // packets that each host would have recorded, since began
	began  time.Time
	second time.Time // in which shown counts
	shown  int
}

func (p *pace) begin(now time.Time) { p.counts, p.began = map[string]uint64{}, now }

// count counts packets of a host, and says whether the pace has changed as they are too many.
func (p *pace) count(host string, n uint64, now time.Time) bool {
	p.counts[host] += n
	took := now.Sub(p.began)
	if p.counts[host] < fewEnough || took > paceTime {
		return false
	}
	return p.set(float64(p.counts[host]) / max(took, paceTime/50).Seconds())
}

// slower says whether the pace has changed as packets are fewer, and counts anew.
func (p *pace) slower(now time.Time) bool {
	took := now.Sub(p.began)
	if took < paceTime {
		return false
	}
	most := uint64(0)
	for _, n := range p.counts {
		most = max(most, n)
	}
	rate := float64(most) / took.Seconds()
	p.begin(now)
	return p.oneIn > 1 && rate < wantedRate/4 && p.set(rate)
}

// set chooses the pace for so many records a second at the present one.
func (p *pace) set(rate float64) bool {
	all := rate * float64(p.oneIn)
	next := uint64(1)
	if n := uint64(all / wantedRate); n > 1 {
		next = 1 << bits.Len64(n-1)
	}
	changed := next != p.oneIn
	p.oneIn = next
	return changed
}

// mayShow says whether one more way may be shown in this second.
func (p *pace) mayShow(now time.Time) bool {
	if now.Sub(p.second) >= time.Second {
		p.second, p.shown = now, 0
	}
	p.shown++
	return p.shown <= shownRate
}
