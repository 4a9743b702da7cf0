package trace

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"time"

	"github.com/vrouter/vrouter/forwarder"
	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/verdict"
)

// Packet is a record in words: what `vrouter trace -o json` prints, one a line.
type Packet struct {
	ID      uint64    `json:"id"`
	Host    string    `json:"host"`
	Time    time.Time `json:"time"` // of arrival; where the steps have no times, of the drop
	In      string    `json:"in"`   // port; "" for what the router made itself
	Out     string    `json:"out"`  // port; "" if it did not leave
	Outcome string    `json:"outcome"`
	Reason  string    `json:"reason"`
	Noise   bool      `json:"noise,omitempty"` // of a drop: nobody sent it to this router
	Mend    string    `json:"mend,omitempty"`  // of a drop: what to do about it
	Summary string    `json:"summary"`
	Src     string    `json:"src"`
	Dst     string    `json:"dst"`
	Proto   string    `json:"proto"`
	Length  int       `json:"length"` // bytes of IP or ARP
	Packets int       `json:"packets,omitempty"`
	Cause   uint64    `json:"cause,omitempty"`   // the packet that made the router send this one
	Lost    uint64    `json:"lost,omitempty"`    // records lost before this one, as the reader fell behind
	Skipped uint64    `json:"skipped,omitempty"` // packets left out before this one, as they were too many for the rate asked for
	Frame   *Frame    `json:"frame,omitempty"`   // as it came; only where frames are asked for
	Steps   []Step    `json:"steps"`
	// Consequences are what is done because of it, besides sending it.
	Consequences []Consequence `json:"consequences,omitempty"`
	When         string        `json:"when,omitempty"` // of what is explained, and comes to pass only if
}

// Consequence is one thing that is done because of a packet.
type Consequence struct {
	Action   string `json:"action"` // answer, tell, relay, ask, wait, learn, lower_mtu, host, drop
	Detail   string `json:"detail"`
	Withheld string `json:"withheld,omitempty"` // why it is not done
	When     string `json:"when,omitempty"`     // it comes to pass only if
}

// Frame is an Ethernet frame: its start, and how long it is.
type Frame struct {
	Bytes  []byte `json:"bytes"`  // base64
	Length int    `json:"length"` // bytes of the whole frame
}

// Padded is a frame of its full length: what the record does not have is zeros.
func (f *Frame) Padded() []byte {
	b := make([]byte, max(f.Length, len(f.Bytes)))
	copy(b, f.Bytes)
	return b
}

// Sent is a frame that leaves, of what is explained.
type Sent struct {
	Packet  uint64     `json:"packet"` // whose frame it is, by its record's number
	Port    string     `json:"port"`
	NextHop netip.Addr `json:"next_hop,omitzero"` // zero where none was looked for, as for ARP
	Waits   bool       `json:"waits,omitempty"`   // it leaves when the next hop has answered; it has no Ethernet header so far
	Frame   []byte     `json:"frame"`             // base64, the whole of it
}

// Step is what one step did.
type Step struct {
	Step    string `json:"step"`
	Verdict string `json:"verdict"`
	Reason  string `json:"reason"`
	NS      int64  `json:"ns,omitzero"` // since arrival, at least 1; 0: not known
	Detail  string `json:"detail"`
	Route   string `json:"route"`
	RFC     string `json:"rfc"`
	Frame   *Frame `json:"frame,omitempty"` // as the step left it, where it changed it
}

// Outcomes, as JSON and text name them.
const (
	Forwarded = "forwarded"
	Consumed  = "consumed"
	Dropped   = "dropped"
	Waits     = "waits" // for a next hop or a fragment
	// LeftToHost is what the host's own stack takes. Where the router has read a copy of
	// it, that is counted as dropped (not_for_router).
	LeftToHost = "host"
)

// AddFrames adds the frame as it came, and after each step that changed it, to the
// record's view.
func (r *Record) AddFrames(p *Packet) {
	p.Frame = r.copyFrame(0)
	before := int8(0)
	for i := range p.Steps {
		if at := r.steps[i].snap; at != before && at != noSnap {
			p.Steps[i].Frame = r.copyFrame(at)
			before = at
		}
	}
}

// DropFrames takes them away again.
func (p *Packet) DropFrames() {
	p.Frame = nil
	for i := range p.Steps {
		p.Steps[i].Frame = nil
	}
}

func (r *Record) copyFrame(i int8) *Frame { return &Frame{bytes.Clone(r.frame(i)), r.snaps[i].whole} }

// Summary is the packet in one line.
func (r *Record) Summary() string { return Summary(r.frame(0)) }

// View puts a record into words.
func (r *Record) View(host string) Packet {
	s := summarise(r.frame(0))
	p := Packet{
		ID: r.ID, Host: host, Time: time.Unix(0, r.Time), In: r.In, Out: r.Out,
		Outcome: r.outcome(), Reason: r.Outcome.Reason.String(),
		Summary: s.text, Src: s.src, Dst: s.dst, Proto: s.proto,
		Length: r.Length, Cause: r.Cause, When: r.When, Steps: make([]Step, r.numSteps),
	}
	if r.Packets > 1 {
		p.Packets = r.Packets
	}
	if r.Outcome.Kind == verdict.Drop {
		p.Noise, p.Mend = r.Outcome.Noise, r.mend()
	}
	before := r.frame(0)
	for i := range p.Steps {
		st := &r.steps[i]
		after := r.frame(st.snap)
		p.Steps[i] = r.viewStep(st, before, after)
		before = after
	}
	for i := range r.consequences[:r.numConsequences] {
		d := &r.consequences[i]
		c := Consequence{d.Action.String(), d.String() + d.note, d.Withheld.String(), d.when}
		if d.drop != verdict.None {
			c.Action, c.Detail = verdict.Drop.String(), "dropped for "+d.drop.String()
		}
		p.Consequences = append(p.Consequences, c)
	}
	return p
}

func (r *Record) outcome() string {
	if r.numSteps == 0 {
		return outcome(forwarder.RX, r.Outcome)
	}
	return outcome(r.steps[r.numSteps-1].step, r.Outcome)
}

var outcomes = [...]string{
	verdict.Pass: Forwarded, verdict.Edit: Forwarded, verdict.Drop: Dropped, verdict.Consume: Consumed, verdict.Hold: Waits,
}

func outcome(end *forwarder.Step, v verdict.Verdict) string {
	if v.Reason == verdict.NotForRouter && end == forwarder.Local {
		return LeftToHost
	}
	return outcomes[v.Kind]
}

func (r *Record) viewStep(st *step, before, after []byte) Step {
	s := Step{
		Step: st.step.Word, Verdict: st.verdict.Kind.String(), Reason: st.verdict.Reason.String(),
		NS: st.ns, Detail: st.step.Say(&forwarder.Seen{Verdict: st.verdict, Facts: st.facts, Before: before, After: after, In: r.In, Out: r.Out}),
	}
	if st.facts.Route != nil {
		s.Route = st.facts.Route.String()
	}
	switch st.verdict.Kind {
	case verdict.Drop:
		info := st.verdict.Reason.Info()
		s.RFC = ofFamily(before, info.RFC, info.RFC6)
	case verdict.Edit:
		s.RFC = r.rfcOf(st, before, after)
	}
	return s
}

// rfcOf is where it is written what a step has changed. Of a packet that is recalled there is only the frame as it was at the
// end: what it came in is gone.
func (r *Record) rfcOf(st *step, before, after []byte) string {
	recalled := st.ns == 0
	switch {
	case st.step == forwarder.Encap && (isVXLAN(after) || recalled && isVXLAN(r.frame(0))),
		st.step == forwarder.Decap && isVXLAN(before) && !recalled:
		return st.step.RFCVXLAN
	case st.step == forwarder.Decap && recalled:
		return ""
	}
	switch st.step {
	case forwarder.Neigh: // the next hop's, whatever the packet's is
		if st.facts.Addr.Is6() {
			return st.step.RFC6
		}
		return st.step.RFC
	case forwarder.Encap:
		if rfc := ofFamily(after, st.step.RFC, st.step.RFC6); rfc != st.step.RFC {
			return rfc // of what is put around it
		}
	case forwarder.Decap:
		if rfc := ofFamily(after, st.step.RFC, st.step.RFC6); rfc != st.step.RFC {
			return rfc // of what was in it
		}
	}
	return ofFamily(before, st.step.RFC, st.step.RFC6)
}

// isVXLAN says whether the outermost packet in a frame is one of VXLAN.
func isVXLAN(frame []byte) bool {
	_, ok := lengthOf(frame)
	return ok && packet.VXLANIn(frame[packet.EthernetLen:]) != nil
}

// ofFamily is which of two RFCs is about a frame; without one of its own IPv6 has IPv4's.
func ofFamily(frame []byte, rfc, rfc6 string) string {
	if rfc6 != "" && len(frame) >= packet.EthernetLen && binary.BigEndian.Uint16(frame[12:]) == packet.EtherTypeIPv6 {
		return rfc6
	}
	return rfc
}

// lengthOf is how long the IP packet in a frame says that it is.
func lengthOf(frame []byte) (n int, ok bool) {
	if len(frame) < packet.EthernetLen+packet.IPv4MinLen {
		return 0, false
	}
	switch b := frame[packet.EthernetLen:]; binary.BigEndian.Uint16(frame[12:]) {
	case packet.EtherTypeIPv4:
		return packet.IPv4(b).TotalLen(), true
	case packet.EtherTypeIPv6:
		return packet.IPv6MinLen + packet.IPv6(b).PayloadLen(), true
	}
	return 0, false
}
