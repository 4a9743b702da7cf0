// Package impair spoils what goes over a link, on purpose and to measure: packets are
// lost, delayed, reordered, duplicated, damaged, or held to a rate. The words and
// numbers mean what they mean in tc-netem(8). It does no I/O and reads no clock: the
// same packets at the same times, with the same seed, have the same fate.
package impair

import "time"

// DefaultLimit is how many frames wait on one line at the most, as netem's.
const DefaultLimit = 1000

// Impairment is what a link does to the frames that are sent to each of its ends. The
// zero value does nothing.
type Impairment struct {
	// Of each frame, the probability from 0 to 1 that it
	Loss      float64 `json:"loss,omitempty"`      // is lost
	Duplicate float64 `json:"duplicate,omitempty"` // comes twice
	Corrupt   float64 `json:"corrupt,omitempty"`   // has one bit behind its Ethernet header turned over
	Reorder   float64 `json:"reorder,omitempty"`   // is not delayed, and so overtakes those that are

	Delay  time.Duration `json:"delay,omitempty"`
	Jitter time.Duration `json:"jitter,omitempty"` // each frame's delay is evenly between Delay-Jitter and Delay+Jitter
	Rate   uint64        `json:"rate,omitempty"`   // bits a second, Ethernet headers included; 0: as fast as it goes
	Limit  int           `json:"limit,omitempty"`  // frames that wait at the most; 0: DefaultLimit
	Seed   uint64        `json:"seed,omitempty"`
}

// Any says whether it does anything to a frame.
func (i *Impairment) Any() bool {
	return i.Loss > 0 || i.Duplicate > 0 || i.Corrupt > 0 || i.Reorder > 0 || i.Delay > 0 || i.Rate > 0
}

// Counts are frames of one line.
type Counts struct {
	Sent       uint64 `json:"sent"` // into the line
	Delivered  uint64 `json:"delivered"`
	Lost       uint64 `json:"lost"`
	Overflow   uint64 `json:"overflow"` // dropped, as Limit frames waited already
	Duplicated uint64 `json:"duplicated"`
	Corrupted  uint64 `json:"corrupted"`
	Reordered  uint64 `json:"reordered"`
}

// Add adds up two counts.
func (c *Counts) Add(o Counts) {
	c.Sent += o.Sent
	c.Delivered += o.Delivered
	c.Lost += o.Lost
	c.Overflow += o.Overflow
	c.Duplicated += o.Duplicated
	c.Corrupted += o.Corrupted
	c.Reordered += o.Reordered
}
