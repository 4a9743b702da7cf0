//go:build soak

package e2e

import (
	"context"
	"flag"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vrouter/vrouter/internal/soak"
	"github.com/vrouter/vrouter/internal/workload"
)

var (
	soakFor  = flag.Duration("soak", time.Minute, "how long to send")
	soakSeed = flag.Uint64("seed", 1, "of all that is random in the traffic")
)

const (
	soakPairs  = 50
	soakWarm   = 5 // of the duration, the part after which memory is to be flat: a fifth
	sampleTime = time.Second
	tellTime   = 10 * time.Second
)

// soakLab is two hosts with 50 workloads each. wN of one host talks to wN of the other:
// every second four of them in IP-in-IP, the others plain.
func soakLab() string {
	var b strings.Builder
	b.WriteString("hosts:\n")
	for own := 1; own <= 2; own++ {
		fmt.Fprintf(&b, "- node: %c\n  uplink: {address: 192.168.0.1%d/24}\n  workers: 2\n  workloads:\n", 'a'+own-1, own)
		for n := 1; n <= soakPairs; n++ {
			fmt.Fprintf(&b, "  - {name: w%d, address: 10.70.%d.%d/24, mtu: %d}\n", n, own, n, soakMTU(n))
		}
		b.WriteString("  routes:\n")
		for n := 1; n <= soakPairs; n++ {
			encap := "none"
			if tunnelled(n) {
				encap = "ipip"
			}
			fmt.Fprintf(&b, "  - {to: 10.70.%d.%d, via: 192.168.0.1%d, encap: %s}\n", 3-own, n, 3-own, encap)
		}
	}
	return b.String()
}

func tunnelled(n int) bool { return n/4%2 == 1 }

func soakMTU(n int) int {
	if tunnelled(n) {
		return 1480
	}
	return 1500
}

// bath is the traffic of a soak.
type bath struct {
	hosts     []host
	datagrams []*soakFlow
	streams   []*soak.Streams
	echoes    []*soak.Echoes
	resolving []workload.Namespace // whose neighbours are forgotten now and then
}

// soakFlow is a flow of UDP, and what it can be compared with.
type soakFlow struct {
	soak.Datagrams
	n        int // of its workloads, w1..w50
	from, to int // hosts
}

// fill gives the pairs their traffic: a quarter each TCP, small and full-size UDP, echo.
// Every second pair of a kind sends from the second host to the first.
func fill(t *testing.T, hosts []host) *bath {
	t.Helper()
	b := &bath{hosts: hosts}
	for i := range soakPairs {
		n, from := i+1, i/8%2
		if len(hosts[0].Workloads) != soakPairs || hosts[0].Workloads[i].Name != fmt.Sprintf("w%d", n) {
			t.Fatalf("workloads %+v", hosts[0].Workloads)
		}
		a, z := hosts[from].Workloads[i], hosts[1-from].Workloads[i]
		path := soak.Path{From: workload.Named(a.Namespace), To: workload.Named(z.Namespace), Address: netip.MustParsePrefix(z.Address).Addr()}
		which := uint64(n)
		size := 64
		switch n % 4 {
		case 0:
			b.streams = append(b.streams, &soak.Streams{Path: path, Seed: *soakSeed, Which: which})
			b.resolving = append(b.resolving, path.From, path.To)
		case 1:
			b.echoes = append(b.echoes, &soak.Echoes{Path: path, Seed: *soakSeed, Which: which})
			b.resolving = append(b.resolving, path.From, path.To)
		case 2:
			size = soakMTU(n) - 28 // headers of IPv4 and UDP
			fallthrough
		default:
			b.datagrams = append(b.datagrams, &soakFlow{n: n, from: from, to: 1 - from,
				Datagrams: soak.Datagrams{Path: path, Size: size, Seed: *soakSeed, Which: which}})
		}
		wantEcho(t, path.From, path.Address.String(), 62)
	}
	for _, d := range b.datagrams {
		pinGateway(t, d.From)
		pinGateway(t, d.To)
		if err := d.Open(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { d.Close() })
	}
	return b
}

// run sends for some time, and looks at the routers meanwhile.
func (b *bath) run(t *testing.T, length time.Duration, look func(ctx context.Context)) {
	ctx, cancel := context.WithTimeout(context.Background(), length)
	defer cancel()
	var wg sync.WaitGroup
	fail := func(what string, n uint64, run func(context.Context) error) {
		wg.Go(func() {
			if err := run(ctx); err != nil {
				t.Errorf("%s of w%d: %v", what, n, err)
			}
		})
	}
	for _, d := range b.datagrams {
		go d.Receive()
		fail("datagrams", d.Which, d.Send)
	}
	for _, s := range b.streams {
		fail("streams", s.Which, s.Run)
	}
	for _, e := range b.echoes {
		fail("echoes", e.Which, e.Run)
	}
	wg.Go(func() { b.forget(ctx, t) })
	look(ctx)
	wg.Wait()
}

// forget has one kernel after the other forget its neighbours, so that each has to ask
// again. Those of UDP don't: what waits for an answer is dropped where nothing counts it
// by namespace.
func (b *bath) forget(ctx context.Context, t *testing.T) {
	for tick, i := time.Tick(100*time.Millisecond), 0; ctx.Err() == nil; i++ {
		<-tick
		if err := b.resolving[i%len(b.resolving)].Do(forgetNeighbors); err != nil {
			t.Errorf("forgetting neighbours: %v", err)
			return
		}
	}
}

// An hour of everything at once changes nothing in the routers but their counters.
func TestSoak(t *testing.T) {
	hosts := labUp(t, soakLab())
	b := fill(t, hosts)
	before := b.measure(t)
	var seen [2][]footprint
	b.run(t, *soakFor, func(ctx context.Context) { seen = b.watch(ctx, t) })
	b.settled(t)
	after := b.measure(t)
	r := report{t: t}
	for i, h := range hosts {
		r.footprint(h.Name, before[i].footprint, seen[i], h)
		r.books(h.Name, after[i])
		r.row(h.Name+": ARP", "%v requests received", after[i].asked-before[i].asked)
		if after[i].asked == before[i].asked {
			t.Errorf("%s: nobody asked for its neighbour", h.Name)
		}
	}
	r.traffic(b)
	r.losses(b, before, after)
	r.print()
}
