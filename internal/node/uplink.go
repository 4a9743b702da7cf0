package node

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

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
	name      string // at present; the port keeps the configured one
	index     int    // 0: it is gone
	mac       packet.MAC
	mtu       int
	addresses []netip.Prefix     // but for link-local IPv6
	subnets   []forwarder.Subnet // on its link, IPv4 first, link-local IPv6 last
	own       []netip.Addr       // of all interfaces; of link-local IPv6 the uplink's alone
	linkLocal netip.Addr         // IPv6; zero: it has none
	tentative bool               // it is about to have more
	sockets   sockets
	cookies   []uint64 // of the sockets
	port      int
	carrier   // of superframes in tunnels
}

// The interface is not there, or none that could be an uplink. Any other error is about
// asking for it.
var (
	errNoUplink    = errors.New("there is no such interface")
	errNotEthernet = errors.New("no Ethernet interface")
)

// readUplink asks the kernel.
func readUplink(name string) (*uplink, error) {
	l, err := netlink.LinkByName(name)
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		return nil, fmt.Errorf("uplink %s: %w; name the one towards the other hosts as `uplink.interface` (ip link shows them)", name, errNoUplink)
	}
	if err != nil {
		return nil, fmt.Errorf("uplink %s: %w", name, err)
	}
	a := l.Attrs()
	if len(a.HardwareAddr) != 6 {
		return nil, fmt.Errorf("uplink %s is %w", name, errNotEthernet)
	}
	u := &uplink{name: a.Name, index: a.Index, mac: packet.MAC(a.HardwareAddr), mtu: a.MTU}
	if err := u.readAddresses(); err != nil {
		return nil, fmt.Errorf("uplink %s: listing addresses: %w", name, err)
	}
	return u, nil
}

func (u *uplink) readAddresses() error {
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		all, err := netlink.AddrList(nil, family)
		if err != nil && !errors.Is(err, unix.EOPNOTSUPP) { // of a kernel without IPv6
			return err
		}
		u.takeAddresses(all)
	}
	return nil
}

// takeAddresses takes those of one family.
func (u *uplink) takeAddresses(all []netlink.Addr) {
	var elsewhere netip.Addr
	var subnets []forwarder.Subnet
	// What the router says comes from the first one: one that is good everywhere, and for long, if there is one.
	slices.SortStableFunc(all, func(a, b netlink.Addr) int {
		return cmp.Or(cmp.Compare(a.Scope, b.Scope), cmp.Compare(passing(a.Flags), passing(b.Flags)))
	})
	for i := range all {
		x := &all[i]
		ip := prefixOf(x.IPNet).Addr()
		if !ip.IsValid() || ip.IsLoopback() || x.Flags&(unix.IFA_F_TENTATIVE|unix.IFA_F_DADFAILED) != 0 && x.Flags&unix.IFA_F_OPTIMISTIC == 0 {
			u.tentative = u.tentative || x.LinkIndex == u.index && x.Flags&unix.IFA_F_DADFAILED == 0
			continue // RFC 1122 3.2.1.3 (g): loopback addresses never appear on a network; RFC 4862 5.4: nor do those that may be another's
		}
		if x.LinkIndex != u.index && ip.Is6() && ip.IsLinkLocalUnicast() {
			continue // it means something else on the uplink's link
		}
		u.own = append(u.own, ip)
		if x.LinkIndex != u.index {
			if !elsewhere.IsValid() && x.Scope == int(netlink.SCOPE_UNIVERSE) {
				elsewhere = ip
			}
			continue
		}
		subnet := x.IPNet
		if x.Peer != nil {
			subnet = x.Peer // the length is the peer's then: ip-address(8)
		}
		subnets = append(subnets, forwarder.Subnet{Prefix: prefixOf(subnet).Masked(), Address: ip})
		if ip.Is4() || !ip.IsLinkLocalUnicast() {
			u.addresses = append(u.addresses, prefixOf(x.IPNet))
		} else if !u.linkLocal.IsValid() {
			u.linkLocal = ip
		}
	}
	if elsewhere.IsValid() && !slices.ContainsFunc(u.addresses, func(a netip.Prefix) bool { return a.Addr().Is4() == elsewhere.Is4() }) { // an unnumbered one: the host speaks by it from another interface's address
		subnets = append([]forwarder.Subnet{{Prefix: single(elsewhere), Address: elsewhere}}, subnets...)
	}
	u.subnets = append(u.subnets, subnets...)
}

// passing ranks addresses: those that will be others soon are not what a host is known by (RFC 4862 5.5.4, RFC 8981).
func passing(flags int) int { return flags & (unix.IFA_F_DEPRECATED | unix.IFA_F_TEMPORARY) }

// first is the first address of the uplink of a family that is good beyond its link; invalid if there is none.
func (u *uplink) first(four bool) netip.Addr {
	for _, a := range u.addresses {
		if a.Addr().Is4() == four {
			return a.Addr()
		}
	}
	return netip.Addr{}
}

// settled says whether all that the uplink is to have of a family is known.
func (u *uplink) settled(four bool) bool { return u.first(four).IsValid() && (four || !u.tentative) }

// silent6 says whether the uplink has no IPv6, and is not about to.
func (u *uplink) silent6() bool { return u.index != 0 && !u.linkLocal.IsValid() && !u.tentative }

func prefixOf(n *net.IPNet) netip.Prefix {
	a, _ := netip.AddrFromSlice(n.IP)
	bits, _ := n.Mask.Size()
	return netip.PrefixFrom(a.Unmap(), bits)
}

// openUplink reads the interface, opens a packet socket on it and adds the port.
func (n *Node) openUplink() error {
	u, err := readUplink(n.config.Uplink.Interface)
	if err != nil {
		return err
	}
	if len(u.addresses) == 0 {
		n.log.Warn("the uplink has no address yet: nothing can be sent by it", "interface", n.config.Uplink.Interface)
	}
	if err := n.openSockets(u); err != nil {
		return fmt.Errorf("uplink %s: %w", n.config.Uplink.Interface, err)
	}
	if u.port, err = n.Router.AddPort(n.uplinkPort(u), u.sockets.queues()...); err != nil {
		u.sockets.close()
		return err
	}
	n.uplink = u
	return n.applyUplink()
}

// sockets are the uplink's, one for each worker.
type sockets []*link.AFPacket

func (n *Node) openSockets(u *uplink) (err error) {
	own, vxlan := n.ownToo(u), n.vxlanPort()
	if u.sockets, err = link.OpenAFPacket(u.index, workers(n.config), own, vxlan); err != nil {
		return err
	}
	u.cookies = nil
	for _, p := range u.sockets {
		c, err := p.Cookie()
		if err != nil {
			u.sockets.close()
			return err
		}
		u.cookies = append(u.cookies, c)
	}
	n.own, n.ownBut = own, vxlan
	return nil
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

// setOwn tells the sockets' filters the addresses that the host itself answers for, and the port
// of VXLAN.
func (s sockets) setOwn(own []netip.Addr, vxlan uint16) (err error) {
	for _, p := range s {
		err = errors.Join(err, p.SetOwn(own, vxlan))
	}
	return err
}

func (n *Node) uplinkPort(u *uplink) forwarder.PortConfig {
	name := n.config.Uplink.Interface
	return forwarder.PortConfig{
		Name: name, Kind: forwarder.Uplink, Interface: u.name, MAC: u.mac, MTU: u.mtu, LinkLocal: u.linkLocal,
		CarriesTunnels: u.program != nil, CutBecause: u.why,
	}
}

// applyUplink tells the forwarder and the routes what the uplink is now.
func (n *Node) applyUplink() error {
	c := n.config
	peers, ends, _ := n.hops()
	if c.IPIP.Peers != nil {
		peers = c.IPIP.Peers
	}
	n.Router.Configure(forwarder.Settings{
		Gateway: c.Gateway.Address, Gateway6: c.Gateway.Address6,
		Uplink: n.uplink.subnets, Own: n.ownWithSource(),
		RPF: c.RPF == config.RPFStrict, Peers: peers, Ends: ends, MinPathMTU: c.IPIP.LeastPathMTU(),
		Source: c.IPIP.Source.Of(netip.IPv4Unspecified()), Source6: c.IPIP.Source.Of(netip.IPv6Unspecified()),
		VXLAN: n.vxlan(),
	})
	return errors.Join(n.setOwn(), n.setConnected())
}

// speakIPv6 says whether one of them does.
func speakIPv6(workloads []config.Workload) bool {
	return slices.ContainsFunc(workloads, func(w config.Workload) bool { return w.SpeaksIPv6() })
}

// routesIPv6 says whether this host's IPv6 is the router's business: one that is configured for IPv4 alone leaves it to
// the host's own stack. One without workloads merely forwards, by whatever routes it has.
func (n *Node) routesIPv6() bool {
	is6 := netip.Addr.Is6
	return len(n.config.Workloads) == 0 || speakIPv6(n.config.Workloads) || n.statics.speakIPv6() ||
		slices.ContainsFunc(n.config.IPIP.Peers, is6) || slices.ContainsFunc(n.config.IPIP.Source, is6) ||
		slices.ContainsFunc(n.config.VXLAN.Peers, func(p config.VTEP) bool { return p.Address.Is6() })
}

// speaksIPv6 says whether anything of IPv6 is the router's business on the uplink.
func (n *Node) speaksIPv6() bool {
	if len(n.config.Workloads) > 0 && n.routesIPv6() {
		return true
	}
	for hop := range n.mirror.hops {
		if hop.Is6() {
			return true
		}
	}
	return n.statics.speakIPv6()
}

// ownToo are the addresses to which the host's own stack has a right on the uplink, beside the router.
func (n *Node) ownToo(u *uplink) []netip.Addr {
	if n.speaksIPv6() {
		return u.own
	}
	return slices.DeleteFunc(slices.Clone(u.own), netip.Addr.Is6)
}

// setOwn tells the uplink's sockets of ownToo, if it changed.
func (n *Node) setOwn() error {
	own, vxlan := n.ownToo(n.uplink), n.vxlanPort()
	if slices.Equal(own, n.own) && vxlan == n.ownBut {
		return nil
	}
	err := n.uplink.sockets.setOwn(own, vxlan)
	if err == nil {
		n.own, n.ownBut = own, vxlan
	}
	return err
}

// ownWithSource are the host's addresses, ipip.source among them: the peers answer to that, whether or
// not an interface has it at present.
func (n *Node) ownWithSource() []netip.Addr {
	own := n.uplink.own
	var all []complaint
	for _, source := range n.config.IPIP.Source {
		if !slices.Contains(own, source) {
			all = append(all, complaint{"ipip.source is no address of this host: nobody on the link can answer it", []any{"source", source}})
			own = append(slices.Clone(own), source)
		}
	}
	n.complain("ipip.source", all...)
	return own
}

// setConnected enters the routes that follow from the uplink, if they changed.
func (n *Node) setConnected() error {
	routes := n.connectedRoutes()
	if slices.EqualFunc(routes, n.connected, func(a, b rib.Route) bool { return a.Equal(&b) }) {
		return nil
	}
	if err := n.RIB.SetSource(rib.Connected, routes); err != nil {
		return err
	}
	n.connected = routes
	return nil
}

// connectedRoutes are the uplink's subnets, and their broadcast addresses, which
// are not forwarded to (RFC 1812 5.3.5, RFC 2644).
func (n *Node) connectedRoutes() []rib.Route {
	routes := n.hostRoutes()
	if n.uplink.index == 0 {
		return routes
	}
	for _, s := range n.uplink.subnets {
		if s.IsSingleIP() && s.Prefix.Addr() == s.Address || s.Address.Is6() && s.Address.IsLinkLocalUnicast() {
			continue // the host itself, or what each link has and no packet is forwarded to
		}
		routes = append(routes, rib.Route{Prefix: s.Prefix, Dev: n.config.Uplink.Interface, Port: n.uplink.port, Protocol: "kernel"})
		if s.Address.Is4() && s.Bits() <= 30 {
			routes = append(routes, broadcast(s.Prefix.Addr()), broadcast(config.Broadcast(s.Prefix)))
		}
	}
	return firstOfEach(append(routes, n.hopRoutes()...))
}

// firstOfEach leaves out what comes again: two subnets may be one, or begin or end alike.
func firstOfEach(routes []rib.Route) []rib.Route {
	seen := map[netip.Prefix]bool{}
	return slices.DeleteFunc(routes, func(r rib.Route) bool {
		again := seen[r.Prefix]
		seen[r.Prefix] = true
		return again
	})
}

func broadcast(a netip.Addr) rib.Route {
	return rib.Route{Prefix: netip.PrefixFrom(a, 32), Type: rib.Broadcast, Port: rib.NoPort, Protocol: "kernel"}
}

// refreshUplink asks the kernel what the uplink is now, and takes over what changed.
func (n *Node) refreshUplink() error {
	u, err := n.findUplink()
	if errors.Is(err, errNoUplink) || errors.Is(err, errNotEthernet) {
		return n.uplinkGone(err)
	}
	if err != nil {
		return err // for want of a descriptor, say: it is what it was, as far as we know
	}
	u.sockets, u.cookies, u.port, u.carrier = n.uplink.sockets, n.uplink.cookies, n.uplink.port, n.uplink.carrier
	if u.index != n.uplink.index {
		if err := n.reopenUplink(u); err != nil {
			return fmt.Errorf("opening the uplink again: %w", err)
		}
	}
	was := n.uplink
	n.uplink = u
	if !u.differs(was) && !n.stale {
		return nil
	}
	if u.differs(was) {
		n.log.Info("the uplink changed", "interface", u.name, "mac", u.mac, "mtu", u.mtu, "addresses", u.addresses)
	}
	if u.name != n.config.Uplink.Interface && u.name != was.name {
		n.log.Warn("the uplink was renamed; it is used until the router stops. Name it so in the configuration: the next start looks for the name",
			"uplink.interface", n.config.Uplink.Interface, "name", u.name)
	}
	n.stale = true // until all of it is done
	n.Router.UpdatePort(u.port, n.uplinkPort(u))
	n.moved = true // their routes lead by way of the uplink's address
	err = errors.Join(n.applyUplink(), n.bringAbout(), n.setStaticRoutes())
	if taken := n.checkAddresses(n.config); taken != nil {
		n.complain("addresses", complaint{"the uplink has an address of the configuration's: the host's own stack takes its packets", []any{"error", taken}})
	} else {
		n.complain("addresses")
	}
	n.stale = err != nil
	return err
}

// findUplink is the interface of the configured name or, where there is none, the
// one that had it before somebody renamed it.
func (n *Node) findUplink() (*uplink, error) {
	u, err := readUplink(n.config.Uplink.Interface)
	if err == nil || n.uplink.index == 0 {
		return u, err
	}
	if l, byIndex := netlink.LinkByIndex(n.uplink.index); byIndex == nil {
		if renamed, byName := readUplink(l.Attrs().Name); byName == nil && renamed.index == n.uplink.index {
			return renamed, nil
		}
	}
	return u, err
}

// uplinkGone takes back the routes that need it.
func (n *Node) uplinkGone(why error) error {
	if n.uplink.index == 0 {
		return nil
	}
	n.log.Error("the uplink is gone, and all routes by it; waiting for it to come back", "error", why)
	gone := *n.uplink
	gone.index = 0
	n.uplink = &gone
	return errors.Join(n.setConnected(), n.setStaticRoutes(), n.importAll())
}

// reopenUplink replaces the packet sockets, as the interface is another one now.
func (n *Node) reopenUplink(u *uplink) (err error) {
	u.carrier = carrier{}
	if err := n.openSockets(u); err != nil {
		return err
	}
	n.Router.RemovePort(n.uplink.port)
	if u.port, err = n.Router.AddPort(n.uplinkPort(u), u.sockets.queues()...); err != nil {
		u.sockets.close()
		return err
	}
	return n.Router.StartPort(u.port)
}

func (u *uplink) differs(o *uplink) bool {
	return u.name != o.name || u.index != o.index || u.port != o.port || u.mac != o.mac || u.mtu != o.mtu ||
		u.linkLocal != o.linkLocal || !slices.Equal(u.addresses, o.addresses) || !slices.Equal(u.subnets, o.subnets) || !slices.Equal(u.own, o.own)
}
