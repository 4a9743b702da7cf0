package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
)

// table is a list for people: each row has as many cells as there are headings.
type table struct {
	headings []string
	rows     [][]string
}

func (t *table) add(cells ...any) {
	row := make([]string, len(cells))
	for i, c := range cells {
		if row[i] = fmt.Sprint(c); row[i] == "" {
			row[i] = "-"
		}
	}
	t.rows = append(t.rows, row)
}

func (t *table) write(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, strings.Join(t.headings, "\t"))
	for _, r := range t.rows {
		fmt.Fprintln(tw, strings.Join(r, "\t"))
	}
	return tw.Flush()
}

// print writes v as JSON, or as the table that text makes of it.
func (c *cli) print(cmd *cobra.Command, v any, text func() *table) error {
	if c.output != "json" {
		return text().write(cmd.OutOrStdout())
	}
	enc := json.NewEncoder(cmd.OutOrStdout())
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// exactArgs is cobra's, as an error of usage that names what is missing.
func exactArgs(n int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != n {
			return usagef("%s takes %s; it got %d words", cmd.CommandPath(), what, len(args))
		}
		return nil
	}
}

func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef("%s takes no words, but got %q; `%s --help` says what there is", cmd.CommandPath(), args[0], cmd.CommandPath())
	}
	return nil
}

// group is a command that only holds others; without a word it lists, if one of them does.
func group(use, short string, children ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short}
	var list *cobra.Command // that the bare command runs, if there is one
	for _, child := range children {
		if child.Name() == "list" {
			list = child
		}
	}
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		var words []string
		for _, child := range children {
			if !child.Hidden {
				words = append(words, child.Name())
			}
		}
		if len(args) > 0 {
			return usagef("%s: unknown word %q; there is %s%s", cmd.CommandPath(), args[0], strings.Join(words, ", "), suggestion(cmd, args[0]))
		}
		if list != nil {
			return nil
		}
		return usagef("%s: say which: %s", cmd.CommandPath(), strings.Join(words, ", "))
	}
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		list.SetContext(cmd.Context())
		return list.RunE(list, args)
	}
	cmd.AddCommand(children...)
	return cmd
}
