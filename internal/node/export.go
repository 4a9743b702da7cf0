package node

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vrouter/vrouter/forwarder"
	"github.com/vrouter/vrouter/internal/config"
	"github.com/vrouter/vrouter/internal/link"
	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/rib"
)

// exportProtocol tells the routes that the router puts into the host's table from
// all others; nobody else in /etc/iproute2/rt_protos has that number.
const exportProtocol = netlink.RouteProtocol(118)

// hostPort is the host's own port of the router, a TAP in the host's namespace:
// what the host sends to a workload comes out of it, and what workloads send to
// the host goes in.
type hostPort struct {
	id      int
	index   int
	mtu     int
	mac     packet.MAC
	made    bool                      // by this run
	entered map[netip.Addr]netip.Addr // workloads in the host's table, with the route's source address
	own     []netip.Addr              // the host's, that are neighbours on the port
}

// openHostPort makes the interface, or takes over the one that an earlier run left.
func (n *Node) openHostPort() error {
	if !n.config.Kernel.Export {
		_ = removeHostPort() // one that an earlier configuration left, if any
		return nil
	}
	name := config.HostInterface
	_, err := netlink.LinkByName(name)
	h := &hostPort{made: errors.As(err, &netlink.LinkNotFoundError{}), mtu: n.workloadMTU()}
	tap, err := link.OpenTAP(name, n.config.Offload)
	if err != nil {
		return fmt.Errorf("kernel.export: %w", err)
	}
	n.host = h
	if err := h.setUp(name); err != nil {
		tap.Close()
		return fmt.Errorf("kernel.export: %s: %w", name, err)
	}
	if h.id, err = n.Router.AddPort(n.hostPortConfig(), tap); err != nil {
		tap.Close()
		return err
	}
	if err := n.Router.StartPort(h.id); err != nil {
		return err
	}
	return errors.Join(n.setConnected(), n.exportAll())
}

func (h *hostPort) setUp(name string) error {
	// Without addresses it has nothing to announce; where that can't be set, the
	// router drops what it announces.
	_ = os.WriteFile("/proc/sys/net/ipv6/conf/"+name+"/disable_ipv6", []byte("1"), 0o644)
	l, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	h.index, h.mac = l.Attrs().Index, packet.MAC(l.Attrs().HardwareAddr)
	if err := netlink.LinkSetMTU(l, h.mtu); err != nil {
		return fmt.Errorf("setting mtu %d: %w", h.mtu, err)
	}
	if err := netlink.LinkSetUp(l); err != nil {
		return fmt.Errorf("setting it up: %w", err)
	}
	return h.readRoutes()
}

// readRoutes looks which of the router's routes the host has.
func (h *hostPort) readRoutes() error {
	h.entered = map[netip.Addr]netip.Addr{}
	return netlink.RouteListFilteredIter(unix.AF_INET, &netlink.Route{LinkIndex: h.index, Protocol: exportProtocol},
		netlink.RT_FILTER_OIF|netlink.RT_FILTER_PROTOCOL, func(r netlink.Route) bool {
			a, _ := netip.AddrFromSlice(r.Dst.IP.To4())
			h.entered[a], _ = netip.AddrFromSlice(r.Src.To4())
			return true
		})
}

func (n *Node) hostPortConfig() forwarder.PortConfig {
	return forwarder.PortConfig{
		Name: config.HostInterface, Kind: forwarder.Host, Interface: config.HostInterface,
		MAC: packet.MAC(n.config.Gateway.MAC), MTU: n.host.mtu,
	}
}

// hostRoutes lead to the host's own addresses, where it has a port.
func (n *Node) hostRoutes() []rib.Route {
	if n.host == nil {
		return nil
	}
	var routes []rib.Route
	for _, a := range slices.Compact(slices.SortedFunc(slices.Values(n.uplink.own), netip.Addr.Compare)) {
		routes = append(routes, rib.Route{Prefix: netip.PrefixFrom(a, 32), Dev: config.HostInterface, Port: n.host.id, Protocol: "kernel"})
	}
	return routes
}

// exportAll brings the host's table to the workloads that there are, and the
// port to the addresses that the host has.
func (n *Node) exportAll() error {
	if n.host == nil {
		return nil
	}
	n.setHostNeighbors()
	var src netip.Addr // what the host sends from, as else it might be any of its addresses
	if len(n.uplink.addresses) > 0 {
		src = n.uplink.addresses[0].Addr()
	}
	want := map[netip.Addr]bool{}
	var errs []error
	for _, w := range n.workloads {
		want[w.Address.Addr()] = true
		errs = append(errs, n.host.enter(w.Address.Addr(), src))
	}
	for a := range maps.Clone(n.host.entered) {
		if !want[a] {
			errs = append(errs, n.host.withdraw(a))
		}
	}
	return errors.Join(errs...)
}

// enter is `ip route replace A dev vrouter0 proto 118 scope link src SRC`.
func (h *hostPort) enter(a, src netip.Addr) error {
	if was, ok := h.entered[a]; ok && was == src {
		return nil
	}
	r := h.route(a)
	if src.IsValid() {
		r.Src = src.AsSlice()
	}
	if err := netlink.RouteReplace(r); err != nil {
		return fmt.Errorf("kernel.export: entering the host's route to %s: %w", a, err)
	}
	h.entered[a] = src
	return nil
}

func (h *hostPort) withdraw(a netip.Addr) error {
	delete(h.entered, a)
	if err := netlink.RouteDel(h.route(a)); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("kernel.export: taking back the host's route to %s: %w", a, err)
	}
	return nil
}

func (h *hostPort) route(a netip.Addr) *netlink.Route {
	return &netlink.Route{
		LinkIndex: h.index, Protocol: exportProtocol, Scope: netlink.SCOPE_LINK,
		Dst: &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(32, 32)},
	}
}

// setHostNeighbors lets the port know that all addresses of the host are at its
// interface. It could not ask for them: a host answers nobody who has its address.
func (n *Node) setHostNeighbors() {
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

// checkExport looks at the host's table again, after a change that may have taken
// routes out of it without a word.
func (n *Node) checkExport() error {
	if n.host == nil {
		return nil
	}
	return errors.Join(n.host.readRoutes(), n.exportAll())
}

// withdrawAll takes the routes back; the interface stays for the next start.
func (n *Node) withdrawAll() error {
	if n.host == nil {
		return nil
	}
	var errs []error
	for a := range maps.Clone(n.host.entered) {
		errs = append(errs, n.host.withdraw(a))
	}
	return errors.Join(errs...)
}

// followHostMTU gives the host's port the MTU that fits now.
func (n *Node) followHostMTU() {
	if n.host == nil || n.host.mtu == n.workloadMTU() {
		return
	}
	l, err := netlink.LinkByIndex(n.host.index)
	if err == nil {
		err = netlink.LinkSetMTU(l, n.workloadMTU())
	}
	if err != nil {
		n.log.Error("the host's MTU", "interface", config.HostInterface, "error", err)
		return
	}
	n.host.mtu = n.workloadMTU()
	n.Router.UpdatePort(n.host.id, n.hostPortConfig())
}

// reopenHostPort makes the host's port again, as somebody deleted its interface.
func (n *Node) reopenHostPort() {
	n.log.Error("the host's own interface was removed; making it again", "interface", config.HostInterface)
	n.Router.RemovePort(n.host.id)
	n.host = nil
	n.failed(n.openHostPort())
}

// undoHostPort takes back what a start that failed has made.
func (n *Node) undoHostPort() error {
	if n.host == nil || !n.host.made {
		return nil
	}
	return removeHostPort()
}

// removeHostPort removes the interface that no router reads, and with it the routes.
func removeHostPort() error {
	l, err := netlink.LinkByName(config.HostInterface)
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		return nil
	}
	if err != nil {
		return err
	}
	if _, ok := l.(*netlink.Tuntap); !ok {
		return fmt.Errorf("%s is no TAP of ours; not removed", config.HostInterface)
	}
	if l.Attrs().RawFlags&unix.IFF_LOWER_UP != 0 {
		return fmt.Errorf("%s is in use by another router; not removed", config.HostInterface)
	}
	return netlink.LinkDel(l)
}
