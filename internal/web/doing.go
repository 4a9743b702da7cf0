package web

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"github.com/vrouter/vrouter/internal/control"
	"github.com/vrouter/vrouter/internal/impair"
	"github.com/vrouter/vrouter/internal/lab"
	"github.com/vrouter/vrouter/internal/ping"
	"github.com/vrouter/vrouter/internal/workload"
)

const (
	maxPings    = 100
	maxSeconds  = 30 // of a TCP stream
	pingEvery   = 500 * time.Millisecond
	pingTimeout = time.Second
	connectTime = 5 * time.Second
	holdEvery   = 250 * time.Millisecond // what is held is asked for
)

// ends are the two workloads of a deed, and the address of the second.
func ends(l *lab.Lab, q *wish) (from, to *lab.Workload, address netip.Addr, err error) {
	if from, err = workloadAt(l, q.From); err != nil {
		return nil, nil, address, err
	}
	if to, err = workloadAt(l, q.To); err != nil {
		return nil, nil, address, err
	}
	if address = to.AddressOf(q.IPv6); !address.IsValid() || !from.AddressOf(q.IPv6).IsValid() {
		return nil, nil, address, fmt.Errorf("%s and %s have no addresses of that family both", q.From, q.To)
	}
	return from, to, address, nil
}

func workloadAt(l *lab.Lab, place string) (*lab.Workload, error) {
	host, name, ok := strings.Cut(place, "/")
	if !ok {
		return nil, fmt.Errorf("%q is no HOST/WORKLOAD", place)
	}
	h, err := l.Host(host)
	if err != nil {
		return nil, err
	}
	return h.Workload(name)
}

// lines hands over what is written, line by line.
type lines struct {
	say  func(string)
	rest []byte
}

func (l *lines) Write(b []byte) (int, error) {
	l.rest = append(l.rest, b...)
	for {
		line, more, found := bytes.Cut(l.rest, []byte("\n"))
		if !found {
			return len(b), nil
		}
		if len(line) > 0 {
			l.say(string(line))
		}
		l.rest = more
	}
}

func planPing(l *lab.Lab, q *wish) (*plan, error) {
	from, _, address, err := ends(l, q)
	if err != nil {
		return nil, err
	}
	count := cmp.Or(q.Count, 3)
	if count < 1 || count > maxPings {
		return nil, fmt.Errorf("count %d: give a number from 1 to %d", q.Count, maxPings)
	}
	return &plan{title: fmt.Sprintf("ping %s > %s", q.From, address), run: func(ctx context.Context, say func(string)) error {
		return workload.Named(from.Namespace).Do(func() error {
			_, err := ping.Run(ctx, &lines{say: say}, ping.Options{To: address, Count: count, Interval: pingEvery, Timeout: pingTimeout})
			return err
		})
	}}, nil
}

func planTraceroute(l *lab.Lab, q *wish) (*plan, error) {
	from, _, address, err := ends(l, q)
	if err != nil {
		return nil, err
	}
	return &plan{title: fmt.Sprintf("traceroute %s > %s", q.From, address), run: func(ctx context.Context, say func(string)) error {
		return workload.Named(from.Namespace).Do(func() error {
			return ping.Traceroute(ctx, &lines{say: say}, ping.Options{To: address, Timeout: pingTimeout})
		})
	}}, nil
}

func planTCP(l *lab.Lab, q *wish) (*plan, error) {
	from, to, address, err := ends(l, q)
	if err != nil {
		return nil, err
	}
	seconds := cmp.Or(q.Seconds, 5)
	if seconds < 1 || seconds > maxSeconds {
		return nil, fmt.Errorf("seconds %d: give a number from 1 to %d", q.Seconds, maxSeconds)
	}
	return &plan{title: fmt.Sprintf("TCP %s > %s for %d s", q.From, address, seconds), run: func(ctx context.Context, say func(string)) error {
		return streamTCP(ctx, from, to, address, time.Duration(seconds)*time.Second, say)
	}}, nil
}

// streamTCP sends as fast as it goes from one workload to another.
func streamTCP(ctx context.Context, from, to *lab.Workload, address netip.Addr, d time.Duration, say func(string)) error {
	var l net.Listener
	err := workload.Named(to.Namespace).Do(func() (err error) {
		l, err = net.Listen("tcp", netip.AddrPortFrom(address, 0).String())
		return err
	})
	if err != nil {
		return err
	}
	defer l.Close()
	var got atomic.Int64
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		defer context.AfterFunc(ctx, func() { c.Close() })()
		_, _ = io.Copy(counted{&got}, c)
	}()
	var c net.Conn
	err = workload.Named(from.Namespace).Do(func() (err error) {
		dialer := net.Dialer{Timeout: connectTime}
		c, err = dialer.DialContext(ctx, "tcp", l.Addr().String())
		return err
	})
	if err != nil {
		return err
	}
	defer c.Close()
	say("connected: " + c.LocalAddr().String() + " > " + c.RemoteAddr().String())
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	defer context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })()
	ended := make(chan error, 1)
	go func() {
		piece := make([]byte, 128<<10)
		for {
			if _, err := c.Write(piece); err != nil {
				ended <- err
				return
			}
		}
	}()
	began, last := time.Now(), int64(0)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			n := got.Load()
			say(fmt.Sprintf("%.0f Mbit/s", float64(n-last)*8/1e6))
			last = n
		case err := <-ended:
			if ctx.Err() == nil {
				return err
			}
			say(fmt.Sprintf("%.1f MB in %.1f s", float64(got.Load())/1e6, time.Since(began).Seconds()))
			return nil
		}
	}
}

// counted counts what is written to it.
type counted struct{ n *atomic.Int64 }

func (c counted) Write(b []byte) (int, error) {
	c.n.Add(int64(len(b)))
	return len(b), nil
}

func planLink(l *lab.Lab, q *wish) (*plan, error) {
	k, err := l.Link(q.Link)
	if err != nil {
		return nil, err
	}
	i, err := impair.Parse(strings.Fields(q.Impairment))
	if err != nil {
		return nil, err
	}
	return &plan{title: fmt.Sprintf("link %s: %s", q.Link, cmp.Or(i.String(), "none")), about: "link " + q.Link, change: func(ctx context.Context) (func(context.Context) error, error) {
		was, err := k.Impairment()
		if err != nil {
			return nil, err
		}
		return func(ctx context.Context) error { return k.Change(ctx, was) }, k.Change(ctx, i)
	}}, nil
}

func planRoute(l *lab.Lab, q *wish) (*plan, error) {
	h, err := l.Host(q.Host)
	if err != nil {
		return nil, err
	}
	return &plan{title: fmt.Sprintf("%s without its route to %s", q.Host, q.Prefix), about: "route " + q.Host + " " + q.Prefix, change: func(ctx context.Context) (func(context.Context) error, error) {
		c := control.NewClient(h.Socket)
		defer c.Close()
		var was *control.RouteChange
		err := c.EachRoute(ctx, func(r control.Route) bool {
			if r.Prefix == q.Prefix && r.Protocol == "static" && r.Paths == nil {
				was = &control.RouteChange{Op: "add", To: r.Prefix, Via: r.Via, Dev: r.Dev, Encap: r.Encap, Metric: &r.Metric}
				if r.Type != "unicast" {
					was.Type, was.Dev, was.Encap = r.Type, "", ""
				}
			}
			return was == nil
		})
		if err != nil {
			return nil, err
		}
		if was == nil {
			return nil, fmt.Errorf("%s has no static route to %s with one next hop", q.Host, q.Prefix)
		}
		change := func(ctx context.Context, r control.RouteChange) error {
			c := control.NewClient(h.Socket)
			defer c.Close()
			_, err := c.ChangeRoutes(ctx, func(yield func(control.RouteChange, error) bool) { yield(r, nil) })
			return err
		}
		gone := control.RouteChange{Op: "del", To: was.To, Metric: was.Metric}
		return func(ctx context.Context) error { return change(ctx, *was) }, change(ctx, gone)
	}}, nil
}

func planFault(l *lab.Lab, q *wish) (*plan, error) {
	if _, err := lab.FaultNamed(q.Fault); err != nil {
		return nil, err
	}
	if b := lab.Broken(); b != "" {
		return nil, errors.New("the lab is broken already: " + b + "; `vrouter lab mend` mends it")
	}
	return &plan{title: "fault " + q.Fault, about: "fault", change: func(ctx context.Context) (func(context.Context) error, error) {
		return l.Mend, l.Break(ctx, q.Fault)
	}}, nil
}

// planHold has packets wait before a step of a router. It is over by itself, or when it is stopped: then
// they are let go.
func planHold(l *lab.Lab, q *wish) (*plan, error) {
	h, err := l.Host(q.Host)
	if err != nil {
		return nil, err
	}
	wanted := control.NewStop{Step: q.Step, Filter: q.Filter, Seconds: float64(cmp.Or(q.Seconds, 20))}
	if _, err := wanted.Check(); err != nil {
		return nil, err
	}
	title := strings.TrimSpace(fmt.Sprintf("stop before %s on %s: %s", q.Step, q.Host, q.Filter))
	return &plan{title: title, word: "let go", run: func(ctx context.Context, say func(string)) error {
		c := control.NewClient(h.Socket)
		defer c.Close()
		var s control.Stop
		if err := c.Post(context.WithoutCancel(ctx), "/v1/stops", wanted, &s); err != nil { // whoever ends it now has to know its number
			return err
		}
		say(fmt.Sprintf("what comes there waits, for %g s at the most; timers run on", wanted.Seconds))
		held := 0
		for {
			select {
			case <-time.After(holdEvery):
			case <-ctx.Done():
				ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTime)
				defer cancel()
				return c.Delete(ctx, fmt.Sprintf("/v1/stops/%d", s.ID))
			}
			var list []control.Stop
			if err := c.Get(ctx, "/v1/stops", &list); err != nil {
				return err
			}
			if len(list) == 0 || list[0].ID != s.ID {
				say("the time is over: what waited goes on")
				return nil
			}
			if n := list[0].Packets; n != held {
				say(fmt.Sprintf("%d held", n))
				held = n
			}
		}
	}}, nil
}
