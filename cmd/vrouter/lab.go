package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/vrouter/vrouter/examples"
	"github.com/vrouter/vrouter/internal/config"
	"github.com/vrouter/vrouter/internal/demo"
	"github.com/vrouter/vrouter/internal/lab"
	"github.com/vrouter/vrouter/internal/sandbox"
)

func newLab(c *cli) *cobra.Command {
	cmd := group("lab", "Hosts as network namespaces on this machine, each with its vrouter",
		newLabUp(c), newLabDown(), newLabStatus(c), newLabLink(c), newLabCarry(), newLabExec(), newLabTrace(c), newLabExplain(c), newLabCheck(c), newLabBreak(c), newLabMend(), newLabCompare(c), newLabWeb(c))
	cmd.Example = "  vrouter lab up\n  vrouter lab"
	return cmd
}

// loadLab reads a lab file, or takes the tutorial's.
func loadLab(file string) (*config.Lab, error) {
	if file == "" {
		return config.ParseLab("the tutorial's lab", examples.LabTutorial)
	}
	return config.LoadLab(file)
}

func newLabUp(c *cli) *cobra.Command {
	var file string
	var o lab.Options
	cmd := &cobra.Command{
		Use: "up [-f FILE] [--twin]", Short: "Build a lab and keep it running: the tutorial's, or that of FILE", Args: noArgs,
		Long: "With --twin each host HOST gets a second one, HOST-kernel, with the same addresses and workloads on a network of its own,\n" +
			"whose router is the kernel, as the tutorial builds it by hand. `vrouter lab compare` sends a packet into both.",
		Example: "  vrouter lab up\n  vrouter lab up -f lab.yaml\n  vrouter lab up --twin",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if l, err := lab.Load(); err == nil && file == "" { // whatever it was built of
				if o.Twin && len(l.Twins) == 0 {
					return errors.New("the lab that is up has no twin: `vrouter lab down`, then `vrouter lab up --twin`")
				}
				tidies(cmd.Context())
				if err := l.Again(cmd.Context()); err != nil {
					return err
				}
				return c.printLab(cmd, l)
			}
			config, err := loadLab(file)
			if err != nil {
				return err
			}
			if err := sandbox.CheckTUN(); err != nil {
				return err
			}
			tidies(cmd.Context())
			l, err := lab.Up(cmd.Context(), config, o)
			if err != nil {
				return err
			}
			if err := c.printLab(cmd, l); err != nil {
				return err
			}
			if c.output == "json" {
				return nil
			}
			if h := l.Hosts[0]; len(h.Workloads) > 0 {
				fmt.Fprintf(cmd.OutOrStdout(), "\nTry: vrouter lab exec %s/%s -- ip addr\n     vrouter lab exec %s -- vrouter trace\n", h.Name, h.Workloads[0].Name, h.Name)
			}
			for i, t := range l.Twins {
				if i == 0 {
					fmt.Fprintln(cmd.OutOrStdout())
				}
				fmt.Fprintf(cmd.OutOrStdout(), "%s was made by the commands in %s\n", t.Name, t.Commands)
			}
			return nil
		},
	}
	cmd.Flags().StringVarP(&file, "file", "f", "", "lab file")
	cmd.Flags().BoolVar(&o.Twin, "twin", false, "with the kernel beside it: for each HOST a second one, HOST-kernel, whose router is the kernel")
	_ = cmd.MarkFlagFilename("file", "yaml", "yml")
	c.outputFlag(cmd, "wide")
	return cmd
}

func newLabDown() *cobra.Command {
	return &cobra.Command{
		Use: "down", Short: "Stop the lab's routers and remove all it made", Args: noArgs,
		Example: "  vrouter lab down",
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := lab.Load()
			if err != nil {
				return err
			}
			tidies(cmd.Context())
			return l.Down()
		},
	}
}

func newLabStatus(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use: "status", Aliases: append([]string{"list"}, listAliases...), Short: "What runs in the lab, and how to get in", Args: noArgs,
		Example: "  vrouter lab status",
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := lab.Load()
			if err != nil {
				return err
			}
			return c.printLab(cmd, l)
		},
	}
	c.outputFlag(cmd, "wide")
	return cmd
}

func (c *cli) printLab(cmd *cobra.Command, l *lab.Lab) error {
	return c.print(cmd, l.Status(), func() *table {
		t := &table{headings: []string{"HOST", "WORKLOAD", "ADDRESS", "ROUTER", "NAMESPACE (ip netns exec)", "SOCKET"}, spare: []string{"SOCKET"}}
		for _, h := range l.Status() {
			state := "stopped"
			if h.Running {
				state = fmt.Sprintf("running, pid %d", h.PID)
			}
			if h.Kernel {
				state = "the kernel"
			}
			t.add(h.Name, "", strings.Join(h.Addresses, ", "), state, h.Namespace, h.Socket)
			for _, w := range h.Workloads {
				t.add(h.Name, w.Name, strings.Join(w.Addresses, ", "), "", w.Namespace, "")
			}
		}
		return t
	})
}

func newLabExec() *cobra.Command {
	cmd := &cobra.Command{
		Use: "exec HOST[/WORKLOAD] -- COMMAND…", Short: "Run a command on a host, or in a workload, of the lab",
		Example: "  vrouter lab exec k8s-master-1 -- vrouter trace icmp\n  vrouter lab exec k8s-master-1/ns1 -- ping -c 1 10.70.2.1",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(withoutDashes(args)) < 2 {
				return usagef("%s takes where and what: %s k8s-master-1/ns1 -- ip route", cmd.CommandPath(), cmd.CommandPath())
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			l, err := lab.Load()
			if err != nil {
				return err
			}
			args = withoutDashes(args)
			return l.Exec(args[0], args[1:])
		},
		ValidArgsFunction: completePlace,
	}
	cmd.Flags().SetInterspersed(false) // what follows the place is the command's own
	return cmd
}

// withoutDashes takes away the -- behind the place, if it is there.
func withoutDashes(args []string) []string {
	if len(args) > 1 && args[1] == "--" {
		return slices.Delete(slices.Clone(args), 1, 2)
	}
	return args
}

// loadDemo is the lab that the demo builds.
func loadDemo(six bool) (*config.Lab, error) {
	if six {
		return config.ParseLab("the tutorial's lab in both families", examples.LabDualStack)
	}
	return loadLab("")
}

func newDemo() *cobra.Command {
	var ipip, vxlan, six bool
	var p page
	cmd := &cobra.Command{
		Use: "demo", Short: "Build the tutorial's two hosts here, ping across, print every hop and the counters, clean up", Args: noArgs,
		Long: "Everything is built in namespaces that only this command sees, and that the kernel removes when it ends,\n" +
			"however it ends. It needs root, or user namespaces and a /dev/net/tun that this user may open.\n\n" +
			"With --web it shows the two hosts and their packets in a browser, with a ping every other second, until Ctrl-C.",
		Example: "  vrouter demo\n  vrouter demo -6\n  vrouter demo --vxlan\n  vrouter demo --web --write",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if ipip && vxlan {
				return usagef("--ipip and --vxlan: packets go one way or the other; choose one")
			}
			if err := p.check(cmd); err != nil {
				return err
			}
			if err := sandbox.CheckTUN(); err != nil {
				return err
			}
			tidies(cmd.Context())
			if !sandbox.Inside() {
				files, err := p.outside()
				if err != nil {
					return err
				}
				status, err := sandbox.Run(cmd.Context(), files...)
				if p.on && status == 0 && errors.Is(err, context.Canceled) {
					return nil // Ctrl-C is how the page ends
				}
				if err == nil && status != 0 {
					os.Exit(status) // the inner one has said why
				}
				return err
			}
			if err := sandbox.Enter(); err != nil {
				return err
			}
			l, err := loadDemo(six)
			if err != nil {
				return err
			}
			for i := range l.Hosts {
				if ipip {
					l.Hosts[i].IPIP.Mode = config.ModeAlways
				}
				if vxlan {
					l.Hosts[i].VXLAN.Mode = config.ModeAlways
				}
			}
			if p.on {
				return p.demo(cmd, l, six)
			}
			return demo.Run(cmd.Context(), cmd.OutOrStdout(), l, six)
		},
	}
	cmd.Flags().BoolVarP(&six, "ipv6", "6", false, "by IPv6, in the lab of both families")
	cmd.Flags().BoolVar(&ipip, "ipip", false, "with IP-in-IP between the hosts (ipip.mode: always)")
	cmd.Flags().BoolVar(&vxlan, "vxlan", false, "with VXLAN between the hosts (vxlan.mode: always)")
	cmd.Flags().BoolVar(&p.on, "web", false, "show it in a browser, until Ctrl-C")
	p.flags(cmd)
	return cmd
}
