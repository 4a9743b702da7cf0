package layers_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// public are the packages that others may use: their examples are built and run in a
// module of its own, which can name nothing of internal/.
var public = []string{"arpproxy", "forwarder", "metrics", "rib"}

func TestUsableFromOutside(t *testing.T) {
	here, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	put := func(name, text string) {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	mod := strings.Replace(content(t, "go.mod"), "module "+module, "module example.com/outside", 1)
	put("go.mod", mod+"\nrequire "+module+" v0.0.0\n\nreplace "+module+" => "+here+"\n")
	put("go.sum", content(t, "go.sum"))
	for _, p := range public {
		put(p+"/example_test.go", content(t, p+"/example_test.go"))
	}
	cmd := exec.CommandContext(t.Context(), "go", "test", "-mod=mod", "./...")
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOPROXY=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
