package engine_test

import (
	"testing"

	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/trace"
	"github.com/vrouter/vrouter/rib"
)

// A forwarded packet allocates nothing, whichever way it takes, and whether or
// not somebody listens for others.
func TestNoAllocationOnTheWay(t *testing.T) {
	for _, c := range []struct {
		name   string
		from   string
		send   *packet.Frame
		listen string
	}{
		{"workload to workload", "ns1", ping(ns2IP), ""},
		{"uplink to workload", "ens160", fromPeer(), ""},
		{"into a tunnel", "ns1", ping(tunnelIP), ""},
		{"out of a tunnel", "ens160", ipip(peerIP, hostIP, fromPeer(), nil), ""},
		{"one of several next hops", "ns1", udp(1000, 53), ""},
		{"superframe", "ns1", fromNS1(ns2IP), ""},
		{"dropped in silence", "ns1", withSrc(ping(farIP), ns2IP), ""},
		{"IPv6 to a workload", "ns1", ping6(ns1IP6, ns2IP6), ""},
		{"IPv6 from the uplink", "ens160", fromFar(), ""},
		{"IPv6 in IPv4", "ns1", ping6(ns1IP6, "fd00:80::1"), ""},
		{"IPv6 in IPv6", "ns1", ping6(ns1IP6, "fd00:82::1"), ""},
		{"IPv6 out of IPv6", "ens160", tunnelKinds[2].around(peerIP6, hostIP6, fromFar(), 0), ""},
		{"IPv6 by one of several next hops", "ns1", ping6(ns1IP6, manyIP6), ""},
		{"listener for others", "ns1", ping(farIP), "port 7 or host 10.9.9.9"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBed(t)
			b.resolve()
			tunnel(b)
			multipath(b, rib.None)
			dual(b)
			routes6(b)
			b.router.Configure(b.settings)
			multipath6(b)
			if c.listen != "" {
				b.listen(trace.Options{}, c.listen)
			}
			b.offloads(b.ns2)
			b.ns1.Discard, b.ns2.Discard, b.uplink.Discard = true, true, true
			port, batch := b.port(c.from), []*packet.Frame{c.send}
			port.Send(batch...)
			if n := testing.AllocsPerRun(500, func() { port.Send(batch...) }); n != 0 {
				t.Errorf("%.1f allocations a packet, want 0", n)
			}
		})
	}
}
