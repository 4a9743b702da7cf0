package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	// What the binary is made of, and these tests do not use themselves: a
	// change there makes the results of an earlier run worthless.
	_ "github.com/vrouter/vrouter/internal/demo"
	_ "github.com/vrouter/vrouter/metrics"
)

const (
	patience       = 10 * time.Second
	commandTimeout = 20 * time.Second
	pollEvery      = 5 * time.Millisecond
)

// eventually waits for a condition.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	within(t, patience, what, ok)
}

func within(t *testing.T, d time.Duration, what string, ok func() bool) {
	t.Helper()
	deadline, tick := time.After(d), time.NewTicker(pollEvery)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not within %v: %s", d, what)
		}
	}
}

// result is a command that has ended.
type result struct {
	out, err string
	status   int
}

// vrouter runs the binary to its end.
func vrouter(t *testing.T, args ...string) result {
	t.Helper()
	return run(t, command(t, args...))
}

func command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	// The Go tool notes what a test looks at, and runs it again if that changed.
	if _, err := os.ReadDir("../../cmd/vrouter"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
	t.Cleanup(cancel)
	return exec.CommandContext(ctx, program, args...)
}

func run(t *testing.T, cmd *exec.Cmd) result {
	t.Helper()
	return start(t, cmd, outsideOfAll).wait(t)
}

// outsideOfAll runs a function where commands are typed: on no host of any lab.
func outsideOfAll(f func() error) error { return f() }

func exitStatus(t *testing.T, err error) int {
	t.Helper()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if exit == nil {
		return 0
	}
	return exit.ExitCode() // -1: killed
}

// wantOK wants success and nothing on stderr, and returns stdout.
func (r result) wantOK(t *testing.T) string {
	t.Helper()
	if r.status != 0 || r.err != "" {
		t.Fatalf("status %d, stderr %q; want success", r.status, r.err)
	}
	return r.out
}

// wantError wants a status, one line on stderr that matches, and nothing on stdout.
func (r result) wantError(t *testing.T, status int, pattern string) {
	t.Helper()
	if r.status != status {
		t.Errorf("status %d, want %d", r.status, status)
	}
	if r.out != "" {
		t.Errorf("stdout %q, want nothing", r.out)
	}
	wantOneLine(t, r.err, pattern)
}

func wantOneLine(t *testing.T, stderr, pattern string) {
	t.Helper()
	line, more, _ := strings.Cut(stderr, "\n")
	if more != "" || !strings.HasPrefix(line, "vrouter: ") {
		t.Errorf("stderr %q, want one line of vrouter's", stderr)
	}
	if !regexp.MustCompile(pattern).MatchString(line) {
		t.Errorf("stderr %q does not match %q", line, pattern)
	}
}

// decode reads a command's JSON, which may hold nothing that we do not know.
func decode[T any](t *testing.T, out string) T {
	t.Helper()
	var v T
	d := json.NewDecoder(strings.NewReader(out))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	return v
}

// running is a command that runs meanwhile; at the end of the test it is killed.
type running struct {
	cmd    *exec.Cmd
	out    string // files
	errors string
	ended  chan struct{}
	status error
}

// start starts a command from a thread that `where` chooses, such as one in a
// namespace: there the command finds itself too.
func start(t *testing.T, cmd *exec.Cmd, where func(func() error) error) *running {
	t.Helper()
	r := &running{cmd: cmd, ended: make(chan struct{})}
	out, stderr := tempFile(t), tempFile(t)
	r.out, r.errors = out.Name(), stderr.Name()
	if cmd.Stderr = stderr; cmd.Stdout == nil { // else it is a terminal
		cmd.Stdout = out
	}
	if err := where(cmd.Start); err != nil {
		t.Fatal(err)
	}
	out.Close()
	stderr.Close()
	go func() {
		r.status = cmd.Wait()
		close(r.ended)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-r.ended
	})
	return r
}

func tempFile(t *testing.T) *os.File {
	t.Helper()
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// wait is run's second half.
func (r *running) wait(t *testing.T) result {
	t.Helper()
	<-r.ended // at the latest when the command's time is over
	return result{read(t, r.out), read(t, r.errors), exitStatus(t, r.status)}
}

func (r *running) send(t *testing.T, sig syscall.Signal) {
	t.Helper()
	if err := r.cmd.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
}

// signal sends one and says how long the command took to end.
func (r *running) signal(t *testing.T, sig syscall.Signal) time.Duration {
	t.Helper()
	sent := time.Now()
	r.send(t, sig)
	<-r.ended
	return time.Since(sent)
}

func (r *running) hasEnded() bool {
	select {
	case <-r.ended:
		return true
	default:
		return false
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
