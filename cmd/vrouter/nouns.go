package main

import (
	"strings"

	"github.com/spf13/cobra"
)

// listAliases are other words for `list`.
var listAliases = []string{"ls", "show"}

// shown are what `vrouter show` shows, each of which may be said the other way round: `vrouter ports list`.
var shown = []func(*cli) *cobra.Command{
	newShowPorts, newShowWorkers, newShowDrops, newShowPackets, newShowPaths, newShowNeighbors, newShowHeld, newShowTunnels, newShowConfig,
}

// nouns are those other ways.
func nouns(c *cli) (list []*cobra.Command) {
	for _, make := range shown {
		cmd := make(c)
		noun, aliases := cmd.Name(), one(cmd).Aliases
		cmd.Use, cmd.Aliases = listed(cmd.Use), listAliases
		g := group(noun, cmd.Short, cmd)
		g.Aliases, g.Example = aliases, cmd.Example
		g.Hidden = true // it is `show`'s section that tells of them
		list = append(list, g)
	}
	return list
}

// listed is a usage with `list` in place of its first word.
func listed(use string) string {
	_, words, found := strings.Cut(use, " ")
	if !found {
		return "list"
	}
	return "list " + words
}

// as is a command under another name.
func as(name string, cmd *cobra.Command) *cobra.Command {
	cmd.Use, cmd.Aliases = name, nil
	return cmd
}

// one lets what is called by many be called by one: `show port ns1`.
func one(cmd *cobra.Command) *cobra.Command {
	if name, found := strings.CutSuffix(cmd.Name(), "s"); found {
		cmd.Aliases = append([]string{name}, cmd.Aliases...)
	}
	return cmd
}
