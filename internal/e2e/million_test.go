package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	million   = 1_000_000
	maxMemory = 512 << 10 // KiB
)

// A router takes a million routes from its file, forwards by them, and reads the file again with
// one of them changed while pings go by another; and never has more memory than is
// promised.
func TestMillionRoutes(t *testing.T) {
	h := labUp(t, "")[0]
	h.killRouter(t, syscall.SIGTERM)
	h.edit(t, func(s string) string { return withMillion(t, s, "26.66.63.0/24") })
	config := filepath.Join(filepath.Dir(h.Socket), "config.yaml")
	r := start(t, patiently(t, "lab", "exec", h.Name, "--", program, "run", "--config", config), outsideOfAll)
	within(t, time.Minute, "the router answers", func() bool { return r.hasEnded() || h.ask(t, "show", "ports").status == 0 })
	if r.hasEnded() {
		t.Fatalf("the router did not start: %+v", r.wait(t))
	}
	if n := scrape(t, h.ns)[key("routes", `protocol="static"`)]; n != million {
		t.Errorf("%v static routes, want a million", n)
	}
	resumes(t, h.ns1, there)
	if out := h.ask(t, "route", "get", "26.66.63.9").wantOK(t); !strings.Contains(out, "by  26.66.63.0/24 via 192.168.0.12 ") {
		t.Errorf("the route to 26.66.63.9:\n%s", out)
	}
	wantMemory(t, r)

	h.edit(t, func(s string) string { return strings.Replace(s, "26.66.63.0/24", "26.66.63.0/25", 1) })
	stop := floods(t, h.ns1, there)
	run(t, patiently(t, "--socket", h.Socket, "reload")).wantOK(t)
	stop()
	if out := h.ask(t, "route", "get", "26.66.63.9").wantOK(t); !strings.Contains(out, "by  26.66.63.0/25 ") {
		t.Errorf("after a reload, the route to 26.66.63.9:\n%s", out)
	}
	wantMemory(t, r)
}

// withMillion puts a million routes into a host's file, its own and the last one among them.
func withMillion(t *testing.T, config, last string) string {
	t.Helper()
	before, after, ok := strings.Cut(config, "routes:\n")
	if !ok {
		t.Fatalf("no routes in\n%s", config)
	}
	var b strings.Builder
	b.WriteString(before + "routes:\n")
	for i := range million - 2 {
		fmt.Fprintf(&b, "  - to: %d.%d.%d.0/24\n    via: 192.168.0.12\n", 11+i>>16, i>>8&255, i&255)
	}
	fmt.Fprintf(&b, "  - {to: %s, via: 192.168.0.12}\n", last)
	b.WriteString(after)
	return b.String()
}

// patiently is a command that may take longer than others.
func patiently(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	return exec.CommandContext(ctx, program, args...)
}

// wantMemory wants that a process has never had more memory than maxMemory.
func wantMemory(t *testing.T, r *running) {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", r.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	peak := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(status)
	if peak == nil {
		t.Fatalf("no VmHWM in %s", status)
	}
	most := maxMemory
	if raced() {
		most *= 4
	}
	if kib, _ := strconv.Atoi(string(peak[1])); kib > most || kib < 100<<10 {
		t.Errorf("the router had %d KiB at its peak; want at most %d, and not so few that it is another process", kib, most)
	} else {
		t.Logf("peak: %d KiB", kib)
	}
}

// raced says whether the programs have the race detector in them, which takes memory to
// remember who touched what.
func raced() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}
