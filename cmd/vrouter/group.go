package main

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// group is a command that only holds others. Without a word it is the one of them that lists.
func group(use, short string, children ...*cobra.Command) *cobra.Command {
	i := slices.IndexFunc(children, func(c *cobra.Command) bool { return c.Name() == "list" || c.HasAlias("list") })
	list := children[i]
	cmd := &cobra.Command{
		Use: use, Short: short, Annotations: list.Annotations, PreRunE: list.PreRunE,
		RunE: func(cmd *cobra.Command, args []string) error {
			list.SetContext(cmd.Context())
			return list.RunE(cmd, args)
		},
	}
	cmd.Flags().AddFlagSet(list.Flags())
	if len(children) == 1 { // what it lists may be named: `vrouter ports ns1`
		cmd.Args, cmd.ValidArgsFunction = cobra.ArbitraryArgs, list.ValidArgsFunction
		if list.Args != nil {
			cmd.Args = list.Args
		}
	} else {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			var words []string
			for _, child := range children {
				if !child.Hidden {
					words = append(words, child.Name())
				}
			}
			return usagef("%s: unknown word %q; there is %s%s", cmd.CommandPath(), args[0], strings.Join(words, ", "), suggestion(cmd, args[0]))
		}
	}
	cmd.AddCommand(children...)
	return cmd
}

// suggestion is "; did you mean …?" where a command is called nearly so.
func suggestion(cmd *cobra.Command, word string) string {
	var names []string
	for _, child := range cmd.Commands() {
		names = append(names, child.Name())
	}
	return meant(names, word)
}

// meant is "; did you mean …?" where some names are nearly the word.
func meant(names []string, word string) string {
	var close []string
	for _, name := range names {
		if nearly(word, name) && !slices.Contains(close, name) {
			close = append(close, name)
		}
	}
	if close == nil {
		return ""
	}
	return "; did you mean " + strings.Join(close, ", ") + "?"
}

// nearly is one letter of three that is wrong, missing, too much or in its neighbour's place; or the beginning of a name.
func nearly(word, name string) bool {
	word = strings.ToLower(word)
	return len(word) > 2 && strings.HasPrefix(name, word) || distance(word, name) <= max(1, len(word)/3)
}

// distance is how many letters are to be put in, taken out, changed or swapped to make b of a.
func distance(a, b string) int {
	d := make([][]int, len(a)+1)
	for i := range d {
		d[i] = make([]int, len(b)+1)
		for j := range d[i] {
			switch {
			case i == 0 || j == 0:
				d[i][j] = i + j
				continue
			case a[i-1] == b[j-1]:
				d[i][j] = d[i-1][j-1]
			default:
				d[i][j] = 1 + min(d[i-1][j-1], d[i-1][j], d[i][j-1])
			}
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d[i][j] = min(d[i][j], d[i-2][j-2]+1)
			}
		}
	}
	return d[len(a)][len(b)]
}
