package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"

	"github.com/vrouter/vrouter/internal/control"
)

func newShow(c *cli) *cobra.Command {
	children := []*cobra.Command{one(as("routes", newRouteList(c))), one(as("workloads", newWorkloadList(c)))}
	for _, make := range shown {
		children = append(children, one(make(c)))
	}
	cmd := group("show", "Show the state of the running router", append(children, newShowList(c, children))...)
	cmd.Example = "  vrouter show ports"
	return cmd
}

// shownWord is what `vrouter show` alone prints.
type shownWord struct {
	Word  string `json:"word"`
	Shows string `json:"shows"`
}

func newShowList(c *cli, children []*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{
		Use: "list", Aliases: listAliases, Short: "What there is to show", Args: noArgs, Hidden: true,
		Example: "  vrouter show",
		RunE: func(cmd *cobra.Command, _ []string) error {
			var list []shownWord
			for _, child := range children {
				list = append(list, shownWord{child.Name(), child.Short})
			}
			return c.print(cmd, list, func() *table {
				t := &table{headings: []string{"WORD", "SHOWS"}}
				for _, w := range list {
					t.add(w.Word, w.Shows)
				}
				return t
			})
		},
	}
	c.outputFlag(cmd, "wide")
	return cmd
}

func newShowPorts(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use: "ports [PORT…]", Short: "Ports, and what went in and out",
		Example:           "  vrouter show ports\n  vrouter show ports ns1 -o json",
		ValidArgsFunction: c.completePorts,
		RunE: func(cmd *cobra.Command, args []string) error {
			var list []control.Port
			if err := c.get(cmd, "/v1/ports", &list); err != nil {
				return err
			}
			list, err := named(list, args, "port", func(p control.Port) string { return p.Port })
			if err != nil {
				return err
			}
			return c.print(cmd, list, func() *table {
				t := &table{headings: []string{"PORT", "KIND", "INTERFACE", "ADDRESS", "MAC", "MTU", "RX", "LOST", "FORWARDED", "CONSUMED", "DROPPED", "NOISE", "TX", "WORKERS"},
					spare: []string{"WORKERS", "MAC", "INTERFACE", "MTU", "LOST", "NOISE", "CONSUMED"}}
				for _, p := range list {
					t.add(p.Port, p.Kind, p.Interface, strings.Join(p.Addresses, ","), p.MAC, p.MTU, p.RxPackets, p.RxLost, p.Forwarded, p.Consumed, p.Dropped, p.Noise, p.TxPackets, byWorker(p.Queues))
				}
				return t
			})
		},
	}
	c.outputFlag(cmd, "wide")
	return asks(cmd)
}

// byWorker is who reads a port's queues, and how many packets each has read.
func byWorker(queues []control.Queue) string {
	var words []string
	for _, q := range queues {
		words = append(words, fmt.Sprintf("%d:%d", q.Worker, q.RxPackets))
	}
	return strings.Join(words, " ")
}

func newShowWorkers(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use: "workers", Short: "Threads of the packet path, and how busy they are", Args: noArgs,
		Example: "  vrouter show workers",
		Long: "NICE is the priority of its thread: 10 before the process, where it is allowed that.\n" +
			"SECONDS is the time that what came in by a worker's ports has cost; vrouter_port_worker_seconds_total has it by port.\n" +
			"SLOW PORTS are workloads whose own stack takes long over each frame that is written to it:\n" +
			"a thread of the lowest priority does that for the worker, until it takes no longer than usual.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			var list []control.Worker
			if err := c.get(cmd, "/v1/workers", &list); err != nil {
				return err
			}
			return c.print(cmd, list, func() *table {
				t := &table{headings: []string{"WORKER", "QUEUES", "FRAMES", "BATCHES", "FRAMES/BATCH", "SLEEPS", "NICE", "SECONDS", "SLOW PORTS"}}
				for _, w := range list {
					t.add(w.Worker, w.Queues, w.Frames, w.Batches, fmt.Sprintf("%.1f", float64(w.Frames)/float64(max(1, w.Batches))), w.Sleeps, w.Nice,
						fmt.Sprintf("%.1f", w.Seconds), strings.Join(w.SlowPorts, " "))
				}
				return t
			})
		},
	}
	c.outputFlag(cmd, "wide")
	return asks(cmd)
}

func newShowDrops(c *cli) *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use: "drops [REASON…]", Short: "Dropped packets by reason, what is lost before noise",
		Example:           "  vrouter show drops\n  vrouter show drops no_route rpf_failed",
		Long:              "Noise is what a link carries for others: nobody sent it to this router, and nothing is lost.",
		ValidArgsFunction: completeReasons,
		RunE: func(cmd *cobra.Command, args []string) error {
			var list []control.Drop
			if err := c.get(cmd, "/v1/drops", &list); err != nil {
				return err
			}
			list, err := named(list, args, "drop reason", func(d control.Drop) string { return d.Reason })
			if err != nil {
				return err
			}
			if !all && len(args) == 0 && c.output != "json" {
				list = slices.DeleteFunc(list, func(d control.Drop) bool { return d.Packets == 0 })
			}
			return c.print(cmd, list, func() *table {
				t := &table{headings: []string{"REASON", "PACKETS", "NOISE", "PORTS", "MEANS", "LAST RECORDED"}, spare: []string{"PORTS", "NOISE"}}
				slices.SortStableFunc(list, func(a, b control.Drop) int { return cmp.Compare(min(b.Packets-b.Noise, 1), min(a.Packets-a.Noise, 1)) })
				for _, d := range list {
					t.add(d.Reason, d.Packets, d.Noise, portsOf(d.Ports), d.Help, lastOf(&d))
				}
				return t
			})
		},
	}
	cmd.Flags().BoolVarP(&all, "all", "a", false, "also the reasons that count 0")
	c.outputFlag(cmd, "wide")
	return asks(cmd)
}

// lastOf names the last packet of a reason that is recorded.
func lastOf(d *control.Drop) string {
	if d.Last == nil {
		return ""
	}
	when := "before the clock was set back"
	if age := time.Since(d.Last.Time); age >= 0 {
		when = seconds(age.Seconds()) + " ago"
	}
	return fmt.Sprintf("#%d %s: %s", d.Last.ID, when, d.Last.Summary)
}

// named leaves those of a list that have one of the names; all, if none is given.
func named[T any](list []T, names []string, what string, nameOf func(T) string) ([]T, error) {
	var found []T
	for _, name := range names {
		i := slices.IndexFunc(list, func(v T) bool { return nameOf(v) == name })
		if i < 0 {
			var there []string
			for _, v := range list {
				there = append(there, nameOf(v))
			}
			return nil, fmt.Errorf("there is no %s %q: leave it out to see all%s", what, name, meant(there, name))
		}
		found = append(found, list[i])
	}
	if len(names) == 0 {
		return list, nil
	}
	return found, nil
}

func portsOf(m map[string]uint64) string {
	var words []string
	for port, n := range m {
		words = append(words, fmt.Sprintf("%s:%d", port, n))
	}
	slices.Sort(words)
	return strings.Join(words, " ")
}

func newShowNeighbors(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use: "neighbors", Aliases: []string{"neighbours", "neigh"}, Short: "Next hops and their hardware addresses", Args: noArgs,
		Example: "  vrouter show neighbors",
		RunE: func(cmd *cobra.Command, _ []string) error {
			var list []control.Neighbor
			if err := c.get(cmd, "/v1/neighbors", &list); err != nil {
				return err
			}
			return c.print(cmd, list, func() *table {
				t := &table{headings: []string{"ADDRESS", "PORT", "MAC", "STATE", "AGE", "WAITING"}}
				for _, n := range list {
					t.add(n.Address, n.Port, n.MAC, n.State, seconds(n.Age), n.Waiting)
				}
				return t
			})
		},
	}
	c.outputFlag(cmd, "wide")
	return asks(cmd)
}

func newShowHeld(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use: "held", Short: "What waits for a next hop, for fragments or at a stop, since when, and what is missing", Args: noArgs,
		Example: "  vrouter show held",
		RunE: func(cmd *cobra.Command, _ []string) error {
			var list []control.Held
			if err := c.get(cmd, "/v1/held", &list); err != nil {
				return err
			}
			return c.print(cmd, list, func() *table {
				t := &table{headings: []string{"FOR", "PORT", "PACKETS", "BYTES", "SINCE", "MISSING"}}
				for _, h := range list {
					what := h.NextHop
					switch {
					case h.Before != "":
						what = "stopped before " + h.Before
					case what == "":
						what = fmt.Sprintf("%s > %s proto %d id %d", h.Src, h.Dst, h.Proto, h.ID)
					}
					t.add(what, h.Port, h.Packets, h.Bytes, seconds(h.Age), h.Missing)
				}
				return t
			})
		},
	}
	c.outputFlag(cmd, "wide")
	return asks(cmd)
}

func newShowTunnels(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use: "tunnels", Short: "Tunnels by peer: path MTU with its cause and age, who cuts superframes, packets each way", Args: noArgs,
		Example: "  vrouter show tunnels",
		RunE: func(cmd *cobra.Command, _ []string) error {
			var list []control.Tunnel
			if err := c.get(cmd, "/v1/tunnels", &list); err != nil {
				return err
			}
			return c.print(cmd, list, func() *table {
				t := &table{headings: []string{"PEER", "KIND", "MODE", "PATH MTU", "CAUSE", "AGE", "OFFLOAD", "TX", "RX"}}
				for _, x := range list {
					age := "-"
					if x.Age > 0 {
						age = seconds(x.Age)
					}
					t.add(x.Peer, x.Kind, x.Mode, x.PathMTU, x.Cause, age, x.Offload, x.TxPackets, x.RxPackets)
				}
				return t
			})
		},
	}
	c.outputFlag(cmd, "wide")
	return asks(cmd)
}

func seconds(s float64) string {
	return time.Duration(s * float64(time.Second)).Round(100 * time.Millisecond).String()
}

func newShowConfig(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use: "config", Short: "The configuration that is in force, as a file", Args: noArgs,
		Example: "  vrouter show config >vrouter.yaml",
		RunE: func(cmd *cobra.Command, _ []string) error {
			var text string
			if err := c.get(cmd, "/v1/config", &text); err != nil {
				return err
			}
			if c.output != "json" {
				_, err := fmt.Fprint(cmd.OutOrStdout(), text)
				return err
			}
			v, err := yaml.YAMLToJSON([]byte(text))
			if err != nil {
				return err
			}
			return c.print(cmd, json.RawMessage(v), nil)
		},
	}
	c.outputFlag(cmd)
	return asks(cmd)
}
