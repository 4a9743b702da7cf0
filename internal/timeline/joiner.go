// Package timeline joins the records of several routers into one packet's way: what
// the first host did with it, the wire, what the next one did, and the reply. It does
// no I/O and reads no clock: records go in, ways come out.
//
// A record is told by the frame as it came and as it left (look.go). What left one host
// is looked for among what came to the others (Joiner.Add), and the other way round, as
// records come in any order. Records that belong together are one way, until all that is
// expected has come or its time is over (Joiner.Expire).
package timeline

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/vrouter/vrouter/forwarder"
	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/trace"
	"github.com/vrouter/vrouter/internal/verdict"
)

const (
	// maxRecords is how many wait, of some 4 KB; more of them, and the oldest ways are
	// shown as they are.
	maxRecords = 4096
	// maxWay is how many records one way has; more of them make another one.
	maxWay = 256
	// maxGhosts is how many of those that were shown are remembered, to know what is late.
	maxGhosts = 4096
	// linger is how long a way that could be over waits for an ICMP error or an ARP
	// request about it, which is recorded after it.
	linger = 50 * time.Millisecond
)

// Host is a router that is listened to.
type Host struct {
	Name      string
	Uplinks   []string     // ports towards other hosts
	MACs      []packet.MAC // of these ports
	Workloads []netip.Addr
	// Clock names the clock that it stamps packets with, for hosts that share one; "": its own.
	Clock string
}

// Options of a Joiner.
type Options struct {
	Hosts  []Host
	Within time.Duration // how long to wait for the record of the next host, and for a reply
	// Traced says whether a host records a frame that comes in: the filter that the hosts
	// were given.
	Traced func(frame []byte) bool
	// Wanted says whether a way is shown because it has this record.
	Wanted func(*trace.Packet) bool
}

// Joiner makes ways of records.
type Joiner struct {
	opts   Options
	hosts  map[string]*host
	byMAC  map[packet.MAC]*host
	byAddr map[netip.Addr]*host
	clocks map[pair]*clocks

	ways      map[*way]bool
	records   int
	left      map[key][]*node      // by what they are known by at the next host
	came      map[key][]*node      //
	questions map[question][]*node // that wait for an answer
	answers   map[question][]*node // whose question has not come yet
	causes    map[recordID]*node
	caused    map[recordID][]*node // whose cause has not come yet
	ghosts    []ghost              // the oldest first
}

type recordID struct {
	host string
	id   uint64
}

type host struct {
	Host
	gone bool
	lost uint64 // records so far
}

// node is a record and what it is joined with.
type node struct {
	*trace.Packet
	host       *host
	came, left look
	leftAt     time.Time // when it was ready to be written, by its host's clock
	wire       bool      // it left by an uplink
	since      time.Time // when the record came, by the reader's clock
	lostThen   map[*host]uint64
	way        *way

	to, from []*node  // what it is at the next host, and at the one before
	seen     float64  // how much of it was seen at the next host: 1 is all
	known    float64  // of how much of it is known where it comes from
	because  *node    // of which the router, or somebody on the way, made it
	question question // that waits for an answer
	reply    *node    // to it
	replyTo  *node
	wanted   bool
	alike    *alike // others that it cannot be told from
}

// way is the records that belong together.
type way struct {
	nodes []*node
	since time.Time // when the first of them came
	last  time.Time // when the last of them came
}

// ghost is what is remembered of a record that was shown: what left, and was or was
// not seen at the next host.
type ghost struct {
	left look
	host *host
	id   uint64
	seen bool
}

// New makes one for these hosts.
func New(o Options) *Joiner {
	j := &Joiner{
		opts: o, hosts: map[string]*host{}, byMAC: map[packet.MAC]*host{}, byAddr: map[netip.Addr]*host{}, clocks: map[pair]*clocks{},
		ways: map[*way]bool{}, left: map[key][]*node{}, came: map[key][]*node{},
		questions: map[question][]*node{}, answers: map[question][]*node{}, causes: map[recordID]*node{}, caused: map[recordID][]*node{},
	}
	for _, c := range o.Hosts {
		h := &host{Host: c}
		j.hosts[c.Name] = h
		for _, m := range c.MACs {
			j.byMAC[m] = h
		}
		for _, a := range c.Workloads {
			j.byAddr[a] = h
		}
	}
	return j
}

// Gone says that a host will send no more records.
func (j *Joiner) Gone(name string) {
	if h := j.hosts[name]; h != nil {
		h.gone = true
	}
}

// Add takes a record with its frames, at a time of the reader's clock. The ways that
// it returns had to be shown early, to make room.
func (j *Joiner) Add(p *trace.Packet, now time.Time) (early []*Way) {
	h := j.hosts[p.Host]
	if h == nil || p.Frame == nil {
		return nil
	}
	h.lost += p.Lost
	if j.records >= maxRecords {
		early = j.makeRoom(now)
	}
	n := j.newNode(h, p, now)
	n.way = &way{nodes: []*node{n}, since: now, last: now}
	j.ways[n.way] = true
	j.records++
	j.causes[recordID{h.Name, p.ID}] = n
	j.joinAlike(n)
	j.joinWire(n)
	j.joinFragments(n)
	j.joinCause(n)
	j.joinAnswer(n)
	j.index(n)
	return early
}

func (j *Joiner) newNode(h *host, p *trace.Packet, now time.Time) *node {
	n := &node{Packet: p, host: h, since: now, wanted: j.opts.Wanted == nil || j.opts.Wanted(p), lostThen: map[*host]uint64{}}
	for _, other := range j.hosts {
		n.lostThen[other] = other.lost
	}
	n.came = lookAt(p.Frame.Bytes, p.Packets)
	n.leftAt = p.Time
	if p.Outcome != trace.Forwarded {
		return n
	}
	n.left = n.leaves()
	n.wire = slices.Contains(h.Uplinks, p.Out)
	for _, s := range p.Steps {
		// tx ends when the kernel says that it has the frame: by then the other end may have
		// read it.
		if s.Step != forwarder.TX.Word {
			n.leftAt = p.Time.Add(time.Duration(s.NS))
		}
	}
	return n
}

// leaves is the packet as it left. Of one that was cut, the record has the first part
// alone: then it is the whole packet, before it was cut, and no outer header of one part.
func (n *node) leaves() look {
	whole, cut := n.Frame, n.Packets > 1
	for i := range n.Steps {
		s := &n.Steps[i]
		step := forwarder.StepNamed(s.Step)
		if step == forwarder.MTU && s.Verdict == verdict.Edit.String() {
			cut = true
		}
		if s.Frame != nil && step != nil && step.Number() < forwarder.MTU.Number() {
			whole = s.Frame
		}
	}
	if !cut {
		return lookAt(n.lastFrame().Bytes, n.Packets)
	}
	return look{inner: lookAt(whole.Bytes, n.Packets).inner}
}

// lastFrame is the start of the frame as it left.
func (n *node) lastFrame() *trace.Frame {
	f := n.Frame
	for i := range n.Steps {
		if n.Steps[i].Frame != nil {
			f = n.Steps[i].Frame
		}
	}
	return f
}

// index lets later records find this one.
func (j *Joiner) index(n *node) {
	for _, k := range n.came.keys() {
		j.came[k] = append(j.came[k], n)
	}
	for _, k := range n.left.keys() {
		j.left[k] = append(j.left[k], n)
	}
}

// merge makes two records' ways one, unless it would grow too long.
func (j *Joiner) merge(a, b *node) bool {
	to, from := a.way, b.way
	if to == from {
		return true
	}
	if len(to.nodes)+len(from.nodes) > maxWay {
		return false
	}
	if len(to.nodes) < len(from.nodes) {
		to, from = from, to
	}
	for _, n := range from.nodes {
		n.way = to
	}
	to.nodes = append(to.nodes, from.nodes...)
	if from.last.After(to.last) {
		to.last = from.last
	}
	if from.since.Before(to.since) {
		to.since = from.since
	}
	delete(j.ways, from)
	return true
}

// via says whether the route that a packet took has a next hop: then it is for
// somebody behind that one.
func (n *node) via() bool {
	for i := range n.Steps {
		if strings.Contains(n.Steps[i].Route, " via ") {
			return true
		}
	}
	return false
}
