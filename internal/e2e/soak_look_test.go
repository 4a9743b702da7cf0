//go:build soak

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vrouter/vrouter/internal/control"
	"github.com/vrouter/vrouter/internal/workload"
)

// footprint is what a router takes of its machine.
type footprint struct {
	rss, heap               float64 // MB
	goroutines, descriptors float64
}

func footprintOf(t *testing.T, h host) footprint {
	t.Helper()
	s := scrape(t, h.ns)
	if i := s[key("accounting_imbalance_packets")]; i != 0 {
		t.Errorf("%s: the books are out of balance by %v packets", h.Name, i)
	}
	return footprint{
		rss: s[key("process_resident_memory_bytes")] / 1e6, heap: s[key("go_memstats_heap_alloc_bytes")] / 1e6,
		goroutines: s[key("go_goroutines")], descriptors: s[key("process_open_fds")],
	}
}

// watch samples both routers until ctx ends, and tells of it now and then.
func (b *bath) watch(ctx context.Context, t *testing.T) (seen [2][]footprint) {
	start, told := time.Now(), time.Now()
	var last [3]uint64
	for tick := time.Tick(sampleTime); ctx.Err() == nil; <-tick {
		for i, h := range b.hosts {
			seen[i] = append(seen[i], footprintOf(t, h))
		}
		if time.Since(told) < tellTime {
			continue
		}
		now, seconds := b.totals(), time.Since(told).Seconds()
		line := fmt.Sprintf("%6.0f s  TCP %.2f Gbit/s, UDP %.1f kpps received, echo %.0f/s", time.Since(start).Seconds(),
			float64(now[0]-last[0])*8e-9/seconds, float64(now[1]-last[1])/1e3/seconds, float64(now[2]-last[2])/seconds)
		for i, h := range b.hosts {
			f := seen[i][len(seen[i])-1]
			line += fmt.Sprintf("  %s: RSS %.1f MB, heap %.1f MB, %v goroutines, %v descriptors", h.Name, f.rss, f.heap, f.goroutines, f.descriptors)
		}
		fmt.Println(line)
		told, last = time.Now(), now
	}
	return seen
}

// totals are bytes of TCP, datagrams and echo replies received so far.
func (b *bath) totals() (sum [3]uint64) {
	for _, s := range b.streams {
		sum[0] += s.Bytes.Load()
	}
	for _, d := range b.datagrams {
		sum[1] += d.Received.Load()
	}
	for _, e := range b.echoes {
		sum[2] += e.Replies.Load()
	}
	return sum
}

// measured is a host at rest.
type measured struct {
	footprint
	ports   map[string]control.Port
	kernel  []kernelCounts // of each workload
	dropped uint64         // by the kernel, of what the router sent on the uplink
	asked   float64        // ARP requests that came to the router
}

func (b *bath) measure(t *testing.T) (all [2]measured) {
	t.Helper()
	for i, h := range b.hosts {
		m := measured{footprint: footprintOf(t, h), ports: map[string]control.Port{}}
		s := scrape(t, h.ns)
		for _, k := range s.labels("arp_requests_received_total{") {
			m.asked += s[k]
		}
		for _, p := range ports(t, h) {
			m.ports[p.Port] = p
		}
		in(t, h.ns, func() error {
			l, err := netlink.LinkByName(h.Uplink)
			if err == nil {
				m.dropped = l.Attrs().Statistics.TxDropped
			}
			return err
		})
		for _, w := range h.Workloads {
			m.kernel = append(m.kernel, kernelOf(t, workload.Named(w.Namespace)))
		}
		all[i] = m
	}
	return all
}

func ports(t *testing.T, h host) (list []control.Port) {
	t.Helper()
	if err := json.Unmarshal([]byte(h.ask(t, "show", "ports", "-o", "json").wantOK(t)), &list); err != nil {
		t.Fatal(err)
	}
	return list
}

// settled waits until nothing moves any more.
func (b *bath) settled(t *testing.T) {
	t.Helper()
	last, since := "", time.Now()
	within(t, time.Minute, "the last packets arrive", func() bool {
		now := fmt.Sprint(b.totals())
		for _, h := range b.hosts {
			for _, p := range ports(t, h) {
				now += fmt.Sprintln(p.Port, p.RxPackets, p.RxLost, p.TxPackets, p.Dropped)
			}
		}
		if now != last {
			last, since = now, time.Now()
		}
		return time.Since(since) > 2*time.Second
	})
}

// pinGateway keeps the gateway's MAC, that the kernel has learned, for ever.
func pinGateway(t *testing.T, ns workload.Namespace) {
	t.Helper()
	in(t, ns, func() error {
		l, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		list, err := netlink.NeighList(l.Attrs().Index, unix.AF_INET)
		if err != nil || len(list) == 0 {
			return fmt.Errorf("no neighbour is known: %w", err)
		}
		for _, n := range list {
			n.State = netlink.NUD_PERMANENT
			if err := netlink.NeighSet(&n); err != nil {
				return err
			}
		}
		return nil
	})
}

func forgetNeighbors() error {
	l, err := netlink.LinkByName("eth0")
	if err != nil {
		return err
	}
	list, err := netlink.NeighList(l.Attrs().Index, unix.AF_INET)
	if err != nil {
		return err
	}
	for _, n := range list {
		if err := netlink.NeighDel(&n); err != nil && err != unix.ENOENT {
			return err
		}
	}
	return nil
}
