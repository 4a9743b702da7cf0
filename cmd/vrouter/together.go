package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/vrouter/vrouter/internal/follow"
	"github.com/vrouter/vrouter/internal/lab"
	"github.com/vrouter/vrouter/internal/timeline"
	"github.com/vrouter/vrouter/internal/trace"
	"github.com/vrouter/vrouter/internal/why"
)

func newLabTrace(c *cli) *cobra.Command {
	t := &tracing{cli: c}
	cmd := &cobra.Command{
		Use: "trace [FILTER]", Short: "Each packet's way over all hosts of the lab: their steps, the wire, the reply",
		Example: "  vrouter lab trace icmp\n  vrouter lab trace --fold -c 3 host 10.70.2.1",
		Long:    "It is `vrouter trace --hosts` with all hosts of the lab. FILTER is the same.",
		RunE: func(cmd *cobra.Command, args []string) error {
			t.Filter = strings.Join(args, " ")
			if err := t.check(); err != nil {
				return err
			}
			l, err := lab.Load()
			if err != nil {
				return err
			}
			return t.together(cmd, why.LabSources(l))
		},
		ValidArgsFunction: c.completeFilter,
	}
	t.flags(cmd)
	return cmd
}

// errEnough ends a trace, or samples, that have shown what they were to show.
var errEnough = errors.New("enough")

// together shows the ways of packets over several hosts.
func (t *tracing) together(cmd *cobra.Command, sources []follow.Source) error {
	defer closeAll(sources)
	write, err := t.wayPrinter(cmd)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(cmd.Context())
	defer cancel()
	run, err := follow.Listen(ctx, sources, follow.Options{
		Filter: t.Filter, Within: t.within, Wanted: t.Keeps, Hash: t.Every, // every host takes the same
		Warn: func(err error) {
			fmt.Fprintln(cmd.ErrOrStderr(), "vrouter: "+strings.ReplaceAll(err.Error(), "\n", "; "))
		},
	})
	if err != nil {
		return err
	}
	giveWay()
	if t.duration > 0 { // since all traces are on, however long that took
		defer time.AfterFunc(t.duration, cancel).Stop()
	}
	shown := 0
	err = run(func(w *timeline.Way) error {
		if err := write(w); err != nil {
			return writing(err)
		}
		if shown++; shown == t.count {
			return errEnough
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

// wayPrinter writes each way at once, in the form that -o names.
func (t *tracing) wayPrinter(cmd *cobra.Command) (func(*timeline.Way) error, error) {
	out := cmd.OutOrStdout()
	switch t.output {
	case "json":
		enc := json.NewEncoder(out)
		enc.SetEscapeHTML(false)
		return func(w *timeline.Way) error { return enc.Encode(w.WithoutFrames()) }, nil
	case "pcapng":
		write, err := t.tracePrinter(cmd, t.verbose)
		if err != nil {
			return nil, err
		}
		return func(w *timeline.Way) error {
			for i := range w.Packets {
				if err := write(&w.Packets[i].Packet); err != nil {
					return err
				}
			}
			return nil
		}, nil
	}
	text := timeline.Text{Text: trace.Text{Colour: t.colours(out), Verbose: t.verbose}, Within: t.within, Fold: t.fold}
	return func(w *timeline.Way) error { return text.Write(out, w) }, nil
}
