package main

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/vrouter/vrouter/internal/control"
	"github.com/vrouter/vrouter/internal/top"
)

func newTop(c *cli) *cobra.Command {
	var interval time.Duration
	var count int
	cmd := &cobra.Command{
		Use: "top", Short: "Live rates by port, step, drop reason and route", Args: noArgs,
		Example: "  vrouter top\n  vrouter top -c 10 --interval 500ms -o json",
		Long: "On a terminal it is steered by keys: enter traces what is selected, ? lists them. With -c or -o json, and where\n" +
			"there is no terminal, it prints a sample an interval.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := control.CheckInterval(interval); err != nil {
				return usagef("--interval: %w", err)
			}
			if count < 0 {
				return usagef("-c %d: give a number of samples; 0: never stop", count)
			}
			client := control.NewClient(c.socket)
			defer client.Close()
			if c.output == "text" && count == 0 && isTerminal(cmd.InOrStdin()) && isTerminal(cmd.OutOrStdout()) {
				return top.Run(cmd.Context(), client, interval, c.colours(os.Stdout), os.Stdin, os.Stdout)
			}
			return c.samples(cmd, client, interval, count)
		},
	}
	cmd.Flags().DurationVar(&interval, "interval", time.Second, "time between two samples, from 100ms")
	cmd.Flags().IntVarP(&count, "count", "c", 0, "stop after so many samples; 0: never")
	c.outputFlag(cmd)
	return asks(cmd)
}

// samples prints rates until there were so many, or somebody interrupts it.
func (c *cli) samples(cmd *cobra.Command, client *control.Client, interval time.Duration, count int) error {
	enc := json.NewEncoder(cmd.OutOrStdout())
	enc.SetEscapeHTML(false)
	n := 0
	err := client.Top(cmd.Context(), interval, func(r *control.Rates) (err error) {
		if c.output == "json" {
			err = enc.Encode(r)
		} else {
			err = top.Write(cmd.OutOrStdout(), r)
		}
		if n++; err == nil && n == count {
			err = errEnough
		}
		return err
	})
	if errors.Is(err, errEnough) || errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}
