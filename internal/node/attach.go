package node

import (
	"cmp"
	"errors"
	"net/netip"
	"slices"
	"strings"

	"github.com/vrouter/vrouter/forwarder"
	"github.com/vrouter/vrouter/internal/config"
	"github.com/vrouter/vrouter/internal/host"
	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/rib"
)

// attached is a workload and its port.
type attached struct {
	object    *host.Interface
	mac       packet.MAC
	port      int
	linkLocal []netip.Addr // that the router knows it by
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
		n.setWorkloadNeighbors(a, it.LinkLocal)
		n.Router.UpdatePort(a.port, n.workloadPort(o))
		return nil
	}
	port, err := n.Router.AddPort(n.workloadPort(o), it.TAP)
	if err != nil {
		return err
	}
	a := &attached{object: o, mac: it.MAC, port: port}
	n.workloads[o.Workload] = a
	n.moved = true
	n.setWorkloadNeighbors(a, it.LinkLocal)
	if err := n.Router.StartPort(port); err != nil {
		return err
	}
	n.log.Info("workload attached", "workload", o.Workload, "namespace", o.Namespace, "interface", o.Name, "address", words(o.Addresses), "mtu", o.MTU)
	return n.enterWorkload(a)
}

// words are addresses as people write them.
func words(addresses []netip.Prefix) string {
	var all []string
	for _, a := range addresses {
		all = append(all, a.String())
	}
	return strings.Join(all, ", ")
}

// enterWorkload has routes lead to a workload: `10.70.1.1 dev ns1 scope link`.
func (n *Node) enterWorkload(a *attached) (err error) {
	for _, p := range a.hostRoutes() {
		err = errors.Join(err, n.RIB.Replace(rib.Route{Prefix: p, Dev: a.object.Workload, Port: a.port, Protocol: "workload", Source: rib.Workload}))
	}
	return err
}

// setWorkloadNeighbors lets the port know that all addresses of a workload are at its interface: those that it was
// given, and those of its link.
func (n *Node) setWorkloadNeighbors(a *attached, linkLocal []netip.Addr) {
	for _, p := range a.object.Addresses {
		n.Router.SetNeighbor(a.port, p.Addr(), a.mac)
	}
	for _, l := range a.linkLocal {
		if !slices.Contains(linkLocal, l) {
			n.Router.ForgetNeighbor(a.port, l)
		}
	}
	for _, l := range linkLocal {
		n.Router.SetNeighbor(a.port, l, a.mac)
	}
	a.linkLocal = linkLocal
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
	for _, p := range a.hostRoutes() {
		if err := n.RIB.Delete(p, rib.Workload, 0); err != nil {
			n.log.Error("routes of the workloads", "error", err)
		}
	}
	if why == "" {
		n.log.Info("workload detached", "workload", o.Workload)
		return
	}
	n.log.Error("workload detached: "+why, "workload", o.Workload, "namespace", o.Namespace, "interface", o.Name)
}

// hostRoutes are the destinations of the routes to a workload.
func (a *attached) hostRoutes() (all []netip.Prefix) {
	for _, p := range a.object.Addresses {
		all = append(all, single(p.Addr()))
	}
	return all
}

// single is the prefix of one host.
func single(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

func (n *Node) workloadPort(o *host.Interface) forwarder.PortConfig {
	c := forwarder.PortConfig{
		Name: o.Workload, Kind: forwarder.Workload, Interface: o.Name,
		MAC: packet.MAC(n.config.Gateway.MAC), MTU: o.MTU, LinkLocal: n.config.Gateway.Address6,
	}
	for _, a := range o.Addresses {
		c.Addresses = append(c.Addresses, a.Addr())
	}
	return c
}

// followWhatStands does what follows from workloads that have come or gone: routes may lead by way of them, and the
// host has routes to them.
func (n *Node) followWhatStands() error {
	if !n.moved {
		return nil
	}
	n.moved = false
	err := errors.Join(n.setOwn(), n.setExports(), n.followIPv6())
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
