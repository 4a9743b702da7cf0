//go:build deb

package packaging

import (
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// run runs a command to its end; it must succeed and be silent on stderr, and
// what it needs must be installed.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	var errors strings.Builder
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Stderr = &errors
	out, err := cmd.Output()
	if err != nil || errors.Len() > 0 {
		t.Fatalf("%s %q: %v\n%s%s", name, args, err, out, errors.String())
	}
	return string(out)
}

// installed is the package, which make has built, below a directory.
func installed(t *testing.T) (root string) {
	t.Helper()
	if os.Getenv("DEB") == "" {
		t.Fatal("DEB names no package: run `make debtest`")
	}
	root = t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "var/lib/dpkg"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"status", "available"} {
		if err := os.WriteFile(filepath.Join(root, "var/lib/dpkg", file), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	dpkg(t, root, "--install", os.Getenv("DEB"))
	return root
}

// dpkg works below root; the package's scripts run, and know that.
func dpkg(t *testing.T, root string, args ...string) {
	t.Helper()
	args = append([]string{"--root=" + root, "--force-script-chrootless", "--force-confold"}, args...)
	if out, err := exec.CommandContext(t.Context(), "dpkg", args...).CombinedOutput(); err != nil {
		t.Fatalf("dpkg %q: %v\n%s", args, err, out)
	}
}

func TestProgram(t *testing.T) {
	program := filepath.Join(installed(t), "usr/bin/vrouter")
	if out := run(t, program, "version"); !strings.HasPrefix(out, "vrouter ") || strings.Contains(out, "devel") {
		t.Errorf("version: %s", out)
	}
	f, err := elf.Open(program)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if libraries, err := f.ImportedLibraries(); err != nil || len(libraries) > 0 || slices.ContainsFunc(f.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP }) {
		t.Errorf("it is not static: %v %v", libraries, err)
	}
}

// Debian's runtimes find the plugin, which says what it speaks.
func TestPlugin(t *testing.T) {
	root := installed(t)
	for _, path := range []string{"usr/bin/vrouter-cni", "usr/lib/cni/vrouter"} {
		if st, err := os.Lstat(filepath.Join(root, path)); err != nil || st.Mode()&os.ModeSymlink == 0 {
			t.Errorf("%s: %v", path, err)
		}
	}
	cmd := exec.CommandContext(t.Context(), filepath.Join(root, "usr/bin/vrouter-cni"))
	cmd.Env = []string{"CNI_COMMAND=VERSION"}
	if out, err := cmd.Output(); err != nil || !strings.Contains(string(out), `"1.1.0"`) {
		t.Errorf("VERSION: %v, %s", err, out)
	}
}

// The configuration is its owner's: an upgrade and a removal leave it, a purge
// leaves nothing at all.
func TestConfigurationStays(t *testing.T) {
	root := installed(t)
	file := filepath.Join(root, "etc/vrouter/vrouter.yaml")
	const mine = "uplink: {interface: eth7}\n"
	if err := os.WriteFile(file, []byte(mine), 0o644); err != nil {
		t.Fatal(err)
	}
	dpkg(t, root, "--install", os.Getenv("DEB"))
	dpkg(t, root, "--remove", "vrouter")
	if b, err := os.ReadFile(file); err != nil || string(b) != mine {
		t.Errorf("after an upgrade and a removal: %q, %v", b, err)
	}
	dpkg(t, root, "--purge", "vrouter")
	for _, dir := range []string{"etc/vrouter", "usr"} {
		if _, err := os.Stat(filepath.Join(root, dir)); err == nil {
			t.Errorf("a purge has left %s: %s", dir, run(t, "find", filepath.Join(root, dir)))
		}
	}
}

func TestUnit(t *testing.T) {
	root := installed(t)
	const unit = "/usr/lib/systemd/system/vrouter.service"
	// systemd wants its own units about it, to order this one by.
	for _, name := range []string{"sysinit.target", "basic.target", "shutdown.target", "network-online.target", "multi-user.target", "system.slice", "-.slice", "-.mount"} {
		b := []byte("[Unit]\nDescription=stands for the real one\nDefaultDependencies=no\n")
		if strings.HasSuffix(name, ".mount") {
			b = append(b, "[Mount]\nWhat=none\nWhere=/\n"...)
		}
		if err := os.WriteFile(filepath.Join(root, "usr/lib/systemd/system", name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	run(t, "systemd-analyze", "--root="+root, "--man=no", "verify", "vrouter.service")
	out := run(t, "systemd-analyze", "--no-pager", "--root="+root, "--offline=yes", "--threshold=55", "security", unit)
	t.Log(out[strings.LastIndex(strings.TrimSpace(out), "\n")+1:])
}

func TestManual(t *testing.T) {
	pages, err := filepath.Glob(filepath.Join(installed(t), "usr/share/man/man1/*.1.gz"))
	if err != nil || len(pages) < 20 {
		t.Fatalf("pages: %v %v", pages, err)
	}
	for _, page := range pages {
		name := strings.TrimSuffix(filepath.Base(page), ".1.gz")
		if out := run(t, "man", "--warnings", "-l", page); !strings.Contains(out, name) || !strings.Contains(out, "SYNOPSIS") {
			t.Errorf("%s:\n%s", page, out)
		}
	}
}

func TestCompletion(t *testing.T) {
	root := installed(t)
	file := filepath.Join(root, "usr/share/bash-completion/completions/vrouter")
	if out := run(t, "bash", "-euc", "source "+file+"; complete -p vrouter"); !strings.Contains(out, "__start_vrouter") {
		t.Errorf("bash: %s", out)
	}
	out, err := exec.CommandContext(t.Context(), filepath.Join(root, "usr/bin/vrouter"), "__complete", "doc").Output()
	if err != nil || !strings.HasPrefix(string(out), "doctor\t") {
		t.Errorf("what the scripts ask: %s %v", out, err)
	}
}
