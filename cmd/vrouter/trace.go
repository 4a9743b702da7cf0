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

	"github.com/vrouter/vrouter/forwarder"
	"github.com/vrouter/vrouter/internal/control"
	"github.com/vrouter/vrouter/internal/filter"
	"github.com/vrouter/vrouter/internal/follow"
	"github.com/vrouter/vrouter/internal/trace"
	"github.com/vrouter/vrouter/internal/verdict"
)

// tracing is what the words of a trace say.
type tracing struct {
	*cli
	control.TraceOptions
	inner    bool
	count    int
	sample   string
	duration time.Duration
	within   time.Duration
	verbose  bool
	fold     bool
	file     string // that is read, in place of a router
	several
}

func newTrace(c *cli) *cobra.Command {
	t := &tracing{cli: c}
	cmd := &cobra.Command{
		Use:   "trace [FILTER]",
		Short: "Live trace of the running router, a block a packet and a line a step",
		Long: "FILTER is the language of pcap-filter(7) as far as hosts, nets, ports, protocols and and/or/not go:\n" +
			"`vrouter trace icmp and host 10.70.2.1`. Without one, every packet is traced.\n\n" +
			"With --hosts, the records of several routers are joined into each packet's way over all of them.\n" +
			"A host is one of the lab that is up, the path of a socket, ssh://[USER@]HOST[:PORT][/PATH/OF/SOCKET],\n" +
			"or https://HOST:PORT of its control.listen, with --cert, --key and --ca.",
		Example: "  vrouter trace --in ns1 icmp\n  vrouter trace --reason rpf_failed\n  vrouter trace --duration 10s -o pcapng >way.pcapng\n" +
			"  vrouter trace --hosts ssh://root@192.168.0.11,ssh://root@192.168.0.12 -c 1 icmp\n" +
			"  vrouter trace --read way.json",
		RunE: t.run, ValidArgsFunction: c.completeFilter,
	}
	t.flags(cmd)
	f := cmd.Flags()
	f.BoolVar(&t.inner, "inner", false, "the filter sees the inner packet of IP-in-IP (default)")
	f.BoolVar(&t.Outer, "outer", false, "the filter sees the packet as on the wire")
	f.StringVar(&t.sample, "sample", "1/1", "of the packets that match, trace one in so many, such as 1/1000")
	f.Uint64Var(&t.Rate, "rate", 0, "trace at most so many packets a second; 0: all")
	f.StringVar(&t.file, "read", "", "print the ways in this file, which the page has saved or -o json has written; - is standard input")
	_ = cmd.MarkFlagFilename("read", "json")
	t.several.flags(cmd, "join the traces of these routers, such as a,b")
	return asks(cmd)
}

// flags adds those that a trace of one router and one of several have in common.
func (t *tracing) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&t.In, "in", "", "only packets that came in by this port")
	f.StringVar(&t.Out, "out", "", "only packets that left by this port")
	f.StringVar(&t.Port, "port", "", "only packets that came in or left by this port")
	f.StringVar(&t.Step, "step", "", "only packets that this step changed or ended")
	f.StringVar(&t.Reason, "reason", "", "only packets that are dropped for this reason")
	f.BoolVar(&t.Drops, "drops", false, "only packets that are dropped")
	f.IntVarP(&t.count, "count", "c", 0, "stop after so many packets; 0: never")
	f.DurationVar(&t.duration, "duration", 0, "stop after so long, such as 10s; 0: never")
	f.BoolVarP(&t.verbose, "verbose", "v", false, "every step, and why it let the packet pass")
	f.BoolVar(&t.fold, "fold", false, "with several hosts: a line for each host, in place of a line for each step")
	f.DurationVar(&t.within, "within", follow.Within, "with several hosts: how long to wait for a packet at the next one, and for the reply")
	t.outputFlag(cmd, "pcapng")
	for _, name := range []string{"in", "out", "port"} {
		_ = cmd.RegisterFlagCompletionFunc(name, t.completePorts)
	}
	_ = cmd.RegisterFlagCompletionFunc("step", completeSteps)
	_ = cmd.RegisterFlagCompletionFunc("reason", completeReasons)
}

func (t *tracing) run(cmd *cobra.Command, args []string) error {
	t.Filter = strings.Join(args, " ")
	var ok bool
	if t.Every, ok = parseSample(t.sample); !ok {
		return usagef("--sample %q: write it as 1/1000: one packet in so many", t.sample)
	}
	switch {
	case t.inner && t.Outer:
		return usagef("--inner and --outer exclude each other")
	case t.file != "" && (t.Filter != "" || t.hosts != nil || t.Outer || t.Every > 1 || t.Rate > 0 || t.duration > 0):
		return usagef("--read takes neither a filter nor --hosts, --outer, --sample, --rate or --duration: it prints what the file has")
	case t.hosts != nil && (t.Outer || t.Rate > 0):
		return usagef("--outer and --rate are for one router: one of --hosts would show a packet that another one leaves out")
	}
	if err := errors.Join(t.several.check(cmd), t.check()); err != nil {
		return err
	}
	if t.file != "" {
		return t.read(cmd)
	}
	if t.hosts != nil {
		sources, err := t.sources(t.hosts)
		if err != nil {
			return err
		}
		return t.together(cmd, sources)
	}
	write, err := t.tracePrinter(cmd, t.verbose)
	if err != nil {
		return err
	}
	t.Frames = t.output == "pcapng"
	return t.trace(cmd.Context(), t.TraceOptions, t.count, t.duration, write)
}

// check refuses what no router would understand, before one is asked.
func (t *tracing) check() error {
	switch {
	case t.count < 0:
		return usagef("-c %d: give a number of packets; 0: never stop", t.count)
	case t.duration < 0:
		return usagef("--duration %v: give a time such as 10s; 0: never stop", t.duration)
	case t.within <= 0:
		return usagef("--within %v: give a time such as 1s", t.within)
	}
	if err := checkTrace(&t.TraceOptions); err != nil {
		return usageError{err}
	}
	return nil
}

// checkTrace refuses what no router would understand, before one is asked.
func checkTrace(o *control.TraceOptions) error {
	if _, err := filter.Parse(o.Filter); err != nil {
		return err
	}
	if _, err := control.ParseStep(o.Step); err != nil {
		return fmt.Errorf("%w%s", err, meant(wordsOf(forwarder.Steps()), o.Step))
	}
	if _, err := control.ParseReason(o.Reason); err != nil {
		return fmt.Errorf("%w%s", err, meant(wordsOf(verdict.Reasons()), o.Reason))
	}
	return nil
}

// parseSample reads "1/1000" as 1000.
func parseSample(s string) (every uint64, ok bool) {
	n, found := strings.CutPrefix(s, "1/")
	every, err := strconv.ParseUint(n, 10, 64)
	return every, found && err == nil && every > 0
}

// tracePrinter writes each packet at once, in the form that -o names.
func (c *cli) tracePrinter(cmd *cobra.Command, verbose bool) (func(*trace.Packet) error, error) {
	out := cmd.OutOrStdout()
	switch c.output {
	case "json":
		enc := json.NewEncoder(out)
		enc.SetEscapeHTML(false)
		return func(p *trace.Packet) error { return enc.Encode(p) }, nil
	case "pcapng":
		if isTerminal(out) {
			return nil, usagef("-o pcapng is for programs: write it to a file (>FILE), or pipe it into `wireshark -k -i -`")
		}
		capture, err := trace.NewPcapNG(out)
		return func(p *trace.Packet) error {
			fmt.Fprint(cmd.ErrOrStderr(), p.Gap()) // a capture has no place for it
			return capture.Write(p)
		}, writing(err)
	}
	text := trace.Text{Colour: c.colours(out), Verbose: verbose}
	return func(p *trace.Packet) error { return text.Write(out, p) }, nil
}

func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// colours says whether to use them: on a terminal, unless NO_COLOR is set.
func (c *cli) colours(w io.Writer) bool {
	switch c.color {
	case "always":
		return true
	case "never":
		return false
	}
	return isTerminal(w) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

// trace writes packets until there were so many, so much time has passed, or
// somebody interrupts it.
func (c *cli) trace(ctx context.Context, o control.TraceOptions, count int, duration time.Duration, write func(*trace.Packet) error) error {
	giveWay()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	client := control.NewClient(c.socket)
	defer client.Close()
	t, err := client.Trace(ctx, o)
	if err != nil {
		return err
	}
	defer t.Close()
	if duration > 0 { // since the trace is on, however long that took
		defer time.AfterFunc(duration, cancel).Stop()
	}
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
			return writing(err)
		}
	}
	return nil
}

// writing says what went wrong where a trace goes to; nil is nothing.
func writing(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("writing the trace: %w", err)
}
