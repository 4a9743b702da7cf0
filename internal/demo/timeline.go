package demo

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/vrouter/vrouter/internal/control"
	"github.com/vrouter/vrouter/internal/follow"
	"github.com/vrouter/vrouter/internal/lab"
	"github.com/vrouter/vrouter/internal/timeline"
)

// stories are the ways of all packets while the pings run.
type stories struct {
	ways    []*timeline.Way // owned by the trace until done
	pinged  chan struct{}   // has something when a request's is among them
	end     context.CancelFunc
	done    chan struct{}
	clients []*control.Client
}

// listen traces ping, and what finds neighbours, on every host.
func listen(ctx context.Context, l *lab.Lab, filter string) (*stories, error) {
	ctx, cancel := context.WithCancel(ctx)
	s := &stories{pinged: make(chan struct{}, pings), done: make(chan struct{}), end: cancel}
	var sources []follow.Source
	for _, h := range l.Hosts {
		c := control.NewClient(h.Socket)
		s.clients = append(s.clients, c)
		sources = append(sources, follow.Source{Name: h.Name, Client: c, Clock: "this machine's"})
	}
	run, err := follow.Listen(ctx, sources, follow.Options{Filter: filter, Within: follow.Within, Warn: func(error) {}})
	if err != nil {
		cancel()
		return nil, err
	}
	go func() {
		defer close(s.done)
		_ = run(s.keep)
	}()
	return s, nil
}

func (s *stories) keep(w *timeline.Way) error {
	s.ways = append(s.ways, w)
	if isPing(w) {
		select {
		case s.pinged <- struct{}{}:
		default:
		}
	}
	return nil
}

// isPing knows the way of an echo request, in another packet or not.
func isPing(w *timeline.Way) bool {
	return strings.Contains(w.Summary, "icmp echo request") || strings.Contains(w.Summary, "icmp6 echo request")
}

// stop waits until the trace has told of all requests, and returns the ways in the order
// in which they began. The hosts share this machine's clock.
func (s *stories) stop() []*timeline.Way {
	deadline, cancel := context.WithTimeout(context.Background(), 2*follow.Within)
	defer cancel()
	for range pings {
		select {
		case <-s.pinged:
		case <-deadline.Done():
		}
	}
	s.end()
	<-s.done
	for _, c := range s.clients {
		c.Close()
	}
	slices.SortStableFunc(s.ways, func(a, b *timeline.Way) int { return a.Time.Compare(b.Time) })
	return s.ways
}

// printTimeline shows the way of the first request and its reply through both
// routers, and the ARP that made it possible.
func printTimeline(w io.Writer, ways []*timeline.Way) {
	fmt.Fprint(w, "\n── The first request and its reply, hop by hop: each router's every step\n\n")
	for _, way := range ways {
		_ = timeline.Text{Within: follow.Within}.Write(w, way)
		if isPing(way) {
			return
		}
	}
}
