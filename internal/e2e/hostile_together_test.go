package e2e

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/workload"
)

var together = flag.Duration("hostile.together", 10*time.Minute, "how long all attacks are made at once, with -hostile")

const (
	// togetherMemory is how much a router may grow meanwhile, in KiB: its limits for packets, and for those who look.
	togetherMemory = mostMemory + lookMemory
	// flatMemory is how much more it may take in the second half of the time than in the first, in KiB.
	flatMemory = 16 << 10
)

// All attacks at once, by who looks, by strangers, by a workload and by the network: no router ends, memory is
// bounded and given back, the books balance, and honest traffic goes on when they end.
func TestHostileTogether(t *testing.T) {
	const hostileHere, hostileThere = "10.70.1.2", "10.70.2.2"
	w := watchedLabOf(t, func(text string) string {
		for _, x := range [][3]string{{here, hostileHere, "192.168.0.11"}, {there, hostileThere, "192.168.0.12"}} {
			text = strings.Replace(text, "address: "+x[0]+"/24}", "address: "+x[0]+"/24}, {name: w2, address: "+x[1]+"/24}", 1)
			text = strings.Replace(text, "[{to: "+x[0]+",", "[{to: "+x[1]+", via: "+x[2]+"}, {to: "+x[0]+",", 1)
		}
		return text
	})
	lasts := 3 * time.Second
	if *showHostile {
		lasts = *together
	}
	a, b := w.hosts[0], w.hosts[1]
	bad, accomplice := a.named("w2"), b.named("w2")
	wantEcho(t, bad, hostileThere, 62)
	var before [2]series
	var rss, files [2]int
	for i, h := range w.hosts {
		before[i], rss[i], files[i] = scrape(t, h.ns), memoryOf(t, h.Router.PID, "VmRSS"), h.files(t)
	}

	var all []*running
	for _, p := range parties { // first, as they have something to prepare
		all = append(all, p.begin(t, hostile{Here: bad, There: accomplice, Own: hostileHere, Its: hostileThere}))
	}
	for _, l := range looks[1:] { // the first one is to compare with
		all = append(all, w.begin(t, l))
	}
	byUplink := func(a attack) bool { return a.uplink }
	floods := slices.Concat(attacks, attacks6)
	stops := []func() (uint64, uint64){
		floodOf(t, slices.DeleteFunc(slices.Clone(floods), byUplink), bad, "eth0", gatewayMAC, hostileHere, "fd00:70:1::2"),
		floodOf(t, slices.DeleteFunc(floods, func(a attack) bool { return !a.uplink }), b.ns, uplink, packet.MAC(macOf(t, a.ns, uplink)), "192.168.0.12", "fd00:192::12"),
	}
	var grown [2][2]int // in each half of the time
	began, carried := time.Now(), w.bytes.Load()
	for tick := time.Tick(250 * time.Millisecond); time.Since(began) < lasts; <-tick {
		half := min(1, int(2*time.Since(began)/lasts))
		for i, h := range w.hosts {
			grown[i][half] = max(grown[i][half], memoryOf(t, h.Router.PID, "VmRSS")-rss[i])
		}
	}
	took := time.Since(began)
	carried = w.bytes.Load() - carried
	for _, r := range all {
		r.signal(t, syscall.SIGKILL)
	}
	for _, stop := range stops {
		stop()
	}

	for i, h := range w.hosts {
		if m := max(grown[i][0], grown[i][1]); m > togetherMemory && !raced() {
			t.Errorf("%s has grown by %d MiB", h.Name, m>>10)
		}
		if *showHostile {
			fmt.Printf("%s: %v of all attacks at once: grew by %d MiB in the first half, %d in the second; TCP had %.2f Gbit/s\n",
				h.Name, took.Round(time.Second), grown[i][0]>>10, grown[i][1]>>10, float64(carried)*8e-9/took.Seconds())
			if grown[i][1] > grown[i][0]+flatMemory {
				t.Errorf("%s takes more and more memory", h.Name)
			}
		}
		var now series
		within(t, 6*patience, h.Name+" has let go of all", func() bool {
			var err error
			now, err = tryScrape(t, h.ns) // who is gone may still have all places
			heap, goroutines := key("go_memstats_heap_alloc_bytes"), key("go_goroutines")
			return err == nil && now[heap] <= before[i][heap]+32e6 && now[goroutines] <= before[i][goroutines]+2 && h.files(t) <= files[i]+2
		})
		if n := now[key("accounting_imbalance_packets")]; n != 0 {
			t.Errorf("%s: the books do not balance: %v", h.Name, n)
		}
		if log := read(t, h.Log); strings.Contains(log, "panic") {
			t.Errorf("%s says:\n%s", h.Name, log[:min(len(log), 5000)])
		}
	}
	sofar := w.bytes.Load()
	within(t, 6*patience, "TCP goes on", func() bool { return w.bytes.Load() > sofar+1e6 })
	if took := answerTime(t, a.Socket); took > time.Second {
		t.Logf("root waited %v for an answer", took)
	}
	wantEcho(t, bad, hostileThere, 62)
}

// floodOf sends frames of all these attacks in turn.
func floodOf(t *testing.T, list []attack, ns workload.Namespace, dev string, to packet.MAC, own, own6 string) (stop func() (sent, refused uint64)) {
	t.Helper()
	x := &attacker{Rand: rand.New(rand.NewPCG(1, 2)), from: packet.MAC(macOf(t, ns, dev)), to: to, own: own, own6: own6}
	return deluge(t, ns, dev, x.frames(t, list, ns, dev))
}
