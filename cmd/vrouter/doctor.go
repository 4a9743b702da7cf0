package main

import (
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/vrouter/vrouter/internal/doctor"
)

func newDoctor(c *cli) *cobra.Command {
	var file, node string
	var fix bool
	cmd := &cobra.Command{
		Use: "doctor", Short: "What on this host would break or double the forwarding, and what mends it", Args: noArgs,
		Example: "  vrouter doctor\n  vrouter doctor --config /etc/vrouter/vrouter.yaml --fix\n  vrouter doctor --config cluster.yaml --node k8s-master-1",
		Long: "Without --config it takes the configuration of the router that answers at --socket or, if there is none,\n" +
			doctor.DefaultConfig + ". With --fix it does what it says under `mend`, says so, and looks again;\n" +
			"what a person has to decide stays. It fails (exit status 1) if a check still fails.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if file != "" && socketGiven(cmd) {
				return usagef("--config and --socket exclude each other: the file names the socket")
			}
			if node != "" && file == "" {
				return usagef("--node says which of the hosts in a file: give that file as --config")
			}
			h, found := doctor.NewHost(cmd.Context(), file, node, c.socket)
			tidies(cmd.Context())
			all := append([]doctor.Finding{found}, doctor.Examine(cmd.Context(), h, fix)...)
			if err := c.printFindings(cmd, all); err != nil {
				return err
			}
			if n := doctor.Failures(all); n > 0 {
				return fmt.Errorf("%d of %d findings fail; do what they say under mend", n, len(all))
			}
			return nil
		},
	}
	cmd.Flags().StringVarP(&file, "config", "c", "", "configuration file")
	nodeFlag(cmd, &node)
	cmd.Flags().BoolVar(&fix, "fix", false, "mend what can be mended")
	_ = cmd.MarkFlagFilename("config", "yaml", "yml")
	c.outputFlag(cmd)
	return asks(cmd)
}

func (c *cli) printFindings(cmd *cobra.Command, all []doctor.Finding) error {
	if c.output == "json" {
		return c.print(cmd, all, nil)
	}
	return writeFindings(cmd.OutOrStdout(), all)
}

// writeFindings has a line a finding, and those that mend it or have mended it below.
func writeFindings(w io.Writer, all []doctor.Finding) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, f := range all {
		fmt.Fprintf(tw, "%s\t%s\t%s\n", f.State, f.Name, f.Means)
		if f.Mend != "" {
			fmt.Fprintf(tw, "\t\tmend: %s\n", f.Mend)
		}
		if f.Done != "" {
			fmt.Fprintf(tw, "\t\tdone: %s\n", f.Done)
		}
	}
	return tw.Flush()
}
