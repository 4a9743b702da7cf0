package forwarder

import (
	"sync"
	"time"

	"github.com/vrouter/vrouter/internal/trace"
	"github.com/vrouter/vrouter/internal/verdict"
)

// Counters of packets that came in.
type Counters struct {
	Packets uint64 // received
	Bytes   uint64
	Held    uint64 // of them, those that had to wait: for a neighbour, or for the rest of a datagram
	Resumed uint64 // those that are done waiting, and have their verdict
	Steps   [verdict.NumSteps][verdict.NumKinds]uint64
	Drops   [verdict.NumReasons]uint64
	Lookups [NumLookups]uint64
	Ways    Ways // of those that have a verdict
	// Durations of the steps of sampled packets.
	Durations [verdict.NumSteps]Histogram
}

// ledger is counters that several workers write: those of packets that had to
// wait, and those of ports that are gone.
type ledger struct {
	mu sync.Mutex
	Counters
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

// count enters a step's verdict.
func (c *Counters) count(p *Packet, s verdict.Step, v verdict.Verdict) {
	c.Steps[s][v.Kind] += p.weight
	if s == verdict.Route {
		c.Lookups[lookup(v)] += p.weight
	}
	if v.Kind.Ends() || s == verdict.TX {
		c.Ways.add(trace.WayOf(p.edited, s, v), p.weight)
	}
	if v.Kind == verdict.Drop {
		c.Drops[v.Reason] += p.weight
	}
}

// countLate enters a step's verdict about a packet that has waited.
func (c *ledger) countLate(p *Packet, s verdict.Step, v verdict.Verdict) {
	c = c.lock()
	defer c.mu.Unlock()
	if v.Kind.Ends() || s == verdict.TX {
		c.Resumed += p.weight
	}
	c.count(p, s, v)
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
	to.add(&c.Counters)
	c.Counters, c.moved = Counters{}, to
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

// add adds up two sets of counters. Both are the caller's.
func (c *Counters) add(o *Counters) {
	c.Packets += o.Packets
	c.Bytes += o.Bytes
	c.Held += o.Held
	c.Resumed += o.Resumed
	for s := range c.Steps {
		for k := range c.Steps[s] {
			c.Steps[s][k] += o.Steps[s][k]
		}
		c.Durations[s].add(&o.Durations[s])
	}
	for r := range c.Drops {
		c.Drops[r] += o.Drops[r]
	}
	for l := range c.Lookups {
		c.Lookups[l] += o.Lookups[l]
	}
	c.Ways.addAll(&o.Ways)
}

// read adds the counters to sum, and returns their imbalance.
func (c *ledger) read(sum *Counters) (imbalance int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	sum.add(&c.Counters)
	return c.imbalance()
}

// Ended is the number of packets with a verdict: forwarded, consumed, dropped.
func (c *Counters) Ended() (forwarded, consumed, dropped uint64) {
	forwarded = c.Steps[verdict.TX][verdict.Pass]
	for s := range c.Steps {
		consumed += c.Steps[s][verdict.Consume]
		dropped += c.Steps[s][verdict.Drop]
	}
	return forwarded, consumed, dropped
}

// imbalance is received − (forwarded + consumed + dropped), without what waits
// (Held, not Resumed): 0, always.
func (c *Counters) imbalance() int64 {
	forwarded, consumed, dropped := c.Ended()
	return int64(c.Packets + c.Resumed - c.Held - forwarded - consumed - dropped)
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

// Drop is the count of a reason, by its word.
func (c *Counters) Drop(word string) uint64 {
	for _, r := range verdict.Reasons() {
		if r.String() == word {
			return c.Drops[r]
		}
	}
	return 0
}
