package top

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/vrouter/vrouter/internal/control"
	"github.com/vrouter/vrouter/internal/trace"
)

// traceRate is how many packets a second a trace shows: more than anybody reads.
const traceRate = 20

// Run shows a router's rates on a terminal, until a key or the context ends it. The
// terminal is as it was when it returns, or panics.
func Run(ctx context.Context, client *control.Client, interval time.Duration, colour bool, in, out *os.File) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	t, err := takeTerminal(in, out)
	if err != nil {
		return fmt.Errorf("the terminal: %w", err)
	}
	defer t.giveBack()
	r := &runner{
		client: client, screen: newScreen(), colour: colour,
		rates: make(chan *control.Rates), failed: make(chan error, 1), traced: make(chan tracePart),
	}
	go func() {
		r.failed <- client.Top(ctx, interval, func(s *control.Rates) error { return send(ctx, r.rates, s) })
	}()
	return r.loop(ctx, t)
}

// runner joins a screen with a terminal and a router.
type runner struct {
	client *control.Client
	screen *screen
	colour bool
	rates  chan *control.Rates
	failed chan error
	traced chan tracePart
	endOf  context.CancelFunc // of the trace that runs
}

// tracePart is what a trace has to show next, or why it ended.
type tracePart struct {
	of    *traceView
	text  string
	ended error
}

func send[T any](ctx context.Context, to chan<- T, v T) error {
	select {
	case to <- v:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (r *runner) loop(ctx context.Context, t *terminal) error {
	for {
		r.screen.width, r.screen.height = t.size()
		t.draw(r.screen.lines())
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-r.failed:
			return err
		case <-t.resized:
		case s := <-r.rates:
			r.screen.show(s)
		case p := <-r.traced:
			r.add(p)
		case key := <-t.keys:
			switch r.screen.press(key) {
			case quit:
				return nil
			case startTrace:
				r.startTrace(ctx, r.screen.selected().trace)
			case stopTrace:
				r.endOf()
				r.screen.trace = nil
			}
		}
	}
}

func (r *runner) add(p tracePart) {
	switch {
	case p.of != r.screen.trace: // one that was stopped
	case p.ended != nil:
		p.of.ended = p.ended.Error()
	default:
		r.screen.addTrace(p.text)
	}
}

func (r *runner) startTrace(ctx context.Context, o control.TraceOptions) {
	o.Rate = traceRate
	view := &traceView{command: command(&o)}
	r.screen.trace = view
	ctx, r.endOf = context.WithCancel(ctx)
	go func() {
		err := follow(ctx, r.client, o, r.colour, func(text string) error {
			return send(ctx, r.traced, tracePart{of: view, text: text})
		})
		_ = send(ctx, r.traced, tracePart{of: view, ended: err})
	}()
}

// follow hands over the packets of a trace in text.
func follow(ctx context.Context, client *control.Client, o control.TraceOptions, colour bool, show func(string) error) error {
	t, err := client.Trace(ctx, o)
	if err != nil {
		return err
	}
	defer t.Close()
	for {
		p, err := t.Next()
		if errors.Is(err, io.EOF) {
			return errors.New("the router has stopped")
		}
		if err != nil {
			return err
		}
		var b strings.Builder
		if err := (trace.Text{Colour: colour}).Write(&b, p); err != nil {
			return err
		}
		if err := show(b.String()); err != nil {
			return err
		}
	}
}

// command is the trace as one types it.
func command(o *control.TraceOptions) string {
	words := []string{"vrouter trace"}
	for _, f := range []struct{ flag, value string }{{"--port", o.Port}, {"--step", o.Step}, {"--reason", o.Reason}} {
		if f.value != "" {
			words = append(words, f.flag, f.value)
		}
	}
	words = append(words, fmt.Sprintf("--rate %d", o.Rate))
	if o.Filter != "" {
		words = append(words, o.Filter)
	}
	return strings.Join(words, " ")
}

// Write prints a sample in tables, without what nothing happens at.
func Write(w io.Writer, r *control.Rates) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %s  over %.1f s\n", r.Host, r.Time.Format("15:04:05"), r.Seconds)
	for _, s := range sections(r) {
		quiet := s.rows[:0]
		for _, row := range s.rows {
			if row.busy {
				quiet = append(quiet, row)
			}
		}
		if s.rows = quiet; len(s.rows) > 0 {
			b.WriteString(strings.Join(s.lines(0), "\n") + "\n")
		}
	}
	_, err := io.WriteString(w, b.String()+"\n")
	return err
}
