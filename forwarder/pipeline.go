// Package forwarder is the packet path: the steps that a packet meets, in their
// order, and nothing else. A step looks at the packet and at the snapshots that it is
// given, rewrites the packet, and returns a verdict; what is to be done because of it
// stands in the packet, as data (consequence.go). The package does no I/O, reads no
// clock, takes no lock and counts nothing: that is for whoever runs it. Live traffic
// (internal/engine), `explain` and `replay` run the same path.
//
// To follow a packet, read the table below from top to bottom: a file a step, named
// after it.
package forwarder

import (
	"slices"

	"github.com/vrouter/vrouter/internal/neigh"
	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/verdict"
	"github.com/vrouter/vrouter/rib"
)

// steps is the packet path, in the order in which a packet meets it. It is the only
// list of them: metrics, trace, filters and documentation are made from it.
var steps = [...]*Step{
	RX,
	ARP,
	Check,
	Decap,
	ND,
	RPF,
	Local,
	Route,
	TTL,
	MTU,
	Encap,
	Neigh,
	TX,
}

// NumSteps is the number of steps.
const NumSteps = len(steps)

// Step is a stage of the packet path: what it does, and its words.
type Step struct {
	Word string // of the metrics and the trace
	Help string
	RFC  string // where its rule is written
	RFC6 string // of IPv6, where it is another one; "": the same
	// RFCVXLAN is where that of VXLAN is written, of steps that have to do with it.
	RFCVXLAN string
	// Quiet steps have nothing to say when they pass: the text trace leaves
	// that line out, as most packets pass them untouched.
	Quiet bool

	// run judges the packet and rewrites it.
	run func(*Path, *Packet) Verdict
	// facts fills in what it judged by, for those who watch; nil: the frame tells it all.
	facts func(*Packet, *Facts)
	// say is one line: what it did and by what it decided, or why it refused; "" for
	// what the reason means in general.
	say func(*Seen) string

	number int // its place in the table
}

var runs [NumSteps]func(*Path, *Packet) Verdict // of steps: one load less a step

func init() {
	for i, s := range steps {
		s.number, runs[i] = i, s.run
	}
}

// Steps lists every step, in the order of the path.
func Steps() []*Step { return steps[:] }

// StepNamed is the step of that word, nil if there is none.
func StepNamed(word string) *Step {
	for _, s := range steps {
		if s.Word == word {
			return s
		}
	}
	return nil
}

// RFCOf is where its rule is written for a family.
func (s *Step) RFCOf(six bool) string {
	if six && s.RFC6 != "" {
		return s.RFC6
	}
	return s.RFC
}

// String is the word of the metrics and the trace.
func (s *Step) String() string { return s.Word }

// Number is its place on the path, from 0.
func (s *Step) Number() int { return s.number }

// StepSet is a set of steps.
type StepSet uint32

// They fit.
const _ = uint(32 - NumSteps)

// With adds a step.
func (set StepSet) With(s *Step) StepSet { return set | 1<<s.number }

// Has says whether a step is in the set.
func (set StepSet) Has(s *Step) bool { return set&(1<<s.number) != 0 }

// The verdicts without a reason.
var (
	pass    = Verdict{Kind: verdict.Pass}
	edit    = Verdict{Kind: verdict.Edit}
	consume = Verdict{Kind: verdict.Consume}
	hold    = Verdict{Kind: verdict.Hold}
)

// Path is what the steps see: snapshots of one moment, and scratch memory of the one
// goroutine that runs it.
type Path struct {
	*State
	FIB       *rib.FIB
	Neighbors *Neighbors
	Numbers   Numbers
	Keys      Keys
	Secret    uint64 // what only those know of outer flow labels who have seen them

	scratch []*packet.Frame // frames that the router makes
	made    int             // of them, those that are lent
	recent  recent
}

// Neighbors are the hardware addresses that are known.
type Neighbors = neigh.Snapshot

// Run takes a packet through the steps, from one of them on, until one ends its way or
// lets it wait. Pass means that it is ready to be sent by p.Out; the verdict of tx is
// the kernel's, when it is.
func (x *Path) Run(p *Packet, from *Step) Verdict {
	p.due = 0
	watch := p.Watch
	for i := from.number; i < NumSteps; i++ {
		v := runs[i](x, p)
		if v.Kind != verdict.Pass {
			if v.Kind.Ends() {
				return x.end(p, i, v)
			}
			p.Edited |= 1 << i
		}
		if watch != nil && i < NumSteps-1 && watch.Judged(p, steps[i], v) {
			return x.stop(p, i+1)
		}
	}
	p.at = uint8(NumSteps - 1)
	return pass
}

// stop has a packet wait before a step, as who watches wants it to.
func (x *Path) stop(p *Packet, before int) Verdict {
	p.add().Action = WaitStop
	return x.end(p, before, hold)
}

// end notes where a packet's way ends, or where it waits, and what its source is told.
func (x *Path) end(p *Packet, at int, v Verdict) Verdict {
	p.at = uint8(at)
	if v.Kind == verdict.Hold {
		return v
	}
	if p.Watch != nil {
		p.Watch.Judged(p, steps[at], v)
	}
	if v.Kind == verdict.Drop && p.Origin == Received {
		x.tell(p, v.Reason)
	}
	return v
}

// Refuse ends the way of a packet that has waited at a step in vain.
func (x *Path) Refuse(p *Packet, at *Step, r Reason) Verdict {
	p.due = 0
	return x.end(p, at.number, verdict.Dropped(r))
}

// Finish ends the way of a packet at a step that has seen what it waited for.
func (x *Path) Finish(p *Packet, at *Step) Verdict {
	p.due = 0
	return x.end(p, at.number, consume)
}

// ScratchKept is the largest buffer in bytes that stays with the scratch memory: a
// packet of any Ethernet, jumbo frames among them, costs no allocation.
const ScratchKept = 10 << 10

// Borrow lends an empty frame, until Release. Its buffer grows with what it is used
// for: of the largest size, a thousand of them would be 64 MB.
func (x *Path) Borrow() *packet.Frame {
	if x.made == len(x.scratch) {
		x.scratch = append(x.scratch, &packet.Frame{})
	}
	f := x.scratch[x.made]
	x.made++
	f.Reset(0)
	return f
}

// Made is how many frames the path has made since Release.
func (x *Path) Made() int { return x.made }

// Release ends the loan of all frames. What had to be larger than any link's packet is no
// longer kept. With more than twice as many frames as are worth keeping, as one frame was
// thousands of segments, the others are let go, and more says so.
func (x *Path) Release(keep int) (more bool) {
	for _, f := range x.scratch[:x.made] {
		if len(f.Buf) > ScratchKept {
			f.Buf = nil
		}
	}
	x.made = 0
	if more = len(x.scratch) > 2*keep; more {
		x.scratch = slices.Clone(x.scratch[:keep])
	}
	return more
}
