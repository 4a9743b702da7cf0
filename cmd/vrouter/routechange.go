package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/vrouter/vrouter/internal/control"
)

const routeWords = "A route is written as ip-route(8) has it:\n  " + control.RouteHelp + "\n" +
	"A file has one on each line, as `ip route show` and `vrouter route list` print it, or a line of\n" +
	"`ip -batch`, such as `route del 10.70.9.0/24`; - is the standard input. All of it is done, or nothing.\n" +
	"The change lasts until the router stops; `vrouter show config` prints the file that has it.\n"

func newRouteAdd(c *cli) *cobra.Command {
	return newRouteChange(c, "add", "Add a route that is not there yet", "",
		"  vrouter route add 10.70.2.2 via 192.168.0.12 dev ens160\n  vrouter route add blackhole 10.70.9.0/24\n  vrouter route add --batch routes")
}

func newRouteReplace(c *cli) *cobra.Command {
	return newRouteChange(c, "replace", "Add a route, or replace the one with its prefix and metric", "",
		"  vrouter route replace 10.70.2.1 via 192.168.0.12 dev ens160 encap ipip")
}

func newRouteDel(c *cli) *cobra.Command {
	cmd := newRouteChange(c, "del", "Delete the route that is like this, the one with the lowest metric first",
		"Only the destination must be written.\n",
		"  vrouter route del 10.70.2.1\n  vrouter route del 10.70.2.0/24 metric 10")
	cmd.Aliases = []string{"delete"}
	return cmd
}

func newRouteChange(c *cli, op, short, more, example string) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: op + " ROUTE", Short: short, Long: routeWords + more, Example: example,
		RunE: func(cmd *cobra.Command, args []string) error {
			if file != "" {
				if len(args) > 0 {
					return usagef("%s: a file and %q: write one of them", cmd.CommandPath(), args[0])
				}
				return c.changeRoutes(cmd, file, op)
			}
			change, err := control.ParseRoute(op, args)
			if err != nil {
				return usagef("%s: %w", cmd.CommandPath(), err)
			}
			return c.changeRoute(cmd, change)
		},
		ValidArgsFunction: c.completeRoute(op),
	}
	cmd.Flags().StringVarP(&file, "batch", "f", "", "file of routes, or -")
	_ = cmd.MarkFlagFilename("batch")
	return asks(cmd)
}

func (c *cli) changeRoute(cmd *cobra.Command, change control.RouteChange) error {
	client := control.NewClient(c.socket)
	defer client.Close()
	_, err := client.ChangeRoutes(cmd.Context(), func(yield func(control.RouteChange, error) bool) { yield(change, nil) })
	if err != nil {
		return fmt.Errorf("route %s: %w", change.Op, err)
	}
	return nil
}

// changeRoutes does what a file says, and tells how much that was.
func (c *cli) changeRoutes(cmd *cobra.Command, file, op string) error {
	in, name := cmd.InOrStdin(), "stdin"
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return err
		}
		defer f.Close()
		in, name = f, file
	}
	batch := control.NewBatch(in, name, op)
	client := control.NewClient(c.socket)
	defer client.Close()
	n, err := client.ChangeRoutes(cmd.Context(), batch.Changes)
	if err != nil {
		return batch.Explain(err)
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%d added, %d replaced, %d deleted\n", n.Added, n.Replaced, n.Deleted)
	return nil
}
