package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/vrouter/vrouter/internal/control"
	"github.com/vrouter/vrouter/internal/filter"
	"github.com/vrouter/vrouter/internal/trace"
)

func newTrace(c *cli) *cobra.Command {
	var o control.TraceOptions
	var inner bool
	var count int
	var sample string
	cmd := &cobra.Command{
		Use:   "trace [FILTER]",
		Short: "Live trace of the running router, a block a packet and a line a step",
		Long: "FILTER is the language of pcap-filter(7) as far as hosts, nets, ports, protocols and and/or/not go:\n" +
			"`vrouter trace icmp and host 10.70.2.1`. Without one, every packet is traced.",
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Filter = strings.Join(args, " ")
			var ok bool
			if _, err := filter.Parse(o.Filter); err != nil {
				return usageError{err}
			}
			if inner && o.Outer {
				return usagef("--inner and --outer exclude each other")
			}
			if count < 0 {
				return usagef("-c %d: give a number of packets; 0: never stop", count)
			}
			if o.Every, ok = parseSample(sample); !ok {
				return usagef("--sample %q: write it as 1/1000: one packet in so many", sample)
			}
			return c.trace(cmd, o, count, c.tracePrinter(cmd.OutOrStdout()))
		},
	}
	f := cmd.Flags()
	f.BoolVar(&o.Drops, "drops", false, "only packets that are dropped")
	f.BoolVar(&inner, "inner", false, "the filter sees the inner packet of IP-in-IP (default)")
	f.BoolVar(&o.Outer, "outer", false, "the filter sees the packet as on the wire")
	f.StringVar(&sample, "sample", "1/1", "of the packets that match, trace one in so many, such as 1/1000")
	f.IntVarP(&count, "count", "c", 0, "stop after so many packets; 0: never")
	c.outputFlag(cmd)
	return cmd
}

// parseSample reads "1/1000" as 1000.
func parseSample(s string) (every uint64, ok bool) {
	n, found := strings.CutPrefix(s, "1/")
	every, err := strconv.ParseUint(n, 10, 64)
	return every, found && err == nil && every > 0
}

func (c *cli) tracePrinter(out io.Writer) func(*trace.Packet) error {
	if c.output != "json" {
		return func(p *trace.Packet) error { return p.WriteText(out) }
	}
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	return func(p *trace.Packet) error { return enc.Encode(p) }
}

func (c *cli) trace(cmd *cobra.Command, o control.TraceOptions, count int, write func(*trace.Packet) error) error {
	client := control.NewClient(c.socket)
	defer client.Close()
	t, err := client.Trace(cmd.Context(), o)
	if err != nil {
		return err
	}
	defer t.Close()
	for n := 0; count == 0 || n < count; n++ {
		p, err := t.Next()
		switch {
		case cmd.Context().Err() != nil:
			return nil // Ctrl-C is how a trace ends
		case errors.Is(err, io.EOF):
			return fmt.Errorf("the router at %s has stopped", c.socket)
		case err != nil:
			return err
		}
		if err := write(p); err != nil {
			return err
		}
	}
	return nil
}
