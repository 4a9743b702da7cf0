package main

import (
	"encoding/json"
	"io"
	"os"
	"reflect"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// print writes v as JSON, or the table that text makes of it: as wide as the terminal, unless -o wide wants all of it.
func (c *cli) print(cmd *cobra.Command, v any, text func() *table) error {
	out := cmd.OutOrStdout()
	if c.output != "json" {
		t := text()
		if width := terminalWidth(out); width > 0 && c.output != "wide" {
			t.fit(width)
		}
		return t.write(out)
	}
	if list := reflect.ValueOf(v); list.Kind() == reflect.Slice && list.IsNil() {
		v = []struct{}{} // a list, also when it is empty
	}
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// terminalWidth is 0 if it is no terminal.
func terminalWidth(w io.Writer) int {
	f, ok := w.(*os.File)
	if !ok {
		return 0
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	return width
}

// exactArgs is cobra's, as an error of usage that names what is missing.
func exactArgs(n int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != n {
			words := "words"
			if len(args) == 1 {
				words = "word"
			}
			return usagef("%s takes %s; it got %d %s", cmd.CommandPath(), what, len(args), words)
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
