//go:build soak

package e2e

import (
	"fmt"
	"os"
	"slices"
	"testing"
	"text/tabwriter"

	"github.com/vrouter/vrouter/internal/control"
)

const (
	// growth is what memory may grow by between the warm-up and the end.
	growth   = 1.10
	growthMB = 4
)

// report is the table at the end of a soak. What does not hold fails the test.
type report struct {
	t    *testing.T
	rows [][2]string
}

func (r *report) row(what, format string, args ...any) {
	r.rows = append(r.rows, [2]string{what, fmt.Sprintf(format, args...)})
}

func (r *report) print() {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	for _, row := range r.rows {
		fmt.Fprintf(w, "%s\t%s\n", row[0], row[1])
	}
	_ = w.Flush()
}

// footprint compares the lowest samples of the first fifth after the warm-up and of the last.
func (r *report) footprint(name string, before footprint, seen []footprint, h host) {
	part := len(seen) / soakWarm
	if part == 0 {
		r.t.Fatalf("%d samples are too few: send for longer", len(seen))
	}
	lowest := func(list []footprint, of func(footprint) float64) float64 {
		return of(slices.MinFunc(list, func(a, b footprint) int { return int(1000 * (of(a) - of(b))) }))
	}
	for _, m := range []struct {
		what string
		of   func(footprint) float64
	}{
		{"RSS, MB", func(f footprint) float64 { return f.rss }},
		{"Go heap, MB", func(f footprint) float64 { return f.heap }},
	} {
		warm, end := lowest(seen[part:2*part], m.of), lowest(seen[len(seen)-part:], m.of)
		r.row(name+": "+m.what, "%.1f after the warm-up, %.1f at the end", warm, end)
		if end > growth*warm+growthMB {
			r.t.Errorf("%s: %s grew from %.1f to %.1f", name, m.what, warm, end)
		}
	}
	var now footprint
	eventually(r.t, name+" has no more goroutines and descriptors than before", func() bool {
		now = footprintOf(r.t, h)
		return now.goroutines <= before.goroutines && now.descriptors <= before.descriptors
	})
	r.row(name+": goroutines", "%v before, %v after", before.goroutines, now.goroutines)
	r.row(name+": descriptors", "%v before, %v after", before.descriptors, now.descriptors)
}

// books wants each port's to balance.
func (r *report) books(name string, m measured) {
	var rx, ends uint64
	drops := map[string]uint64{}
	for port, p := range m.ports {
		if p.RxPackets != p.Forwarded+p.Consumed+p.Dropped {
			r.t.Errorf("%s: port %s received %d packets, forwarded %d, consumed %d, dropped %d", name, port, p.RxPackets, p.Forwarded, p.Consumed, p.Dropped)
		}
		rx, ends = rx+p.RxPackets, ends+p.Forwarded+p.Consumed+p.Dropped
		for reason, n := range p.Drops {
			drops[reason] += n
		}
	}
	r.row(name+": packets", "%d received = %d forwarded, consumed or dropped", rx, ends)
	r.row(name+": drops", "%v", drops)
}

func (r *report) traffic(b *bath) {
	var transfers, bytes, asked, replies, received, least uint64
	for i, s := range b.streams {
		transfers, bytes = transfers+s.Transfers.Load(), bytes+s.Bytes.Load()
		if i == 0 || s.Transfers.Load() < least {
			least = s.Transfers.Load()
		}
	}
	r.row("TCP", "%d transfers of %d pairs, at least %d each, %.1f GB, each with the hash it was sent with", transfers, len(b.streams), least, float64(bytes)/1e9)
	for _, e := range b.echoes {
		asked, replies = asked+e.Sent.Load(), replies+e.Replies.Load()
		if e.Wrong.Load() > 0 || e.Replies.Load() == 0 {
			r.t.Errorf("echoes of w%d: %d replies, %d wrong", e.Which, e.Replies.Load(), e.Wrong.Load())
		}
	}
	r.row("echo", "%d requests of %d pairs, %d replies within a second, each with the request's data", asked, len(b.echoes), replies)
	for _, d := range b.datagrams {
		received += d.Received.Load()
		if d.Received.Load() == 0 || d.Corrupt.Load() > 0 || d.Behind.Load() > 0 {
			r.t.Errorf("UDP of w%d: %d received, %d corrupt, %d out of order or again", d.n, d.Received.Load(), d.Corrupt.Load(), d.Behind.Load())
		}
	}
	r.row("UDP", "%d datagrams of %d flows received, none corrupt, none behind a later one", received, len(b.datagrams))
}

// losses follows UDP from count to count. Up to the first router and behind the last one
// a port has nothing but one flow, so that each datagram is accounted for. In between
// are the routers, whose drops are by port, and the uplink, which has TCP and echo too:
// there UDP may miss no more than the uplinks lost of everything.
func (r *report) losses(b *bath, before, after [2]measured) {
	var sent, received, unsent, unread, into, routed, out uint64
	for _, d := range b.datagrams {
		name, at := fmt.Sprintf("w%d", d.n), d.n-1
		from, to := portGrowth(before[d.from].ports[name], after[d.from].ports[name]), portGrowth(before[d.to].ports[name], after[d.to].ports[name])
		s, kernel := d.Sent.Load(), after[d.from].kernel[at].unsent-before[d.from].kernel[at].unsent
		if s != kernel+from.RxLost+from.RxPackets {
			r.t.Errorf("UDP of %s: %d sent, of which the kernel dropped %d, %d were lost before the router and it received %d", name, s, kernel, from.RxLost, from.RxPackets)
		}
		got, missed := d.Received.Load(), after[d.to].kernel[at].unread-before[d.to].kernel[at].unread
		if to.TxPackets != got+missed {
			r.t.Errorf("UDP of %s: the router sent %d, of which %d were received and the kernel dropped %d", name, to.TxPackets, got, missed)
		}
		sent, received = sent+s, received+got
		unsent, unread = unsent+kernel, unread+missed
		into, routed, out = into+from.RxLost, routed+from.Dropped, out+from.Forwarded-to.TxPackets
	}
	var link uint64
	for i, h := range b.hosts {
		u := portGrowth(before[i].ports[h.Uplink], after[i].ports[h.Uplink])
		link += u.RxLost + u.Dropped + after[i].dropped - before[i].dropped
	}
	r.row("UDP lost", "%d of %d sent: %d in the sender's kernel, %d before the first router, %d dropped by it, %d between the routers, %d in the receiver's kernel",
		sent-received, sent, unsent, into, routed, out, unread)
	r.row("uplinks lost", "%d packets of all kinds", link)
	if out > link {
		r.t.Errorf("between the routers %d datagrams are missing, and the uplinks lost %d packets of all kinds", out, link)
	}
}

func portGrowth(before, after control.Port) control.Port {
	after.RxPackets -= before.RxPackets
	after.RxLost -= before.RxLost
	after.TxPackets -= before.TxPackets
	after.Forwarded -= before.Forwarded
	after.Dropped -= before.Dropped
	return after
}
