package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/vrouter/vrouter/internal/check"
	"github.com/vrouter/vrouter/internal/follow"
	"github.com/vrouter/vrouter/internal/lab"
	"github.com/vrouter/vrouter/internal/trace"
	"github.com/vrouter/vrouter/internal/walk"
	"github.com/vrouter/vrouter/internal/why"
)

// fault is a line of `vrouter lab break`.
type fault struct {
	Name    string `json:"name"`
	Shows   string `json:"shows"`
	Planted bool   `json:"planted"`
}

func newLabBreak(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use: "break [FAULT]", Short: "Plant a fault in the running lab, for somebody to find; without one, list them",
		Long: "It is between the first workload of the lab's first host and that of its last one. `vrouter lab mend` takes it away.",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usagef("%s takes one fault at the most, but got %d", cmd.CommandPath(), len(args))
			}
			return nil
		},
		Example: "  vrouter lab break\n  vrouter lab break far-mtu",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return c.printFaults(cmd)
			}
			if _, err := lab.FaultNamed(args[0]); err != nil {
				return usagef("%w%s", err, meant(faultNames(), args[0]))
			}
			l, err := lab.Load()
			if err != nil {
				return err
			}
			tidies(cmd.Context())
			return l.Break(cmd.Context(), args[0])
		},
		ValidArgsFunction: func(_ *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
			list := faultNames()
			if len(args) > 0 {
				list = nil
			}
			return offer(list, typed)
		},
	}
	c.outputFlag(cmd, "wide")
	return cmd
}

func faultNames() (names []string) {
	for i := range lab.Faults {
		names = append(names, lab.Faults[i].Name)
	}
	return names
}

func (c *cli) printFaults(cmd *cobra.Command) error {
	var list []fault
	for _, f := range lab.Faults {
		list = append(list, fault{f.Name, f.Shows, f.Name == lab.Broken()})
	}
	return c.print(cmd, list, func() *table {
		t := &table{headings: []string{"FAULT", "SHOWS", "PLANTED"}}
		for _, f := range list {
			planted := ""
			if f.Planted {
				planted = "yes"
			}
			t.add(f.Name, f.Shows, planted)
		}
		return t
	})
}

func newLabMend() *cobra.Command {
	return &cobra.Command{
		Use: "mend", Short: "Make the lab what it was before `vrouter lab break`", Args: noArgs,
		Example: "  vrouter lab mend",
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := lab.Load()
			if err != nil {
				return err
			}
			tidies(cmd.Context())
			return l.Mend(cmd.Context())
		},
	}
}

func newLabCheck(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use: "check FILE", Short: "Hold what the lab's routers would do against a file of decisions; exit status 1 if one is another",
		Long: "FILE has a list `checks:`, each with `packet`, as for `vrouter explain`, and what is to become of it: `expect`\n" +
			"(delivered, dropped), `at` (HOST or HOST/WORKLOAD), `reason`, `ttl`, `encap` (none, ipip, vxlan), `path` (hosts), `reply`\n" +
			"(delivered, dropped, none). `from: HOST/WORKLOAD` is another place to begin at. What is not named is not asserted.",
		Example: "  vrouter lab check FILE\n  vrouter lab check FILE -o junit >results.xml",
		Args:    exactArgs(1, "a file of checks"),
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := os.ReadFile(args[0])
			if err != nil {
				return err
			}
			checks, err := check.Parse(args[0], text)
			if err != nil {
				return err
			}
			l, err := lab.Load()
			if err != nil {
				return err
			}
			sources := why.LabSources(l)
			defer closeAll(sources)
			n := follow.Net(cmd.Context(), sources)
			around, err := l.Gateways()
			if err != nil {
				return err
			}
			n.Others = append(n.Others, around...)
			all := check.Run(cmd.Context(), *n, checks)
			if err := c.printChecks(cmd, args[0], all); err != nil {
				return err
			}
			if n := check.Failures(all); n > 0 {
				return fmt.Errorf("%d of %d checks fail", n, len(all))
			}
			return nil
		},
		ValidArgsFunction: completeFile("yaml", "yml"),
	}
	c.outputFlag(cmd, "junit")
	return cmd
}

func (c *cli) printChecks(cmd *cobra.Command, name string, all []check.Result) error {
	out := cmd.OutOrStdout()
	switch c.output {
	case "json":
		enc := json.NewEncoder(out)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		return enc.Encode(all)
	case "junit":
		return check.WriteJUnit(out, name, all)
	}
	return check.WriteText(out, all, walk.Text{Text: trace.Text{Colour: c.colours(out)}})
}
