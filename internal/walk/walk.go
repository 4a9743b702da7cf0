// Package walk takes a packet that nobody has sent over several hosts, by asking the
// router of each what it would do with the frames that the one before would send: until
// all of them have ended, then the errors that come back, then the reply.
package walk

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/sketch"
	"github.com/vrouter/vrouter/internal/trace"
	"github.com/vrouter/vrouter/rib"
)

// Host is a router that can be asked.
type Host struct {
	Name      string
	Ports     []Port
	Addresses []netip.Addr // the host's own
	Err       error        // why nobody answers there; nil: somebody does
	// Ask says what the router would do with a packet: one in words, or a frame that comes in by a port.
	Ask func(context.Context, Question) (*Answer, error)
}

// Net is what a packet can meet.
type Net struct {
	Hosts []*Host
	// Others are addresses on the hosts' links of whom it is known that he is there, and who is no router that
	// can be asked.
	Others []netip.Addr
}

// Port is one of a router's.
type Port struct {
	Name      string
	Uplink    bool
	MAC       packet.MAC // the router's own
	MTU       int        // bytes of IP
	Addresses []netip.Addr
}

// Question is about a packet in one line or, where there is none, about a frame or a
// bare IP packet that comes in by a port.
type Question struct {
	Line  string
	In    string
	Frame []byte
	IP    []byte
}

// Answer is what a router would do: with the packet, and with those that it would send because of it.
type Answer struct {
	Packets []trace.Packet // with frames
	Why     []string
	Sent    []trace.Sent
}

// Parts of a walk.
const (
	PartPacket = "packet"
	PartError  = "error" // or another answer of a router's own
	PartReply  = "reply"
)

// Hop is what one host does.
type Hop struct {
	Part string `json:"part"`
	From string `json:"from,omitempty"` // the host that sent it here by wire
	Via  string `json:"via,omitempty"`  // what is between them and is no vrouter
	trace.Packet
	Why []string `json:"why,omitempty"`
}

// How the way of a frame ends, besides the outcomes of trace.
const (
	Delivered = "delivered" // it leaves by the port of the workload that it is for
	Left      = "left"      // it leaves for somebody who is no host that can be asked
	Lost      = "lost"      // it leaves, and does not arrive
)

// Reasons of what is lost, and of what waits.
const (
	StaleNeighbor = "stale_neighbor" // the next hop has another hardware address
	CableMTU      = "cable_mtu"      // the other end of the cable takes less
	NoRouter      = "no_router"      // nobody forwards on the next host
	NobodyThere   = "neighbor_unresolved"
)

// End is how the way of a packet ends, or of the piece of it that fares worst.
type End struct {
	Outcome string `json:"outcome"`
	Host    string `json:"host"`
	Port    string `json:"port,omitempty"` // of the host
	Reason  string `json:"reason,omitempty"`
	Detail  string `json:"detail,omitempty"` // for people
	TTL     int    `json:"ttl,omitempty"`    // or hop limit, of what is delivered
	Next    string `json:"next,omitempty"`   // the host, or next hop, that it does not come to

	frame []byte
}

// Walk is all of it.
type Walk struct {
	Summary string   `json:"summary"`
	Verdict string   `json:"verdict"` // in one line
	Src     string   `json:"src"`
	Dst     string   `json:"dst"`
	Path    []string `json:"path"` // the hosts, in order; those of a loop each time
	Loop    []string `json:"loop,omitempty"`
	Passes  int      `json:"passes,omitempty"` // of hosts of the loop
	Encap   bool     `json:"encap"`            // it went through a tunnel
	// Encapsulation is none, ipip or vxlan.
	Encapsulation string `json:"encapsulation"`
	End
	Told  []string `json:"told,omitempty"` // the errors and other answers of routers, and how each ends
	Back  []string `json:"reply_path,omitempty"`
	Reply *End     `json:"reply"` // null: none is expected
	Hops  []Hop    `json:"hops"`
	Notes []string `json:"notes,omitempty"`
}

// maxAsks bounds how often hosts are asked for one walk: a packet of 64 KB, cut into
// fragments, may run in a loop.
const maxAsks = 4096

// walker is the walk's memory.
type walker struct {
	Net
	ctx   context.Context
	walk  *Walk
	left  int
	later []func() error // the errors, which come behind the packet
}

// Run takes a packet that is described in one line from where it comes in. `in` names, as
// HOST/PORT, another place than the workload that has its source.
func Run(ctx context.Context, n Net, line string) (*Walk, error) {
	s, err := sketch.Parse(line)
	if err != nil {
		return nil, err
	}
	h, err := start(n.Hosts, s)
	if err != nil {
		return nil, err
	}
	if name, port, ok := strings.Cut(s.In, "/"); ok {
		line = strings.Replace(line, "in "+name+"/"+port, "in "+port, 1)
	}
	if h.Err != nil {
		return nil, fmt.Errorf("%s, where %s is, cannot be asked: %w", h.Name, s.Src, h.Err)
	}
	a, err := h.Ask(ctx, Question{Line: line})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", h.Name, err)
	}
	first := &a.Packets[0]
	w := &walker{Net: n, ctx: ctx, left: maxAsks, walk: &Walk{Summary: first.Summary, Src: first.Src, Dst: first.Dst, Hops: []Hop{}, Path: []string{}}}
	ends, err := w.judge(h, a, Hop{Part: PartPacket})
	if err == nil {
		err = w.errors()
	}
	if err != nil {
		return nil, err
	}
	w.walk.End = worst(ends)
	w.walk.Path = path(w.walk.Hops, PartPacket)
	w.walk.Loop, w.walk.Passes = trace.Loop(w.walk.Path)
	w.walk.Encapsulation = encapsulation(w.walk.Hops)
	w.walk.Encap = w.walk.Encapsulation != rib.None.String()
	if err := w.reply(first, ends); err != nil {
		return nil, err
	}
	w.walk.Verdict = w.walk.verdict()
	return w.walk, nil
}

// start is the host where a packet comes in.
func start(hosts []*Host, s *sketch.Packet) (*Host, error) {
	if name, _, ok := strings.Cut(s.In, "/"); ok {
		for _, h := range hosts {
			if h.Name == name {
				return h, nil
			}
		}
		return nil, fmt.Errorf("in %s: there is no host %q", s.In, name)
	}
	for _, h := range hosts {
		if h.workload(s.Src) != nil {
			return h, nil
		}
	}
	for _, h := range hosts {
		if slices.Contains(h.Addresses, s.Src) {
			return h, nil
		}
	}
	return nil, fmt.Errorf("no workload of %s has the address %s: give one that has, or say where the packet comes in, `in HOST/PORT`", names(hosts), s.Src)
}

func names(hosts []*Host) string {
	var list []string
	for _, h := range hosts {
		list = append(list, h.Name)
	}
	return strings.Join(list, ", ")
}

// workload is the port of the workload that has an address.
func (h *Host) workload(a netip.Addr) *Port {
	for i := range h.Ports {
		if p := &h.Ports[i]; !p.Uplink && slices.Contains(p.Addresses, a) {
			return p
		}
	}
	return nil
}

func (h *Host) port(name string) *Port {
	for i := range h.Ports {
		if h.Ports[i].Name == name {
			return &h.Ports[i]
		}
	}
	return nil
}

func (h *Host) uplink() *Port {
	for i := range h.Ports {
		if h.Ports[i].Uplink {
			return &h.Ports[i]
		}
	}
	return nil
}

// ask asks a host about a frame or a bare packet that comes in there, and goes on with what it answers.
func (w *walker) ask(h *Host, q Question, hop Hop) ([]End, error) {
	if w.left--; w.left < 0 {
		w.walk.Notes = append(w.walk.Notes, fmt.Sprintf("not followed further: %d questions are enough", maxAsks))
		return []End{{Outcome: Left, Host: h.Name, Detail: "not followed further"}}, nil
	}
	a, err := h.Ask(w.ctx, q)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", h.Name, err)
	}
	return w.judge(h, a, hop)
}

// judge notes what a host does with a packet, and follows what it sends.
func (w *walker) judge(h *Host, a *Answer, hop Hop) ([]End, error) {
	hop.Packet, hop.Why = a.Packets[0], a.Why
	p := &hop.Packet
	at := len(w.walk.Hops)
	w.walk.Hops = append(w.walk.Hops, hop)
	answered := false // whom it waits for is there
	var ends []End
	for _, s := range a.Sent {
		if s.Packet != p.ID {
			continue
		}
		e, on, err := w.sent(h, s, hop.Part)
		if err != nil {
			return nil, err
		}
		answered = answered || on && s.Waits
		ends = append(ends, e...)
	}
	if answered {
		noted := &w.walk.Hops[at]
		noted.Consequences = slices.DeleteFunc(noted.Consequences, func(c trace.Consequence) bool { return c.When != "" })
	}
	if len(ends) == 0 {
		ends = []End{{Outcome: p.Outcome, Host: h.Name, Port: p.In, Reason: p.Reason, Detail: p.Mend, frame: p.Frame.Padded()}}
	}
	for i := range a.Packets[1:] {
		q := &a.Packets[1+i]
		if q.Proto == "arp" || q.When != "" && answered {
			continue
		}
		w.later = append(w.later, func() error { return w.caused(h, q, a.Sent) })
	}
	return ends, nil
}

// errors follows what hosts say of the packet, until nobody says any more.
func (w *walker) errors() error {
	for len(w.later) > 0 {
		next := w.later[0]
		w.later = w.later[1:]
		if err := next(); err != nil {
			return err
		}
	}
	return nil
}

// caused follows a packet that a router makes itself.
func (w *walker) caused(h *Host, q *trace.Packet, sent []trace.Sent) error {
	w.walk.Hops = append(w.walk.Hops, Hop{Part: PartError, Packet: *q})
	var ends []End
	for _, s := range sent {
		if s.Packet != q.ID {
			continue
		}
		e, _, err := w.sent(h, s, PartError)
		if err != nil {
			return err
		}
		ends = append(ends, e...)
	}
	if len(ends) == 0 {
		ends = []End{{Outcome: q.Outcome, Host: h.Name, Port: q.In, Reason: q.Reason, Detail: q.Mend}}
	}
	end := worst(ends)
	text := fmt.Sprintf("%s: %s", q.Summary, end.Words())
	if q.When != "" {
		text = q.When + ", " + text
	}
	if !slices.Contains(w.walk.Told, text) {
		w.walk.Told = append(w.walk.Told, text)
	}
	return nil
}

// worst is the end that decides: a packet has arrived if all its pieces have.
func worst(ends []End) End {
	worst := ends[0]
	for _, e := range ends {
		if worst.good() && !e.good() {
			worst = e
		}
	}
	return worst
}

func (e *End) good() bool {
	return e.Outcome == Delivered || e.Outcome == trace.Consumed || e.Outcome == trace.LeftToHost
}

// path are the hosts that have a part of a walk, one after the other.
func path(hops []Hop, part string) []string {
	list, at := []string{}, ""
	for i := range hops {
		h := &hops[i]
		if h.Part != part || h.From != at && len(list) > 0 { // of several pieces, the first one's
			continue
		}
		list, at = append(list, h.Host), h.Host
	}
	return list
}

// encapsulation is the tunnel that a host has put the packet into.
func encapsulation(hops []Hop) string {
	for _, h := range hops {
		for _, s := range h.Steps {
			switch {
			case h.Part != PartPacket || s.Step != "encap" || s.Verdict != "edit":
			case s.Frame != nil && packet.VXLANIn(s.Frame.Bytes[packet.EthernetLen:]) != nil:
				return rib.VXLAN.String()
			default:
				return rib.IPIP.String()
			}
		}
	}
	return rib.None.String()
}

// WithoutFrames is the walk for those who read JSON: the frames are what it was made of.
func (w *Walk) WithoutFrames() *Walk {
	c := *w
	c.Hops = slices.Clone(w.Hops)
	for i := range c.Hops {
		h := &c.Hops[i]
		h.Steps = slices.Clone(h.Steps)
		h.DropFrames()
	}
	return &c
}
