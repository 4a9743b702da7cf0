package engine

import (
	"net/netip"
	"slices"
	"time"

	"github.com/vrouter/vrouter/arpproxy"
	"github.com/vrouter/vrouter/forwarder"
	"github.com/vrouter/vrouter/internal/neigh"
	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/verdict"
	"github.com/vrouter/vrouter/rib"
)

// Stats are all counters at one moment.
type Stats struct {
	Counters     // of all ports, those that are gone among them
	Ports        []PortStats
	Made         [forwarder.NumOrigins]uint64                       // packets that the router made itself
	MadeLost     [forwarder.NumOrigins]uint64                       // of them, those that could not be sent
	Told         [forwarder.NumFamilies][verdict.NumMeanings]uint64 // ICMP errors, by what they say
	Withheld     map[string]uint64                                  // that were due and not sent, by why
	Workers      []WorkerStats
	Tunnels      []TunnelStats
	Reassemblies [NumReassemblyResults]uint64
	Imbalance    int64
}

// PortStats are the counters of one port.
type PortStats struct {
	forwarder.PortConfig
	ID            int
	Received      Counters // of the packets that came in here
	TxPackets     uint64
	TxBytes       uint64
	Fragments     uint64
	Lost          uint64 // in the kernel, before they could be read
	ReadErrors    uint64 // that passed
	Slow          bool   // it is written by the slow lane
	SlowLost      uint64 // packets that the slow lane took and could not write
	ARPRequests   [arpproxy.NumAnswers]uint64
	Solicitations [arpproxy.NumAnswers]uint64 // of neighbours
	Neighbors     [neigh.NumStates]int
	Queues        []QueueStats
}

// QueueStats are what came in by one queue of a port, and which worker reads it.
type QueueStats struct {
	Worker         int
	Packets, Bytes uint64
	Cost           time.Duration // of its worker's time
}

// Cost is the time of its workers that what came in by a port has cost.
func (p *PortStats) Cost() (d time.Duration) {
	for i := range p.Queues {
		d += p.Queues[i].Cost
	}
	return d
}

// WorkerStats tell how a worker is kept busy.
type WorkerStats struct {
	Queues  int
	Batches uint64
	Frames  uint64        // read; a superframe is one
	Sleeps  uint64        // for want of frames
	Nice    int           // priority of its thread, as of nice(1)
	Cost    time.Duration // of what came in by its queues
	// SlowPorts are those with a queue of this worker's that the slow lane writes to.
	SlowPorts []string
}

// TunnelStats are the counters of IP-in-IP and VXLAN with one peer.
type TunnelStats struct {
	Peer   netip.Addr
	Tx, Rx uint64 // packets
	// Superframes that went into it, by where they are cut.
	Superframes [forwarder.NumCuts]uint64
	// CutBecause is why they are cut here, "" if they leave whole.
	CutBecause string
	Accept     []rib.Encap // what is unpacked that comes from there
	Send       []rib.Encap // what some route puts packets into that go there
	// Refused are ICMP errors about the tunnel that were not believed: they quote no
	// packet that was lately sent, or came among too many that do not.
	Refused uint64
	// MAC is the peer's inside VXLAN, and OwnMAC this end's.
	MAC, OwnMAC packet.MAC
	// PathMTU is what the uplink carries, or less where a router on the way said so.
	PathMTU
}

// Stats reads all counters. Each worker is held up for the time of one copy.
func (r *Router) Stats() *Stats {
	s := &Stats{Withheld: map[string]uint64{}}
	r.mu.Lock() // so that no port is counted twice, as one of the living and of the gone
	r.gone.addTo(&s.Tally)
	for _, p := range r.state.Load().ports {
		if p != nil {
			s.addPort(p)
		}
	}
	r.mu.Unlock()
	s.readWays()
	s.Imbalance = s.imbalance()
	s.addWorkers(r.workers)
	for o := range s.Made {
		s.Made[o], s.MadeLost[o] = r.made[o].total.Load(), r.made[o].lost.Load()
	}
	for f := range s.Told {
		for m := range s.Told[f] {
			s.Told[f][m] = r.told[f][m].Load()
		}
	}
	for why := forwarder.AboutError; int(why) < forwarder.NumWithheld; why++ {
		s.Withheld[why.String()] = r.withheld[why].Load()
	}
	for i := range s.Reassemblies {
		s.Reassemblies[i] = r.fragments.results[i].Load()
	}
	st := r.state.Load()
	for _, t := range st.Tunnels.AllSorted() {
		s.addTunnel(t, st)
	}
	s.addNeighbors(r.neighbors.List(time.Now()))
	return s
}

func (s *Stats) addPort(p *port) {
	ps := PortStats{PortConfig: p.PortConfig, ID: p.ID, ReadErrors: p.readErrors.Load()}
	p.late.addTo(&ps.Received.Tally) // before the queues: what has waited is counted there by then
	for _, q := range p.queues {
		qs := QueueStats{Worker: q.worker.number}
		q.worker.mu.Lock()
		qs.Packets, qs.Bytes = q.counts.Packets, q.counts.Bytes
		ps.Received.Tally.add(&q.counts)
		qs.Cost = q.cost
		q.worker.mu.Unlock()
		ps.Lost += q.link.Lost()
		ps.Queues = append(ps.Queues, qs)
	}
	ps.Received.readWays()
	s.Tally.add(&ps.Received.Tally)
	ps.TxPackets, ps.TxBytes, ps.Fragments = p.tx.packets.Load(), p.tx.bytes.Load(), p.tx.fragments.Load()
	ps.Slow, ps.SlowLost = p.pace.slow.Load(), p.pace.lost.Load()
	for a := range ps.ARPRequests {
		ps.ARPRequests[a] = p.arpRequests[a].Load()
	}
	for a := range ps.Solicitations {
		ps.Solicitations[a] = p.solicitations[a].Load()
	}
	s.Ports = append(s.Ports, ps)
}

func (s *Stats) addWorkers(workers []*worker) {
	s.Workers = make([]WorkerStats, len(workers))
	for i, w := range workers {
		w.mu.Lock()
		s.Workers[i] = WorkerStats{Batches: w.batches, Frames: w.frames, Sleeps: w.poller.Sleeps(), Nice: w.nice, SlowPorts: []string{}}
		w.mu.Unlock()
	}
	for _, p := range s.Ports {
		for _, q := range p.Queues {
			w := &s.Workers[q.Worker]
			w.Queues++
			w.Cost += q.Cost
			if p.Slow {
				w.SlowPorts = append(w.SlowPorts, p.Name)
			}
		}
	}
}

// Kinds are the encapsulations of what goes there or, if nothing does, of what is unpacked that
// comes from there.
func (t *TunnelStats) Kinds() []rib.Encap {
	switch {
	case len(t.Send) > 0:
		return t.Send
	case len(t.Accept) > 0:
		return t.Accept
	}
	return []rib.Encap{rib.None}
}

func (s *Stats) addTunnel(t *forwarder.Tunnel, st *state) {
	book := t.Owner.(*tunnelBook)
	ts := TunnelStats{Peer: t.Peer, Tx: book.tx.Load(), Rx: book.rx.Load(), Refused: book.refused.Load()}
	for _, e := range []struct {
		rib.Encap
		accept bool
		ends   []netip.Addr
	}{{rib.IPIP, t.Accept, st.Ends}, {rib.VXLAN, t.AcceptVXLAN, st.VXLAN.Ends}} {
		if e.accept {
			ts.Accept = append(ts.Accept, e.Encap)
		}
		if slices.Contains(e.ends, t.Peer) {
			ts.Send = append(ts.Send, e.Encap)
		}
	}
	if slices.Contains(ts.Kinds(), rib.VXLAN) {
		ts.OwnMAC, ts.MAC = st.VTEPs(t.Peer)
	}
	for i := range s.Ports {
		if s.Ports[i].Kind == forwarder.Uplink {
			ts.Bytes = s.Ports[i].MTU
			ts.CutBecause, _ = s.Ports[i].WhyCut(ts.Kinds()[0], t.Peer)
		}
	}
	for c := range ts.Superframes {
		ts.Superframes[c] = book.super[c].Load()
	}
	if p := book.path.Load(); p != nil && p.Bytes < ts.Bytes {
		ts.PathMTU = *p
	}
	s.Tunnels = append(s.Tunnels, ts)
}

func (s *Stats) addNeighbors(list []neigh.Info) {
	for _, n := range list {
		for i := range s.Ports {
			if s.Ports[i].ID == n.Port {
				s.Ports[i].Neighbors[n.State]++
			}
		}
	}
}

// Neighbors lists all neighbours, by address.
func (r *Router) Neighbors() []neigh.Info { return r.neighbors.List(time.Now()) }

// PortName is the name of a port, "" if there is none of that ID.
func (r *Router) PortName(id int) string {
	if p := r.state.Load().Port(id); p != nil {
		return p.Name
	}
	return ""
}
