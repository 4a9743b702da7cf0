package timeline

import (
	"cmp"
	"slices"
	"time"
)

// samples is how many packets each way the clocks of two hosts are compared by.
const samples = 32

// clocks compares two hosts' clocks as NTP does (RFC 5905 8), by the quickest of the
// last packets each way: what one clock is ahead of the other lies between the
// differences that they show.
type clocks struct {
	same  bool            // they are one
	there []time.Duration // arrival by the second host's clock, less departure by the first one's
	back  []time.Duration // the other way round
}

// Clocks says what a delay between two hosts can be trusted for.
const (
	ClocksSame      = "same"      // one clock
	ClocksAgree     = "agree"     // two, which differ by less than can be told
	ClocksCorrected = "corrected" // two that differ, and the delay is corrected by it
	ClocksUnchecked = "unchecked" // nothing came back: the delay is known no better than the clocks
)

// add takes a packet that needed so long, by two clocks. A clock that was set makes
// the older packets contradict it: they are forgotten.
func (c *clocks) add(d time.Duration, forth bool) {
	to, other := &c.there, &c.back
	if !forth {
		to, other = other, to
	}
	*to = append(*to, d)
	if len(*to) > samples {
		*to = slices.Delete(*to, 0, 1)
	}
	for _, list := range []*[]time.Duration{to, other} {
		if len(*other) > 0 && slices.Min(*to)+slices.Min(*other) < 0 {
			*list = (*list)[len(*list)-1:]
		}
	}
	if len(*other) > 0 && slices.Min(*to)+slices.Min(*other) < 0 {
		*other = nil
	}
}

// offset is how far the second host's clock is ahead of the first one's, plus or
// minus the error.
func (c *clocks) offset() (ahead, plusMinus time.Duration, state string) {
	switch {
	case c.same:
		return 0, 0, ClocksSame
	case len(c.there) == 0 || len(c.back) == 0:
		return 0, 0, ClocksUnchecked
	}
	there, back := slices.Min(c.there), slices.Min(c.back)
	ahead, plusMinus = (there-back)/2, (there+back)/2
	if ahead.Abs() <= plusMinus {
		return 0, plusMinus, ClocksAgree
	}
	return ahead, plusMinus, ClocksCorrected
}

// pair names two hosts in one order.
type pair struct{ first, second string }

func pairOf(a, b *host) (p pair, forth bool) {
	if cmp.Compare(a.Name, b.Name) <= 0 {
		return pair{a.Name, b.Name}, true
	}
	return pair{b.Name, a.Name}, false
}

// clocksOf is what is known of two hosts' clocks; forth: a is the first of them.
func (j *Joiner) clocksOf(a, b *host) (c *clocks, forth bool) {
	p, forth := pairOf(a, b)
	if c = j.clocks[p]; c == nil {
		c = &clocks{same: a == b || a.Clock != "" && a.Clock == b.Clock}
		j.clocks[p] = c
	}
	return c, forth
}
