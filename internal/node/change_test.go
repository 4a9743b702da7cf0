package node

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/vrouter/vrouter/forwarder"
	"github.com/vrouter/vrouter/internal/config"
	"github.com/vrouter/vrouter/internal/engine"
	"github.com/vrouter/vrouter/internal/hostroutes"
	"github.com/vrouter/vrouter/rib"
)

// bed is a node without ports and without a host below it: what changes of routes need.
func bed(t testing.TB) *Node {
	t.Helper()
	n := &Node{
		RIB: rib.NewTable(), log: slog.New(slog.DiscardHandler), workloads: map[string]*attached{}, live: workloadChanges{},
		config: &config.Host{Uplink: config.Uplink{Interface: "ens160"}, IPIP: config.IPIP{Mode: config.ModeNever}},
		uplink: &uplink{index: 1, mtu: 1500, addresses: []netip.Prefix{netip.MustParsePrefix("192.168.0.11/24")},
			subnets: []forwarder.Subnet{{Prefix: netip.MustParsePrefix("192.168.0.0/24"), Address: netip.MustParseAddr("192.168.0.11")}}},
		statics: newStatics(0), mirror: newMirror(), reach: reach{ask: noWay}, told: map[string]map[string]bool{},
	}
	n.Router = engine.New(n.RIB, n.log, nil)
	t.Cleanup(n.Router.Close)
	if err := n.applyUplink(); err != nil {
		t.Fatal(err)
	}
	return n
}

// noWay is a host that has no routes.
func noWay(netip.Addr) (hostroutes.Way, error) { return hostroutes.Way{}, unix.ENETUNREACH }

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

// step is a change, and what it is to do to a model: a map of what there is.
type step struct {
	Op     RouteOp
	To     string
	Via    byte // of 192.168.0; 0: a blackhole; 255: an address that is no neighbour
	Metric string
}

var drawStep = rapid.Custom(func(t *rapid.T) step {
	return step{
		Op:     rapid.SampledFrom([]RouteOp{AddRoute, ReplaceRoute, ReplaceRoute, DeleteRoute}).Draw(t, "op"),
		To:     rapid.SampledFrom([]string{"10.1.0.0/16", "10.1.0.0/24", "10.2.0.0/16"}).Draw(t, "to"),
		Via:    rapid.SampledFrom([]byte{0, 12, 13, 13, 14, 255}).Draw(t, "via"),
		Metric: rapid.SampledFrom([]string{"0", "1", "2"}).Draw(t, "metric"),
	}
})

func (s step) words() config.RouteWords {
	w := config.RouteWords{To: s.To, Metric: s.Metric}
	switch {
	case s.Op == DeleteRoute:
	case s.Via == 0:
		w.Type = config.RouteBlackhole
	case s.Via == 255:
		w.Via = "172.16.0.1"
	default:
		w.Via = fmt.Sprintf("192.168.0.%d", s.Via)
	}
	return w
}

// make does the step to a model, unless it is to be refused.
func (s step) make(m map[string]config.RouteWords) bool {
	k := s.To + " " + s.Metric
	_, there := m[k]
	switch {
	case s.Op == DeleteRoute && there:
		delete(m, k)
		return true
	case s.Op == DeleteRoute, s.Via == 255, s.Op == AddRoute && there:
		return false
	}
	m[k] = s.words()
	return true
}

// Batches against a model, some of which fail at their last step: what there is to be, what the
// table has, and the next hops are what the model says.
func TestChangesModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n, model := bed(t), map[string]config.RouteWords{}
		for range rapid.IntRange(1, 8).Draw(rt, "batches") {
			next, batch, failed := maps.Clone(model), &RouteBatch{}, -1
			for i, s := range rapid.SliceOfN(drawStep, 1, 6).Draw(rt, "steps") {
				batch.Append(say(t, s.Op, s.words()))
				if failed < 0 && !s.make(next) {
					failed = i
				}
			}
			_, err := n.ChangeRoutes(batch)
			var why *ChangeError
			if failed < 0 && err != nil || failed >= 0 && (!errors.As(err, &why) || why.Index != failed) {
				rt.Fatalf("error %v; step %d was to fail", err, failed)
			}
			if failed < 0 {
				model = next
			}
			wantState(rt, n, model)
		}
	})
}

func wantState(t *rapid.T, n *Node, model map[string]config.RouteWords) {
	t.Helper()
	var want, have, table []string
	hops := map[hop]int{}
	for _, w := range model {
		r, err := config.CheckRoute(w)
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, fmt.Sprint(r))
		if s, _ := staticOf(&r); s.kind == rib.Unicast {
			hops[s.hop]++
		}
	}
	for r := range n.statics.sorted() {
		have = append(have, fmt.Sprint(r))
	}
	for _, r := range n.RIB.Routes() {
		if r.Source == rib.Static {
			table = append(table, fmt.Sprint(config.Route{To: r.Prefix, Via: r.Via, Type: r.Type.String(), Metric: r.Metric}))
		}
	}
	for _, list := range [][]string{want, have, table} {
		slices.Sort(list)
	}
	if !slices.Equal(want, have) || !slices.Equal(want, table) || !maps.Equal(hops, n.statics.hops) {
		t.Fatalf("want %v\nhave %v\nin the table %v\nnext hops %v, want %v", want, have, table, n.statics.hops, hops)
	}
}
