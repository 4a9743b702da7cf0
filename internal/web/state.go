package web

import (
	"context"
	"reflect"
	"sync"
	"time"

	"github.com/vrouter/vrouter/internal/control"
	"github.com/vrouter/vrouter/internal/follow"
	"github.com/vrouter/vrouter/internal/impair"
	"github.com/vrouter/vrouter/internal/lab"
	"github.com/vrouter/vrouter/internal/verdict"
)

const (
	// stateEvery is how often it is said how things are.
	stateEvery = time.Second
	// silentAfter is how long a router may say nothing of its rates.
	silentAfter = 3 * time.Second
	// askEvery is how often a router is asked for what seldom changes.
	askEvery = 3 * time.Second
)

// State is how things are at one moment.
type State struct {
	Time   time.Time   `json:"time"`
	Hosts  []HostState `json:"hosts"`
	Links  []LinkState `json:"links"`
	Broken string      `json:"broken"` // the fault that is planted in the lab
}

// HostState is how a router is.
type HostState struct {
	Name    string             `json:"name"`
	State   string             `json:"state"` // up, silent, dead
	Why     string             `json:"why,omitempty"`
	Seconds float64            `json:"seconds,omitempty"` // since it was last heard of
	Ports   []control.PortRate `json:"ports"`
	Drops   []DropState        `json:"drops"` // reasons that count now
}

// DropState is a reason for which packets are dropped now.
type DropState struct {
	control.DropRate
	Help string `json:"help"`
	Mend string `json:"mend,omitempty"`
	RFC  string `json:"rfc,omitempty"`
}

// LinkState is what a link of the lab does to packets.
type LinkState struct {
	ID         string `json:"id"`
	Impairment string `json:"impairment"`
	Running    bool   `json:"running"`
	impair.Counts
}

const (
	up     = "up"
	silent = "silent"
	dead   = "dead"
)

// states follows how all routers are.
type states struct {
	options Options
	bell    bell // rings when there is something new to say

	mu    sync.Mutex
	hosts []*heard
	drawn *Topology
	at    int // how often it was drawn anew
	now   *State
}

// heard is what is heard of one router.
type heard struct {
	source *follow.Source
	known  *known
	rates  *control.Rates
	last   time.Time // something was heard
	err    error
}

func newStates(o Options) *states {
	s := &states{options: o, now: &State{Hosts: []HostState{}, Links: []LinkState{}}}
	for i := range o.Sources {
		s.hosts = append(s.hosts, &heard{source: &o.Sources[i], known: before(&o.Sources[i])})
	}
	s.draw()
	return s
}

// run listens to all routers until the context ends.
func (s *states) run(ctx context.Context) {
	var all sync.WaitGroup
	for _, h := range s.hosts {
		all.Go(func() { s.again(ctx, func() { s.top(ctx, h) }) })
		all.Go(func() { s.ask(ctx, h) })
	}
	tick := time.NewTicker(stateEvery)
	defer tick.Stop()
	for ctx.Err() == nil {
		s.look()
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	all.Wait()
}

// again does something that ends when a router does, until the context ends.
func (s *states) again(ctx context.Context, f func()) {
	for ctx.Err() == nil {
		f()
		select {
		case <-time.After(stateEvery / 2):
		case <-ctx.Done():
		}
	}
}

func (s *states) top(ctx context.Context, h *heard) {
	err := h.source.Client.Top(ctx, stateEvery, func(r *control.Rates) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		h.rates, h.last, h.err = r, time.Now(), nil
		return nil
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	h.rates, h.err = nil, err
}

func (s *states) ask(ctx context.Context, h *heard) {
	for ctx.Err() == nil {
		within, cancel := context.WithTimeout(ctx, askEvery)
		k, err := ask(within, h.source.Client)
		cancel()
		if err == nil {
			s.learn(h, k)
		}
		select {
		case <-time.After(askEvery):
		case <-ctx.Done():
		}
	}
}

func (s *states) learn(h *heard, k *known) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h.last = time.Now()
	if !reflect.DeepEqual(h.known, k) {
		h.known = k
		s.draw()
	}
}

// draw makes the picture anew. It is locked, or nobody else has it yet.
func (s *states) draw() {
	var all []*known
	for _, h := range s.hosts {
		all = append(all, h.known)
	}
	s.drawn = drawing(&s.options, all)
	s.at++
	s.bell.ring()
}

// picture is the last one, and which it is.
func (s *states) picture() (*Topology, int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.drawn, s.at
}

// current is how things are.
func (s *states) current() *State {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

// look finds out how things are, and says so.
func (s *states) look() {
	n := &State{Time: time.Now(), Hosts: []HostState{}, Links: []LinkState{}}
	if s.options.Lab != nil {
		n.Broken = lab.Broken()
		for _, k := range s.options.Lab.LinkStatus() {
			n.Links = append(n.Links, LinkState{k.Subnet, k.Impairment, k.Running, k.Counts})
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range s.hosts {
		n.Hosts = append(n.Hosts, h.state(n.Time))
	}
	s.now = n
	s.bell.ring()
}

func (h *heard) state(now time.Time) HostState {
	v := HostState{Name: h.known.name, State: up, Ports: []control.PortRate{}, Drops: []DropState{}}
	since := now.Sub(h.last)
	switch {
	case h.err != nil:
		v.State, v.Why = dead, h.err.Error()
	case since > silentAfter && !h.last.IsZero():
		v.State, v.Why = silent, "the router is there, and does not answer"
	case h.rates == nil:
		return v // it has just come
	}
	if v.State != up {
		if !h.last.IsZero() {
			v.Seconds = since.Seconds()
		}
		return v
	}
	v.Ports = append(v.Ports, h.rates.Ports...)
	for _, d := range h.rates.Drops {
		if d.PPS == 0 {
			continue
		}
		t := DropState{DropRate: d}
		if r, ok := verdict.ReasonNamed(d.Reason); ok {
			t.Help, t.Mend, t.RFC = r.Info().Help, r.Info().Mend, r.Info().RFC
		}
		v.Drops = append(v.Drops, t)
	}
	return v
}

// bell wakes all who wait for something new.
type bell struct {
	mu sync.Mutex
	ch chan struct{}
}

// wait is closed when it rings next.
func (b *bell) wait() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ch == nil {
		b.ch = make(chan struct{})
	}
	return b.ch
}

func (b *bell) ring() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ch != nil {
		close(b.ch)
		b.ch = nil
	}
}
