package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/vrouter/vrouter/internal/control"
	"github.com/vrouter/vrouter/internal/follow"
	"github.com/vrouter/vrouter/internal/lab"
	"github.com/vrouter/vrouter/internal/timeline"
)

// stories are the ways of all packets while the pings run.
type stories struct {
	ways    []*timeline.Way
	end     context.CancelFunc
	done    chan struct{} // closed when the first request's is among them
	clients []*control.Client
}

// listen traces ping and ARP on every host.
func listen(ctx context.Context, l *lab.Lab) (*stories, error) {
	ctx, cancel := context.WithCancel(ctx)
	s := &stories{done: make(chan struct{}), end: cancel}
	var sources []follow.Source
	for _, h := range l.Hosts {
		c := control.NewClient(h.Socket)
		s.clients = append(s.clients, c)
		sources = append(sources, follow.Source{Name: h.Name, Client: c, Clock: "this machine's"})
	}
	run, err := follow.Listen(ctx, sources, follow.Options{Filter: "arp or icmp", Within: follow.Within, Warn: func(error) {}})
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

var errTold = errors.New("the first request and its reply are told")

func (s *stories) keep(w *timeline.Way) error {
	s.ways = append(s.ways, w)
	if isPing(w) {
		return errTold
	}
	return nil
}

// isPing knows the way of an echo request, in another packet or not.
func isPing(w *timeline.Way) bool { return strings.Contains(w.Summary, "icmp echo request") }

// stop waits for the way of the first request, and returns the ways until then.
func (s *stories) stop() []*timeline.Way {
	select {
	case <-s.done:
	case <-time.After(2 * follow.Within):
	}
	s.end()
	<-s.done
	for _, c := range s.clients {
		c.Close()
	}
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
