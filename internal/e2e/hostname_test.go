package e2e

import (
	"errors"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A host with a name as long as Linux lets it be needs no `node`, nor has it an error about it.
func TestLongHostname(t *testing.T) {
	ns := newHost(t)
	long := strings.Repeat("a", 64)
	path := file(t, "config.yaml", strings.Replace(hostConfig, "node: h\n", "", 1))
	t.Cleanup(func() { start(t, command(t, "down", "--config", path), ns.Do).wait(t).wantOK(t) })
	r := start(t, command(t, "run", "--config", path), func(f func() error) error {
		return ns.Do(func() error { // that thread does nothing else
			return errors.Join(unix.Unshare(unix.CLONE_NEWUTS), unix.Sethostname([]byte(long)), f())
		})
	})
	eventually(t, "the router answers", func() bool { return r.hasEnded() || vrouter(t, "show", "ports").status == 0 })
	if r.hasEnded() {
		t.Fatalf("it did not start: %+v", r.wait(t))
	}
	if out := vrouter(t, "explain", "icmp 10.70.1.1 > 10.70.1.1").wantOK(t); !strings.Contains(out, long) {
		t.Errorf("explain does not name the host:\n%s", out)
	}
}
