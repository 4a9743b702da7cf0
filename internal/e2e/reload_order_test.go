package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/vrouter/vrouter/internal/control"
)

// Of reloads that overlap the last one asked for is the one in force.
func TestLastReloadWins(t *testing.T) {
	h := labUp(t, "")[0]
	good := read(t, filepath.Join(filepath.Dir(h.Socket), "config.yaml"))
	name := filepath.Join(filepath.Dir(h.Socket), "config.yaml")
	var many strings.Builder // so that a file takes a while to read
	for i := range 3000 {
		fmt.Fprintf(&many, "  - {to: 10.%d.%d.0/24, type: blackhole}\n", 100+i>>8, i&255)
	}
	for round := range 10 {
		var asked sync.WaitGroup
		for i := range 4 {
			routes := fmt.Sprintf("routes:\n  - {to: 10.9.%d.0/24, type: prohibit}\n", 4*round+i)
			if i < 3 {
				routes += many.String()
			}
			next := name + ".new"
			if err := os.WriteFile(next, []byte(strings.Replace(good, "routes:\n", routes, 1)), 0o644); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(next, name); err != nil {
				t.Fatal(err)
			}
			sent := make(chan struct{})
			asked.Go(func() {
				c := control.NewClient(h.Socket)
				defer c.Close()
				close(sent)
				if err := c.Post(t.Context(), "/v1/reload", struct{}{}, &control.Reloaded{}); err != nil {
					t.Error(err)
				}
			})
			<-sent
		}
		asked.Wait()
		if out := h.ask(t, "route", "list").wantOK(t); !strings.Contains(out, fmt.Sprintf("prohibit 10.9.%d.0/24", 4*round+3)) {
			t.Fatalf("round %d: the last one is not in force:\n%.300s", round, out)
		}
	}
}

// What a reload may change: the node's name, as the hostname may have, and the log.
func TestReloadChangesNameAndLog(t *testing.T) {
	ns := newHost(t)
	r := startRouter(t, ns, defaultSocket, hostConfig)
	tail := "control: {socket: " + defaultSocket + "}\n"
	write(t, configOf(r), strings.Replace(hostConfig, "node: h", "node: other", 1)+tail+"log: {level: debug, format: json}\n")
	vrouter(t, "reload").wantOK(t)
	if out := vrouter(t, "explain", "icmp 10.70.1.1 > 169.254.1.1").wantOK(t); !strings.HasPrefix(out, "#1 other ") {
		t.Errorf("explain says:\n%s", out)
	}
	if log := read(t, r.errors); !strings.Contains(log, `"msg":"reloaded"`) {
		t.Errorf("the log is:\n%s", log)
	}
	write(t, configOf(r), strings.Replace(hostConfig, "node: h", "node: other", 1)+tail+"log: {level: error}\n")
	vrouter(t, "reload").wantOK(t)
	said := len(read(t, r.errors))
	vrouter(t, "reload").wantOK(t)
	if more := read(t, r.errors)[said:]; more != "" {
		t.Errorf("at level error it says:\n%s", more)
	}
}

// An address of the uplink's is nobody else's: such a configuration is refused, at the start and at a reload.
func TestAddressOfTheUplinkIsRefused(t *testing.T) {
	ns := newHost(t)
	const gateway = "gateway: {address: 192.168.0.11}\n"
	mine := strings.Replace(hostConfig, "10.70.1.1/24", "192.168.0.11/24", 1)
	refuses(t, ns, mine, "workload w1: address: 192.168.0.11 is the address of ens160, this host's uplink: give the workload another one")
	refuses(t, ns, hostConfig+gateway, "gateway.address: 192.168.0.11 is the address of ens160, this host's uplink: give the gateway another one")
	r := startRouter(t, ns, defaultSocket, hostConfig)
	write(t, configOf(r), mine+"control: {socket: "+defaultSocket+"}\n")
	vrouter(t, "reload").wantError(t, 1, "workload w1: address: 192.168.0.11 is the address of ens160")
	vrouter(t, "workload", "add", "w2", "address", "192.168.0.11/24").wantError(t, 1, "address: 192.168.0.11 is the address of ens160")
}
