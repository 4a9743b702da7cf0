package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/vrouter/vrouter/internal/control"
)

// scale is a size at which the router is looked at.
type scale struct {
	workloads int // of the first host
	routes    int // of its configuration
	streams   int // of TCP
}

// scales grow one thing at a time.
var scales = []scale{
	{1, 1, 1}, {10, 1, 1}, {100, 1, 1}, {1000, 1, 1},
	{1, 1_000, 1}, {1, 100_000, 1}, {1, 1_000_000, 1},
	{1, 1, 4}, {1, 1, 16}, {1, 1, 64},
}

// measureScale prints how the cost grows with workloads, routes and flows.
func measureScale(o options, w io.Writer) error {
	fmt.Fprintf(w, "%s; load average before the start %s. %v a measurement.\n\n", machine(), loadAverage(), o.measure)
	t := tabwriter.NewWriter(w, 0, 0, 1, ' ', 0)
	fmt.Fprintln(t, "| workloads\t| routes\t| TCP streams\t| start, s\t| memory, MB\t| peak, MB\t| threads\t| round trip, median, µs\t| TCP, Gbit/s |")
	fmt.Fprintln(t, "| ---\t| ---\t| ---\t| ---\t| ---\t| ---\t| ---\t| ---\t| --- |")
	for _, s := range scales {
		line, err := s.measure(o.measure)
		if err != nil {
			return fmt.Errorf("%+v: %w", s, err)
		}
		fmt.Fprintln(os.Stderr, line)
		fmt.Fprintln(t, line)
	}
	return t.Flush()
}

func (s scale) measure(d time.Duration) (line string, err error) {
	b, err := newBed(false)
	defer b.close()
	if err != nil {
		return "", err
	}
	if err := vrouter("metrics: {listen: \"\"}\n")(b); err != nil { // for the files, and for the other host
		return "", err
	}
	if err := b.ready(); err != nil {
		return "", err
	}
	start, err := s.restart(b)
	if err != nil {
		return "", err
	}
	times, err := roundTrips(b.sides[0], false, exchanges, time.Second)
	if err != nil {
		return "", err
	}
	tcp, err := measureTCP(b, false, s.streams, d)
	if err != nil {
		return "", err
	}
	first := b.routers[:1]
	return fmt.Sprintf("| %d\t| %d\t| %d\t| %.2f\t| %.0f\t| %.0f\t| %.0f\t| %.1f\t| %.1f |", s.workloads, s.routes, s.streams,
		start.Seconds(), memory(first, "VmRSS"), memory(first, "VmHWM"), 1024*memory(first, "Threads"),
		float64(percentile(times, 50).Nanoseconds())/1e3, tcp.bytes*8/1e9/tcp.seconds), nil
}

// restart runs the first host's router with a larger configuration, and says how
// long it takes until the workloads reach each other by it.
func (s scale) restart(b *bed) (time.Duration, error) {
	side := b.sides[0]
	b.routers[0].stop()
	file := filepath.Join(scratch, "scale.yaml")
	if err := os.WriteFile(file, s.config(side), 0o644); err != nil {
		return 0, err
	}
	b.undo = append(b.undo, func() { down(side, file) }) // once the router has stopped
	begin := time.Now()
	p, err := b.start(side.host, nil, program, "run", "--config", file)
	if err != nil {
		return 0, err
	}
	b.routers[0] = p
	client := control.NewClient(side.socket())
	defer client.Close()
	// A million routes need some seconds, and each try of ready a tenth of one.
	for deadline := time.Now().Add(6 * readyTimeout); ; {
		if err = b.ready(); err == nil {
			break
		}
		if p.hasEnded() != nil || time.Now().After(deadline) {
			return 0, err
		}
	}
	took := time.Since(begin)
	return took, nil
}

func (s scale) config(side *side) []byte {
	var c bytes.Buffer
	fmt.Fprintf(&c, "node: %s\nuplink: {interface: %s}\ncontrol: {socket: %s}\nmetrics: {listen: \"\"}\nworkloads:\n  - {name: ns1, address: %s, namespace: %s}\n",
		side.name, uplink, side.socket(), side.address, side.guest)
	for i := 1; i < s.workloads; i++ {
		fmt.Fprintf(&c, "  - {name: bench-w%d, address: 10.%d.%d.1/24}\n", i, 100+i/250, i%250)
	}
	fmt.Fprintf(&c, "routes:\n  - {to: %s, via: %s}\n", side.peer.address.Addr(), side.peer.uplink.Addr())
	for i := 1; i < s.routes; i++ {
		fmt.Fprintf(&c, "  - {to: %d.%d.%d.0/24, via: %s}\n", 20+i>>16, i>>8&255, i&255, side.peer.uplink.Addr())
	}
	return c.Bytes()
}

// down takes back the namespaces of the other workloads; what fails goes with the sandbox.
func down(s *side, file string) {
	if p, err := start(s.host, nil, program, "down", "--config", file); err == nil {
		<-p.ended
	}
}
