package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/vrouter/vrouter/internal/sandbox"
)

const (
	// program is the binary under test, inside the sandbox.
	program = "/run/e2e/vrouter"
	// builtAt names the environment variable with the directory that it was built in.
	builtAt = "VROUTER_E2E_BUILD"
)

// The first thread does nothing else: one that a goroutine leaves in a namespace ends with it, but for
// this one, of which /proc/1 tells.
func init() { runtime.LockOSThread() }

// TestMain runs this program three times: outside, to build vrouter; in
// namespaces of its own; and as the first process of a process namespace, whose
// end is the end of every router that a test has started.
func TestMain(m *testing.M) {
	status, err := 1, error(nil)
	switch {
	case os.Getenv(lookerFor) != "":
		err = playLooker()
	case os.Getenv(partyFor) != "":
		err = playParty()
	case !sandbox.Inside():
		status, err = outside()
	case os.Getpid() != 1:
		status, err = between()
	default:
		if err = inside(); err == nil {
			status = m.Run()
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "FAIL: these tests cannot run here:", err)
		status = 1
	}
	os.Exit(status)
}

// outside builds the binary, as Go's caches may not be within reach from inside.
func outside() (int, error) {
	if err := sandbox.CheckTUN(); err != nil {
		return 1, err
	}
	dir, err := os.MkdirTemp("", "vrouter-e2e-")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	build := exec.Command("go", "build", "-o", dir, "github.com/vrouter/vrouter/cmd/vrouter")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return 1, fmt.Errorf("building vrouter: %w", err)
	}
	if err := os.Setenv(builtAt, dir); err != nil {
		return 1, err
	}
	return sandbox.Run(context.Background())
}

// between takes the binary along, so that nothing of it stays outside should
// somebody kill us, and starts the process namespace.
func between() (int, error) {
	if err := sandbox.Enter(); err != nil {
		return 1, err
	}
	built := filepath.Join(os.Getenv(builtAt), filepath.Base(program))
	b, err := os.ReadFile(built)
	if err != nil {
		return 1, err
	}
	if err := os.MkdirAll(filepath.Dir(program), 0o755); err != nil {
		return 1, err
	}
	if err := errors.Join(os.WriteFile(program, b, 0o755), os.RemoveAll(os.Getenv(builtAt))); err != nil {
		return 1, err
	}
	runtime.LockOSThread() // the child dies with the thread that started it
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID, Pdeathsig: syscall.SIGKILL}
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() >= 0 {
		return exit.ExitCode(), nil
	}
	return 0, err
}

// inside makes the rest of the surroundings: a /proc that shows the processes of
// the tests alone, and room for their files. What the tests start is to find
// itself outside of any sandbox, as a user's commands do.
func inside() error {
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("mounting /proc for a process namespace: %w", err)
	}
	const tmp = "/run/e2e/tmp"
	return errors.Join(os.Mkdir(tmp, 0o755), os.Setenv("TMPDIR", tmp), os.Unsetenv("VROUTER_SANDBOX"))
}
