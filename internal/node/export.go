package node

import (
	"net/netip"
	"slices"

	"github.com/vrouter/vrouter/forwarder"
	"github.com/vrouter/vrouter/internal/config"
	"github.com/vrouter/vrouter/internal/host"
	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/rib"
)

// hostPort is the host's own port of the router, a TAP in the host's namespace:
// what the host sends to a workload comes out of it, and what workloads send to
// the host goes in.
type hostPort struct {
	id    int
	index int
	mtu   int
	mac   packet.MAC
	own   []netip.Addr // the host's, that are neighbours on the port
}

var hostInterface = (&host.Interface{Name: config.HostInterface}).ID()

func (n *Node) hostPortStands(it *host.Item, o *host.Interface) error {
	if h := n.host; h != nil {
		if h.mac != it.MAC {
			h.mac, h.own = it.MAC, nil // of each address anew
		}
		h.mtu = o.MTU
		n.Router.UpdatePort(h.id, n.hostPortConfig())
		n.setHostNeighbors()
		return nil
	}
	h := &hostPort{index: it.Index, mtu: o.MTU, mac: it.MAC}
	n.host = h
	var err error
	if h.id, err = n.Router.AddPort(n.hostPortConfig(), it.TAP); err != nil {
		n.host = nil
		return err
	}
	if err := n.Router.StartPort(h.id); err != nil {
		return err
	}
	n.moved = true
	n.setHostNeighbors()
	return n.setConnected()
}

func (n *Node) hostPortLost(why string) {
	if n.host == nil {
		return
	}
	if why != "" {
		n.log.Error("the host's own interface: "+why, "interface", config.HostInterface)
	}
	n.Router.RemovePort(n.host.id)
	n.host = nil
	n.moved = true
	if err := n.setConnected(); err != nil {
		n.log.Error("routes to the host", "error", err)
	}
}

func (n *Node) hostPortConfig() forwarder.PortConfig {
	return forwarder.PortConfig{
		Name: config.HostInterface, Kind: forwarder.Host, Interface: config.HostInterface,
		MAC: packet.MAC(n.config.Gateway.MAC), MTU: n.host.mtu, LinkLocal: n.config.Gateway.Address6,
	}
}

// hostRoutes lead to the host's own addresses, where it has a port.
func (n *Node) hostRoutes() []rib.Route {
	if n.host == nil {
		return nil
	}
	var routes []rib.Route
	for _, a := range slices.Compact(slices.SortedFunc(slices.Values(n.uplink.own), netip.Addr.Compare)) {
		if a.IsLinkLocalUnicast() && a.Is6() {
			continue // each link has its own of these
		}
		routes = append(routes, rib.Route{Prefix: single(a), Dev: config.HostInterface, Port: n.host.id, Protocol: "kernel"})
	}
	return routes
}

// setExports brings the host's table to the workloads that are attached, and the
// port to the addresses that the host has.
func (n *Node) setExports() error {
	if !n.config.Kernel.Export || n.what == nil {
		return nil
	}
	n.setHostNeighbors()
	var to []netip.Addr
	for _, w := range n.workloads {
		for _, a := range w.object.Addresses {
			to = append(to, a.Addr())
		}
	}
	return n.what.Set(n.exports(to))
}

func (n *Node) exports(to []netip.Addr) *host.Exports {
	slices.SortFunc(to, netip.Addr.Compare)
	return &host.Exports{Device: config.HostInterface, To: to, Source: n.uplink.first(true), Source6: n.uplink.first(false)}
}

// setHostNeighbors lets the port know that all addresses of the host are at its
// interface. It could not ask for them: a host answers nobody who has its address.
func (n *Node) setHostNeighbors() {
	if n.host == nil {
		return
	}
	for _, a := range n.host.own {
		if !slices.Contains(n.uplink.own, a) {
			n.Router.ForgetNeighbor(n.host.id, a)
		}
	}
	for _, a := range n.uplink.own {
		if !slices.Contains(n.host.own, a) {
			n.Router.SetNeighbor(n.host.id, a, n.host.mac)
		}
	}
	n.host.own = n.uplink.own
}

// checkExport has the host's port and its routes be looked at again, after a change that may have taken
// routes out of the table without a word.
func (n *Node) checkExport() {
	if n.what == nil {
		return
	}
	n.what.Touch(hostInterface)
	n.what.TouchAll(host.KindExports)
}
