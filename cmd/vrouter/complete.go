package main

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/vrouter/vrouter/internal/config"
	"github.com/vrouter/vrouter/internal/control"
	"github.com/vrouter/vrouter/internal/impair"
	"github.com/vrouter/vrouter/internal/lab"
	"github.com/vrouter/vrouter/internal/trace"
)

// completeNoFiles keeps a shell from offering files where a command takes none.
func completeNoFiles(cmd *cobra.Command) {
	if cmd.ValidArgsFunction == nil && len(cmd.ValidArgs) == 0 {
		cmd.ValidArgsFunction = cobra.NoFileCompletions
	}
	for _, child := range cmd.Commands() {
		completeNoFiles(child)
	}
}

// completeFile offers files whose names end so.
func completeFile(endings ...string) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return endings, cobra.ShellCompDirectiveFilterFileExt
	}
}

// completePackets offers the numbers of recorded packets.
func (c *cli) completePackets(_ *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
	return offer(askQuickly(c, "/v1/packets", func(p trace.Packet) string { return strconv.FormatUint(p.ID, 10) }), typed)
}

// completePlace offers the hosts and workloads of the lab, then commands.
func completePlace(_ *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveDefault
	}
	l, err := lab.Load()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var places []string
	for _, h := range l.Status() {
		places = append(places, h.Name)
		for _, w := range h.Workloads {
			places = append(places, h.Name+"/"+w.Name)
		}
	}
	return offer(places, typed)
}

// completeEnds offers the addresses of the lab's workloads.
func completeEnds(_ *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	l, err := lab.Load()
	if err != nil || len(args) > 1 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var addresses []string
	for _, h := range l.Status() {
		for _, w := range h.Workloads {
			if !h.Kernel { // a twin has the same ones
				addresses = append(addresses, bare(w.Addresses)...)
			}
		}
	}
	return offer(slices.DeleteFunc(addresses, func(a string) bool { return slices.Contains(args, a) }), typed)
}

// bare are addresses without their lengths.
func bare(list []string) (addresses []string) {
	for _, a := range list {
		if p, err := netip.ParsePrefix(a); err == nil {
			a = p.Addr().String()
		}
		addresses = append(addresses, a)
	}
	return addresses
}

// completeLink offers the lab's impaired links, then what can be done to them.
func completeLink(_ *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	var words []string
	switch {
	case len(args) == 0:
		if l, err := lab.Load(); err == nil {
			for _, k := range l.Links {
				words = append(words, k.Subnet)
			}
		}
	case len(args)%2 == 1 && !slices.Contains(args, "none"):
		words = slices.DeleteFunc(slices.Clone(impair.Keys), func(k string) bool { return slices.Contains(args, k) })
		if len(args) == 1 {
			words = append(words, "none")
		}
	}
	return offer(words, typed)
}

// completeNode offers the hosts of the file that --config names.
func completeNode(cmd *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
	l, err := config.LoadLab(cmd.Flag("config").Value.String())
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, h := range l.Hosts {
		names = append(names, h.Node)
	}
	return offer(names, typed)
}

// filterWords are those that most filters are made of.
var filterWords = []string{"and", "arp", "dst", "host", "icmp", "icmp6", "ip", "ip6", "ipip", "net", "not", "or", "port", "src", "tcp", "udp", "vxlan"}

// completeFilter offers words, and addresses where one comes next.
func (c *cli) completeFilter(_ *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	last := ""
	if len(args) > 0 {
		last = args[len(args)-1]
	}
	switch last {
	case "host", "src", "dst":
		words := c.addresses()
		if last != "host" {
			words = append(words, "host", "net", "port")
		}
		return offer(words, typed)
	case "net":
		return offer(c.prefixes(typed, false), typed)
	case "port":
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return offer(slices.Clone(filterWords), typed)
}

// addresses are those of the router's workloads or, if none answers, of the lab's.
func (c *cli) addresses() (all []string) {
	for _, list := range askQuickly(c, "/v1/workloads", func(w control.Workload) string { return strings.Join(bare(w.Addresses), ",") }) {
		all = append(all, strings.Split(list, ",")...)
	}
	if all == nil {
		all, _ = completeEnds(nil, nil, "")
	}
	return all
}
