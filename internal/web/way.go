package web

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/vrouter/vrouter/forwarder"
	"github.com/vrouter/vrouter/internal/dissect"
	"github.com/vrouter/vrouter/internal/timeline"
	"github.com/vrouter/vrouter/internal/trace"
	"github.com/vrouter/vrouter/internal/verdict"
	"github.com/vrouter/vrouter/internal/walk"
)

// wayFormat is how a file with a way begins.
const wayFormat = "vrouter way 1"

// Way is a packet's way with the bytes of its frames, as the page shows it and as it is saved: what
// `vrouter trace --hosts -o json` prints, and more.
type Way struct {
	Format  string `json:"format"`
	ID      uint64 `json:"id,omitempty"`
	Kind    string `json:"kind"`    // way, or whatif: nobody has sent it
	Verdict string `json:"verdict"` // in one line
	timeline.Way
	Packets []Packet `json:"packets"`
}

// Packet is what one host did with it.
type Packet struct {
	timeline.Packet
	Via    string          `json:"via,omitempty"` // what-if: what is between this host and the one before, and no vrouter
	Why    []string        `json:"why,omitempty"` // what-if: why the route is what it is
	Fields []dissect.Field `json:"fields,omitempty"`
	Steps  []Step          `json:"steps"`
}

// Step is what one step did, and what it is for.
type Step struct {
	trace.Step
	Help       string          `json:"help,omitempty"`
	ReasonHelp string          `json:"reason_help,omitempty"`
	Fields     []dissect.Field `json:"fields,omitempty"`  // of the frame as the step left it, where it changed it
	Changed    []dissect.Range `json:"changed,omitempty"` // bytes of that frame
	Removed    []dissect.Range `json:"removed,omitempty"` // bytes of the frame before
}

const (
	kindWay    = "way"
	kindWhatIf = "whatif"
)

func wayOf(w *timeline.Way, within time.Duration) *Way {
	v := &Way{Format: wayFormat, Kind: kindWay, Verdict: w.InOneLine(within), Way: *w, Packets: make([]Packet, len(w.Packets))}
	for i := range w.Packets {
		v.Packets[i] = packetOf(&w.Packets[i])
	}
	return v
}

func packetOf(p *timeline.Packet) Packet {
	v := Packet{Packet: *p, Steps: make([]Step, len(p.Steps))}
	before := p.Frame
	if before != nil {
		v.Fields = dissect.Frame(before.Bytes)
	}
	for i, s := range p.Steps {
		t := Step{Step: s}
		if known := forwarder.StepNamed(s.Step); known != nil {
			t.Help = known.Help
		}
		if r, ok := verdict.ReasonNamed(s.Reason); ok && s.Reason != "" {
			t.ReasonHelp = r.Info().Help
		}
		if s.Frame != nil {
			t.Fields = dissect.Frame(s.Frame.Bytes)
			if before != nil {
				t.Changed, t.Removed = dissect.Changed(before.Bytes, s.Frame.Bytes, before.Length, s.Frame.Length)
			}
			before = s.Frame
		}
		v.Steps[i] = t
	}
	return v
}

// wayOfWalk shows a walk as a way: the same parts, without times.
func wayOfWalk(w *walk.Walk) *Way {
	v := &Way{Format: wayFormat, Kind: kindWhatIf, Verdict: w.Verdict, Packets: make([]Packet, len(w.Hops))}
	v.Summary, v.Hosts, v.Outcome, v.Reason = w.Summary, []string{}, w.Outcome, w.Reason
	for _, name := range w.Path {
		if !slices.Contains(v.Hosts, name) {
			v.Hosts = append(v.Hosts, name)
		}
	}
	v.Notes = slices.Concat([]string{}, w.Notes, w.Told)
	switch {
	case w.Reply == nil:
	case w.Reply.Outcome == walk.Delivered:
		v.Reply = timeline.ReplyArrived
	default:
		v.Reply = timeline.ReplyLost
	}
	for i := range w.Hops {
		h := &w.Hops[i]
		v.Packets[i] = packetOf(&timeline.Packet{Packet: h.Packet, Part: h.Part, From: h.From})
		v.Packets[i].Via, v.Packets[i].Why = h.Via, h.Why
	}
	return v
}

// ReadWay reads a way that was saved. Fields, changes and helps are made anew of what routers have recorded.
func ReadWay(r io.Reader) (*Way, error) {
	var saved Way
	dec := json.NewDecoder(r)
	if err := dec.Decode(&saved); err != nil {
		return nil, fmt.Errorf("this is no way that was saved: %w", err)
	}
	if saved.Format != wayFormat || saved.Kind != kindWay && saved.Kind != kindWhatIf {
		return nil, errors.New("this is no way that was saved: it does not begin with \"format\":\"" + wayFormat + "\"")
	}
	w := saved.Timeline()
	v := wayOf(w, time.Second)
	v.Kind, v.Verdict, v.ID = saved.Kind, saved.Verdict, saved.ID
	for i := range saved.Packets {
		v.Packets[i].Via, v.Packets[i].Why = saved.Packets[i].Via, saved.Packets[i].Why
	}
	return v, nil
}

// Timeline is the way without what is the page's own.
func (v *Way) Timeline() *timeline.Way {
	w := v.Way
	w.Packets = make([]timeline.Packet, len(v.Packets))
	for i := range v.Packets {
		p := v.Packets[i].Packet
		p.Steps = make([]trace.Step, len(v.Packets[i].Steps))
		for k := range p.Steps {
			p.Steps[k] = v.Packets[i].Steps[k].Step
		}
		w.Packets[i] = p
	}
	return &w
}
