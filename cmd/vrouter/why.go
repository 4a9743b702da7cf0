package main

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/vrouter/vrouter/internal/lab"
	"github.com/vrouter/vrouter/internal/why"
)

func newWhy(c *cli) *cobra.Command {
	var s several
	var probe, verbose bool
	cmd := &cobra.Command{
		Use: "why SRC DST", Short: "Why one address does, or does not, reach another: one sentence, and the command to type next",
		Long: "It asks the routers of all hosts of the lab that is up, or those of --hosts, what they would do with pings of\n" +
			"several sizes and their replies, and looks at what they have dropped or passed on lately, at what waits, at tunnels and cables\n" +
			"and, in a lab, at what doctor finds on each host. It changes nothing and, without --probe, sends nothing.\n" +
			"Exit status 1: it does not reach.",
		Example: "  vrouter why 10.70.1.1 10.70.2.1\n  vrouter why --hosts ssh://root@192.168.0.11,ssh://root@192.168.0.12 10.70.1.1 10.70.2.1",
		Args:    exactArgs(2, "two addresses: from where, to where"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := s.check(cmd); err != nil {
				return err
			}
			if probe && s.hosts != nil {
				return usagef("--probe is for the lab: on other hosts only their workloads can ping")
			}
			var ends [2]netip.Addr
			for i, word := range args {
				var err error
				if ends[i], err = netip.ParseAddr(word); err != nil || ends[i].Zone() != "" {
					return usagef("%q is no IP address; write one like 10.70.2.1", word)
				}
			}
			facts, done, err := s.facts(cmd.Context())
			if err != nil {
				return err
			}
			defer done()
			a, err := why.Ask(cmd.Context(), facts, ends[0], ends[1])
			if err != nil {
				return err
			}
			if probe {
				l, err := lab.Load()
				if err != nil {
					return err
				}
				if err := why.Probe(cmd.Context(), facts, l, a); err != nil {
					return err
				}
			}
			if err := c.printAnswer(cmd, a, verbose); err != nil {
				return err
			}
			if !a.Reaches {
				return fmt.Errorf("%s does not reach %s", a.Src, a.Dst)
			}
			return nil
		},
		ValidArgsFunction: completeEnds,
	}
	cmd.Flags().BoolVar(&probe, "probe", false, "in a lab: send pings of several sizes as well, and say how many came back and where others were lost")
	cmd.Flags().BoolVarP(&verbose, "verbose", "v", false, "and the last packet of the two that each host has recorded as passed on, which may be from before")
	s.flags(cmd, "the routers to ask, such as a,b; default: those of the lab that is up")
	c.outputFlag(cmd)
	return cmd
}

func (c *cli) printAnswer(cmd *cobra.Command, a *why.Answer, verbose bool) error {
	if c.output == "json" {
		return c.print(cmd, a, nil)
	}
	out := cmd.OutOrStdout()
	fmt.Fprintln(out, a.Sentence)
	if a.Next != "" {
		fmt.Fprintln(out, "next: "+a.Next)
	}
	for _, line := range a.Seen {
		if verbose {
			fmt.Fprintln(out, "seen: "+line)
		}
	}
	return nil
}

// facts are gathered from the hosts that are named, or from all of the lab; done ends what they are asked by.
func (s *several) facts(ctx context.Context) (*why.Facts, func(), error) {
	if s.hosts != nil {
		sources, err := s.sources(s.hosts)
		if err != nil {
			return nil, nil, err
		}
		done := func() { closeAll(sources) }
		f, err := why.Gather(ctx, sources)
		if err != nil {
			done()
			return nil, nil, err
		}
		for i, h := range f.Hosts {
			if name := s.hosts[i]; !strings.HasPrefix(name, "https://") { // by which nothing can be changed
				address, err := name, error(nil)
				if !strings.Contains(name, "://") {
					address, err = labSocket(name)
				}
				if err == nil {
					f.Known[h.Name].Prefix = "vrouter --socket " + address
				}
			}
		}
		return f, done, nil
	}
	l, err := lab.Load()
	if err != nil {
		return nil, nil, fmt.Errorf("%w; or name routers with --hosts", err)
	}
	program, err := os.Executable()
	if err != nil {
		return nil, nil, err
	}
	return why.OfLab(ctx, l, program)
}
