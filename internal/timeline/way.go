package timeline

import (
	"fmt"
	"slices"
	"time"

	"github.com/vrouter/vrouter/internal/trace"
)

// Way is one packet's way over all hosts, with the reply and what it caused.
type Way struct {
	Summary string    `json:"summary"`            // the packet in one line
	Time    time.Time `json:"time"`               // when its first host had it, by that host's clock
	Hosts   []string  `json:"hosts"`              // that saw the packet, in order
	Outcome string    `json:"outcome"`            // delivered, left, consumed, dropped, unseen, ambiguous
	Reason  string    `json:"reason"`             // drop reason, or ""
	NS      int64     `json:"ns"`                 // until its last host was done with it
	Reply   string    `json:"reply"`              // arrived, lost, none; "": none is expected
	ReplyNS int64     `json:"reply_ns,omitempty"` // until the first host was done with it
	Packets []Packet  `json:"packets"`
	Notes   []string  `json:"notes"` // what is not known, and why
}

// Outcomes of a way, besides those of a packet at one host.
const (
	Delivered = "delivered" // it left its last host by a workload's port
	Left      = "left"      // it left by an uplink, and where to is not listened to, or not known
	Unseen    = "unseen"    // it left for a host that did not see it
	// Ambiguous is one of several alike that did not all end alike: which of them did how, nothing tells.
	Ambiguous = "ambiguous"
)

// What became of the reply.
const (
	ReplyArrived = "arrived" // the first host has sent it on to who asked
	ReplyLost    = "lost"    // it was on its way, and did not get there
	ReplyNone    = "none"    // there was none in time, to a packet that is always answered: an echo request
)

// Parts of a way.
const (
	PartPacket = "packet"
	PartCaused = "caused" // made because of it: ARP, an ICMP error
	PartReply  = "reply"
)

// Packet is a record in a way.
type Packet struct {
	trace.Packet
	Part   string `json:"part"`
	AtNS   int64  `json:"at_ns"`             // since Way.Time, by the first host's clock
	From   string `json:"from,omitempty"`    // the host that it came from by wire
	WireNS *int64 `json:"wire_ns,omitempty"` // since it was ready to be written there
	// WireErrorNS is by how much WireNS may be wrong at most, where two clocks agree or are corrected.
	WireErrorNS int64  `json:"wire_error_ns,omitempty"`
	Clocks      string `json:"clocks,omitempty"` // same, agree, corrected, unchecked
	Unseen      string `json:"unseen,omitempty"` // the host that it left for, and where not all of it was seen
}

func (w *Way) note(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); !slices.Contains(w.Notes, text) {
		w.Notes = append(w.Notes, text)
	}
}

// WithoutFrames is the way for those who read JSON: the frames are what it was made of.
func (w *Way) WithoutFrames() *Way {
	c := *w
	c.Packets = slices.Clone(w.Packets)
	for i := range c.Packets {
		p := &c.Packets[i]
		p.Frame, p.Steps = nil, slices.Clone(p.Steps)
		for s := range p.Steps {
			p.Steps[s].Frame = nil
		}
	}
	return &c
}
