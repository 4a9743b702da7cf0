package node

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vrouter/vrouter/forwarder"
	"github.com/vrouter/vrouter/internal/config"
	"github.com/vrouter/vrouter/internal/link"
	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/rib"
)

// uplink is the interface towards the other hosts, as the kernel last told.
type uplink struct {
	index     int
	mac       packet.MAC
	mtu       int
	addresses []netip.Prefix
	own       []netip.Addr // of all interfaces
	sockets   sockets
	port      int
}

// readUplink asks the kernel.
func readUplink(name string) (*uplink, error) {
	l, err := netlink.LinkByName(name)
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		return nil, fmt.Errorf("uplink %s: there is no such interface; name the one towards the other hosts as `uplink.interface` (ip link shows them)", name)
	}
	if err != nil {
		return nil, fmt.Errorf("uplink %s: %w", name, err)
	}
	a := l.Attrs()
	if len(a.HardwareAddr) != 6 {
		return nil, fmt.Errorf("uplink %s is no Ethernet interface", name)
	}
	u := &uplink{index: a.Index, mac: packet.MAC(a.HardwareAddr), mtu: a.MTU}
	all, err := netlink.AddrList(nil, unix.AF_INET)
	if err != nil {
		return nil, fmt.Errorf("uplink %s: listing addresses: %w", name, err)
	}
	for _, x := range all {
		ip, ok := netip.AddrFromSlice(x.IP.To4())
		if !ok || ip.IsLoopback() {
			continue // RFC 1122 3.2.1.3 (g): loopback addresses never appear on a network
		}
		u.own = append(u.own, ip)
		if x.LinkIndex == a.Index {
			bits, _ := x.Mask.Size()
			u.addresses = append(u.addresses, netip.PrefixFrom(ip, bits))
		}
	}
	return u, nil
}

// openUplink reads the interface, opens a packet socket on it and adds the port.
func (n *Node) openUplink() error {
	u, err := readUplink(n.config.Uplink.Interface)
	if err != nil {
		return err
	}
	if len(u.addresses) == 0 {
		n.log.Warn("the uplink has no IPv4 address yet: nothing can be sent by it", "interface", n.config.Uplink.Interface)
	}
	if err := n.openSockets(u); err != nil {
		return fmt.Errorf("uplink %s: %w", n.config.Uplink.Interface, err)
	}
	if u.port, err = n.Router.AddPort(n.uplinkPort(u), u.sockets.queues()...); err != nil {
		u.sockets.close()
		return err
	}
	n.uplink = u
	if err := errors.Join(n.applyUplink(), n.setGuard()); err != nil {
		return err
	}
	return n.Router.StartPort(u.port)
}

// sockets are the uplink's, one for each worker.
type sockets []*link.AFPacket

func (n *Node) openSockets(u *uplink) (err error) {
	u.sockets, err = link.OpenAFPacket(u.index, workers(n.config), u.own)
	return err
}

func (s sockets) queues() (all []link.Port) {
	for _, p := range s {
		all = append(all, p)
	}
	return all
}

func (s sockets) close() {
	for _, p := range s {
		p.Close()
	}
}

// setOwn tells the sockets' filters the addresses that the host itself answers for.
func (s sockets) setOwn(own []netip.Addr) (err error) {
	for _, p := range s {
		err = errors.Join(err, p.SetOwn(own))
	}
	return err
}

func (n *Node) uplinkPort(u *uplink) forwarder.PortConfig {
	name := n.config.Uplink.Interface
	return forwarder.PortConfig{Name: name, Kind: forwarder.Uplink, Interface: name, MAC: u.mac, MTU: u.mtu}
}

// applyUplink tells the forwarder and the routes what the uplink is now.
func (n *Node) applyUplink() error {
	c := n.config
	n.Router.Configure(forwarder.Settings{
		Gateway: c.Gateway.Address,
		Uplink:  n.uplink.addresses, Own: n.uplink.own,
		RPF: c.RPF == config.RPFStrict, Peers: n.peers(), Ends: n.ends(),
	})
	return n.setConnectedRoutes()
}

// setConnectedRoutes looks through the whole table only if one has changed.
func (n *Node) setConnectedRoutes() error {
	routes := n.connectedRoutes()
	if slices.Equal(routes, n.connected) {
		return nil
	}
	n.connected = routes
	return n.RIB.SetSource(rib.Connected, routes)
}

// connectedRoutes are the uplink's subnets, and their broadcast addresses, which
// are not forwarded to (RFC 1812 5.3.5, RFC 2644).
func (n *Node) connectedRoutes() []rib.Route {
	var routes []rib.Route
	seen := map[netip.Prefix]bool{}
	for _, a := range n.uplink.addresses {
		p := a.Masked()
		if seen[p] {
			continue
		}
		seen[p] = true
		routes = append(routes, rib.Route{Prefix: p, Dev: n.config.Uplink.Interface, Port: n.uplink.port, Protocol: "kernel"})
		if p.Bits() <= 30 {
			routes = append(routes, broadcast(p.Addr()), broadcast(lastAddr(p)))
		}
	}
	return append(routes, n.endRoutes()...)
}

// endRoutes lead to the tunnels' ends beyond the uplink's subnets: by whichever
// gateway the host itself would use.
func (n *Node) endRoutes() []rib.Route {
	var routes []rib.Route
	for _, end := range n.ends() {
		if n.onUplink(end) {
			continue
		}
		found, err := netlink.RouteGet(end.AsSlice())
		if err != nil || len(found) == 0 || found[0].LinkIndex != n.uplink.index {
			n.log.Warn("the host has no route by the uplink to a tunnel's end", "end", end)
			continue
		}
		if gw, ok := netip.AddrFromSlice(found[0].Gw.To4()); ok {
			routes = append(routes, rib.Route{
				Prefix: netip.PrefixFrom(end, 32), Via: gw, Dev: n.config.Uplink.Interface, Port: n.uplink.port, Protocol: "kernel",
			})
		}
	}
	return routes
}

func broadcast(a netip.Addr) rib.Route {
	return rib.Route{Prefix: netip.PrefixFrom(a, 32), Type: rib.Broadcast, Port: rib.NoPort, Protocol: "kernel"}
}

func lastAddr(p netip.Prefix) netip.Addr {
	b := p.Addr().As4()
	for i := p.Bits(); i < 32; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	return netip.AddrFrom4(b)
}

// subscribe lets a message arrive whenever a link, an address or a route of
// the host changed. A subscription that the kernel closed, as it could not keep up, is
// made anew, and everything is looked at again.
func (n *Node) subscribe(ctx context.Context) (<-chan struct{}, error) {
	events := make(chan struct{}, 1)
	s, err := subscribeOnce(ctx)
	if err != nil {
		return nil, fmt.Errorf("following the host's interfaces: %w", err)
	}
	go func() {
		for s.relay(ctx, events) {
			n.log.Warn("lost track of the host's interfaces; looking at all of them again")
			for s, err = subscribeOnce(ctx); err != nil; s, err = subscribeOnce(ctx) {
				select {
				case <-time.After(time.Second):
				case <-ctx.Done():
					return
				}
			}
			notify(events)
		}
	}()
	return events, nil
}

// subscription is to all changes of the host that concern the router.
type subscription struct {
	links  chan netlink.LinkUpdate
	addrs  chan netlink.AddrUpdate
	routes chan netlink.RouteUpdate
	stop   context.CancelFunc
}

func subscribeOnce(ctx context.Context) (*subscription, error) {
	ctx, stop := context.WithCancel(ctx)
	s := &subscription{make(chan netlink.LinkUpdate, 64), make(chan netlink.AddrUpdate, 64), make(chan netlink.RouteUpdate, 64), stop}
	err := errors.Join(
		netlink.LinkSubscribe(s.links, ctx.Done()),
		netlink.AddrSubscribe(s.addrs, ctx.Done()),
		netlink.RouteSubscribe(s.routes, ctx.Done()),
	)
	if err != nil {
		stop()
		return nil, err
	}
	return s, nil
}

// relay turns updates into one event until ctx ends (false) or a channel closes.
func (s *subscription) relay(ctx context.Context, events chan<- struct{}) bool {
	defer s.stop()
	for {
		ok := true
		select {
		case _, ok = <-s.links:
		case _, ok = <-s.addrs:
		case _, ok = <-s.routes:
		case <-ctx.Done():
			return false
		}
		if !ok {
			return ctx.Err() == nil
		}
		notify(events)
	}
}

func notify(events chan<- struct{}) {
	select {
	case events <- struct{}{}:
	default: // one is waiting already, and will find everything
	}
}

// refresh looks at the host again and takes over what changed.
func (n *Node) refresh() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.refreshUplink()
	if n.uplink.index == 0 {
		return
	}
	if err := errors.Join(n.setConnectedRoutes(), n.importRoutes()); err != nil {
		n.log.Error("the host's routes", "error", err)
	}
}

func (n *Node) refreshUplink() {
	u, err := readUplink(n.config.Uplink.Interface)
	if err != nil {
		if n.uplink.index != 0 {
			n.log.Error("the uplink is gone, and all routes by it; waiting for it to come back", "error", err)
			n.uplink.index, n.connected = 0, nil
			for _, s := range []rib.Source{rib.Connected, rib.Static, rib.Kernel} {
				_ = n.RIB.SetSource(s, nil) // an empty set has nothing to refuse
			}
		}
		return
	}
	u.sockets, u.port = n.uplink.sockets, n.uplink.port
	if u.index != n.uplink.index {
		if err := n.reopenUplink(u); err != nil {
			n.log.Error("opening the uplink again", "error", err)
			return
		}
	}
	changed, mtuChanged := u.differs(n.uplink), u.mtu != n.uplink.mtu
	n.uplink = u
	if !changed {
		return
	}
	if mtuChanged {
		n.followMTU()
	}
	n.log.Info("the uplink changed", "interface", n.config.Uplink.Interface, "mac", u.mac, "mtu", u.mtu, "addresses", u.addresses)
	n.Router.UpdatePort(u.port, n.uplinkPort(u))
	if err := u.sockets.setOwn(u.own); err != nil {
		n.log.Error("filter of the uplink", "error", err)
	}
	if err := errors.Join(n.applyUplink(), n.setGuard(), n.setStaticRoutes()); err != nil {
		n.log.Error("after a change of the uplink", "error", err)
	}
}

// reopenUplink replaces the packet sockets, as the interface is another one now.
func (n *Node) reopenUplink(u *uplink) (err error) {
	if err := n.openSockets(u); err != nil {
		return err
	}
	n.Router.RemovePort(u.port)
	if u.port, err = n.Router.AddPort(n.uplinkPort(u), u.sockets.queues()...); err != nil {
		return err
	}
	return n.Router.StartPort(u.port)
}

func (u *uplink) differs(o *uplink) bool {
	return u.index != o.index || u.port != o.port || u.mac != o.mac || u.mtu != o.mtu ||
		fmt.Sprint(u.addresses, u.own) != fmt.Sprint(o.addresses, o.own)
}
