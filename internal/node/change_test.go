package node

import (
	"fmt"
	"log/slog"
	"net/netip"
	"testing"

	"github.com/vrouter/vrouter/forwarder"
	"github.com/vrouter/vrouter/internal/config"
	"github.com/vrouter/vrouter/rib"
)

// bed is a node without ports and without a host below it: what changes of routes need.
func bed(t testing.TB) *Node {
	t.Helper()
	n := &Node{
		RIB: rib.NewTable(), log: slog.New(slog.DiscardHandler), workloads: map[string]*attached{}, live: workloadChanges{},
		config:  &config.Host{Uplink: config.Uplink{Interface: "ens160"}, IPIP: config.IPIP{Mode: config.IPIPNever}},
		uplink:  &uplink{index: 1, mtu: 1500, addresses: []netip.Prefix{netip.MustParsePrefix("192.168.0.11/24")}},
		statics: newStatics(0),
	}
	n.Router = forwarder.New(n.RIB, n.log, nil)
	t.Cleanup(n.Router.Close)
	if err := n.applyUplink(); err != nil {
		t.Fatal(err)
	}
	return n
}

func say(t testing.TB, op RouteOp, w config.RouteWords) RouteChange {
	t.Helper()
	c, err := NewRouteChange(op, w, "")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// many is a batch with n routes to different prefixes.
func many(t testing.TB, op RouteOp, n int) *RouteBatch {
	b := &RouteBatch{}
	for i := range n {
		b.Append(say(t, op, config.RouteWords{
			To: fmt.Sprintf("%d.%d.%d.0/24", 11+i>>16, i>>8&255, i&255), Via: fmt.Sprintf("192.168.0.%d", 12+i%200),
		}))
	}
	return b
}

func BenchmarkLoadMillion(b *testing.B) {
	for b.Loop() {
		n := bed(b)
		if _, err := n.ChangeRoutes(many(b, AddRoute, 1_000_000)); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkOneBesideMillion adds a route to a table of a million and deletes it, by
// way of a next hop that no other has.
func BenchmarkOneBesideMillion(b *testing.B) {
	n := bed(b)
	if _, err := n.ChangeRoutes(many(b, AddRoute, 1_000_000)); err != nil {
		b.Fatal(err)
	}
	w := config.RouteWords{To: "10.1.2.3", Via: "192.168.0.250"}
	for b.Loop() {
		for _, op := range []RouteOp{AddRoute, DeleteRoute} {
			batch := &RouteBatch{}
			batch.Append(say(b, op, w))
			if _, err := n.ChangeRoutes(batch); err != nil {
				b.Fatal(err)
			}
		}
	}
}
