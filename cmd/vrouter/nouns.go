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
		noun := cmd.Name()
		cmd.Use, cmd.Aliases = listed(cmd.Use), listAliases
		g := group(noun, cmd.Short, cmd)
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
	cmd.Use = name
	return cmd
}

// suggestion is ": did you mean …?" where a command is called nearly so.
func suggestion(cmd *cobra.Command, word string) string {
	cmd.SuggestionsMinimumDistance = 2
	if near := cmd.SuggestionsFor(word); len(near) > 0 {
		return "; did you mean " + strings.Join(near, ", ") + "?"
	}
	return ""
}
