package demo

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/vrouter/vrouter/internal/control"
	"github.com/vrouter/vrouter/internal/lab"
	"github.com/vrouter/vrouter/internal/trace"
)

// stories are the traces of all hosts while the pings run.
type stories struct {
	cancel  context.CancelFunc
	done    sync.WaitGroup
	mu      sync.Mutex
	records []*trace.Packet
	replies chan struct{} // one for each echo reply that was seen to reach its workload
}

// listen traces ping and ARP on every host.
func listen(ctx context.Context, l *lab.Lab) (*stories, error) {
	ctx, cancel := context.WithCancel(ctx)
	s := &stories{cancel: cancel, replies: make(chan struct{}, 64)}
	for _, h := range l.Hosts {
		t, err := control.NewClient(h.Socket).Trace(ctx, control.TraceOptions{Filter: "arp or icmp"})
		if err != nil {
			cancel()
			return nil, err
		}
		s.done.Go(func() { s.collect(t, h == l.Hosts[0]) })
	}
	return s, nil
}

func (s *stories) collect(t *control.Trace, first bool) {
	defer t.Close()
	for {
		p, err := t.Next()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.records = append(s.records, p)
		s.mu.Unlock()
		if first && isReply(p) {
			s.replies <- struct{}{}
		}
	}
}

// stop waits until the traces have told of all replies, and returns the records
// in the order in which the packets arrived. The hosts share this machine's clock.
func (s *stories) stop(replies int) []*trace.Packet {
	deadline, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	for range replies {
		select {
		case <-s.replies:
		case <-deadline.Done():
		}
	}
	s.cancel()
	s.done.Wait()
	slices.SortStableFunc(s.records, func(a, b *trace.Packet) int { return a.Time.Compare(b.Time) })
	return s.records
}

// isReply knows an echo reply, in another packet or not.
func isReply(p *trace.Packet) bool { return strings.Contains(p.Summary, "icmp echo reply") }

// printTimeline shows the way of the first request and its reply through both
// routers, and the ARP that made it possible.
func printTimeline(w io.Writer, records []*trace.Packet) {
	fmt.Fprint(w, "\n── The first request and its reply, hop by hop: each router's every step\n")
	var start time.Time
	for _, p := range records {
		if start.IsZero() {
			start = p.Time
		}
		fmt.Fprintf(w, "\n+%.3f ms  ", float64(p.Time.Sub(start).Nanoseconds())/1e6)
		_ = (trace.Text{}).Write(w, p)
		if p.Host == records[0].Host && isReply(p) {
			break
		}
	}
}
