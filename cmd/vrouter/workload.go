package main

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/vrouter/vrouter/internal/control"
)

func newWorkload(c *cli) *cobra.Command {
	cmd := group("workload", "Workloads of the running router", newWorkloadList(c), newWorkloadAdd(c), newWorkloadDel(c))
	cmd.Aliases = []string{"workloads"}
	cmd.Example = "  vrouter workload\n  vrouter workload del ns3"
	return cmd
}

func newWorkloadList(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use: "list", Aliases: listAliases, Short: "Workloads, and whether they are attached", Args: noArgs,
		Example: "  vrouter workload list",
		RunE: func(cmd *cobra.Command, _ []string) error {
			var list []control.Workload
			if err := c.get(cmd, "/v1/workloads", &list); err != nil {
				return err
			}
			return c.print(cmd, list, func() *table {
				t := &table{headings: []string{"NAME", "ADDRESS", "INTERFACE", "MAC", "MTU", "NAMESPACE", "STATE"}, spare: []string{"MTU", "MAC", "INTERFACE"}}
				for _, w := range list {
					state := "attached"
					switch {
					case w.Waits != "":
						state = "waits: " + w.Waits
					case w.Note != "":
						state += "; " + w.Note
					}
					t.add(w.Name, strings.Join(w.Addresses, ", "), w.Interface, w.MAC, w.MTU, w.Namespace, state)
				}
				return t
			})
		},
	}
	c.outputFlag(cmd, "wide")
	return asks(cmd)
}

// workloadKeys are the configuration's keys of a workload, and who takes their value.
var workloadKeys = []string{"address", "addresses", "interface", "namespace", "mtu"}

func newWorkloadAdd(c *cli) *cobra.Command {
	return asks(&cobra.Command{
		Use: "add NAME address ADDRESS/LENGTH… [interface NAME] [namespace PATH] [mtu N]", Short: "Attach a namespace",
		Long: "The words are the keys of the configuration: `address` for one, more than once for several, or `addresses`\n" +
			"with a comma between them. Without a path it is the namespace that `ip netns` calls NAME;\n" +
			"it is made if it is not there. The workload stays until the router stops, or `vrouter workload del`;\n" +
			"`vrouter show config` prints the file that has it.",
		Example: "  vrouter workload add ns3 address 10.70.1.3/24\n  vrouter workload add ns4 address 10.70.1.4/24 address fd00:70:1::4/128",
		RunE: func(cmd *cobra.Command, args []string) error {
			w, err := parseWorkload(args)
			if err != nil {
				return usagef("%s: %w", cmd.CommandPath(), err)
			}
			client := control.NewClient(c.socket)
			defer client.Close()
			if err := client.Post(cmd.Context(), "/v1/workloads", w, &control.Workload{}); err != nil {
				return fmt.Errorf("workload add: %w", err)
			}
			return nil
		},
		ValidArgsFunction: completeWorkloadAdd,
	})
}

// parseWorkload reads a name, then keys and values.
func parseWorkload(args []string) (w control.NewWorkload, err error) {
	if len(args) == 0 {
		return w, fmt.Errorf("the name is missing, such as ns3")
	}
	w.Name = args[0]
	seen := map[string]bool{}
	for args = args[1:]; len(args) > 0; args = args[2:] {
		key := args[0]
		switch {
		case !slices.Contains(workloadKeys, key):
			return w, &control.WordError{Word: key, Reason: "there is address, interface, namespace and mtu"}
		case seen[key] && key != "address":
			return w, &control.WordError{Word: key, Reason: "it was said already"}
		case len(args) == 1:
			return w, &control.WordError{Word: key, Reason: "its value is missing"}
		}
		seen[key] = true
		if err := setKey(&w, key, args[1]); err != nil {
			return w, err
		}
	}
	return w, nil
}

func setKey(w *control.NewWorkload, key, value string) error {
	switch key {
	case "address":
		w.Addresses = append(w.Addresses, value)
	case "addresses":
		w.Addresses = append(w.Addresses, strings.Split(value, ",")...)
	case "interface":
		w.Interface = value
	case "namespace":
		w.Namespace = value
	case "mtu":
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			return &control.WordError{Word: value, Reason: "not an MTU in bytes: write a whole number"}
		}
		w.MTU = &n
	}
	return nil
}

func newWorkloadDel(c *cli) *cobra.Command {
	return asks(&cobra.Command{
		Use: "del NAME", Aliases: []string{"delete"}, Short: "Detach a workload, and take its set-up back", Args: exactArgs(1, "one name"),
		Long:    "Its interface is removed, and its namespace if the router made that.",
		Example: "  vrouter workload del ns3",
		RunE: func(cmd *cobra.Command, args []string) error {
			client := control.NewClient(c.socket)
			defer client.Close()
			if err := client.Delete(cmd.Context(), "/v1/workloads/"+url.PathEscape(args[0])); err != nil {
				return fmt.Errorf("workload del: %w", err)
			}
			return nil
		},
		ValidArgsFunction: c.completeWorkload,
	})
}
