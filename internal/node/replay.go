package node

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/vrouter/vrouter/forwarder"
	"github.com/vrouter/vrouter/internal/capture"
	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/trace"
	"github.com/vrouter/vrouter/internal/verdict"
)

// Replay takes the packets of a capture through the router, as it is when the replay
// begins, and counts them by the way they take. It sends nothing and changes nothing.
type Replay struct {
	run  *dryRun
	sent int              // by this host itself
	ways map[Taken]*Taken // by way, and whether it asks
	n    int
}

// Taken is a way, and what of the capture takes it.
type Taken struct {
	Way     trace.Way // as Named
	Asks    bool      // the packets would first wait for their next hop's answer to ARP
	Packets int
	First   int // number of the first one in the capture, from 1
}

// NewReplay begins one; in is the port by which all packets come in, "" the one that
// each packet's source is behind.
func (n *Node) NewReplay(in string) (*Replay, error) {
	r := &Replay{run: n.newDryRun(in), ways: map[Taken]*Taken{}}
	if in != "" && !slices.ContainsFunc(r.run.entrances, func(e entrance) bool { return e.port == in }) {
		return nil, fmt.Errorf("no port %q; `vrouter show ports` lists them", in)
	}
	return r, nil
}

// Add takes the next packet of the capture.
func (r *Replay) Add(c *capture.Packet) error {
	r.n++
	if r.sentByHost(c) {
		r.sent++
		return nil
	}
	e, f, err := r.run.enter(c)
	if err != nil {
		return fmt.Errorf("packet %d: %w", r.n, err)
	}
	way, err := r.run.Way(e.port, f)
	if err != nil {
		return fmt.Errorf("packet %d: %w", r.n, err)
	}
	end, v := way.End()
	key := Taken{Way: way.Named(), Asks: end == forwarder.Neigh && v.Kind == verdict.Hold}
	if r.ways[key] == nil {
		r.ways[key] = &Taken{Way: key.Way, Asks: key.Asks, First: r.n}
	}
	r.ways[key].Packets++
	return nil
}

// sentByHost says whether a frame comes from a port of this router: a capture of an
// interface has what was sent there, too.
func (r *Replay) sentByHost(c *capture.Packet) bool {
	if len(c.Frame) < packet.EthernetLen {
		return false
	}
	src := packet.MAC(c.Frame[6:])
	return slices.ContainsFunc(r.run.entrances, func(e entrance) bool { return e.dst == src })
}

// Taken lists the ways, the most frequent first; and how many packets were not
// replayed, as this host itself has sent them.
func (r *Replay) Taken() (ways []Taken, sent int) {
	for _, t := range r.ways {
		ways = append(ways, *t)
	}
	slices.SortFunc(ways, func(a, b Taken) int { return cmp.Or(b.Packets-a.Packets, a.First-b.First) })
	return ways, r.sent
}
