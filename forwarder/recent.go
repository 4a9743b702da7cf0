package forwarder

import (
	"net/netip"

	"github.com/vrouter/vrouter/internal/neigh"
	"github.com/vrouter/vrouter/rib"
)

// recentRoutes is how many routes are remembered: those of some flows and the ends of their tunnels.
const (
	recentBits   = 4
	recentRoutes = 1 << recentBits
)

// recent is what was lately found in the snapshots: of packets that follow each other most go the
// same way, and a walk through the routes of IPv6 has up to sixteen steps. It holds for one FIB, and
// one snapshot of the neighbours, alone.
type recent struct {
	fib    uint64 // its number, so that no FIB is kept that is out of date
	routes [recentRoutes]struct {
		dst   netip.Addr
		route *rib.Route
	}
	neighbors *Neighbors
	port      int
	hop       netip.Addr
	neighbor  *neigh.Neighbor
}

// lookup is the route with the longest prefix that contains an address; nil if there is none.
func (x *Path) lookup(dst netip.Addr) *rib.Route {
	c := &x.recent
	if n := x.FIB.Number(); c.fib != n {
		c.fib = n
		clear(c.routes[:])
	}
	b := dst.As16()
	a := words(b[:])
	r := &c.routes[(a.hi^a.lo)*0x9e3779b97f4a7c15>>(64-recentBits)]
	if r.dst != dst {
		r.dst, r.route = dst, x.FIB.Lookup(dst)
	}
	return r.route
}

// neighborAt is the neighbour at an address of a port; nil if its hardware address is not known.
func (x *Path) neighborAt(port int, hop netip.Addr) *Neighbor {
	c := &x.recent
	if c.neighbors != x.Neighbors || c.port != port || c.hop != hop {
		c.neighbors, c.port, c.hop, c.neighbor = x.Neighbors, port, hop, x.Neighbors.Lookup(port, hop)
	}
	return c.neighbor
}

// Rest lets go of the snapshots.
func (x *Path) Rest() {
	x.State, x.FIB, x.Neighbors, x.recent.neighbors = nil, nil, nil, nil
}
