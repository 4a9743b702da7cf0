package forwarder

import (
	"net/netip"
	"testing"
	"time"

	"github.com/vrouter/vrouter/internal/neigh"
	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/verdict"
)

// A packet waits while its next hop is not known, and as long as those that have waited are not sent: these go.
func TestNeighKeepsTheOrder(t *testing.T) {
	peer, now := netip.MustParseAddr("192.168.0.12"), time.Now()
	table := neigh.NewTable[int]()
	goes := func(waited bool) bool {
		x, p := Path{Neighbors: table.Snapshot()}, &Packet{}
		p.Begin(packet.FrameOf(make([]byte, 60)), &Port{})
		p.Out, p.NextHop, p.Waited = &Port{}, peer, waited
		return x.neigh(p).Kind != verdict.Hold
	}
	want := func(when string, first, waited bool) {
		t.Helper()
		if goes(false) != first || goes(true) != waited {
			t.Errorf("%s: one that comes goes on: %t, one that has waited: %t", when, goes(false), goes(true))
		}
	}
	want("before the answer", false, false)
	table.Hold(now, 0, peer, 1, 60)
	table.Learn(now, 0, peer, packet.MAC{2, 0, 0, 0, 0, 12}, false)
	want("while those that have waited are sent", false, true)
	table.Behind(0, peer)
	want("when they are sent", true, true)
}
