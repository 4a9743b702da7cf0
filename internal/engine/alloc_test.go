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
		{"listener for others", "ns1", ping(farIP), "port 7 or host 10.9.9.9"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBed(t)
			b.resolve()
			tunnel(b)
			multipath(b, rib.None)
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
