package node

import (
	"cmp"
	"errors"
	"net/netip"
	"slices"

	"github.com/vrouter/vrouter/forwarder"
	"github.com/vrouter/vrouter/internal/config"
	"github.com/vrouter/vrouter/internal/host"
	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/rib"
)

// attached is a workload and its port.
type attached struct {
	object *host.Interface
	mac    packet.MAC
	port   int
}

// stands gives an interface that has come to stand a port, or the port what is new about it.
func (n *Node) stands(it *host.Item) error {
	if _, ok := it.Object.(*host.Program); ok {
		n.carry()
	}
	o, ok := it.Object.(*host.Interface)
	switch {
	case !ok:
		return nil
	case o.Workload == "":
		return n.hostPortStands(it, o)
	}
	if a := n.workloads[o.Workload]; a != nil {
		a.object, a.mac = o, it.MAC
		n.Router.SetNeighbor(a.port, o.Address.Addr(), it.MAC)
		n.Router.UpdatePort(a.port, n.workloadPort(o))
		return nil
	}
	port, err := n.Router.AddPort(n.workloadPort(o), it.TAP)
	if err != nil {
		return err
	}
	a := &attached{o, it.MAC, port}
	n.workloads[o.Workload] = a
	n.moved = true
	n.Router.SetNeighbor(port, o.Address.Addr(), it.MAC)
	if err := n.Router.StartPort(port); err != nil {
		return err
	}
	n.log.Info("workload attached", "workload", o.Workload, "namespace", o.Namespace, "interface", o.Name, "address", o.Address, "mtu", o.MTU)
	return n.RIB.Replace(rib.Route{Prefix: a.hostRoute(), Dev: o.Workload, Port: port, Protocol: "workload", Source: rib.Workload})
}

// lost takes the port of an interface away that stands no longer; why is "" if the router itself wants it so.
func (n *Node) lost(it *host.Item, why string) {
	if _, ok := it.Object.(*host.Program); ok {
		n.carry()
	}
	o, ok := it.Object.(*host.Interface)
	switch {
	case !ok:
		return
	case o.Workload == "":
		n.hostPortLost(why)
		return
	}
	a := n.workloads[o.Workload]
	if a == nil {
		return
	}
	n.Router.RemovePort(a.port)
	delete(n.workloads, o.Workload)
	n.moved = true
	if err := n.RIB.Delete(a.hostRoute(), rib.Workload, 0); err != nil {
		n.log.Error("routes of the workloads", "error", err)
	}
	if why == "" {
		n.log.Info("workload detached", "workload", o.Workload)
		return
	}
	n.log.Error("workload detached: "+why, "workload", o.Workload, "namespace", o.Namespace, "interface", o.Name)
}

// hostRoute leads to the workload: `10.70.1.1 dev ns1 scope link`.
func (a *attached) hostRoute() netip.Prefix { return netip.PrefixFrom(a.object.Address.Addr(), 32) }

func (n *Node) workloadPort(o *host.Interface) forwarder.PortConfig {
	return forwarder.PortConfig{
		Name: o.Workload, Kind: forwarder.Workload, Interface: o.Name,
		MAC: packet.MAC(n.config.Gateway.MAC), MTU: o.MTU, Addresses: []netip.Addr{o.Address.Addr()},
	}
}

// followWhatStands does what follows from workloads that have come or gone: routes may lead by way of them, and the
// host has routes to them.
func (n *Node) followWhatStands() error {
	if !n.moved {
		return nil
	}
	n.moved = false
	err := n.setExports()
	if len(n.statics.hops) > 0 {
		err = errors.Join(err, n.applyUplink(), n.setStaticRoutes())
	}
	return err
}

// Workload is one of the configuration, and what is of it.
type Workload struct {
	config.Workload
	Namespace string     // its path
	Attached  bool       // the rest is what it has
	MAC       packet.MAC // of the interface in the namespace
	MTU       int
	Reason    string // why it is not attached, or not as it was set up
}

// Workloads lists those of the configuration, by name, as they are now.
func (n *Node) Workloads() (list []Workload) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for i := range n.config.Workloads {
		w := Workload{Workload: n.config.Workloads[i]}
		w.Namespace, _ = n.config.NamespaceOf(&w.Workload)
		o := interfaceOf(n.config, &w.Workload, n.workloadMTU(), false)
		w.MTU = o.MTU
		if a := n.workloads[w.Name]; a != nil {
			w.Attached, w.MAC, w.MTU = true, a.mac, a.object.MTU
		}
		w.Reason = "it is about to be attached"
		if it := n.what.Item(o.ID()); it != nil && (w.Attached || it.Err != nil) {
			w.Reason = it.Note
			if err := it.Why(); err != nil {
				w.Reason = err.Error()
			}
		}
		list = append(list, w)
	}
	slices.SortFunc(list, func(a, b Workload) int { return cmp.Compare(a.Name, b.Name) })
	return list
}

// Repairs counts what the router has made right on its host, as somebody else had changed it, by kind.
func (n *Node) Repairs() map[host.Kind]uint64 { return n.what.Repairs() }
