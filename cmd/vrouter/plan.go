package main

import (
	"fmt"
	"io"
	"os"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/vrouter/vrouter/internal/control"
)

func newPlan(c *cli) *cobra.Command {
	var file, node string
	cmd := &cobra.Command{
		Use: "plan --config NEW [--node NAME]", Short: "What a reload with that file would change; changes nothing", Args: noArgs,
		Example: "  vrouter plan --config new.yaml\n  vrouter plan --config cluster.yaml --node k8s-master-1",
		Long: "The running router says which objects of the host it would make, change or remove, which routes would come or\n" +
			"go, and which packets would go another way: a ping between every two workloads, and each packet that was\n" +
			"recorded lately. What a reload would refuse is an error. With --node, NEW is a file of all hosts.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			text, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			if _, err := loadHost(file, node); err != nil { // before anybody is asked
				return err
			}
			client := control.NewClient(c.socket)
			defer client.Close()
			p, err := client.Plan(cmd.Context(), file, node, string(text))
			if err != nil {
				return err
			}
			if c.output == "json" {
				return c.print(cmd, p, nil)
			}
			return writePlan(cmd.OutOrStdout(), &p)
		},
	}
	configFlag(cmd, &file)
	nodeFlag(cmd, &node)
	c.outputFlag(cmd)
	return asks(cmd)
}

// writePlan has a line for each thing that would be otherwise.
func writePlan(w io.Writer, p *control.Plan) error {
	if len(p.Settings)+len(p.Objects)+len(p.Routes)+len(p.Packets) == 0 {
		_, err := fmt.Fprintln(w, "nothing changes")
		return err
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, s := range p.Settings {
		fmt.Fprintf(tw, "setting\t%s\n", s)
	}
	for _, o := range p.Objects {
		switch {
		case o.Error != "":
			fmt.Fprintf(tw, "object\t%s: cannot be done: %s\n", o.Object, o.Error)
		case o.Waits != "":
			fmt.Fprintf(tw, "object\t%s: waits: %s\n", o.Object, o.Waits)
		default:
			fmt.Fprintf(tw, "object\t%s\n", o.What)
		}
	}
	for _, r := range p.Routes {
		fmt.Fprintf(tw, "route\t%s %s\n", r.Op, r.Text)
	}
	for _, k := range p.Packets {
		if k.ID != 0 {
			k.Packet = fmt.Sprintf("#%d %s", k.ID, k.Packet)
		}
		fmt.Fprintf(tw, "packet\t%s: %s; then %s\n", k.Packet, k.Now, k.Then)
	}
	if p.More > 0 {
		fmt.Fprintf(tw, "packet\tand %d more\n", p.More)
	}
	return tw.Flush()
}
