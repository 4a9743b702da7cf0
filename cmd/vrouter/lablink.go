package main

import (
	"cmp"

	"github.com/spf13/cobra"

	"github.com/vrouter/vrouter/internal/impair"
	"github.com/vrouter/vrouter/internal/lab"
)

func newLabLink(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use: "link [SUBNET none|KEY VALUE…]", Short: "What the lab's impaired links do to packets, and have done; or change it",
		Long: "KEY VALUE are those of a link in the lab file, and replace what there was, but for the seed, which stays unless one that is not 0 is given:\n  " +
			"loss 5% | delay 20ms±5ms | reorder 1% | duplicate 1% | corrupt 0.1% | rate 100mbit | limit 1000 | seed 7\n" +
			"A link can be changed if the lab file gives it one of them, be it `delay: 0ms`.",
		Example: "  vrouter lab link\n  vrouter lab link 192.168.0.0/24 loss 10% delay 5ms\n  vrouter lab link 192.168.0.0/24 none",
		RunE: func(cmd *cobra.Command, args []string) error {
			var i impair.Impairment
			if len(args) > 0 {
				var err error
				if i, err = impair.Parse(args[1:]); err != nil {
					return usageError{err}
				}
			}
			l, err := lab.Load()
			if err != nil {
				return err
			}
			if len(args) == 0 {
				return c.print(cmd, l.LinkStatus(), func() *table { return linkTable(l) })
			}
			k, err := l.Link(args[0])
			if err != nil {
				return err
			}
			return k.Change(cmd.Context(), i)
		},
		ValidArgsFunction: completeLink,
	}
	c.outputFlag(cmd, "wide")
	return cmd
}

func linkTable(l *lab.Lab) *table {
	t := &table{headings: []string{"LINK", "CARRIER", "IMPAIRMENT", "SENT", "DELIVERED", "LOST", "OVERFLOW", "DUPLICATED", "CORRUPTED", "REORDERED"}, spare: []string{"CARRIER"}}
	for _, k := range l.LinkStatus() {
		state := "stopped"
		if k.Running {
			state = "running"
		}
		t.add(k.Subnet, state, cmp.Or(k.Impairment, "none"), k.Sent, k.Delivered, k.Lost, k.Overflow, k.Duplicated, k.Corrupted, k.Reordered)
	}
	return t
}

// newLabCarry is what a lab starts for an impaired link.
func newLabCarry() *cobra.Command {
	return &cobra.Command{
		Use: "carry PLAN COUNTS", Hidden: true, Args: exactArgs(2, "two files"),
		RunE: func(cmd *cobra.Command, args []string) error { return lab.Carry(cmd.Context(), args[0], args[1]) },
	}
}
