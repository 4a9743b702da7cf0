package main

import (
	"fmt"
	"io"
	"iter"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/vrouter/vrouter/internal/capture"
	"github.com/vrouter/vrouter/internal/control"
)

func newReplay(c *cli) *cobra.Command {
	var in string
	cmd := &cobra.Command{
		Use: "replay FILE", Short: "What the router would do with each packet of a capture, by the ways they take; sends nothing",
		Example: "  vrouter replay capture.pcapng\n  tcpdump -i ens160 -w - -c 1000 | vrouter replay -",
		Long: "FILE is a pcap or pcapng file, - standard input. Each packet takes the way that it would take now, as in\n" +
			"`vrouter explain`, which shows one of them in full: vrouter explain --pcap FILE --packet N.",
		Args: exactArgs(1, "FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := open(args[0], cmd.InOrStdin())
			if err != nil {
				return err
			}
			defer r.Close()
			file, err := capture.NewReader(r)
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			client := control.NewClient(c.socket)
			defer client.Close()
			var broken error
			all, err := client.Replay(cmd.Context(), in, untilBroken(file, &broken))
			if err != nil {
				return err
			}
			if err := c.printReplayed(cmd, &all); err != nil {
				return err
			}
			if broken != nil {
				return fmt.Errorf("%s: %w; what came before it was replayed", args[0], broken)
			}
			return nil
		},
		ValidArgsFunction: completeFile("pcap", "pcapng", "cap"),
	}
	cmd.Flags().StringVar(&in, "in", "", "the port by which all packets come in; default: the one that each packet's source is behind")
	_ = cmd.RegisterFlagCompletionFunc("in", c.completePorts)
	c.outputFlag(cmd)
	return asks(cmd)
}

// untilBroken yields the packets of a capture. What it breaks off for ends them, and is
// left in broken.
func untilBroken(file *capture.Reader, broken *error) iter.Seq2[*capture.Packet, error] {
	return func(yield func(*capture.Packet, error) bool) {
		for {
			p, err := file.Next()
			if err == io.EOF {
				return
			}
			if err != nil {
				*broken = err
				return
			}
			if !yield(p, nil) {
				return
			}
		}
	}
}

func (c *cli) printReplayed(cmd *cobra.Command, all *control.Replayed) error {
	if c.output == "json" {
		return c.print(cmd, all, nil)
	}
	out := cmd.OutOrStdout()
	for _, t := range all.Ways {
		fmt.Fprintf(out, "%s: %s  (first: %d)\n", packets(t.Packets), t.Way, t.First)
	}
	if all.Sent > 0 {
		fmt.Fprintf(out, "%s not replayed: sent by this host\n", packets(all.Sent))
	}
	if len(all.Ways)+all.Sent == 0 {
		fmt.Fprintln(out, "no packets")
	}
	return nil
}

// packets is a number of them, with a comma at each thousand.
func packets(n int) string {
	digits := strconv.Itoa(n)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	if n == 1 {
		return "1 packet"
	}
	return digits + " packets"
}
