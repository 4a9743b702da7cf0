package node

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"strings"

	"github.com/vrouter/vrouter/forwarder"
	"github.com/vrouter/vrouter/internal/capture"
	"github.com/vrouter/vrouter/internal/config"
	"github.com/vrouter/vrouter/internal/engine"
	"github.com/vrouter/vrouter/internal/host"
	"github.com/vrouter/vrouter/internal/neigh"
	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/sketch"
	"github.com/vrouter/vrouter/internal/trace"
	"github.com/vrouter/vrouter/internal/verdict"
	"github.com/vrouter/vrouter/rib"
)

// Plan is what a reload would change.
type Plan struct {
	Settings []string // key: was > is to be
	Objects  []host.Planned
	Routes   []PlannedRoute
	Packets  []PlannedPacket // that would go another way
}

// PlannedRoute is one that would come or go.
type PlannedRoute struct {
	Gone bool
	Text string
}

// PlannedPacket is one that would go another way.
type PlannedPacket struct {
	ID        uint64 // of one that was recorded; 0: it was made up
	Packet    string
	Now, Then string
}

// Foresight is the router as it is and as it would be, at one moment.
type Foresight struct {
	node      *Node
	plan      Plan // without routes and packets
	now, then *Node
}

// Foresee compares a configuration with what is in force, and changes nothing. What a reload would refuse is an error.
// Nobody else waits for what Plan takes; it must be called.
func (n *Node) Foresee(c *config.Host) (*Foresight, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	next, err := n.foresee(c)
	if err != nil {
		return nil, err
	}
	f := &Foresight{node: n}
	present := future{n.config, n.statics, n.live, n.file}
	f.plan.Settings = settings(present.config, next.config)
	n.config, n.statics, n.live = next.config, next.statics, next.live
	want := n.present()
	if n.config.Kernel.Export {
		want = append(want, n.exports(n.soonAttached(present.config)))
	}
	f.plan.Objects = n.what.Plan(want)
	n.config, n.statics, n.live = present.config, present.statics, present.live
	// Both are made alike, so that nothing else tells them from each other.
	if f.now, err = n.shadow(present); err != nil {
		return nil, err
	}
	if f.then, err = n.shadow(next); err != nil {
		f.now.Router.Close()
		return nil, err
	}
	return f, nil
}

// Plan says what a reload would change.
func (f *Foresight) Plan() Plan {
	defer f.now.Router.Close()
	defer f.then.Router.Close()
	f.plan.Routes = plannedRoutes(f.now.RIB, f.then.RIB)
	f.plan.Packets = f.node.plannedPackets(f.now, f.then)
	return f.plan
}

// soonAttached are the workloads' addresses of those that are attached, and of those that were not there before.
func (n *Node) soonAttached(before *config.Host) (all []netip.Addr) {
	for _, w := range n.config.Workloads {
		known := slices.ContainsFunc(before.Workloads, func(o config.Workload) bool { return o.Name == w.Name })
		if !known || n.workloads[w.Name] != nil {
			for _, a := range w.Addresses {
				all = append(all, a.Addr())
			}
		}
	}
	return all
}

// settings are the keys that change and are seen in nothing else.
func settings(was, is *config.Host) (all []string) {
	for _, k := range []struct {
		key       string
		was, want any
	}{
		{"node", was.Node, is.Node},
		{"ipip.mode", was.IPIP.Mode, is.IPIP.Mode},
		{"ipip.peers", was.IPIP.Peers, is.IPIP.Peers},
		{"vxlan.mode", was.VXLAN.Mode, is.VXLAN.Mode},
		{"vxlan.vni", was.VXLAN.VNI, is.VXLAN.VNI},
		{"vxlan.port", was.VXLAN.Port, is.VXLAN.Port},
		{"vxlan.peers", was.VXLAN.Peers, is.VXLAN.Peers},
		{"kernel.import", was.Kernel.Import, is.Kernel.Import},
		{"kernel.guard", was.Kernel.Guard, is.Kernel.Guard},
		{"rpf", was.RPF, is.RPF},
		{"log.level", was.Log.Level, is.Log.Level},
		{"log.format", was.Log.Format, is.Log.Format},
	} {
		if a, b := fmt.Sprint(k.was), fmt.Sprint(k.want); a != b {
			all = append(all, fmt.Sprintf("%s: %s > %s", k.key, a, b))
		}
	}
	return all
}

// shadow is a node with this configuration, all of whose workloads are attached. It has no worker and touches no host.
func (n *Node) shadow(f future) (*Node, error) {
	s := &Node{
		config: f.config, statics: f.statics, live: f.live, RIB: rib.NewTable(), log: slog.New(slog.DiscardHandler),
		workloads: map[string]*attached{}, mirror: newMirror(), told: map[string]map[string]bool{},
	}
	s.Router = engine.New(s.RIB, s.log, nil)
	u := *n.uplink
	s.uplink = &u
	ids := map[string]int{}
	add := func(c forwarder.PortConfig) (id int, err error) {
		id, err = s.Router.AddPort(c)
		ids[c.Name] = id
		return id, err
	}
	var err error
	if u.index != 0 {
		u.port, err = add(n.uplinkPort(&u))
	}
	if n.host != nil && err == nil {
		h := *n.host
		s.host = &h
		h.id, err = add(n.hostPortConfig())
	}
	for i := range f.config.Workloads {
		o := interfaceOf(f.config, &f.config.Workloads[i], s.workloadMTU(), false)
		a := &attached{object: o, mac: stranger}
		if is := n.workloads[o.Workload]; is != nil {
			a.mac = is.mac
		}
		if err == nil {
			a.port, err = add(s.workloadPort(o))
		}
		if err == nil {
			s.workloads[o.Workload] = a
			s.setWorkloadNeighbors(a, nil)
			err = s.enterWorkload(a)
		}
	}
	if err == nil {
		err = errors.Join(s.applyUplink(), s.setStaticRoutes(), s.importAll())
	}
	if err != nil {
		s.Router.Close()
		return nil, err
	}
	s.setHostNeighbors()
	for _, i := range n.Router.Neighbors() {
		if id, ok := ids[n.Router.PortName(i.Port)]; ok && i.State != neigh.Permanent && i.MAC != (packet.MAC{}) {
			s.Router.SetNeighbor(id, i.Addr, i.MAC)
		}
	}
	return s, nil
}

func plannedRoutes(now, then *rib.Table) (all []PlannedRoute) {
	had := map[string]bool{}
	for r := range now.All {
		had[r.String()] = true
	}
	for r := range then.All {
		text := r.String()
		if r.Type == rib.Broadcast {
			continue
		}
		if !had[text] {
			all = append(all, PlannedRoute{Text: text})
		}
		had[text] = false
	}
	for r := range now.All {
		if text := r.String(); had[text] && r.Type != rib.Broadcast {
			all = append(all, PlannedRoute{Gone: true, Text: text})
		}
	}
	return all
}

// plannedPackets are a ping between every two workloads, of now and then, and the packets that were recorded lately: those
// of them that would go another way.
func (n *Node) plannedPackets(now, then *Node) (all []PlannedPacket) {
	addresses := map[netip.Addr]bool{}
	for _, s := range []*Node{now, then} {
		for _, w := range s.workloads {
			for _, a := range w.object.Addresses {
				addresses[a.Addr()] = true
			}
		}
	}
	sorted := slices.SortedFunc(maps.Keys(addresses), netip.Addr.Compare)
	a, b := newFate(now), newFate(then)
	same := stays(now, then, a.Settings(), b.Settings())
	for _, from := range sorted {
		for _, to := range sorted {
			if from == to || from.Is4() != to.Is4() || same[from] && same[to] {
				continue
			}
			p := PlannedPacket{Packet: fmt.Sprintf("%s %s > %s", echoWord(from), from, to)}
			if p.Now, p.Then = a.ofPing(from, to), b.ofPing(from, to); p.Now != p.Then {
				all = append(all, p)
			}
		}
	}
	for _, r := range n.Router.Trace().Kept(false) {
		var v trace.Packet
		r.AddFrames(&v)
		if v.Frame == nil {
			continue
		}
		c := &capture.Packet{Frame: v.Frame.Bytes, Length: v.Frame.Length}
		p := PlannedPacket{ID: r.ID, Packet: r.Summary()}
		if p.Now, p.Then = a.ofCaptured(c, r.In), b.ofCaptured(c, r.In); p.Now != p.Then {
			all = append(all, p)
		}
	}
	return all
}

// stays are the addresses of workloads that stay as they are, where the settings do that such packets meet. What one
// of them sends to another one goes the way it went: no other route goes before a workload's.
func stays(now, then *Node, was, is forwarder.Settings) map[netip.Addr]bool {
	was.Peers, was.Ends, is.Peers, is.Ends = nil, nil, nil, nil // of tunnels
	was.VXLAN, is.VXLAN = forwarder.VXLAN{}, forwarder.VXLAN{}
	if !reflect.DeepEqual(was, is) {
		return nil
	}
	all := map[netip.Addr]bool{}
	for name, w := range now.workloads {
		if o := then.workloads[name]; o != nil && w.mac == o.mac && reflect.DeepEqual(w.object, o.object) {
			for _, a := range w.object.Addresses {
				all[a.Addr()] = true
			}
		}
	}
	return all
}

// echoWord is what `vrouter explain` calls a ping of a family.
func echoWord(family netip.Addr) string {
	if family.Is6() {
		return "icmp6"
	}
	return "icmp"
}

// fate is where packets end.
type fate struct{ *dryRun }

func newFate(s *Node) fate { return fate{s.newDryRun("")} }

func (f fate) ofPing(from, to netip.Addr) string {
	if !slices.ContainsFunc(f.entrances, func(e entrance) bool { return slices.Contains(e.sources, from) }) {
		return "there is no workload " + from.String()
	}
	e, err := f.entrance(from)
	if err != nil {
		return err.Error()
	}
	p, err := sketch.Parse(fmt.Sprintf("%s %s > %s", echoWord(from), from, to))
	if err != nil {
		return err.Error()
	}
	frame, err := p.Frame(e.src, e.dst)
	if err != nil {
		return err.Error()
	}
	return f.of(e, frame)
}

func (f fate) ofCaptured(c *capture.Packet, in string) string {
	if !slices.ContainsFunc(f.entrances, func(e entrance) bool { return e.port == in }) {
		return "there is no port " + in
	}
	f.in = in
	defer func() { f.in = "" }()
	e, frame, err := f.enter(c)
	if err != nil {
		return err.Error()
	}
	return f.of(e, frame)
}

// of says in a few words where a frame ends, and by which way.
func (f fate) of(e *entrance, frame *packet.Frame) string {
	to := slices.Clone(ipOf(frame))
	way, err := f.Way(e.port, frame)
	if err != nil {
		return err.Error()
	}
	step, v := way.End()
	waits := step == forwarder.Neigh && v.Kind == verdict.Hold // who waits for a next hop goes by the route
	if !waits && way.Becomes() != trace.Forwarded {
		return strings.TrimSpace(fmt.Sprintf("%s at %s %s", way.Becomes(), step, v.Reason))
	}
	if to == nil {
		return "forwarded"
	}
	r := f.node.Router.RouteOf(to)
	if r == nil {
		return "forwarded"
	}
	text := "forwarded by " + r.Dev
	if r.Via.IsValid() {
		text += " to " + r.Via.String()
	}
	if r.Encap != rib.None {
		text += " in " + r.Encap.String()
	}
	return text
}
