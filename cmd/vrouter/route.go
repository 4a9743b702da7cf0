package main

import (
	"bufio"
	"errors"
	"fmt"
	"net/netip"

	"github.com/spf13/cobra"

	"github.com/vrouter/vrouter/internal/control"
)

func newRoute(c *cli) *cobra.Command {
	cmd := group("route", "Routes of the running router", newRouteList(c), newRouteGet(c),
		newRouteAdd(c), newRouteReplace(c), newRouteDel(c))
	cmd.Example = "  vrouter route\n  vrouter route get 10.70.2.1"
	cmd.Aliases = []string{"routes"}
	return cmd
}

func newRouteList(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use: "list", Aliases: listAliases, Short: "All routes, the best of each prefix first", Args: noArgs,
		Example: "  vrouter route list\n  vrouter route list -o json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if c.output == "json" {
				var list []control.Route
				if err := c.get(cmd, "/v1/routes", &list); err != nil {
					return err
				}
				return c.print(cmd, list, nil)
			}
			client := control.NewClient(c.socket)
			defer client.Close()
			width := 0
			if c.output != "wide" {
				width = terminalWidth(cmd.OutOrStdout())
			}
			out := bufio.NewWriter(cmd.OutOrStdout()) // there may be a million
			err := client.EachRoute(cmd.Context(), func(r control.Route) bool {
				_, err := fmt.Fprintln(out, shortened(r.Line(), width))
				return err == nil
			})
			return errors.Join(err, out.Flush())
		},
	}
	c.outputFlag(cmd, "wide")
	return asks(cmd)
}

func newRouteGet(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use: "get ADDRESS", Short: "The route that a packet to an address takes, and those that it does not", Args: exactArgs(1, "one address"),
		Example: "  vrouter route get 10.70.2.1",
		RunE: func(cmd *cobra.Command, args []string) error {
			a, err := netip.ParseAddr(args[0])
			if err != nil || a.Zone() != "" || a.Is4In6() {
				return usagef("route get: %q is no IP address; write one like 10.70.2.1 or fd00:70:2::1", args[0])
			}
			var l control.Lookup
			if err := c.get(cmd, "/v1/routes/"+a.String(), &l); err != nil {
				return err
			}
			if c.output == "text" && l.Route != nil {
				printLookup(cmd, &l)
				return nil
			}
			if c.output != "text" {
				if err := c.print(cmd, l, nil); err != nil {
					return err
				}
			}
			if l.Route == nil {
				return fmt.Errorf("no route to %s: a packet there is dropped (no_route); add one with `vrouter route add`, or to `routes` in the configuration", l.Address)
			}
			return nil
		},
		ValidArgsFunction: c.completeAddress,
	}
	c.outputFlag(cmd)
	return asks(cmd)
}

func printLookup(cmd *cobra.Command, l *control.Lookup) {
	out := cmd.OutOrStdout()
	fmt.Fprintf(out, "%s  by  %s\n", l.Address, l.Route.Text)
	switch {
	case l.NextHop != "":
		fmt.Fprintf(out, "  next hop %s is %s\n  %s\n", l.NextHop, l.Neighbor, l.Encap)
	case l.Encap != "":
		fmt.Fprintf(out, "  no way to the other end of its tunnel: what goes there is dropped (no_route)\n  %s\n", l.Encap)
	}
	if len(l.NextHops) > 0 {
		fmt.Fprintf(out, "  one of %d next hops, by the hash of the flow: `vrouter explain` says which\n", len(l.NextHops))
	}
	for _, h := range l.NextHops {
		fmt.Fprintf(out, "  next hop %s weight %d is %s, %s\n", h.NextHop, h.Weight, h.Neighbor, h.Encap)
	}
	for _, r := range l.Others {
		fmt.Fprintf(out, "  not by  %s\n", r.Text)
	}
}
