package main

import (
	"errors"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/vrouter/vrouter/internal/control"
)

// colorWords are those of --color.
var colorWords = []string{"auto", "always", "never"}

// asksRouter marks a command that takes --socket.
const asksRouter = "asks a router"

// asks marks it as one that asks the router at --socket.
func asks(cmd *cobra.Command) *cobra.Command {
	if cmd.Annotations == nil {
		cmd.Annotations = map[string]string{}
	}
	cmd.Annotations[asksRouter] = "yes"
	return cmd
}

// checkFlags refuses what is wrong in the flags of any command, before it begins.
func checkFlags(cmd *cobra.Command, _ []string) error {
	if err := cmd.ValidateRequiredFlags(); err != nil {
		return usagef("%s: %w", cmd.CommandPath(), err)
	}
	if f := cmd.Flag("color"); f != nil && !slices.Contains(colorWords, f.Value.String()) {
		return usagef("--color %s: there is %s", f.Value, strings.Join(colorWords, ", "))
	}
	if cmd.Annotations[asksRouter] == "" && socketGiven(cmd) {
		return usagef("--socket: `%s` asks no router by its socket; leave it out", cmd.CommandPath())
	}
	return nil
}

func socketGiven(cmd *cobra.Command) bool {
	f := cmd.Flag("socket")
	return f != nil && f.Changed
}

// badFlag is the error of a flag that a command doesn't have, or of its value.
func badFlag(cmd *cobra.Command, err error) error {
	if words := cmd.Flags().Args(); cmd.HasSubCommands() && len(words) > 0 {
		if err := cmd.Args(cmd, words); err != nil { // the flag may be of the word that is wrong
			return err
		}
	}
	near := ""
	if unknown := (*pflag.NotExistError)(nil); errors.As(err, &unknown) && len(unknown.GetSpecifiedName()) > 1 {
		var names []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
		near = meant(names, unknown.GetSpecifiedName())
	}
	return usagef("%w; `%s --help` lists what it takes%s", err, cmd.CommandPath(), strings.Replace(near, "mean ", "mean --", 1))
}

// usage tells of --socket only where it does something.
func usage(write func(*cobra.Command) error) func(*cobra.Command) error {
	return func(cmd *cobra.Command) error {
		if f := cmd.Flag("socket"); f != nil {
			f.Hidden = cmd.HasParent() && cmd.Annotations[asksRouter] == ""
		}
		return write(cmd)
	}
}

// get asks the router for a path.
func (c *cli) get(cmd *cobra.Command, path string, v any) error {
	client := control.NewClient(c.socket)
	defer client.Close()
	return client.Get(cmd.Context(), path, v)
}

// outputFlag adds -o, and refuses other words before the command asks anybody. more
// are the forms that there are besides text and json.
func (c *cli) outputFlag(cmd *cobra.Command, more ...string) {
	forms := append([]string{"text", "json"}, more...)
	last := len(forms) - 1
	there := strings.Join(forms[:last], ", ")
	help := there + " or " + forms[last]
	if slices.Contains(more, "wide") {
		help += ", in which nothing is cut to fit a terminal"
	}
	cmd.Flags().StringVarP(&c.output, "output", "o", "text", help)
	cmd.PreRunE = func(*cobra.Command, []string) error {
		if !slices.Contains(forms, c.output) {
			return usagef("-o %s: there is %s and %s%s", c.output, there, forms[last], meant(forms, c.output))
		}
		return nil
	}
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(forms, cobra.ShellCompDirectiveNoFileComp))
}
