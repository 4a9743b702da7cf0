package peer

import (
	_ "embed"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
)

//go:embed xstate.c
var xstate string

// compile makes C source into a program, or with more flags into something else.
func compile(source, to string, flags ...string) error {
	cmd := exec.Command("gcc", append(flags, "-O2", "-Wall", "-Wextra", "-Werror", "-o", to, "-x", "c", "-")...)
	cmd.Stdin = strings.NewReader(source)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("compiling %s: %w; install Debian's packages gcc and libc6-dev\n%s", filepath.Base(to), err, out)
	}
	return nil
}

// compilePreload makes what LD_PRELOAD names.
func compilePreload(source, to string) error { return compile(source, to, "-shared", "-fPIC") }
