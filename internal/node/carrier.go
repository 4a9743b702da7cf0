package node

import (
	"github.com/vrouter/vrouter/internal/host"
	"github.com/vrouter/vrouter/internal/tunnelgso"
	"github.com/vrouter/vrouter/rib"
)

// carrier is the program by which superframes in tunnels leave the uplink whole or, where there is none, why not.
type carrier struct {
	program *tunnelgso.Program
	why     string
}

// carrierNow is what the uplink has at present.
func (n *Node) carrierNow() carrier {
	it := n.what.Item((&host.Program{Uplink: n.config.Uplink.Interface}).ID())
	switch {
	case !n.config.Offload:
		return carrier{why: "offload is false"}
	case it == nil || it.Object == nil:
		return carrier{why: "no route goes through a tunnel"}
	case it.Stands:
		if fault := it.Program.Fault(); fault != "" {
			return carrier{why: fault}
		}
		return carrier{program: it.Program}
	case it.Err != nil:
		return carrier{why: it.Err.Error()}
	}
	return carrier{why: "the program for it is about to be attached"}
}

// carry has the uplink know whether superframes in tunnels may leave it whole.
func (n *Node) carry() {
	if n.what == nil || n.uplink == nil {
		return
	}
	now := n.carrierNow()
	if now == n.uplink.carrier {
		return
	}
	n.uplink.carrier = now
	for i, p := range n.uplink.sockets {
		p.Carry(now.program, i)
	}
	n.Router.UpdatePort(n.uplink.port, n.uplinkPort(n.uplink))
}

// missed is told when superframes went past the program; nil while there is none.
func (n *Node) missed() <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	if p := n.uplink.program; p != nil {
		return p.Missed
	}
	return nil
}

// lookAtProgram has the program be looked at: who detaches it tells nobody.
func (n *Node) lookAtProgram() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.stopped {
		n.what.TouchAll(host.KindProgram)
		n.carry()
	}
}

// CutBecause is why superframes that a route puts into a tunnel are cut before they leave; "": they leave whole.
func (n *Node) CutBecause(r *rib.Route) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	p := n.uplinkPort(n.uplink)
	why, _ := p.WhyCut(r.Encap, r.Via)
	return why
}
