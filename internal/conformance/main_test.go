package conformance

import (
	"context"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vrouter/vrouter/internal/sandbox"
)

const (
	moduleRoot = "../.."
	binaryEnv  = "VROUTER_CONFORMANCE_BINARY"
)

var (
	update      = flag.Bool("update", false, "write docs/conformance.md anew")
	show        = flag.Bool("print", false, "print the table with what was seen")
	givenBinary = flag.String("vrouter", "", "the vrouter to test; built from this module if it is not given")
)

// TestMain builds vrouter outside and runs the tests inside namespaces of their own.
func TestMain(m *testing.M) {
	flag.Parse()
	if sandbox.Inside() {
		os.Exit(inside(m))
	}
	status, err := outside()
	if err != nil {
		fmt.Fprintln(os.Stderr, "conformance: cannot run:", err)
		status = 1
	}
	os.Exit(status)
}

func outside() (int, error) {
	dir, err := os.MkdirTemp("", "conformance")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	path := *givenBinary
	if path == "" {
		path = filepath.Join(dir, "vrouter")
		if out, err := exec.Command("go", "build", "-o", path, moduleRoot+"/cmd/vrouter").CombinedOutput(); err != nil {
			return 1, fmt.Errorf("building vrouter: %w\n%s", err, out)
		}
	}
	if path, err = filepath.Abs(path); err != nil {
		return 1, err
	}
	os.Setenv(binaryEnv, path)
	return sandbox.Run(context.Background())
}

func inside(m *testing.M) int {
	if err := sandbox.Enter(); err != nil {
		fmt.Fprintln(os.Stderr, "conformance: cannot run:", err)
		return 1
	}
	if err := sandbox.CheckTUN(); err != nil {
		fmt.Fprintln(os.Stderr, "conformance: cannot run:", err)
		return 1
	}
	// Rows that wait for real time run beside the others, which take turns (lane).
	_ = flag.Set("test.parallel", "16")
	return m.Run()
}

// TestSources looks at every directory of the module, so that `go test` knows that
// a result it has cached depends on them: vrouter is built, not imported.
func TestSources(t *testing.T) {
	err := filepath.WalkDir(moduleRoot, func(path string, d fs.DirEntry, err error) error {
		if d != nil && d.IsDir() && strings.HasPrefix(d.Name(), ".") && path != moduleRoot {
			return fs.SkipDir
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
