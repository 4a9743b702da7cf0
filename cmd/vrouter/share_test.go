package main

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

var shareDir = flag.String("share", "", "write manual pages and completions to this directory")

// TestShare makes what is installed beside the program, from its commands: a manual page for each,
// and completions for three shells. `make share` keeps it.
func TestShare(t *testing.T) {
	t.Setenv("VROUTER_SOCKET", "") // which is the default of --socket
	dir := *shareDir
	if dir == "" {
		dir = t.TempDir()
	}
	root := newRoot()
	root.InitDefaultCompletionCmd("completion")
	root.InitDefaultHelpCmd()
	if err := errors.Join(writeManual(root, filepath.Join(dir, "man", "man1")), writeCompletions(root, dir)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ file, has string }{
		{"man/man1/vrouter.1", "vrouter-doctor(1)"},
		{"man/man1/vrouter-route-get.1", "The route that a packet to an address takes"},
		{"bash-completion/completions/vrouter", "complete -o default -F __start_vrouter vrouter"},
		{"zsh/vendor-completions/_vrouter", "#compdef vrouter"},
		{"fish/vendor_completions.d/vrouter.fish", "complete -c vrouter"},
	} {
		b, err := os.ReadFile(filepath.Join(dir, c.file))
		if err != nil || !strings.Contains(string(b), c.has) {
			t.Errorf("%s has no %q (%v):\n%.2000s", c.file, c.has, err, b)
		}
	}
}

// writeManual writes a page for each command, but for those of the shells: one is enough.
func writeManual(root *cobra.Command, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, c := range root.Commands() {
		if c.Name() == "completion" || c.Name() == "help" {
			root.RemoveCommand(c)
			defer root.AddCommand(c)
		}
	}
	root.DisableAutoGenTag = true
	// Its date is that of SOURCE_DATE_EPOCH, if it is set: the same source gives the same page.
	return doc.GenManTree(root, &doc.GenManHeader{Source: "vrouter " + version, Manual: "vrouter"}, dir)
}

func writeCompletions(root *cobra.Command, dir string) error {
	bash := filepath.Join(dir, "bash-completion", "completions", "vrouter")
	zsh := filepath.Join(dir, "zsh", "vendor-completions", "_vrouter")
	fish := filepath.Join(dir, "fish", "vendor_completions.d", "vrouter.fish")
	for _, file := range []string{bash, zsh, fish} {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
	}
	return errors.Join(root.GenBashCompletionFileV2(bash, true), root.GenZshCompletionFile(zsh), root.GenFishCompletionFile(fish, true))
}
