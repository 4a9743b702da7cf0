package e2e

import (
	"net"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestServiceManager is one: the router tells it when it is ready, alive, reloading
// and about to end.
func TestServiceManager(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	wantTold := func(want string) {
		t.Helper()
		b := make([]byte, 4096)
		for {
			_ = c.SetReadDeadline(time.Now().Add(patience))
			n, err := c.Read(b)
			if err != nil {
				t.Fatalf("the manager was not told %q: %v", want, err)
			}
			if got := string(b[:n]); strings.HasPrefix(got, want) {
				return
			} else if got != "WATCHDOG=1" {
				t.Fatalf("the manager was told %q, want %q", got, want)
			}
		}
	}
	t.Setenv("NOTIFY_SOCKET", path)
	t.Setenv("WATCHDOG_USEC", "400000")
	ns := newHost(t)
	r := startRouter(t, ns, "/run/vrouter/vrouter.sock", hostConfig)
	wantTold("READY=1\nSTATUS=forwarding, uplink ens160")
	wantTold("WATCHDOG=1")
	wantTold("WATCHDOG=1")
	hangup(t, r)
	wantTold("RELOADING=1\nMONOTONIC_USEC=")
	wantTold("READY=1\nSTATUS=forwarding, reloaded ")
	write(t, configOf(r), "nonsense: 1\n")
	hangup(t, r)
	wantTold("RELOADING=1")
	wantTold("READY=1\nSTATUS=forwarding; the last reload failed: " + configOf(r) + ":1:1: nonsense: unknown key")
	write(t, configOf(r), hostConfig) // for `vrouter down`
	r.signal(t, syscall.SIGTERM)
	wantTold("STOPPING=1")
}

// configOf is the file that a router was started with.
func configOf(r *running) string { return r.cmd.Args[len(r.cmd.Args)-1] }

func hangup(t *testing.T, r *running) {
	t.Helper()
	if err := r.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
}
