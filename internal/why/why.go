// Package why says in one sentence why one address does or does not reach another, and
// what to type next: it takes pings over all hosts that nobody sends, and looks at what
// the hosts know.
package why

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/vrouter/vrouter/internal/control"
	"github.com/vrouter/vrouter/internal/trace"
	"github.com/vrouter/vrouter/internal/walk"
)

// Cause is what is the matter, in one word.
type Cause string

// Causes. Those of a dropped packet are the drop reasons.
const (
	None         Cause = ""
	NoWorkload   Cause = "no_workload" // nobody has the address
	Waiting      Cause = "workload"    // a workload is not attached, or not as the router set it up
	NoRouter     Cause = "no_router"   // nobody forwards on a host
	Stale        Cause = "stale_neighbor"
	Unanswered   Cause = "neighbor_unresolved"
	Loop         Cause = "loop"
	MTU          Cause = "mtu"           // small packets arrive, large ones do not
	TunnelSource Cause = "tunnel_source" // a tunnel comes from another address than the other end knows
	Copy         Cause = "second_copy"   // the host's own stack forwards too
	HostFault    Cause = "host"          // what else doctor finds
	Fragments    Cause = "fragments"     // that never came
	Cable        Cause = "cable"         // loses packets
	OtherWay     Cause = "other_way"     // the reply comes by
	Unknown      Cause = "unknown_hop"   // it leaves for somebody who was not asked
)

// Answer is the sentence, and what it is made of.
type Answer struct {
	Src      string   `json:"src"`
	Dst      string   `json:"dst"`
	Reaches  bool     `json:"reaches"` // a ping of the usual size, and its reply
	Cause    Cause    `json:"cause"`   // "": nothing is the matter
	At       string   `json:"at"`      // HOST or HOST/PORT
	Sentence string   `json:"sentence"`
	Next     string   `json:"next"` // the command to type; "": none
	Path     []string `json:"path"`
	Back     []string `json:"reply_path"`
	Seen     []string `json:"seen,omitempty"`   // what hosts have lately passed on of the two
	Probed   []Probed `json:"probed,omitempty"` // what was sent, where that was asked for
}

// Host is what a host knows, besides what its router would do.
type Host struct {
	Prefix    string // of a command of vrouter there, such as "vrouter lab exec a -- vrouter"
	Shell     string // of any other command; "": it is to be typed there
	Dropped   []trace.Packet
	Forwarded []trace.Packet // some
	Held      []control.Held
	Tunnels   []control.Tunnel
	Workloads []control.Workload
	Faults    []Fault // that doctor finds; nil too where it was not asked
}

// Fault is a finding of doctor that fails.
type Fault struct {
	Name  string `json:"name"`
	State string `json:"state"`
	Means string `json:"means"`
	Mend  string `json:"mend"`
}

// Link is what is known of a cable between hosts.
type Link struct {
	Hosts []string // that it joins
	Name  string
	Does  string // to packets, in words; "": nothing
	MTU   int    // of what is in the middle; 0: nothing is
	Mend  string // the command that mends what it does
}

// Facts are all that is looked at.
type Facts struct {
	walk.Net
	Known map[string]*Host // by name; of a router that does not answer what else is known
	Links []Link
	Start string    // the command that starts routers that have ended
	Now   time.Time // to tell what is recent
}

// Look asks a router what it knows.
func (h *Host) Look(ctx context.Context, c *control.Client) error {
	for path, v := range map[string]any{"/v1/packets?frames": &h.Dropped, "/v1/packets?forwarded&frames": &h.Forwarded, "/v1/held": &h.Held, "/v1/tunnels": &h.Tunnels, "/v1/workloads": &h.Workloads} {
		if err := c.Get(ctx, path, v); err != nil {
			return err
		}
	}
	return nil
}

const (
	small = 84 // bytes of a ping as ping(8) sends it
	// recent is how long ago a packet may have been dropped that is taken for evidence.
	recent = time.Minute
)

// inquiry is one question, and what is found about it.
type inquiry struct {
	*Facts
	ctx      context.Context
	src, dst netip.Addr
	answer   Answer
}

// Ask finds out why src does or does not reach dst.
func Ask(ctx context.Context, f *Facts, src, dst netip.Addr) (*Answer, error) {
	if src.Is4() != dst.Is4() {
		return nil, fmt.Errorf("%s and %s are of two families: no packet goes from one to the other", src, dst)
	}
	q := &inquiry{Facts: f, ctx: ctx, src: src, dst: dst}
	q.answer = Answer{Src: src.String(), Dst: dst.String(), Path: []string{}, Back: []string{}}
	q.seen()
	for _, look := range []func() (bool, error){q.ends, q.smallPing, q.drops, q.held, q.largePings, q.faults, q.links, q.otherWay} {
		found, err := look()
		if err != nil {
			return nil, err
		}
		if found {
			return &q.answer, nil
		}
	}
	q.answer.Sentence = fmt.Sprintf("%s reaches %s, and the reply comes back", src, dst)
	if len(q.answer.Path) > 0 {
		q.answer.Sentence += ": " + join(q.answer.Path)
	}
	return &q.answer, nil
}

// is notes the cause, where, and what to type.
func (q *inquiry) is(c Cause, at, next, format string, args ...any) (bool, error) {
	a := &q.answer
	a.Cause, a.At, a.Next = c, at, next
	a.Sentence = fmt.Sprintf("%s does not reach %s: %s", q.src, q.dst, fmt.Sprintf(format, args...))
	return true, nil
}

// though is the same of what arrives, in some way.
func (q *inquiry) though(c Cause, at, next, format string, args ...any) (bool, error) {
	a := &q.answer
	a.Cause, a.At, a.Next = c, at, next
	a.Sentence = fmt.Sprintf("%s reaches %s", q.src, q.dst) + fmt.Sprintf(format, args...)
	return true, nil
}

// host is one that was asked, or should have been.
func (q *inquiry) host(name string) *walk.Host {
	for _, h := range q.Hosts {
		if h.Name == name {
			return h
		}
	}
	return nil
}

// on is a command of vrouter on a host.
func (q *inquiry) on(host, command string) string {
	if k := q.Known[host]; k != nil && k.Prefix != "" {
		return k.Prefix + " " + command
	}
	return "on " + host + ": vrouter " + command
}

// shell is another command on a host, or in a workload of it.
func (q *inquiry) shell(host, workload, command string) string {
	k := q.Known[host]
	switch {
	case k != nil && k.Shell != "" && workload != "":
		return k.Shell + "/" + workload + " -- " + command
	case k != nil && k.Shell != "":
		return k.Shell + " -- " + command
	case workload != "":
		return "on " + host + ", in " + workload + ": " + command
	}
	return "on " + host + ": " + command
}

// ownerOf is the host of the workload that has an address.
func (q *inquiry) ownerOf(a netip.Addr) (*walk.Host, *walk.Port) {
	for _, h := range q.Hosts {
		for i := range h.Ports {
			p := &h.Ports[i]
			for _, own := range p.Addresses {
				if own == a && !p.Uplink {
					return h, p
				}
			}
		}
	}
	return nil, nil
}

// route is the command that gives a host a route to an address, as far as one can know.
func (q *inquiry) route(host string, to netip.Addr) string {
	if o, _ := q.ownerOf(to); o != nil && o.Name != host {
		for _, a := range o.Addresses {
			if a.Is4() == to.Is4() && !a.IsLoopback() && !a.IsLinkLocalUnicast() {
				return q.on(host, fmt.Sprintf("route replace %s via %s", to, a))
			}
		}
	}
	return q.on(host, "route get "+to.String())
}
