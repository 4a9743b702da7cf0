package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/vrouter/vrouter/internal/control"
	"github.com/vrouter/vrouter/internal/sketch"
	"github.com/vrouter/vrouter/internal/trace"
)

func newExplain(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "explain PACKET",
		Short: "What the router would do with a packet, and why; sends nothing",
		Long: "PACKET is one line:\n  " + sketch.Syntax + "\n" +
			"It takes the same way through the same steps as a packet on the wire, and changes no counter.",
		Example: "  vrouter explain \"icmp 10.70.1.1 > 10.70.2.1 ttl 1\"\n  vrouter explain \"udp 10.70.1.1:5000 > 10.70.2.1:53 length 3000 df\"",
		RunE: func(cmd *cobra.Command, args []string) error {
			line := strings.Join(args, " ")
			if _, err := sketch.Parse(line); err != nil {
				return usageError{err}
			}
			client := control.NewClient(c.socket)
			defer client.Close()
			var e control.Explanation
			if err := client.Post(cmd.Context(), "/v1/explain", control.Explain{Packet: line}, &e); err != nil {
				return err
			}
			if c.output == "json" {
				return c.print(cmd, e, nil)
			}
			return printExplanation(cmd, &e)
		},
	}
	c.outputFlag(cmd)
	return cmd
}

func printExplanation(cmd *cobra.Command, e *control.Explanation) error {
	out := cmd.OutOrStdout()
	text := trace.Text{Colour: colours(out)}
	for i := range e.Packets {
		if err := text.Write(out, &e.Packets[i]); err != nil {
			return err
		}
		if i == 0 {
			for _, line := range e.Why {
				fmt.Fprintln(out, "  why: "+line)
			}
		}
	}
	return nil
}
