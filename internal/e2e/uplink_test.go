package e2e

import (
	"testing"
	"time"

	"github.com/vishvananda/netlink"
)

const (
	upsAndDowns = 100
	// upAgain is how long nothing may come after an uplink is up: the neighbour has to be
	// asked for, and a request that went by a cable that was not ready is sent again after
	// a second.
	upAgain = 3 * time.Second
)

// An uplink that goes down and up a hundred times under traffic costs the time it is
// down, and leaves nothing behind in the router.
func TestUplinkDownAndUpUnderTraffic(t *testing.T) {
	hosts := labUp(t, "")
	h := hosts[0]
	wantEcho(t, h.ns1, there, 62)
	flow := sendNumbered(t, h.ns1, hosts[1].ns1, there)
	flow.came(t, 20)
	downAndUp := func() time.Duration {
		in(t, h.ns, func() error { return withLink(uplink, netlink.LinkSetDown) })
		last := flow.sent.Load()
		eventually(t, "packets meet an uplink that is down", func() bool { return flow.sent.Load() > last+5 })
		in(t, h.ns, func() error { return withLink(uplink, netlink.LinkSetUp) })
		return flow.resumes(t)
	}
	downAndUp() // what is made the first time stays
	taken := func() (goroutines, descriptors float64) {
		s := scrape(t, h.ns)
		return s[key("go_goroutines")], s[key("process_open_fds")]
	}
	goroutines, descriptors := taken()
	var longest, sum time.Duration
	for range upsAndDowns {
		took := downAndUp()
		longest, sum = max(longest, took), sum+took
	}
	t.Logf("traffic goes on %v after the uplink is up, %v at the most", sum/upsAndDowns, longest)
	if longest > upAgain {
		t.Errorf("it took %v once", longest)
	}
	eventually(t, "no more goroutines and descriptors than before", func() bool {
		g, d := taken()
		return g <= goroutines && d <= descriptors
	})
	s := scrape(t, h.ns)
	if n := s[key("accounting_imbalance_packets")]; n != 0 {
		t.Errorf("the books are out of balance by %v packets", n)
	}
	if !h.Router.Running() {
		t.Error("the router has ended")
	}
}
