// Package trace keeps what happened to a packet, step by step, and tells it to
// people and programs. On the packet path a record is fixed memory that is
// filled in; the words are made later, by whoever listens.
package trace

import (
	"fmt"
	"net/netip"
	"time"
	"unsafe"

	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/verdict"
)

const (
	// maxSteps is more than any packet meets.
	maxSteps = 16
	// snapLen is how many bytes of a frame a record keeps: Ethernet, two IPv4
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

	listeners *Listeners // those there were when it began
	wanted    uint64     // bit i: listener i asked for it
	held      bool       // its packet waits, or has waited (Hub.Hold)
	steps     [maxSteps]step
	numSteps  int
	snaps     [maxSnaps]snap
	numSnaps  int
}

// RecordSize is the memory in bytes that a record takes.
const RecordSize = int(unsafe.Sizeof(Record{}))

type step struct {
	step    verdict.Step
	verdict verdict.Verdict
	ns      int64 // since arrival; 0: not known
	snap    int   // the frame after this step; the one before it if nothing changed; or noSnap
	facts   Facts
}

// noSnap stands for a frame that nobody has kept.
const noSnap = -1

type snap struct {
	whole int // bytes of the frame
	len   int // of them, kept
	data  [snapLen]byte
}

// Facts are what a step decided by, for the one line that says why.
type Facts struct {
	Route fmt.Stringer  // of route
	Addr  netip.Addr    // neigh: the next hop; rpf: the one source allowed
	MAC   packet.MAC    // rx: the router's own
	Age   time.Duration // neigh: since ARP last confirmed it; 0: it is permanent
	// mtu: bytes of IP that came, that fit, that the link carries, and of an outer
	// header to come; and into how many fragments the packet was cut.
	Size, Fit, MTU, Outer, Pieces int
	Note                          string // arp, check, decap, local, neigh: a constant, never made for one packet
}

// Begin empties the record and keeps the frame as it came.
func (r *Record) Begin(id uint64, timeNS int64, in string, f *packet.Frame) {
	r.ID, r.Cause, r.Time, r.In, r.Out = id, 0, timeNS, in, ""
	r.Outcome, r.held = verdict.Verdict{}, false
	r.numSteps, r.numSnaps = 0, 0
	r.keep(f)
	packets, _ := f.OnWire()
	r.Packets = int(packets)
	r.Length = max(0, f.Len-packet.EthernetLen)
	if ip := ipv4(f.Bytes()); ip != nil {
		r.Length = min(r.Length, ip.TotalLen()) // a short frame is padded
	}
}

// Add appends a step's verdict. ns counts from the packet's arrival.
func (r *Record) Add(s verdict.Step, v verdict.Verdict, ns int64, facts Facts, f *packet.Frame) {
	if r.numSteps == maxSteps {
		return
	}
	if v.Kind == verdict.Edit {
		r.keep(f)
	}
	r.steps[r.numSteps] = step{step: s, verdict: v, ns: max(1, ns), snap: r.numSnaps - 1, facts: facts}
	r.numSteps++
	r.Outcome = v
}

// touchedBy says whether one of some steps changed the packet, or ended its way.
func (r *Record) touchedBy(steps Steps) bool {
	for i := range r.steps[:r.numSteps] {
		if st := &r.steps[i]; st.verdict.Kind != verdict.Pass && steps.Has(st.step) {
			return true
		}
	}
	return false
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
func (r *Record) frame(i int) []byte {
	if i == noSnap {
		return nil
	}
	return r.snaps[i].data[:r.snaps[i].len]
}

// Frame is the start of the frame as the last step left it. It is the record's.
func (r *Record) Frame() []byte { return r.frame(r.numSnaps - 1) }
