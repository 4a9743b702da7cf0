package e2e

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/vrouter/vrouter/internal/control"
	"github.com/vrouter/vrouter/internal/workload"
)

// A reload that changes one of a thousand workloads takes less than 50 ms, and the others lose nothing. On a busy machine one
// of several is enough to show that it can.
func TestReloadOfOneOfAThousand(t *testing.T) {
	leavesNothing(t)
	const count, limit = 1000, 50 * time.Millisecond
	config := func(mtu, address int) string {
		var b strings.Builder
		fmt.Fprintf(&b, "node: h\nuplink: {interface: ens160}\ncontrol: {socket: %s}\nworkloads:\n", defaultSocket)
		for i := range count - 1 {
			fmt.Fprintf(&b, "  - {name: w%d, address: 10.%d.%d.1/24}\n", i, 71+i>>8, i&255)
		}
		fmt.Fprintf(&b, "  - {name: last, address: 10.70.9.%d/24, mtu: %d}\n", address, mtu)
		return b.String()
	}
	ns := newHost(t)
	path := file(t, "config.yaml", config(1400, 1))
	t.Cleanup(func() {
		start(t, exec.Command(program, "down", "--config", path), ns.Do).wait(t).wantOK(t)
	})
	r := start(t, exec.Command(program, "run", "--config", path), ns.Do)
	within(t, time.Minute, "the router answers", func() bool { return r.hasEnded() || vrouter(t, "show", "workers").status == 0 })
	if r.hasEnded() {
		t.Fatalf("%+v", r.wait(t))
	}
	from := workload.Named("w1")
	wantEcho(t, from, "10.71.2.1", 63)
	c := control.NewClient(defaultSocket)
	defer c.Close()
	stop := floods(t, from, "10.71.2.1")
	best := time.Hour
	for i := range 20 {
		write(t, path, config(1300+i, 1+i%2))
		began := time.Now()
		if err := c.Post(t.Context(), "/v1/reload", struct{}{}, &control.Reloaded{}); err != nil {
			t.Fatal(err)
		}
		took := time.Since(began)
		if best = min(best, took); testing.Verbose() {
			t.Logf("%v", took)
		}
	}
	stop()
	if best > limit {
		t.Errorf("the fastest reload took %v, limit %v", best, limit)
	}
	resumes(t, workload.Named("last"), "10.71.2.1")
}
