// Package trace keeps what happened to a packet, step by step, and tells it to
// people and programs. On the packet path a record is fixed memory that is
// filled in; the words are made later, by whoever listens.
package trace

import (
	"unsafe"

	"github.com/vrouter/vrouter/forwarder"
	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/verdict"
)

const (
	// maxSteps is more than any packet meets.
	maxSteps = forwarder.NumSteps + 4
	// maxConsequences of one packet: it may wait first, and then be refused.
	maxConsequences = 5
	// snapLen is how many bytes of a frame a record keeps: Ethernet, two IP
	// headers with options and a transport header.
	snapLen = 160
	// maxSnaps is the frame as it came, and after each step that can edit it.
	maxSnaps = 6
)

// Record is one packet's way through one router.
type Record struct {
	ID      uint64
	Cause   uint64 // the packet because of which the router made this one; 0: it was received
	Time    int64  // of arrival, in ns since 1970
	In, Out string // ports; In is empty for what the router made itself
	Length  int    // bytes of IP or ARP
	Packets int    // on the wire: more than 1 for an offloaded frame
	Outcome verdict.Verdict
	When    string // of what is explained, and comes to pass only if

	listeners *Listeners // those there were when it began
	wanted    uint64     // bit i: listener i asked for it
	steps     [maxSteps]step
	numSteps  int
	snaps     [maxSnaps]snap
	numSnaps  int

	consequences    [maxConsequences]due
	numConsequences int

	held bool // its packet waits, or has waited (Hub.Hold)
}

// RecordSize is the memory in bytes that a record takes.
const RecordSize = int(unsafe.Sizeof(Record{}))

type step struct {
	step    *forwarder.Step
	verdict verdict.Verdict
	snap    int8  // the frame after this step; the one before it if nothing changed; or noSnap
	ns      int64 // since arrival; 0: not known
	facts   forwarder.Facts
}

// noSnap stands for a frame that nobody has kept.
const noSnap = -1

type snap struct {
	whole int // bytes of the frame
	len   int // of them, kept
	data  [snapLen]byte
}

// Begin empties the record and keeps the frame as it came.
func (r *Record) Begin(id uint64, timeNS int64, in string, f *packet.Frame) {
	r.ID, r.Cause, r.Time, r.In, r.Out = id, 0, timeNS, in, ""
	r.Outcome, r.held = verdict.Verdict{}, false
	r.When, r.numSteps, r.numSnaps, r.numConsequences = "", 0, 0, 0
	r.keep(f)
	packets, _ := f.OnWire()
	r.Packets = int(packets)
	r.Length = max(0, f.Len-packet.EthernetLen)
	if n, ok := lengthOf(f.Bytes()); ok {
		r.Length = min(r.Length, n) // a short frame is padded
	}
}

// Add appends a step's verdict. ns counts from the packet's arrival.
func (r *Record) Add(s *forwarder.Step, v verdict.Verdict, ns int64, facts forwarder.Facts, f *packet.Frame) {
	if r.numSteps == maxSteps {
		return
	}
	if v.Kind == verdict.Edit {
		r.keep(f)
	}
	r.steps[r.numSteps] = step{step: s, verdict: v, ns: max(1, ns), snap: int8(r.numSnaps - 1), facts: facts}
	r.numSteps++
	r.Outcome = v
}

// touchedBy says whether one of some steps changed the packet, or ended its way.
func (r *Record) touchedBy(steps forwarder.StepSet) bool {
	for i := range r.steps[:r.numSteps] {
		if st := &r.steps[i]; st.verdict.Kind != verdict.Pass && steps.Has(st.step) {
			return true
		}
	}
	return false
}

// Due is a consequence that was carried out, or would be, with what became of it.
type Due struct {
	forwarder.Consequence
	Drop verdict.Reason // in place of a consequence: what waits is dropped
	When string         // it comes to pass only if; made for explain alone, as is the next
	Note string         // more about it
}

// AddDue notes a consequence. What it has of the batch's buffers is left out.
func (r *Record) AddDue(d Due) {
	if r.numConsequences == maxConsequences || d.Action == forwarder.Answer && d.Frame == nil {
		return
	}
	r.consequences[r.numConsequences] = due{d.Said(), d.Drop, d.When, d.Note}
	r.numConsequences++
}

// due is what a record keeps of a consequence.
type due struct {
	forwarder.Said
	drop       verdict.Reason
	when, note string
}

func (r *Record) keep(f *packet.Frame) {
	if r.numSnaps == maxSnaps {
		r.numSnaps-- // the last one counts more than the one before it
	}
	s := &r.snaps[r.numSnaps]
	s.whole, s.len = f.Len, copy(s.data[:], f.Bytes())
	r.numSnaps++
}

// frame is what is kept of a frame; nil, if it is noSnap.
func (r *Record) frame(i int8) []byte {
	if i == noSnap {
		return nil
	}
	return r.snaps[i].data[:r.snaps[i].len]
}

// Frame is the start of the frame as the last step left it. It is the record's.
func (r *Record) Frame() []byte { return r.frame(int8(r.numSnaps - 1)) }
