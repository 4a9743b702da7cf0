// Package neigh knows which hardware address a next hop has: it says when to ask
// for one, keeps the packets that wait for the answer, and forgets what nobody
// confirms. It sends nothing and reads no clock: callers pass the time in and
// carry out what it asks for.
package neigh

import (
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/gaissmai/bart"

	"github.com/vrouter/vrouter/internal/packet"
)

// State of a neighbour, in iproute2's words.
type State uint8

const (
	Incomplete State = iota // asked for, not known yet: packets wait
	Reachable               // known to be right within ReachableTime
	Stale                   // was right once, and nobody has used it since
	Probe                   // in use and being confirmed
	Failed                  // nobody answered
	Permanent               // told by whoever made the port
	numStates
)

// NumStates is the number of states.
const NumStates = int(numStates)

var stateWords = [NumStates]string{
	Incomplete: "incomplete", Reachable: "reachable", Stale: "stale", Probe: "probe", Failed: "failed", Permanent: "permanent",
}

// String is the word of the metrics and of `show neighbors`.
func (s State) String() string { return stateWords[s] }

const (
	// ReachableTime is how long an answer is trusted (RFC 1122 2.3.2.1).
	ReachableTime = 30 * time.Second
	// RetransTime is the least time between two requests for one target (RFC 1122 2.3.2.1).
	RetransTime = time.Second
	// Tries is how many requests go unanswered before the target has failed.
	Tries = 3
	// ForgetTime is how long an entry stays that nobody uses.
	ForgetTime = 60 * time.Second
)

// Limits on what strangers can make grow.
const (
	MaxNeighbors    = 4096    // entries learnt or asked for, on all ports: workloads are not among them
	MaxIncomplete   = 1024    // of them, those of one port that are being asked for the first time
	MaxQueue        = 64      // packets that wait for one neighbour
	MaxWaitingBytes = 8 << 20 // of memory, what waits for all neighbours

	maxLate = 16 * MaxQueue // packets that may queue up behind those that have waited for a neighbour
)

// Neighbor is what the packet path sees of an entry: it never changes, but for
// the marks that say it is used and queued for, and when it was last known to be right.
type Neighbor struct {
	MAC       packet.MAC
	used      atomic.Bool
	queued    atomic.Bool               // what has waited for it is not sent yet
	confirmed atomic.Pointer[time.Time] // nil: permanent
}

// Confirmed is when the neighbour last said so; not ok for a permanent neighbour.
func (n *Neighbor) Confirmed() (at time.Time, ok bool) {
	t := n.confirmed.Load()
	if t == nil {
		return at, false
	}
	return *t, true
}

// Queued says that what has waited for the neighbour is not sent yet. What comes now waits
// behind it, so that a flow keeps its order.
func (n *Neighbor) Queued() bool { return n.queued.Load() }

// Use notes that a packet went there, so that the entry is kept right.
func (n *Neighbor) Use() {
	if !n.used.Load() { // a store for every packet would bounce between cores
		n.used.Store(true)
	}
}

// Snapshot is the resolved neighbours at one moment. An address is another neighbour on
// each port. It never changes; the zero value has none.
type Snapshot struct{ ports []*bart.Table[*Neighbor] } // by port; nil: it has none

// Lookup finds a neighbour on a port, or nil if its hardware address is not known.
func (s *Snapshot) Lookup(port int, a netip.Addr) *Neighbor {
	if port >= len(s.ports) || s.ports[port] == nil {
		return nil
	}
	n, _ := s.ports[port].Lookup(a)
	return n
}

// With is the snapshot with one more neighbour, or another one in its place.
func (s *Snapshot) With(port int, a netip.Addr, n *Neighbor) *Snapshot {
	next := slices.Clone(s.ports)
	for port >= len(next) {
		next = append(next, nil)
	}
	if next[port] == nil {
		next[port] = new(bart.Table[*Neighbor])
	}
	next[port] = next[port].InsertPersist(netip.PrefixFrom(a, a.BitLen()), n)
	return &Snapshot{next}
}

// Without is the snapshot without a neighbour.
func (s *Snapshot) Without(port int, a netip.Addr) *Snapshot {
	next := slices.Clone(s.ports)
	if next[port] = next[port].DeletePersist(netip.PrefixFrom(a, a.BitLen())); next[port].Size() == 0 {
		next[port] = nil
	}
	return &Snapshot{next}
}

// Ask is a request to send: to everybody, or to the one whose address is to be confirmed.
type Ask struct {
	Port   int
	Target netip.Addr
	To     packet.MAC // packet.Broadcast, or the neighbour's
}

// Info describes an entry to people.
type Info struct {
	Addr    netip.Addr
	Port    int
	MAC     packet.MAC // zero if not known
	State   State
	Age     time.Duration // since it was last known to be right, or first asked for
	Waiting int           // packets
	Bytes   int           // of them
	Tries   int           // requests since it was last heard of
}
