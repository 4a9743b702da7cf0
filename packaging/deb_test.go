//go:build deb

package packaging

import (
	"debug/elf"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/vrouter/vrouter/internal/config"
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
	args = append([]string{"--root=" + root, "--force-script-chrootless", "--force-confold", "--path-include=/usr/share/*"}, args...)
	if out, err := exec.CommandContext(t.Context(), "dpkg", args...).CombinedOutput(); err != nil {
		t.Fatalf("dpkg %q: %v\n%s", args, err, out)
	}
}

// One word says which version it is, of the program, the package, the manual and the documents.
func TestVersion(t *testing.T) {
	root := installed(t)
	word := strings.TrimSpace(run(t, "dpkg-deb", "--field", os.Getenv("DEB"), "Version"))
	if out := run(t, filepath.Join(root, "usr/bin/vrouter"), "version"); word == "" || !strings.HasPrefix(out, "vrouter "+word+" go") {
		t.Errorf("the package is %s, and the program says %s", word, out)
	}
	if out := run(t, "zcat", filepath.Join(root, "usr/share/man/man1/vrouter-lab-up.1.gz")); !strings.Contains(strings.ReplaceAll(out, `\`, ""), `"vrouter `+word+`"`) {
		t.Errorf("the package is %s, and the manual begins:\n%.300s", word, out)
	}
	if out, _, _ := strings.Cut(read(t, filepath.Join(root, doc, "README.md")), "\n"); out != "# vrouter "+word {
		t.Errorf("the package is %s, and the README begins %q", word, out)
	}
}

const doc = "usr/share/doc/vrouter"

func read(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// What the documents lead to and the examples that they name are there, but for the source; and nobody is told of a licence that there is not.
func TestDocuments(t *testing.T) {
	root := filepath.Join(installed(t), doc)
	documents := 0
	err := filepath.WalkDir(root, func(file string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(file, ".md") {
			return err
		}
		documents++
		text := read(t, file)
		want := func(path, word string) {
			if _, err := os.Stat(path); err != nil && !strings.HasSuffix(word, ".go") {
				t.Errorf("%s names %s: %v", file, word, err)
			}
		}
		for _, m := range regexp.MustCompile(`\]\(([^)#: ]+)(#[^)]*)?\)`).FindAllStringSubmatch(text, -1) {
			want(filepath.Join(filepath.Dir(file), m[1]), m[1])
		}
		for _, m := range regexp.MustCompile("examples/[-a-z0-9_/.$]+[a-z0-9]").FindAllString(text, -1) {
			if !strings.Contains(m, "$") { // a variable of the shell
				want(filepath.Join(root, m), m)
			}
		}
		return nil
	})
	if err != nil || documents < 20 {
		t.Errorf("%d documents, %v", documents, err)
	}
	if !strings.Contains(read(t, filepath.Join(root, "copyright")), "no licence yet") {
		t.Error("copyright does not say that there is no licence yet")
	}
	example := filepath.Join(root, "examples/k8s-master-1.yaml")
	if _, err := config.Load(example); err != nil {
		t.Error(err)
	}
}

func TestProgram(t *testing.T) {
	program := filepath.Join(installed(t), "usr/bin/vrouter")
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
