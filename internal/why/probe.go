package why

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/vrouter/vrouter/internal/follow"
	"github.com/vrouter/vrouter/internal/lab"
	"github.com/vrouter/vrouter/internal/ping"
	"github.com/vrouter/vrouter/internal/timeline"
	"github.com/vrouter/vrouter/internal/workload"
)

const (
	// probes are the pings of each size.
	probes = 5
	// probeTimeout is how long each is waited for.
	probeTimeout = time.Second / 2
)

// Probed is what became of pings of one size.
type Probed struct {
	Bytes   int `json:"bytes"` // of the IP packet
	Sent    int `json:"sent"`
	Replies int `json:"replies"`
}

// place is where packets were lost.
type place struct {
	from, to string // hosts
	reason   string // of a drop; "": it was not seen at to
}

// Probe sends pings of several sizes from the source's workload, follows them over the hosts, and adds to the answer what came of it.
func Probe(ctx context.Context, f *Facts, l *lab.Lab, a *Answer) error {
	src, dst := netip.MustParseAddr(a.Src), netip.MustParseAddr(a.Dst)
	q := &inquiry{Facts: f, ctx: ctx, src: src, dst: dst, answer: *a}
	h, p := q.ownerOf(src)
	if h == nil || h.Err != nil {
		return nil // whose workload would send?
	}
	ns, err := namespace(l, h.Name, p.Name)
	if err != nil {
		return err
	}
	ways, done, err := q.follow(l)
	if err != nil {
		return err
	}
	lost := map[int]place{}
	for _, n := range slices.Compact([]int{small, min(576, p.MTU), min(1280, p.MTU), min(1428, p.MTU), p.MTU}) {
		r, err := q.send(ns, n)
		if err != nil {
			return err
		}
		q.answer.Probed = append(q.answer.Probed, r)
		if at, some := missing(ways(probes)); some && r.Replies < r.Sent {
			lost[n] = at
		}
	}
	done()
	q.conclude(lost)
	*a = q.answer
	return nil
}

func namespace(l *lab.Lab, host, port string) (workload.Namespace, error) {
	h, err := l.Host(host)
	if err != nil {
		return "", err
	}
	w, err := h.Workload(port)
	if err != nil {
		return "", err
	}
	return workload.Named(w.Namespace), nil
}

func (q *inquiry) send(ns workload.Namespace, bytes int) (r Probed, err error) {
	headers := 28
	if q.dst.Is6() {
		headers = 48
	}
	r = Probed{Bytes: bytes}
	err = ns.Do(func() error {
		got, err := ping.Run(q.ctx, io.Discard, ping.Options{To: q.dst, Count: probes, Timeout: probeTimeout, Data: bytes - headers, Whole: true})
		if got != nil {
			r.Sent, r.Replies = got.Sent, len(got.Replies)
		}
		return err
	})
	return r, err
}

// follow listens to the pings of the two at all hosts; ways gives those that are over since it was last called, as
// soon as there are so many.
func (q *inquiry) follow(l *lab.Lab) (ways func(int) []*timeline.Way, done func(), err error) {
	ctx, cancel := context.WithCancel(q.ctx)
	sources := LabSources(l)
	run, err := follow.Listen(ctx, sources, follow.Options{
		Filter: fmt.Sprintf("host %s and host %s", q.src, q.dst), Within: probeTimeout, Warn: func(error) {},
	})
	if err != nil {
		cancel()
		return nil, nil, err
	}
	over := make(chan *timeline.Way, 1024)
	var group sync.WaitGroup
	group.Go(func() {
		_ = run(func(w *timeline.Way) error {
			select {
			case over <- w:
			default: // somebody else pings, too
			}
			return nil
		})
	})
	ways = func(n int) (list []*timeline.Way) {
		patience := time.After(4 * probeTimeout)
		for len(list) < n {
			select {
			case w := <-over:
				if strings.Contains(w.Summary, "echo request") {
					list = append(list, w)
				}
			case <-patience:
				return list
			}
		}
		return list
	}
	done = func() {
		cancel()
		group.Wait()
		for _, s := range sources {
			s.Client.Close()
		}
	}
	return ways, done, nil
}

// missing is the place where the first of the pings of a size, or its reply, was lost.
func missing(ways []*timeline.Way) (place, bool) {
	for _, w := range ways {
		for i := range w.Packets {
			p := &w.Packets[i]
			switch {
			case p.Part == timeline.PartCaused:
			case p.Unseen != "":
				return place{from: p.Host, to: p.Unseen}, true
			case p.Reason != "":
				return place{from: p.Host, reason: p.Reason}, true
			}
		}
	}
	return place{}, false
}

// conclude says what the pings have shown, where nothing else was the matter.
func (q *inquiry) conclude(lost map[int]place) {
	a := &q.answer
	all := true
	var counts []string
	for _, r := range a.Probed {
		counts = append(counts, fmt.Sprintf("%d of %d of %d bytes", r.Replies, r.Sent, r.Bytes))
		all = all && r.Replies == r.Sent
	}
	said := "; of the pings that were sent there came back " + strings.Join(counts, ", ")
	if all || a.Cause != None {
		a.Sentence += said
		return
	}
	first := a.Probed[0]
	if first.Replies == first.Sent {
		i := slices.IndexFunc(a.Probed, func(r Probed) bool { return r.Replies < r.Sent })
		if a.Probed[i].Replies == 0 {
			at := lost[a.Probed[i].Bytes]
			_, _ = q.though(MTU, at.from, q.shell(at.from, "", "ip link"), " with small packets alone: %d bytes arrive, %d do not: %s%s", a.Probed[i-1].Bytes, a.Probed[i].Bytes, at.words(), said)
			return
		}
	}
	at, where := place{}, place{}.words()
	for _, r := range a.Probed {
		if p, ok := lost[r.Bytes]; ok {
			at, where = p, p.words()
			break
		}
	}
	a.Reaches = first.Replies > 0
	next := ""
	if at.from != "" {
		next = q.shell(at.from, "", "ip -s link")
	}
	if !a.Reaches {
		_, _ = q.is(Cable, at.from, next, "each router would forward it, but it is %s%s", where, said)
		return
	}
	_, _ = q.though(Cable, at.from, next, ", but packets are %s%s", where, said)
}

func (p place) words() string {
	switch {
	case p.reason != "":
		return fmt.Sprintf("dropped at %s: %s", p.from, p.reason)
	case p.to != "":
		return fmt.Sprintf("lost between %s and %s", p.from, p.to)
	}
	return "lost where no router sees it"
}
