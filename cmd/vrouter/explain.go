package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/vrouter/vrouter/internal/capture"
	"github.com/vrouter/vrouter/internal/control"
	"github.com/vrouter/vrouter/internal/sketch"
	"github.com/vrouter/vrouter/internal/trace"
)

// kept says where a packet is that somebody has kept.
type kept struct {
	hex, pcap string // files; "-": standard input
	number    int    // of the packet in there, from 1
	in        string
}

func newExplain(c *cli) *cobra.Command {
	var k kept
	var verbose bool
	var s several
	cmd := &cobra.Command{
		Use:   "explain [PACKET]",
		Short: "What the router would do with a packet, and why; sends nothing",
		Long: "PACKET is one line:\n  " + sketch.Syntax + "\n" +
			"It takes the same way through the same steps as a packet on the wire, and changes no counter.\n" +
			"Instead of describing it, give one that was kept: a hex dump or a capture, - for standard input.\n\n" +
			"With --hosts it is followed from the workload that has its source to where it ends, over all these hosts, then the\n" +
			"reply. Hosts are named as for `vrouter trace --hosts`.",
		Example: "  vrouter explain \"icmp 10.70.1.1 > 10.70.2.1 ttl 1\"\n  vrouter explain \"udp 10.70.1.1:5000 > 10.70.2.1:53 length 3000 df\"\n" +
			"  vrouter explain \"icmp6 fd00:70:1::1 > fd00:70:2::1 hlim 1\"\n  vrouter explain \"udp [fd00:70:1::1]:1234 > [fd00:70:2::1]:53\"\n" +
			"  tcpdump -xxr FILE -c 1 | vrouter explain --hex -\n  vrouter explain --pcap FILE --packet 17\n" +
			"  vrouter explain --hosts ssh://root@192.168.0.11,ssh://root@192.168.0.12 \"icmp 10.70.1.1 > 10.70.2.1\"",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := s.check(cmd); err != nil {
				return err
			}
			if s.hosts != nil {
				if k.given() {
					return usagef("--hex, --pcap, --packet and --in are for one router; with --hosts describe the packet")
				}
				line, err := described(args)
				if err != nil {
					return err
				}
				sources, err := s.sources(s.hosts)
				if err != nil {
					return err
				}
				return c.across(cmd, sources, nil, line, verbose)
			}
			q, err := k.question(strings.Join(args, " "), cmd.InOrStdin())
			if err != nil {
				return err
			}
			client := control.NewClient(c.socket)
			defer client.Close()
			var e control.Explanation
			if err := client.Post(cmd.Context(), "/v1/explain", q, &e); err != nil {
				return err
			}
			if c.output == "json" {
				return c.print(cmd, e, nil)
			}
			return c.printExplanation(cmd, &e, verbose)
		},
	}
	f := cmd.Flags()
	f.StringVar(&k.hex, "hex", "", "explain a packet of this hex dump: tcpdump -xx, xxd, hexdump -C, or plain digits")
	f.StringVar(&k.pcap, "pcap", "", "explain a packet of this capture: pcap or pcapng")
	f.IntVar(&k.number, "packet", 1, "which one of the dump or capture, from 1")
	f.StringVar(&k.in, "in", "", "the port by which a kept packet comes in; default: the one that its source is behind")
	f.BoolVarP(&verbose, "verbose", "v", false, "every step, and why it let the packet pass")
	_ = cmd.RegisterFlagCompletionFunc("in", c.completePorts)
	_ = cmd.MarkFlagFilename("pcap", "pcap", "pcapng", "cap")
	s.flags(cmd, "what would become of the packet on all these hosts, such as a,b, and of the reply")
	c.outputFlag(cmd)
	return asks(cmd)
}

func (k *kept) given() bool { return k.hex != "" || k.pcap != "" || k.in != "" || k.number != 1 }

// question is what the router is asked: about the line, or the packet in a file.
func (k *kept) question(line string, stdin io.Reader) (control.Explain, error) {
	switch {
	case line == "" && k.hex == "" && k.pcap == "":
		return control.Explain{}, usagef("no packet: describe one, or give --hex FILE or --pcap FILE")
	case line != "" && (k.hex != "" || k.pcap != "" || k.in != ""), k.hex != "" && k.pcap != "":
		return control.Explain{}, usagef("a packet is described (with `in PORT`, where needed), or it is in --hex or --pcap: give one of the three")
	case k.number < 1:
		return control.Explain{}, usagef("--packet %d: packets are numbered from 1", k.number)
	case line != "":
		if err := checkPacket(line); err != nil {
			return control.Explain{}, err
		}
		return control.Explain{Packet: line}, nil
	}
	name, read := k.hex, fromHex
	if k.pcap != "" {
		name, read = k.pcap, fromCapture
	}
	r, err := open(name, stdin)
	if err != nil {
		return control.Explain{}, err
	}
	defer r.Close()
	p, err := read(r, k.number)
	if err != nil {
		return control.Explain{}, fmt.Errorf("%s: %w", name, err)
	}
	return control.Explain{Captured: p, In: k.in}, nil
}

func open(name string, stdin io.Reader) (io.ReadCloser, error) {
	if name == "-" {
		return io.NopCloser(stdin), nil
	}
	return os.Open(name)
}

func fromHex(r io.Reader, number int) (*capture.Packet, error) {
	packets, err := capture.ReadHex(r)
	if err != nil {
		return nil, err
	}
	if number > len(packets) {
		return nil, fmt.Errorf("it has %d packets, and no packet %d", len(packets), number)
	}
	return packets[number-1], nil
}

func fromCapture(r io.Reader, number int) (*capture.Packet, error) {
	file, err := capture.NewReader(r)
	if err != nil {
		return nil, err
	}
	for n := 1; ; n++ {
		p, err := file.Next()
		if err == io.EOF {
			return nil, fmt.Errorf("it has %d packets, and no packet %d", n-1, number)
		}
		if err != nil || n == number {
			return p, err
		}
	}
}

func (c *cli) printExplanation(cmd *cobra.Command, e *control.Explanation, verbose bool) error {
	out := cmd.OutOrStdout()
	text := trace.Text{Colour: c.colours(out), Verbose: verbose}
	for i := range e.Packets {
		if err := text.Write(out, &e.Packets[i]); err != nil {
			return err
		}
		if i == 0 {
			for _, line := range e.Why {
				fmt.Fprintln(out, "  why: "+line)
			}
		}
	}
	return nil
}
