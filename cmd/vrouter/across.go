package main

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/spf13/cobra"

	"github.com/vrouter/vrouter/internal/follow"
	"github.com/vrouter/vrouter/internal/lab"
	"github.com/vrouter/vrouter/internal/sketch"
	"github.com/vrouter/vrouter/internal/trace"
	"github.com/vrouter/vrouter/internal/walk"
	"github.com/vrouter/vrouter/internal/why"
)

func newLabExplain(c *cli) *cobra.Command {
	var verbose bool
	cmd := &cobra.Command{
		Use: "explain PACKET", Short: "What would become of a packet on all hosts of the lab, and of the reply; sends nothing",
		Long: "It is `vrouter explain --hosts` with all hosts of the lab. PACKET is one line, in quotes:\n  " + sketch.Syntax + "\n" +
			"It begins at the workload that has its source; `in HOST/PORT` names another place.",
		Example: "  vrouter lab explain \"icmp 10.70.1.1 > 10.70.2.1 ttl 1\"\n  vrouter lab explain \"udp 10.70.1.1:5000 > 10.70.2.1:53 length 3000\"",
		RunE: func(cmd *cobra.Command, args []string) error {
			line, err := described(args)
			if err != nil {
				return err
			}
			l, err := lab.Load()
			if err != nil {
				return err
			}
			return c.across(cmd, why.LabSources(l), l.Gateways, line, verbose)
		},
	}
	cmd.Flags().BoolVarP(&verbose, "verbose", "v", false, "every step, and why it let the packet pass")
	c.outputFlag(cmd)
	return cmd
}

// described is the packet that is described by the words of a command.
func described(args []string) (string, error) {
	line := strings.Join(args, " ")
	if line == "" {
		return "", usagef("no packet: describe one, such as \"icmp 10.70.1.1 > 10.70.2.1\"")
	}
	return line, checkPacket(line)
}

// checkPacket refuses what describes no packet.
func checkPacket(line string) error {
	_, err := sketch.Parse(line)
	switch {
	case err == nil:
		return nil
	case !strings.Contains(line, ">") && !strings.Contains(line, "who has"):
		return usagef("%w; quote it, as a shell takes the > for itself: \"icmp 10.70.1.1 > 10.70.2.1\"", err)
	}
	return usageError{err}
}

// across takes a packet over several hosts, and prints its way.
func (c *cli) across(cmd *cobra.Command, sources []follow.Source, around func() ([]netip.Addr, error), line string, verbose bool) error {
	defer closeAll(sources)
	n := follow.Net(cmd.Context(), sources)
	if around != nil {
		others, err := around()
		if err != nil {
			return err
		}
		n.Others = append(n.Others, others...)
	}
	for _, h := range n.Hosts {
		if h.Err != nil {
			fmt.Fprintln(cmd.ErrOrStderr(), "vrouter: host "+h.Name+": "+strings.ReplaceAll(h.Err.Error(), "\n", "; "))
		}
	}
	w, err := walk.Run(cmd.Context(), *n, line)
	if err != nil {
		return err
	}
	if c.output == "json" {
		return c.print(cmd, w.WithoutFrames(), nil)
	}
	out := cmd.OutOrStdout()
	return walk.Text{Text: trace.Text{Colour: c.colours(out), Verbose: verbose}}.Write(out, w)
}
