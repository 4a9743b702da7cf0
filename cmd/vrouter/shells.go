package main

import (
	"strings"

	"github.com/spf13/cobra"
)

// scripts are where shells look for completions.
var scripts = map[string]string{
	"bash":       "vrouter completion bash >/etc/bash_completion.d/vrouter",
	"zsh":        "vrouter completion zsh >\"${fpath[1]}/_vrouter\"",
	"fish":       "vrouter completion fish >~/.config/fish/completions/vrouter.fish",
	"powershell": "vrouter completion powershell | Out-String | Invoke-Expression",
}

// help is of the command that the words name.
func help(cmd *cobra.Command, args []string) error {
	called, rest, err := cmd.Root().Find(args)
	if err != nil || len(rest) > 0 {
		return usagef("%s: there is no command %q%s", cmd.CommandPath(), strings.Join(args, " "), suggestion(called, rest[0]))
	}
	return called.Help()
}

// describeCompletion gives cobra's own commands what all others have.
func describeCompletion(root *cobra.Command) {
	for _, cmd := range root.Commands() {
		switch cmd.Name() {
		case "help":
			cmd.Use, cmd.Short, cmd.Long = "help [COMMAND]", "Help on a command", ""
			cmd.Example = "  vrouter help lab up"
			cmd.Run, cmd.RunE = nil, help
		case "completion":
			cmd.Use, cmd.Short, cmd.Long = "completion SHELL", "What a shell needs to complete commands and names", ""
			cmd.Example = "  " + scripts["bash"]
			var shells []string
			for _, shell := range cmd.Commands() {
				shell.Short, shell.Example = "Completions for "+shell.Name(), "  "+scripts[shell.Name()]
				shells = append(shells, shell.Name())
			}
			cmd.Args = func(cmd *cobra.Command, args []string) error {
				if len(args) == 0 {
					return nil
				}
				return usagef("%s: there is no %q; there is %s%s", cmd.CommandPath(), args[0], strings.Join(shells, ", "), suggestion(cmd, args[0]))
			}
			cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
		}
	}
}
