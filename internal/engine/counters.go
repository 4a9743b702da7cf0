package engine

import (
	"sync"
	"time"

	"github.com/vrouter/vrouter/forwarder"
	"github.com/vrouter/vrouter/internal/trace"
	"github.com/vrouter/vrouter/internal/verdict"
)

// Tally is what the packet path counts of the packets that came in by one queue. A
// packet is counted when it comes and when its way ends; how often each step gave
// which verdict is read off the ways.
type Tally struct {
	Packets uint64 // received
	Bytes   uint64
	Waits   [NumWaits]Wait
	Ways    Ways   // of those that have a verdict
	Six     uint64 // of those that were forwarded, IPv6
	// Durations of the steps of sampled packets.
	Durations [forwarder.NumSteps]Histogram
}

// What a packet may have to wait for.
const (
	ForNeighbor = iota
	ForFragments
	NumWaits
)

// Wait is the packets that had to wait for one thing.
type Wait struct {
	Held    uint64
	Resumed uint64 // of them, those that are done waiting, and have their verdict
}

// Now is how many wait.
func (w Wait) Now() uint64 { return w.Held - w.Resumed }

// Counters are a tally, and what is read off its ways.
type Counters struct {
	Tally
	Verdicts
}

// Verdicts are packets by the verdicts that steps gave them. A packet that waits is
// not among them yet.
type Verdicts struct {
	Steps   [forwarder.NumSteps][verdict.NumKinds]uint64
	Drops   [verdict.NumReasons]uint64
	Noise   [verdict.NumReasons]uint64 // of the drops: what nobody sent to this router
	Lookups [NumLookups]uint64
}

// ledger is counters that several workers write: those of packets that had to
// wait, and those of ports that are gone.
type ledger struct {
	mu sync.Mutex
	Tally
	moved *ledger // where counting goes on, once the port is gone
}

// Results of a route lookup.
const (
	LookupHit = iota
	LookupMiss
	LookupBlackhole
	NumLookups
)

// LookupWords are the results' words in the metrics.
var LookupWords = [NumLookups]string{"hit", "miss", "blackhole"}

// enter adds packets that took a way: each step before its end passed or edited them.
func (c *Verdicts) enter(w trace.Way, packets uint64) {
	end, v := w.End()
	for i, s := range forwarder.Steps()[:end.Number()] {
		kind := verdict.Pass
		if w.Edited().Has(s) {
			kind = verdict.Edit
		}
		c.Steps[i][kind] += packets
	}
	c.Steps[end.Number()][v.Kind] += packets
	switch {
	case end.Number() > forwarder.Route.Number():
		c.Lookups[LookupHit] += packets
	case end == forwarder.Route:
		c.Lookups[lookup(v)] += packets
	}
	if v.Kind == verdict.Drop {
		c.Drops[v.Reason] += packets
	}
	if v.Noise {
		c.Noise[v.Reason] += packets
	}
}

// countLate enters the way of a packet that has waited; six are those that were forwarded
// and are IPv6. It says whether one is to be recorded.
func (c *ledger) countLate(waited int, w trace.Way, packets, six uint64) (record bool) {
	c = c.lock()
	defer c.mu.Unlock()
	c.Waits[waited].Resumed += packets
	c.Six += six
	return c.Ways.add(w, packets)
}

// mark has the next packet recorded that is forwarded by each way.
func (c *ledger) mark() {
	c = c.lock()
	defer c.mu.Unlock()
	c.Ways.mark()
}

// lock takes the ledger that counts for this one, and returns it.
func (c *ledger) lock() *ledger {
	c.mu.Lock()
	if to := c.moved; to != nil {
		c.mu.Unlock()
		return to.lock()
	}
	return c
}

// moveTo adds what was counted to another ledger, whose lock the caller holds,
// and has all that comes later counted there.
func (c *ledger) moveTo(to *ledger) {
	c.mu.Lock()
	defer c.mu.Unlock()
	to.add(&c.Tally)
	c.Tally, c.moved = Tally{}, to
}

func lookup(v verdict.Verdict) int {
	switch {
	case v.Kind != verdict.Drop:
		return LookupHit
	case v.Reason == verdict.NoRoute:
		return LookupMiss
	}
	return LookupBlackhole
}

// add adds up two tallies. Both are the caller's.
func (c *Tally) add(o *Tally) {
	c.Packets += o.Packets
	c.Bytes += o.Bytes
	for i := range c.Waits {
		c.Waits[i].Held += o.Waits[i].Held
		c.Waits[i].Resumed += o.Waits[i].Resumed
	}
	c.Ways.addAll(&o.Ways)
	c.Six += o.Six
	for s := range c.Durations {
		c.Durations[s].add(&o.Durations[s])
	}
}

// addTo adds the tally to another one.
func (c *ledger) addTo(sum *Tally) {
	c.mu.Lock()
	defer c.mu.Unlock()
	sum.add(&c.Tally)
}

// readWays works out the verdicts.
func (c *Counters) readWays() {
	c.Verdicts = c.Ways.other
	for w, n := range c.Ways.All {
		c.enter(w, n)
	}
}

// Ended is the number of packets with a verdict: forwarded, consumed, dropped.
func (c *Verdicts) Ended() (forwarded, consumed, dropped uint64) {
	forwarded = c.Steps[forwarder.TX.Number()][verdict.Pass]
	for s := range c.Steps {
		consumed += c.Steps[s][verdict.Consume]
		dropped += c.Steps[s][verdict.Drop]
	}
	return forwarded, consumed, dropped
}

// Forwarded is how many packets were sent on, by family.
func (c *Counters) Forwarded() [forwarder.NumFamilies]uint64 {
	all, _, _ := c.Ended()
	return [...]uint64{forwarder.FamilyIPv4: all - c.Six, forwarder.FamilyIPv6: c.Six}
}

// imbalance is received − (forwarded + consumed + dropped), without what waits: 0, always.
func (c *Counters) imbalance() int64 {
	forwarded, consumed, dropped := c.Ended()
	return int64(c.Packets - c.Waits[ForNeighbor].Now() - c.Waits[ForFragments].Now() - forwarded - consumed - dropped)
}

// DurationBuckets are the upper bounds of the step durations' histogram.
var DurationBuckets = [...]time.Duration{
	100, 250, 500, 1000, 2500, 5000, 10_000, 25_000, 50_000, 100_000, 1_000_000, // ns
}

// Histogram of durations: the last bucket is what is over all bounds.
type Histogram struct {
	Buckets [len(DurationBuckets) + 1]uint64
	Sum     time.Duration
}

func (h *Histogram) observe(d time.Duration) {
	i := 0
	for i < len(DurationBuckets) && d > DurationBuckets[i] {
		i++
	}
	h.Buckets[i]++
	h.Sum += d
}

func (h *Histogram) add(o *Histogram) {
	for i := range h.Buckets {
		h.Buckets[i] += o.Buckets[i]
	}
	h.Sum += o.Sum
}

// Lost is how many packets that were for this router were dropped for a reason.
func (c *Verdicts) Lost(r verdict.Reason) uint64 { return c.Drops[r] - c.Noise[r] }

// AllNoise is the sum of the noise.
func (c *Verdicts) AllNoise() (sum uint64) {
	for _, n := range c.Noise {
		sum += n
	}
	return sum
}

// Drop is the count of a reason, by its word.
func (c *Counters) Drop(word string) uint64 {
	for _, r := range verdict.Reasons() {
		if r.String() == word {
			return c.Drops[r]
		}
	}
	return 0
}
