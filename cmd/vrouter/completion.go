package main

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/vrouter/vrouter/forwarder"
	"github.com/vrouter/vrouter/internal/control"
	"github.com/vrouter/vrouter/internal/verdict"
)

const (
	// completionTime is how long a shell waits for the router before there is nothing to offer.
	completionTime = 300 * time.Millisecond
	maxCompletions = 100 // routes; nobody reads more
)

// words offers those that begin with what was typed.
func offer(words []string, typed string) ([]string, cobra.ShellCompDirective) {
	return slices.DeleteFunc(words, func(w string) bool { return !strings.HasPrefix(w, typed) }), cobra.ShellCompDirectiveNoFileComp
}

// askQuickly is get for completion: nothing is printed, and what is not there in time
// is left out.
func askQuickly[T any](c *cli, path string, nameOf func(T) string) []string {
	ctx, cancel := context.WithTimeout(context.Background(), completionTime)
	defer cancel()
	client := control.NewClient(c.socket)
	defer client.Close()
	var list []T
	if client.Get(ctx, path, &list) != nil {
		return nil
	}
	var names []string
	for _, v := range list {
		names = append(names, nameOf(v))
	}
	return names
}

func (c *cli) portNames() []string {
	return askQuickly(c, "/v1/ports", func(p control.Port) string { return p.Port })
}

func (c *cli) completePorts(_ *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
	return offer(c.portNames(), typed)
}

// completeReasons and completeSteps need no router: the lists are closed.
func completeReasons(_ *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
	return offer(wordsOf(verdict.Reasons()), typed)
}

func completeSteps(_ *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
	return offer(wordsOf(forwarder.Steps()), typed)
}

func wordsOf[T fmt.Stringer](list []T) (names []string) {
	for _, v := range list {
		names = append(names, v.String())
	}
	return names
}

func (c *cli) completeWorkload(_ *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return offer(askQuickly(c, "/v1/workloads", func(w control.Workload) string { return w.Name }), typed)
}

// prefixes are those of the routes that begin with what was typed.
func (c *cli) prefixes(typed string, static bool) []string {
	ctx, cancel := context.WithTimeout(context.Background(), completionTime)
	defer cancel()
	client := control.NewClient(c.socket)
	defer client.Close()
	var list []string
	_ = client.EachRoute(ctx, func(r control.Route) bool {
		if strings.HasPrefix(r.Prefix, typed) && !(static && r.Protocol != "static") && !slices.Contains(list, r.Prefix) {
			list = append(list, r.Prefix)
		}
		return len(list) < maxCompletions
	})
	return list
}

// completeAddress offers the hosts that there are routes to.
func (c *cli) completeAddress(_ *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var hosts []string
	for _, p := range c.prefixes(typed, false) {
		if to, err := netip.ParsePrefix(p); err == nil && to.IsSingleIP() {
			hosts = append(hosts, to.Addr().String())
		}
	}
	return offer(hosts, typed)
}

// completeRoute offers what can come next in the words of ip-route(8).
func (c *cli) completeRoute(op string) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
		last := ""
		if len(args) > 0 {
			last = args[len(args)-1]
		}
		switch last {
		case "dev":
			return offer(c.portNames(), typed)
		case "via":
			return offer(askQuickly(c, "/v1/neighbors", func(n control.Neighbor) string { return n.Address }), typed)
		case "encap":
			return offer([]string{"ipip", "vxlan", "none"}, typed)
		case "proto", "metric":
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		words := []string{"via", "dev", "metric", "proto", "encap"}
		if len(args) == 0 {
			words = []string{"default", "blackhole", "unreachable", "prohibit"}
			if op != "add" {
				words = append(words, c.prefixes(typed, true)...)
			}
		}
		return offer(words, typed)
	}
}

func completeWorkloadAdd(_ *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	if len(args)%2 == 0 { // a name, or the value of a key
		if len(args) > 0 && args[len(args)-1] == "namespace" {
			return nil, cobra.ShellCompDirectiveDefault
		}
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return offer(slices.DeleteFunc(slices.Clone(workloadKeys), func(k string) bool { return slices.Contains(args, k) || k == "addresses" }), typed)
}
