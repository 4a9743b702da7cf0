package control

import (
	"cmp"
	"iter"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/vrouter/vrouter/forwarder"
	"github.com/vrouter/vrouter/internal/engine"
	"github.com/vrouter/vrouter/internal/node"
	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/trace"
	"github.com/vrouter/vrouter/internal/verdict"
	"github.com/vrouter/vrouter/rib"
)

func ports(c *engine.Stats) []Port {
	list := []Port{}
	for _, p := range c.Ports {
		v := Port{
			Port: p.Name, Kind: p.Kind.String(), Interface: p.Interface, MAC: p.MAC.String(), MTU: p.MTU,
			RxPackets: p.Received.Packets, RxBytes: p.Received.Bytes, RxLost: p.Lost, RxErrors: p.ReadErrors, TxPackets: p.TxPackets, TxBytes: p.TxBytes,
			Drops: map[string]uint64{},
		}
		if len(p.Addresses) > 0 {
			v.Address = p.Addresses[0].String()
		}
		for _, a := range p.Addresses {
			v.Addresses = append(v.Addresses, a.String())
		}
		v.Forwarded, v.Consumed, v.Dropped = p.Received.Ended()
		v.Noise = p.Received.AllNoise()
		for _, r := range verdict.Reasons() {
			if c := p.Received.Drops[r]; c > 0 {
				v.Drops[r.String()] = c
			}
		}
		for _, q := range p.Queues {
			v.Queues = append(v.Queues, Queue{Worker: q.Worker, RxPackets: q.Packets, RxBytes: q.Bytes})
		}
		list = append(list, v)
	}
	return list
}

func workers(c *engine.Stats) []Worker {
	list := []Worker{}
	for i, w := range c.Workers {
		list = append(list, Worker{
			Worker: i, Queues: w.Queues, Batches: w.Batches, Frames: w.Frames, Sleeps: w.Sleeps, Nice: w.Nice,
			Seconds: w.Cost.Seconds(), SlowPorts: w.SlowPorts,
		})
	}
	return list
}

func drops(s *engine.Stats, records []*trace.Record) []Drop {
	last := map[verdict.Reason]*Recorded{}
	for _, r := range lossesLast(records) {
		last[r.Outcome.Reason] = &Recorded{ID: r.ID, Time: time.Unix(0, r.Time), Port: r.In, Summary: r.Summary()}
	}
	list := []Drop{}
	for _, r := range verdict.Reasons() {
		d := Drop{Reason: r.String(), Packets: s.Drops[r], Noise: s.Noise[r], Ports: map[string]uint64{}, Help: r.Info().Help, RFC: r.Info().RFC, Last: last[r]}
		for _, p := range s.Ports {
			if c := p.Received.Drops[r]; c > 0 {
				d.Ports[p.Name] = c
			}
		}
		list = append(list, d)
	}
	return list
}

// lossesLast has records of losses behind those of noise.
func lossesLast(records []*trace.Record) []*trace.Record {
	slices.SortStableFunc(records, func(a, b *trace.Record) int {
		switch {
		case a.Outcome.Noise == b.Outcome.Noise:
			return 0
		case a.Outcome.Noise:
			return -1
		}
		return 1
	})
	return records
}

// ways are the packets by the way they took, the most first.
func ways(s *engine.Stats) []Way {
	list := []Way{}
	named := map[trace.Way]uint64{}
	for w, packets := range s.Ways.All {
		named[w.Named()] += packets
	}
	for w, packets := range named {
		end, v := w.End()
		list = append(list, Way{Path: w.String(), Outcome: w.Outcome(), Step: end.String(), Reason: v.Reason.String(), Packets: packets})
	}
	if s.Ways.Other > 0 {
		list = append(list, Way{Packets: s.Ways.Other})
	}
	slices.SortFunc(list, func(a, b Way) int { return cmp.Or(cmp.Compare(b.Packets, a.Packets), cmp.Compare(a.Path, b.Path)) })
	return list
}

func neighbors(n *node.Node) []Neighbor {
	list := []Neighbor{}
	for _, i := range n.Router.Neighbors() {
		v := Neighbor{Address: i.Addr.String(), Port: n.Router.PortName(i.Port), State: i.State.String(), Age: i.Age.Seconds(), Waiting: i.Waiting}
		if i.MAC != (packet.MAC{}) {
			v.MAC = i.MAC.String()
		}
		list = append(list, v)
	}
	return list
}

// held is what waits, the oldest first.
func held(n *node.Node) []Held {
	list := []Held{}
	for _, h := range n.Router.Held() {
		v := Held{For: h.For, Port: h.Port, Packets: h.Packets, Bytes: h.Bytes, Age: h.Age.Seconds(), Missing: h.Missing}
		switch h.For {
		case engine.ForNextHop:
			v.NextHop = h.NextHop.String()
		case engine.ForLetGo:
			v.Before = h.Before
		default:
			v.Src, v.Dst, v.ID, v.Proto = h.Src.String(), h.Dst.String(), int(h.ID), int(h.Protocol)
		}
		list = append(list, v)
	}
	return list
}

// kindOf is what a tunnel carries: a route of either family may lead into it.
func kindOf(t *engine.TunnelStats) string {
	var kinds []string
	for _, e := range t.Kinds() {
		switch {
		case e == rib.VXLAN:
			kinds = append(kinds, "vxlan")
		case t.Peer.Is4():
			kinds = append(kinds, "ipip,6in4")
		default:
			kinds = append(kinds, "4in6,6in6")
		}
	}
	return strings.Join(kinds, ",")
}

func tunnels(c *engine.Stats) []Tunnel {
	list := []Tunnel{}
	for _, t := range c.Tunnels {
		v := Tunnel{Peer: t.Peer.String(), Kind: kindOf(&t), PathMTU: t.Bytes, Cause: "uplink", TxPackets: t.Tx, RxPackets: t.Rx, Refused: t.Refused, Offload: "kernel", CutBecause: t.CutBecause, CutByKernel: t.Superframes[forwarder.CutByKernel], CutHere: t.Superframes[forwarder.CutHere]}
		if t.CutBecause != "" {
			v.Offload = "cut here"
		}
		if t.OwnMAC != (packet.MAC{}) {
			v.MAC, v.OwnMAC = t.MAC.String(), t.OwnMAC.String()
		}
		switch send, accept := len(t.Send) > 0, len(t.Accept) > 0; {
		case send && accept:
			v.Mode = "both"
		case send:
			v.Mode = "send"
		case accept:
			v.Mode = "receive"
		default:
			v.Mode = "none"
		}
		if t.From.IsValid() {
			v.Cause, v.Age = t.From.String(), time.Since(t.Since).Seconds()
		}
		list = append(list, v)
	}
	return list
}

func workloads(n *node.Node) []Workload {
	list := []Workload{}
	for _, w := range n.Workloads() {
		v := Workload{
			Name: w.Name, Namespace: w.Namespace, Interface: w.Interface,
			Address: w.Addresses[0].String(), MTU: w.MTU,
		}
		for _, a := range w.Addresses {
			v.Addresses = append(v.Addresses, a.String())
		}
		if c := w.Container; c.ID != "" {
			v.Container = &Container{Network: c.Network, ID: c.ID}
		}
		if w.Attached {
			v.MAC, v.Note = w.MAC.String(), w.Reason
		} else {
			v.Waits = w.Reason
		}
		list = append(list, v)
	}
	return list
}

// routes are those that people have to do with: a subnet's broadcast addresses
// are in `route get` alone, as they are in ip-route(8).
func routes(n *node.Node, counts *engine.RouteCounts) iter.Seq2[Route, error] {
	return func(yield func(Route, error) bool) {
		var last netip.Prefix
		for r := range n.RIB.All {
			if r.Type != rib.Broadcast && !yield(route(r, r.Prefix != last, counts), nil) {
				return
			}
			last = r.Prefix
		}
	}
}

func route(r *rib.Route, used bool, counts *engine.RouteCounts) Route {
	v := Route{
		Prefix: r.Prefix.String(), Type: r.Type.String(), Dev: r.Dev, Protocol: r.Protocol,
		Metric: int64(r.Metric), MTU: int(r.MTU), Encap: r.Encap.String(), Used: used, Text: r.String(),
	}
	if r.Via.IsValid() {
		v.Via = r.Via.String()
	}
	own := counts.Of(r)
	v.Packets, v.Bytes = own.Packets, own.Bytes
	paths := r.Multipath.Paths()
	for i := range paths {
		p := &paths[i] // itself: a copy is another route
		n := counts.Of(p)
		v.Packets, v.Bytes = v.Packets+n.Packets, v.Bytes+n.Bytes
		path := Path{Dev: p.Dev, Encap: p.Encap.String(), Weight: p.Weight(), Packets: n.Packets, Bytes: n.Bytes}
		if p.Via.IsValid() {
			path.Via = p.Via.String()
		}
		v.Paths = append(v.Paths, path)
	}
	return v
}

func lookup(n *node.Node, a netip.Addr, counts *engine.RouteCounts) Lookup {
	l := Lookup{Address: a.String(), Others: []Route{}}
	for i, r := range n.RIB.Candidates(a) {
		v := route(r, i == 0, counts)
		if i > 0 {
			l.Others = append(l.Others, v)
			continue
		}
		l.Route = &v
		for _, p := range r.Multipath.Paths() {
			hop, neighbor := nextHop(n, &p, a)
			l.NextHops = append(l.NextHops, Hop{hop, neighbor, n.WhyEncap(&p), p.Weight()})
		}
		if r.Type == rib.Unicast && r.Multipath == nil {
			l.NextHop, l.Neighbor = nextHop(n, r, a)
			l.Encap = n.WhyEncap(r)
		}
	}
	return l
}

// nextHop is who gets what goes by a route, and what is known of him: nobody, if there is no way to the end of its tunnel.
func nextHop(n *node.Node, r *rib.Route, a netip.Addr) (hop, neighbor string) {
	if r.Via.IsValid() {
		a = r.Via
	}
	if r.Encap != rib.None {
		to := n.RIB.Candidates(a)
		if len(to) == 0 || to[0].Type != rib.Unicast || to[0].Encap != rib.None {
			return "", ""
		}
		if r = to[0]; r.Multipath != nil {
			r = &r.Multipath.Paths()[0]
		}
		if r.Via.IsValid() {
			a = r.Via
		}
	}
	neighbor = "unknown: the first packet asks"
	for _, i := range n.Router.Neighbors() {
		if i.Addr == a && i.Port == r.Port {
			neighbor = i.State.String()
			if i.MAC != (packet.MAC{}) {
				neighbor = i.MAC.String()
			}
		}
	}
	return a.String(), neighbor
}
