package main

import (
	"fmt"
	"io"
	"net/netip"

	"github.com/spf13/cobra"

	"github.com/vrouter/vrouter/internal/capture"
	"github.com/vrouter/vrouter/internal/compare"
	"github.com/vrouter/vrouter/internal/lab"
	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/sketch"
)

// comparing is what `vrouter lab compare` is to send.
type comparing struct {
	pcap   string
	random int
	seed   uint64
}

func newLabCompare(c *cli) *cobra.Command {
	var k comparing
	cmd := &cobra.Command{
		Use: "compare [PACKET]", Short: "Send a packet into the lab and into its twin, whose routers are kernels, and say what came out otherwise, and why",
		Long: "It needs a lab that was built by `vrouter lab up --twin`. PACKET is one line, in quotes:\n  " + sketch.Syntax + "\n" +
			"It is sent by the workload that has its source, or that of `in HOST/WORKLOAD`. Each field in which what came out differs is\n" +
			"told with its reason. Exit status 1: there is a difference without one.",
		Example: "  vrouter lab compare \"icmp 10.70.1.1 > 10.70.2.1 ttl 1\"\n  vrouter lab compare --pcap FILE\n  vrouter lab compare --random 10000 --seed 7",
		RunE: func(cmd *cobra.Command, args []string) error {
			if n := len(args); n > 0 && (k.pcap != "" || k.random != 0) || k.pcap != "" && k.random != 0 {
				return usagef("lab compare: describe a packet, or give --pcap FILE or --random N: one of the three")
			}
			if k.random < 0 {
				return usagef("--random %d: give a number of packets", k.random)
			}
			var line string
			if k.pcap == "" && k.random == 0 {
				var err error
				if line, err = described(args); err != nil {
					return err
				}
			}
			l, err := lab.Load()
			if err != nil {
				return err
			}
			a, err := compare.Open(l)
			if err != nil {
				return err
			}
			defer a.Close()
			m, err := k.run(cmd, a, line)
			if err != nil {
				return err
			}
			if err := c.printComparison(cmd, m); err != nil {
				return err
			}
			if n := m.Unexplained(); n > 0 {
				return fmt.Errorf("%d of %d packets came out otherwise without a reason", n, m.Packets)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&k.pcap, "pcap", "", "send the packets of this capture that are from a workload of the lab: pcap or pcapng, - for standard input")
	cmd.Flags().IntVar(&k.random, "random", 0, "send so many random packets, from all workloads")
	cmd.Flags().Uint64Var(&k.seed, "seed", 1, "where the random packets begin: the same number, the same packets")
	_ = cmd.MarkFlagFilename("pcap", "pcap", "pcapng", "gz")
	c.outputFlag(cmd)
	return cmd
}

func (k *comparing) run(cmd *cobra.Command, a *compare.Arena, line string) (*compare.Summary, error) {
	switch {
	case k.random > 0:
		return a.Random(cmd.Context(), k.random, k.seed)
	case k.pcap != "":
		return k.captured(cmd, a)
	}
	from, frame, err := a.Described(line)
	if err != nil {
		return nil, err
	}
	r, err := a.Packet(cmd.Context(), from, frame)
	if err != nil {
		return nil, err
	}
	m := &compare.Summary{}
	m.Add(r)
	m.Results = []*compare.Result{r}
	return m, nil
}

// captured sends the packets of a capture, each from the workload that has its source.
func (k *comparing) captured(cmd *cobra.Command, a *compare.Arena) (*compare.Summary, error) {
	file, err := open(k.pcap, cmd.InOrStdin())
	if err != nil {
		return nil, err
	}
	defer file.Close()
	reader, err := capture.NewReader(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", k.pcap, err)
	}
	m, foreign := &compare.Summary{Results: []*compare.Result{}}, 0
	for {
		p, err := reader.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", k.pcap, err)
		}
		ip := p.IP
		if len(p.Frame) > packet.EthernetLen {
			ip = p.Frame[packet.EthernetLen:]
		}
		from := a.From(sourceOf(ip))
		if from == "" || p.Length > packet.EthernetLen+len(ip) {
			foreign++ // or not kept whole
			continue
		}
		r, err := a.Packet(cmd.Context(), from, a.Frame(ip))
		if err != nil {
			return nil, err
		}
		m.Add(r)
		if r.Explained() {
			m.Results = append(m.Results, r)
		}
	}
	if foreign > 0 {
		fmt.Fprintf(cmd.ErrOrStderr(), "vrouter: %d packets of %s are left out: they are from no workload of the lab, or not kept whole\n", foreign, k.pcap)
	}
	return m, nil
}

// sourceOf is who a packet says that it is from; invalid where it is none of IP.
func sourceOf(b []byte) netip.Addr {
	switch {
	case len(b) >= packet.IPv4MinLen && b[0]>>4 == 4, len(b) >= packet.IPv6MinLen && b[0]>>4 == 6:
		return packet.IP(b).Src()
	}
	return netip.Addr{}
}

func (c *cli) printComparison(cmd *cobra.Command, m *compare.Summary) error {
	if c.output == "json" {
		return c.print(cmd, m, nil)
	}
	return m.Write(cmd.OutOrStdout())
}
