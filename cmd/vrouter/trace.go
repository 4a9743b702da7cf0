package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/vrouter/vrouter/internal/control"
	"github.com/vrouter/vrouter/internal/filter"
	"github.com/vrouter/vrouter/internal/trace"
)

func newTrace(c *cli) *cobra.Command {
	var o control.TraceOptions
	var inner bool
	var count int
	var sample string
	var duration time.Duration
	cmd := &cobra.Command{
		Use:   "trace [FILTER]",
		Short: "Live trace of the running router, a block a packet and a line a step",
		Long: "FILTER is the language of pcap-filter(7) as far as hosts, nets, ports, protocols and and/or/not go:\n" +
			"`vrouter trace icmp and host 10.70.2.1`. Without one, every packet is traced.",
		Example: "  vrouter trace --in ns1 icmp\n  vrouter trace --reason rpf_failed\n  vrouter trace --duration 10s -o pcapng >way.pcapng",
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Filter = strings.Join(args, " ")
			var ok bool
			if o.Every, ok = parseSample(sample); !ok {
				return usagef("--sample %q: write it as 1/1000: one packet in so many", sample)
			}
			switch {
			case inner && o.Outer:
				return usagef("--inner and --outer exclude each other")
			case count < 0:
				return usagef("-c %d: give a number of packets; 0: never stop", count)
			case duration < 0:
				return usagef("--duration %v: give a time such as 10s; 0: never stop", duration)
			}
			if err := checkTrace(&o); err != nil {
				return usageError{err}
			}
			write, err := c.tracePrinter(cmd.OutOrStdout())
			if err != nil {
				return err
			}
			o.Frames = c.output == "pcapng"
			return c.trace(cmd.Context(), o, count, duration, write)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.In, "in", "", "only packets that came in by this port")
	f.StringVar(&o.Out, "out", "", "only packets that left by this port")
	f.StringVar(&o.Port, "port", "", "only packets that came in or left by this port")
	f.StringVar(&o.Step, "step", "", "only packets that this step changed or ended")
	f.StringVar(&o.Reason, "reason", "", "only packets that are dropped for this reason")
	f.BoolVar(&o.Drops, "drops", false, "only packets that are dropped")
	f.BoolVar(&inner, "inner", false, "the filter sees the inner packet of IP-in-IP (default)")
	f.BoolVar(&o.Outer, "outer", false, "the filter sees the packet as on the wire")
	f.StringVar(&sample, "sample", "1/1", "of the packets that match, trace one in so many, such as 1/1000")
	f.Uint64Var(&o.Rate, "rate", 0, "trace at most so many packets a second; 0: all")
	f.IntVarP(&count, "count", "c", 0, "stop after so many packets; 0: never")
	f.DurationVar(&duration, "duration", 0, "stop after so long, such as 10s; 0: never")
	c.outputFlag(cmd, "pcapng")
	for _, name := range []string{"in", "out", "port"} {
		_ = cmd.RegisterFlagCompletionFunc(name, c.completePorts)
	}
	_ = cmd.RegisterFlagCompletionFunc("step", completeSteps)
	_ = cmd.RegisterFlagCompletionFunc("reason", completeReasons)
	return cmd
}

// checkTrace refuses what no router would understand, before one is asked.
func checkTrace(o *control.TraceOptions) error {
	if _, err := filter.Parse(o.Filter); err != nil {
		return err
	}
	if _, err := control.ParseStep(o.Step); err != nil {
		return err
	}
	_, err := control.ParseReason(o.Reason)
	return err
}

// parseSample reads "1/1000" as 1000.
func parseSample(s string) (every uint64, ok bool) {
	n, found := strings.CutPrefix(s, "1/")
	every, err := strconv.ParseUint(n, 10, 64)
	return every, found && err == nil && every > 0
}

// tracePrinter writes each packet at once, in the form that -o names.
func (c *cli) tracePrinter(out io.Writer) (func(*trace.Packet) error, error) {
	switch c.output {
	case "json":
		enc := json.NewEncoder(out)
		enc.SetEscapeHTML(false)
		return func(p *trace.Packet) error { return enc.Encode(p) }, nil
	case "pcapng":
		if isTerminal(out) {
			return nil, usagef("-o pcapng is for programs: write it to a file (>FILE), or pipe it into `wireshark -k -i -`")
		}
		return trace.NewPcapNG(out).Write, nil
	}
	text := trace.Text{Colour: colours(out)}
	return func(p *trace.Packet) error { return text.Write(out, p) }, nil
}

func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// colours says whether to use them: on a terminal, unless NO_COLOR is set.
func colours(w io.Writer) bool { return isTerminal(w) && os.Getenv("NO_COLOR") == "" }

// trace writes packets until there were so many, so much time has passed, or
// somebody interrupts it.
func (c *cli) trace(ctx context.Context, o control.TraceOptions, count int, duration time.Duration, write func(*trace.Packet) error) error {
	giveWay()
	if duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, duration)
		defer cancel()
	}
	client := control.NewClient(c.socket)
	defer client.Close()
	t, err := client.Trace(ctx, o)
	if err != nil {
		return err
	}
	defer t.Close()
	for n := 0; count == 0 || n < count; n++ {
		p, err := t.Next()
		switch {
		case ctx.Err() != nil:
			return nil // Ctrl-C is how a trace ends
		case errors.Is(err, io.EOF):
			return fmt.Errorf("the router at %s has stopped", c.socket)
		case err != nil:
			return err
		}
		if err := write(p); err != nil {
			return fmt.Errorf("writing the trace: %w", err)
		}
	}
	return nil
}
