package e2e

import (
	"bufio"
	"fmt"
	"net"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// A router that ends, however it ends, takes nothing with it: connections wait,
// and go on with the next one.
func TestRestart(t *testing.T) {
	hosts := labUp(t, "")
	h := hosts[0]
	a, b := connect(t, h.ns1, hosts[1].ns1, there)
	lines := bufio.NewReader(b)
	say(t, a, lines, "before")
	before := stateOf(t, h.ns1, "eth0")
	unchanged := func(when string) {
		t.Helper()
		if d := cmp.Diff(before, stateOf(t, h.ns1, "eth0")); d != "" {
			t.Errorf("eth0 %s (-before +now):\n%s", when, d)
		}
	}
	h.killRouter(t, syscall.SIGKILL)
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL, syscall.SIGINT} {
		unchanged("without a router")
		if _, err := fmt.Fprintln(a, "meanwhile"); err != nil {
			t.Fatal(err)
		}
		r := h.restart(t)
		unchanged("with the next router")
		hear(t, lines, "meanwhile") // TCP has tried again
		say(t, a, lines, "after")
		wantEcho(t, h.ns1, there, 62)
		if took := r.signal(t, sig); took > time.Second {
			t.Errorf("it took %v to end by %v", took, sig)
		}
		if status := r.wait(t).status; sig != syscall.SIGKILL && status != 0 {
			t.Errorf("%v: status %d, want 0", sig, status)
		}
	}
}

// outageLimit is how long forwarding may rest when a router is killed and started
// again at once, as by systemd's Restart=always: far more than it takes.
const outageLimit = 3 * time.Second

// How many packets a killed router costs: one is sent each millisecond, and each
// that came has a number.
func TestPacketsLostByAKill(t *testing.T) {
	hosts := labUp(t, "")
	h := hosts[0]
	wantEcho(t, h.ns1, there, 62)
	flow := sendNumbered(t, h.ns1, hosts[1].ns1, there)
	flow.came(t, 20)
	h.killRouter(t, syscall.SIGKILL)
	killed := time.Now()
	first := flow.sent.Load() // at the latest this one is lost, save for the one that is on its way
	config := filepath.Join(filepath.Dir(h.Socket), "config.yaml")
	start(t, command(t, "lab", "exec", h.Name, "--", program, "run", "--config", config), outsideOfAll)
	again, at := flow.came(t, first+1)
	lost, outage := again-first, at.Sub(killed)
	t.Logf("%d packets lost at one a millisecond, forwarding again after %v", lost, outage)
	if outage > outageLimit || lost > uint64(outageLimit/time.Millisecond) {
		t.Errorf("%d packets lost in %v, limit %v", lost, outage, outageLimit)
	}
}

func say(t *testing.T, to net.Conn, from *bufio.Reader, line string) {
	t.Helper()
	if _, err := fmt.Fprintln(to, line); err != nil {
		t.Fatal(err)
	}
	hear(t, from, line)
}

func hear(t *testing.T, from *bufio.Reader, want string) {
	t.Helper()
	if got, err := from.ReadString('\n'); err != nil || got != want+"\n" {
		t.Fatalf("heard %q, %v; want %q", got, err, want)
	}
}

// A running trace is no reason for the router not to end.
func TestRouterEndsWhileItIsTraced(t *testing.T) {
	h := labUp(t, "")[0]
	h.killRouter(t, syscall.SIGTERM)
	router := h.restart(t)
	trace := start(t, command(t, "--socket", h.Socket, "trace"), outsideOfAll)
	eventually(t, "the trace is on", func() bool {
		echo(t, h.ns1, there, 100*time.Millisecond)
		return read(t, trace.out) != ""
	})
	if took := router.signal(t, syscall.SIGTERM); took > time.Second {
		t.Errorf("it took %v", took)
	}
	if end := trace.wait(t); end.status != 1 {
		t.Errorf("the trace's status is %d, want 1", end.status)
	} else {
		wantOneLine(t, end.err, "the router at .* has stopped")
	}
}
