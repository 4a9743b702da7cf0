package forwarder

import (
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/gaissmai/bart"

	"github.com/vrouter/vrouter/arpproxy"
	"github.com/vrouter/vrouter/internal/link"
	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/trace"
	"github.com/vrouter/vrouter/internal/verdict"
)

// Kind of a port.
type Kind uint8

const (
	Workload Kind = iota
	Uplink
	Host // the host's own stack, behind a TAP in the host's namespace
)

var kindWords = [...]string{Workload: "workload", Uplink: "uplink", Host: "host"}

// String is the word of the metrics.
func (k Kind) String() string { return kindWords[k] }

// PortConfig says what a port is. It never changes; a changed port is a new value.
type PortConfig struct {
	Name      string // as routes and people call it
	Kind      Kind
	Interface string
	MAC       packet.MAC // the router's own on this port
	MTU       int        // bytes of IP that the link carries
	Address   netip.Addr // a workload's: the one it may send from
}

// Port is a port as the packet path sees it: the configuration of one moment, and
// what stays over all of them.
type Port struct {
	PortConfig
	ID int
	*portState
}

// portState lives as long as the port does.
type portState struct {
	queues      []*queue
	hub         *trace.Hub
	unrecorded  [verdict.NumClasses]atomic.Uint64 // bit n: the next packet that is dropped for reason n is recorded
	late        ledger                            // of packets that came in here and had to wait
	tx          txCounters
	arpRequests [arpproxy.NumAnswers]atomic.Uint64
	limiter     limiter // of ICMP errors about what comes in here
	defence     limiter // of the router's addresses, against who claims them here
	conflicts   atomic.Uint64
	readErrors  atomic.Uint64
}

// queue is a socket or device through which a port's frames come and go. One
// worker reads it; its counters are that worker's (worker.mu).
type queue struct {
	port   int // ID
	link   link.Port
	worker *worker
	slot   int // in worker.queues
	counts Tally
}

// canOffload says whether frames with pending checksums and segments may leave here.
func (p *portState) canOffload() bool { return p.queues[0].link.CanOffload() }

// All reasons have a bit.
const _ = uint(64 - verdict.NumReasons)

// record has the next packet of each reason recorded that came in here.
func (p *portState) record() {
	for i := range p.unrecorded {
		p.unrecorded[i].Store(^uint64(0))
	}
}

// wants says, once, whether a packet that is dropped for a reason is to be recorded.
// In a flood of drops it costs the look at a word that is seldom written.
func (p *portState) wants(v verdict.Verdict) bool {
	bit, word := uint64(1)<<v.Reason, &p.unrecorded[v.Class]
	return word.Load()&bit != 0 && word.And(^bit)&bit != 0
}

// queueFor is the queue by which a worker writes.
func (p *portState) queueFor(w *worker) *queue { return p.queues[w.number%len(p.queues)] }

// txCounters count what leaves by a port; several workers write to it.
type txCounters struct {
	packets, bytes, fragments atomic.Uint64
}

// Settings are what the packet path knows besides ports, routes and neighbours.
type Settings struct {
	Gateway netip.Addr
	Uplink  []netip.Prefix // the uplink's addresses, the primary one first
	Own     []netip.Addr   // every address of the host, the uplink's among them
	RPF     bool           // workloads may send from their own address alone
	Peers   []netip.Addr   // whose IP-in-IP is unpacked
	Ends    []netip.Addr   // to whom IP-in-IP is sent
	// MinPathMTU in bytes is what any tunnel's path is believed to carry, whatever a
	// router tells.
	MinPathMTU int
}

// state is an immutable snapshot: settings and ports.
type state struct {
	Settings
	ports   []*Port              // by ID; nil where one was removed
	tunnels *bart.Table[*Tunnel] // by the peer's address
}

// Tunnel is IP-in-IP with one peer, in both directions.
type Tunnel struct {
	Peer   netip.Addr
	accept bool // what comes from there is unpacked
	*tunnelState
}

// tunnelState lives on when the settings change.
type tunnelState struct {
	tx, rx  atomic.Uint64
	pathMTU atomic.Pointer[PathMTU] // nil: the uplink's MTU
	probe   atomic.Uint32           // state of one, while there is a path MTU
	refused atomic.Uint64           // ICMP errors that quote nothing that was sent lately
	guesses limiter                 // of them
	idents  *idents                 // of outer packets

	answerBy time.Time // housekeeping's: the end of ProbeTime
}

// count enters a packet that decap or encap has edited.
func (t *Tunnel) count(p *Packet, s verdict.Step) {
	switch s {
	case verdict.Decap:
		t.rx.Add(p.weight)
	case verdict.Encap:
		t.tx.Add(uint64(1 + len(p.extra)))
	}
}

func (s *state) tunnel(peer netip.Addr) *Tunnel {
	t, _ := s.tunnels.Lookup(peer)
	return t
}

// setTunnels makes the tunnels that the settings speak of, and keeps the counters
// of those that there were.
func (s *state) setTunnels() {
	old := s.tunnels
	s.tunnels = new(bart.Table[*Tunnel])
	for _, peer := range slices.Concat(s.Ends, s.Peers) {
		t := &Tunnel{Peer: peer, accept: slices.Contains(s.Peers, peer), tunnelState: &tunnelState{idents: newIdents()}}
		if was, ok := old.Lookup(peer); ok {
			t.tunnelState = was.tunnelState
		} else if twin := s.tunnel(peer); twin != nil {
			t.tunnelState = twin.tunnelState
		}
		s.tunnels.Insert(netip.PrefixFrom(peer, 32), t)
	}
}

// source is the address that the router speaks from: of its uplink (RFC 1812
// 4.3.2.4), or of the gateway while the uplink has none.
func (s *state) source() netip.Addr {
	if len(s.Uplink) > 0 {
		return s.Uplink[0].Addr()
	}
	return s.Gateway
}

// sourceFor is the uplink's address in the subnet of a next hop.
func (s *state) sourceFor(a netip.Addr) netip.Addr {
	for _, p := range s.Uplink {
		if p.Contains(a) {
			return p.Addr()
		}
	}
	return s.source()
}

func (s *state) isOwn(a netip.Addr) bool { return slices.Contains(s.Own, a) }

// onUplink says whether an address lies in a subnet of the uplink.
func (s *state) onUplink(a netip.Addr) bool {
	for _, p := range s.Uplink {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

func (s *state) port(id int) *Port {
	if id < 0 || id >= len(s.ports) {
		return nil
	}
	return s.ports[id]
}
