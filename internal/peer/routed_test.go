//go:build peer

package peer_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vrouter/vrouter/internal/peer"
	"github.com/vrouter/vrouter/internal/workload"
)

// routed is host B beyond a router that carries less than the hosts' links.
var routed = peer.Setup{
	Address: netip.MustParsePrefix("192.168.1.12/24"), Gateway: netip.MustParseAddr("192.168.1.1"),
	Peer: hostA, Remote: netip.MustParsePrefix("10.70.1.0/26"),
	Tunnel: netip.MustParseAddr("10.70.2.0"), Workload: netip.MustParsePrefix("10.70.2.1/24"),
}

const (
	routerA  = "192.168.0.1" // of the router, towards A
	pathMTU  = 1400
	innerMTU = pathMTU - 20
)

func TestLinuxBeyondARouter(t *testing.T) {
	namespaces(t, "host-a", "router", "host-b", "ns1", "wide")
	cable(t, "host-a", uplinkA, "router", "near")
	cable(t, "router", "far", "host-b", "eth0")
	address(t, "host-a", uplinkA, "192.168.0.11/24")
	address(t, "router", "near", routerA+"/24")
	address(t, "router", "far", routed.Gateway.String()+"/24")
	addRoute(t, "host-a", uplinkA, netlink.Route{Dst: prefix("0.0.0.0/0"), Gw: netip.MustParseAddr(routerA).AsSlice()})
	narrow(t, "far", routed.Address.Addr())
	narrow(t, "near", hostA)
	b := newBed(t, "cross-subnet", routed)
	b.run("ping", (*bed).ping)
	b.run("fragments on the way", (*bed).fragmentsOnTheWay)
	b.run("path mtu", (*bed).pathMTU)
	b.run("tcp", (*bed).routedTCP)
	b.run("unreachable", (*bed).unreachable)
	b.clean()
	b.onlyErrors("192.168.0.1 > 192.168.0.11 3/1", "192.168.0.1 > 192.168.0.11 3/4")
}

// narrow lets the router believe that a path carries less than the link.
func narrow(t *testing.T, link string, to netip.Addr) {
	addRoute(t, "router", link, netlink.Route{Dst: prefix(to.String() + "/32"), Scope: netlink.SCOPE_LINK, MTU: pathMTU, MTULock: true})
}

// fragmentsOnTheWay: without Don't Fragment, the router cuts outer packets in two,
// and the hosts put them together.
func (b *bed) fragmentsOnTheWay() {
	for from, to := range map[string]netip.Addr{"wide": ns1B, workloadB: wide} {
		b.expect(from, peer.Probe{To: to, Size: tunnelMTU}, peer.Answer{From: to, Type: echoReply, TTL: 62})
	}
	b.fragmentsFrom(routed.Address.Addr())
}

// pathMTU: what the router tells about the outer packet costs the first inner one,
// and the next one's sender is told (RFC 2003 5.1).
func (b *bed) pathMTU() {
	for _, way := range []struct {
		from string
		to   netip.Addr
	}{{"wide", ns1B}, {workloadB, wide}} {
		tooBig := peer.Probe{To: way.to, Size: innerMTU + 1, DF: true, Wait: 500 * time.Millisecond}
		if got := b.probeFrom(way.from, tooBig); !got.Lost {
			b.Errorf("%+v from %s: got %+v, want it lost", tooBig, way.from, got)
		}
		got := b.probeFrom(way.from, tooBig)
		if got.Type != unreachable || got.Code != fragNeeded || got.MTU != innerMTU {
			b.Errorf("%+v from %s: got %+v, want 3/4 with %d", tooBig, way.from, got, innerMTU)
		}
		fits := peer.Probe{To: way.to, Size: innerMTU, DF: true}
		b.expect(way.from, fits, peer.Answer{From: way.to, Type: echoReply, TTL: 62})
		whole := peer.Probe{To: way.to, Size: 1500}
		b.expect(way.from, whole, peer.Answer{From: way.to, Type: echoReply, TTL: 62})
	}
	if got := b.tunnel(); got.PathMTU != pathMTU || got.Cause != routerA {
		b.Errorf("show tunnels: %+v, want path mtu %d from %s", got, pathMTU, routerA)
	}
}

func (b *bed) routedTCP() {
	b.transfer("ns1", ns1B, 10)
	b.transfer(workloadB, ns1, 10)
	b.transfer("wide", ns1B, 10)
	b.transfer(workloadB, wide, 10)
}

// unreachable: that the tunnel's end can't be reached, the inner source is told as
// Host Unreachable (RFC 2003 4.1).
func (b *bed) unreachable() {
	b.must(workload.Named("router").Do(func() error {
		return netlink.RouteReplace(&netlink.Route{Dst: prefix(routed.Address.Addr().String() + "/32"), Type: unix.RTN_UNREACHABLE})
	}))
	b.expect("ns1", peer.Probe{To: ns1B}, peer.Answer{From: hostA, Type: unreachable, Code: 1})
}
