// Package follow listens to several routers at once, and shows the ways of packets over
// all of them.
package follow

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/vrouter/vrouter/internal/control"
	"github.com/vrouter/vrouter/internal/filter"
	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/timeline"
	"github.com/vrouter/vrouter/internal/trace"
)

const (
	// Within is how long a packet is waited for at the next host, if nobody says otherwise.
	Within = time.Second
	// tick is how often is looked for ways that are over.
	tick = 10 * time.Millisecond
	// queue is how many records may wait to be joined. Behind that the router waits, and
	// loses its oldest.
	queue = 1024
)

// Source is a router to listen to.
type Source struct {
	Name   string // as the user wrote it
	Client *control.Client
	Clock  string // hosts with the same one share a clock; "": its own
	// Addresses of the host, and of its workloads by name, are those that are known without asking it.
	Addresses []netip.Addr
	Workloads map[string][]netip.Addr
}

// Options of what is shown.
type Options struct {
	Filter string
	Within time.Duration
	Wanted func(*trace.Packet) bool // a way is shown if it has such a record; nil: each
	Warn   func(error)              // of a host that cannot be reached, or that stops
	// Of what the filter takes, Hash has every host record the same, one packet in so many, and Rate so many a second
	// at most, as they come. 0: all.
	Hash, Rate uint64
	Recorded   func(*trace.Packet) // each record, as it comes; nil: nobody is told
}

// event is what comes from one host: a record, or its end.
type event struct {
	host   string
	record *trace.Packet
	ended  error
}

// follower is the loop's memory.
type follower struct {
	opts   Options
	joiner *timeline.Joiner
	events chan event
	left   int   // hosts
	last   error // why the last one that ended has
	clock  clock
}

// Listen starts a trace on each host, and returns when all are on. Run shows what they
// tell; it must be called, and ends with the context. Hosts that cannot be reached are
// left out, if there is another one.
func Listen(ctx context.Context, sources []Source, o Options) (run func(show func(*timeline.Way) error) error, err error) {
	traced, err := newSelection(o.Filter)
	if err != nil {
		return nil, err
	}
	streams, err := openAll(ctx, sources, control.TraceOptions{Filter: traced.filter, Frames: true, Hash: o.Hash, Rate: o.Rate}, o.Warn)
	if err != nil {
		return nil, err
	}
	f := &follower{opts: o, events: make(chan event, queue), left: len(streams)}
	jo := timeline.Options{Within: o.Within, Traced: traced.traced, Wanted: func(p *trace.Packet) bool {
		return traced.asked(p) && (o.Wanted == nil || o.Wanted(p))
	}}
	for _, s := range streams {
		jo.Hosts = append(jo.Hosts, s.host)
	}
	f.joiner = timeline.New(jo)
	ctx, cancel := context.WithCancel(ctx)
	for _, s := range streams {
		go s.read(ctx, f.events)
	}
	return func(show func(*timeline.Way) error) error {
		defer func() {
			cancel()
			for _, s := range streams {
				s.trace.Close()
			}
		}()
		return f.run(ctx, show)
	}, nil
}

// run joins and shows until the context ends, show fails or no host is left.
func (f *follower) run(ctx context.Context, show func(*timeline.Way) error) error {
	timer := time.NewTicker(tick)
	defer timer.Stop()
	f.clock.start()
	all := func(ways []*timeline.Way) error {
		defer f.clock.pause()()
		for _, w := range ways {
			if err := show(w); err != nil {
				return err
			}
		}
		return nil
	}
	for f.left > 0 {
		var early []*timeline.Way
		select {
		case e := <-f.events:
			if errors.Is(e.ended, context.Canceled) { // that ends the traces, too, and may be known of one first
				return all(f.joiner.End())
			}
			early = f.take(e)
		case <-timer.C:
			if len(f.events) > 0 {
				continue // what is here already is in time
			}
			early = f.joiner.Expire(f.clock.now())
		case <-ctx.Done():
			return all(f.joiner.End())
		}
		if err := all(early); err != nil {
			return err
		}
	}
	if err := all(f.joiner.End()); err != nil {
		return err
	}
	return fmt.Errorf("%w; no other host is left", f.last)
}

func (f *follower) take(e event) []*timeline.Way {
	if e.record != nil {
		if f.opts.Recorded != nil {
			f.opts.Recorded(e.record)
		}
		return f.joiner.Add(e.record, f.clock.now())
	}
	f.left--
	f.joiner.Gone(e.host)
	f.last = fmt.Errorf("host %s: its trace has ended: %w", e.host, e.ended)
	if f.left > 0 {
		f.opts.Warn(fmt.Errorf("%w; the others go on", f.last))
	}
	return nil
}

// clock stands while a way is written: a reader who pauses lets nobody's time run out.
type clock struct {
	began  time.Time
	paused time.Duration
}

func (c *clock) start()         { c.began = time.Now() }
func (c *clock) now() time.Time { return time.Now().Add(-c.paused) }
func (c *clock) pause() func() {
	from := time.Now()
	return func() { c.paused += time.Since(from) }
}

// stream is the trace of one host.
type stream struct {
	host  timeline.Host
	trace *control.Trace
}

func (s *stream) read(ctx context.Context, to chan<- event) {
	for {
		p, err := s.trace.Next()
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			err = errors.New("the router has stopped")
		}
		e := event{s.host.Name, p, err}
		select {
		case to <- e:
		case <-ctx.Done():
			return
		}
		if err != nil {
			return
		}
	}
}

// openAll asks all hosts at once.
func openAll(ctx context.Context, sources []Source, o control.TraceOptions, warn func(error)) ([]*stream, error) {
	streams, failed := make([]*stream, len(sources)), make([]error, len(sources))
	var group sync.WaitGroup
	for i, s := range sources {
		group.Go(func() {
			if streams[i], failed[i] = open(ctx, s, o); failed[i] != nil {
				failed[i] = fmt.Errorf("host %s: %w", s.Name, failed[i])
			}
		})
	}
	group.Wait()
	there := slices.DeleteFunc(slices.Clone(streams), func(s *stream) bool { return s == nil })
	if len(there) == 0 {
		return nil, errors.Join(failed...)
	}
	names := map[string]bool{}
	for _, s := range there {
		if names[s.host.Name] {
			for _, t := range there {
				t.trace.Close()
			}
			return nil, fmt.Errorf("two of the hosts are called %s: name each once, and give each a `node` of its own in its configuration", s.host.Name)
		}
		names[s.host.Name] = true
	}
	for _, err := range failed {
		if err != nil {
			warn(fmt.Errorf("%w; it is left out", err))
		}
	}
	return there, nil
}

// open learns who a router is, and starts its trace.
func open(ctx context.Context, s Source, o control.TraceOptions) (*stream, error) {
	var v control.Version
	var ports []control.Port
	if err := s.Client.Get(ctx, "/v1/version", &v); err != nil {
		return nil, err
	}
	if err := s.Client.Get(ctx, "/v1/ports", &ports); err != nil {
		return nil, err
	}
	h := timeline.Host{Name: v.Node, Clock: s.Clock}
	for _, p := range ports {
		mac, err := net.ParseMAC(p.MAC)
		switch {
		case p.Kind == "uplink" && err == nil && len(mac) == len(packet.MAC{}):
			h.Uplinks, h.MACs = append(h.Uplinks, p.Port), append(h.MACs, packet.MAC(mac))
		case p.Kind == "workload":
			for _, address := range p.Addresses {
				if a, err := netip.ParseAddr(address); err == nil {
					h.Workloads = append(h.Workloads, a)
				}
			}
		}
	}
	t, err := s.Client.Trace(ctx, o)
	if err != nil {
		return nil, err
	}
	return &stream{h, t}, nil
}

// selection is what the hosts record, and what of it was asked for. They record ARP, ICMP and
// ICMPv6 too, as an error about a packet, and what it waits for, are not of its kind.
type selection struct {
	filter string
	wide   *filter.Filter
	narrow *filter.Filter
}

func newSelection(expr string) (s selection, err error) {
	if s.narrow, err = filter.Parse(expr); err != nil {
		return s, err
	}
	if s.filter = s.narrow.String(); s.filter != "" {
		s.filter = "(" + s.filter + ") or arp or icmp or icmp6"
	}
	s.wide, err = filter.Parse(s.filter)
	return s, err
}

func (s *selection) traced(frame []byte) bool { return s.wide.MatchInner(frame) }

func (s *selection) asked(p *trace.Packet) bool {
	return p.Frame != nil && s.narrow.MatchInner(p.Frame.Padded())
}
