package peer

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

const modules = "/usr/lib/uml/modules"

// loadModule loads a module of the running kernel, and before it those that it
// needs: modules.dep lists them, the last one first.
func loadModule(name string) error {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return err
	}
	dir := filepath.Join(modules, unix.ByteSliceToString(u.Release[:]))
	deps, err := os.ReadFile(filepath.Join(dir, "modules.dep"))
	if err != nil {
		return fmt.Errorf("modules of the guest's kernel: %w", err)
	}
	for l := range strings.Lines(string(deps)) {
		file, needs, _ := strings.Cut(l, ":")
		if filepath.Base(file) != name+".ko" {
			continue
		}
		files := append([]string{file}, strings.Fields(needs)...)
		slices.Reverse(files)
		for _, f := range files {
			if err := insert(filepath.Join(dir, f)); err != nil {
				return err
			}
		}
		return nil
	}
	return fmt.Errorf("%s has no module %s", dir, name)
}

func insert(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.FinitModule(int(f.Fd()), "", 0); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("loading %s: %w", path, err)
	}
	return nil
}
