package forwarder

import (
	"net/netip"
	"slices"

	"github.com/gaissmai/bart"

	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/rib"
)

// Kind says what is behind a port.
type Kind uint8

const (
	Workload Kind = iota
	Uplink
	Host // the host's own stack, behind a TAP in the host's namespace
)

var kindWords = [...]string{Workload: "workload", Uplink: "uplink", Host: "host"}

// String is the word of the metrics.
func (k Kind) String() string { return kindWords[k] }

// PortConfig says what a port is. It never changes; a changed port is a new value.
type PortConfig struct {
	Name      string // as routes and people call it
	Kind      Kind
	Interface string
	MAC       packet.MAC   // the router's own on this port
	MTU       int          // bytes of IP that the link carries
	Addresses []netip.Addr // a workload's, of both families: those it may send from
	LinkLocal netip.Addr   // that Neighbor Discovery is spoken from here: the gateway's, on the uplink the host's; zero: none
	// CarriesTunnels says that superframes in tunnels may leave here whole. CutBecause is why they may not.
	CarriesTunnels bool
	CutBecause     string
}

// WhyCut says whether superframes in a tunnel to an end are cut before they leave, and why.
func (p *PortConfig) WhyCut(e rib.Encap, end netip.Addr) (why string, cut bool) {
	switch {
	case !p.CarriesTunnels:
		return p.CutBecause, true
	case e == rib.VXLAN && end.Is6():
		return "over IPv6 each datagram of VXLAN has a checksum of its own", true
	}
	return "", false
}

// Port is a port as the packet path sees it. It never changes.
type Port struct {
	PortConfig
	ID      int
	Offload bool // frames with pending checksums and segments may leave here
	Owner   any  // what whoever runs the path has to do with it
}

// linkLocal is the prefix of what is on each link alone (RFC 4291 2.5.6).
var linkLocal = netip.MustParsePrefix("fe80::/64")

// link is the route to who is on the port's link alone.
func (p *Port) link() *rib.Route {
	return &rib.Route{Prefix: linkLocal, Dev: p.Name, Protocol: "kernel", Port: p.ID, Source: rib.Connected}
}

// Settings are what the packet path knows besides ports, routes and neighbours.
type Settings struct {
	Gateway  netip.Addr
	Gateway6 netip.Addr
	Uplink   []Subnet     // of the uplink, of each family the one with the primary address first
	Own      []netip.Addr // every address of the host, the uplink's among them
	RPF      bool         // workloads may send from their own addresses alone
	Peers    []netip.Addr // whose IP-in-IP is unpacked
	Ends     []netip.Addr // to whom IP-in-IP is sent
	Source   netip.Addr   // of tunnels; zero: the uplink's towards the other end
	Source6  netip.Addr   // the same, of tunnels to IPv6 addresses
	VXLAN    VXLAN
	// MinPathMTU in bytes is what any tunnel's path is believed to carry, whatever a
	// router tells.
	MinPathMTU int
}

// VXLAN says by which port and network identifier the router speaks it. Port 0: not at all.
type VXLAN struct {
	Port  uint16
	VNI   uint32
	Peers []netip.Addr              // whose is unpacked
	Ends  []netip.Addr              // to whom it is sent
	MACs  map[netip.Addr]packet.MAC // of those that have another one than follows from their address
}

// Subnet is one on the uplink's link, or a peer, and the address that the router has
// there.
type Subnet struct {
	netip.Prefix
	Address netip.Addr
}

// State is an immutable snapshot: settings, ports and tunnels.
type State struct {
	Settings
	Ports   []*Port              // by ID; nil where one was removed
	Tunnels *bart.Table[*Tunnel] // by the peer's address
}

// Port is the port of an ID; nil if there is none.
func (s *State) Port(id int) *Port {
	if id < 0 || id >= len(s.Ports) {
		return nil
	}
	return s.Ports[id]
}

// Tunnel is the tunnel with a peer; nil if there is none.
func (s *State) Tunnel(peer netip.Addr) *Tunnel {
	if s.Tunnels == nil {
		return nil
	}
	t, _ := s.Tunnels.Lookup(peer)
	return t
}

// source is the address that the router speaks from to others of a family: of its uplink
// (RFC 1812 4.3.2.4), the first that is not of the link alone, another one of the host's, or of the gateway while
// there is none.
func (s *State) source(six bool) netip.Addr {
	for _, p := range s.Uplink {
		if p.Address.Is6() == six && !(six && p.Address.IsLinkLocalUnicast()) {
			return p.Address
		}
	}
	for _, a := range s.Own {
		if a.Is6() == six && a.IsGlobalUnicast() {
			return a
		}
	}
	return s.gateway(six)
}

// dummy is what errors come from of a router that has no address of IPv4: the gateway's would not be
// passed on beyond a link (RFC 7600 4.8, RFC 3927 7). IPv6 has none such.
var dummy = netip.AddrFrom4([4]byte{192, 0, 0, 8})

// gateway is the gateway's address of a family.
func (s *State) gateway(six bool) netip.Addr {
	if six {
		return s.Gateway6
	}
	return s.Gateway
}

// sourceFor is the uplink's address in the subnet of a next hop: in the smallest one, as the
// host's own table has it.
func (s *State) sourceFor(a netip.Addr) netip.Addr {
	var source netip.Addr
	bits := -1
	for i := range s.Uplink {
		if p := &s.Uplink[i]; p.Bits() > bits && p.Contains(a) {
			source, bits = p.Address, p.Bits()
		}
	}
	if bits < 0 {
		return s.source(a.Is6())
	}
	return source
}

// tunnelSource is what goes to a tunnel's end comes from.
func (s *State) tunnelSource(end netip.Addr) netip.Addr {
	source := s.Source
	if end.Is6() {
		source = s.Source6
	}
	if source.IsValid() {
		return source
	}
	return s.sourceFor(end)
}

func (s *State) isOwn(a netip.Addr) bool { return slices.Contains(s.Own, a) }

func (s *State) isGateway(a netip.Addr) bool { return a == s.Gateway || a == s.Gateway6 }

// isRouter says whether an address is the router's own, or the host's, as seen on a port:
// fe80::/10 is something else on each.
func (s *State) isRouter(in *Port, a netip.Addr) bool {
	if a.Is6() && a.IsLinkLocalUnicast() {
		return a == in.LinkLocal || a == s.Gateway6 && in.Kind != Uplink
	}
	return s.isGateway(a) || s.isOwn(a)
}

// onUplink says whether an address lies in a subnet of the uplink.
func (s *State) onUplink(a netip.Addr) bool {
	for _, p := range s.Uplink {
		if p.Contains(a) {
			return true
		}
	}
	return false
}
