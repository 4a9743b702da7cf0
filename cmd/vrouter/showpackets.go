package main

import (
	"fmt"
	"net/url"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/vrouter/vrouter/internal/control"
	"github.com/vrouter/vrouter/internal/trace"
)

func newShowPackets(c *cli) *cobra.Command {
	var forwarded bool
	cmd := &cobra.Command{
		Use: "packets [NUMBER…]", Short: "Dropped packets that are recorded, or forwarded ones, though nobody traced them",
		Example: "  vrouter show packets\n  vrouter show packets 17 -o pcapng >packet.pcapng\n  vrouter show packets --forwarded",
		Long: "One dropped packet a second is recorded of each port and reason. `vrouter show drops` and the exemplars\n" +
			"of the metrics have their numbers. It is as `vrouter trace` shows it; where nobody traced it, without times,\n" +
			"and with the frame as it was when it was dropped. With --forwarded it is some of the packets that were sent on, one a\n" +
			"second of each port and way, which have numbers of their own.",
		RunE: func(cmd *cobra.Command, args []string) error {
			write, err := c.tracePrinter(cmd, false)
			if err != nil {
				return err
			}
			paths := []string{"/v1/packets"}
			if len(args) > 0 {
				paths = nil
			}
			for _, a := range args {
				id, err := strconv.ParseUint(a, 10, 64)
				if err != nil {
					return usagef("show packets: %q is no number of a packet; `vrouter show packets` lists them", a)
				}
				paths = append(paths, fmt.Sprintf("/v1/packets/%d", id))
			}
			var all []trace.Packet
			query := url.Values{}
			if forwarded {
				query.Set("forwarded", "")
			}
			if c.output == "pcapng" {
				query.Set("frames", "")
			}
			for _, path := range paths {
				var list []trace.Packet
				if err := c.get(cmd, path+"?"+query.Encode(), &list); err != nil {
					return err
				}
				all = append(all, list...)
			}
			if c.output == "json" {
				return c.print(cmd, all, nil)
			}
			for i := range all {
				if err := write(&all[i]); err != nil {
					return writing(err)
				}
			}
			return nil
		},
		ValidArgsFunction: c.completePackets,
	}
	cmd.Flags().BoolVar(&forwarded, "forwarded", false, "packets that were sent on, instead of dropped ones")
	c.outputFlag(cmd, "pcapng")
	return asks(cmd)
}

func newShowPaths(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use: "paths", Short: "How many packets took which way through the steps", Args: noArgs,
		Example: "  vrouter show paths",
		RunE: func(cmd *cobra.Command, _ []string) error {
			var list []control.Way
			if err := c.get(cmd, "/v1/paths", &list); err != nil {
				return err
			}
			return c.print(cmd, list, func() *table {
				t := &table{headings: []string{"PACKETS", "PATH"}}
				for _, w := range list {
					if w.Path == "" {
						w.Path = "others: there were too many ways to tell all apart"
					}
					t.add(w.Packets, w.Path)
				}
				return t
			})
		},
	}
	c.outputFlag(cmd, "wide")
	return asks(cmd)
}
