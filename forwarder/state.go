package forwarder

import (
	"net/netip"
	"slices"

	"github.com/gaissmai/bart"

	"github.com/vrouter/vrouter/internal/packet"
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

// Port is a port as the packet path sees it. It never changes.
type Port struct {
	PortConfig
	ID      int
	Offload bool // frames with pending checksums and segments may leave here
	Owner   any  // what whoever runs the path has to do with it
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
	Source   netip.Addr   // of IP-in-IP; zero: the uplink's towards the other end
	Source6  netip.Addr   // the same, of tunnels to IPv6 addresses
	// MinPathMTU in bytes is what any tunnel's path is believed to carry, whatever a
	// router tells.
	MinPathMTU int
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

// source is the address that the router speaks from: of its uplink (RFC 1812
// 4.3.2.4), or of the gateway while the uplink has none.
func (s *State) source() netip.Addr {
	if len(s.Uplink) > 0 {
		return s.Uplink[0].Address
	}
	return s.Gateway
}

// sourceFor is the uplink's address in the subnet of a next hop: in the smallest one, as the
// host's own table has it.
func (s *State) sourceFor(a netip.Addr) netip.Addr {
	source, bits := s.source(), -1
	for _, p := range s.Uplink {
		if p.Bits() > bits && p.Contains(a) {
			source, bits = p.Address, p.Bits()
		}
	}
	return source
}

// tunnelSource is what IP-in-IP to that end comes from.
func (s *State) tunnelSource(end netip.Addr) netip.Addr {
	if s.Source.IsValid() {
		return s.Source
	}
	return s.sourceFor(end)
}

func (s *State) isOwn(a netip.Addr) bool { return slices.Contains(s.Own, a) }

// onUplink says whether an address lies in a subnet of the uplink.
func (s *State) onUplink(a netip.Addr) bool {
	for _, p := range s.Uplink {
		if p.Contains(a) {
			return true
		}
	}
	return false
}
