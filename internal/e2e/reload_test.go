package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/vrouter/vrouter/internal/control"
)

// edit rewrites the file that a lab's router was started with.
func (h host) edit(t *testing.T, change func(string) string) {
	t.Helper()
	name := filepath.Join(filepath.Dir(h.Socket), "config.yaml")
	if err := os.WriteFile(name, []byte(change(read(t, name))), 0o644); err != nil {
		t.Fatal(err)
	}
}

const oneMore = "workloads:\n  - {name: ns9, address: 10.70.1.9/24}\n"

// A workload comes and goes, and a route changes, while a flood of pings between
// others loses none.
func TestReload(t *testing.T) {
	h := labUp(t, "")[0]
	wantEcho(t, h.ns1, there, 62)
	flooded := make(chan error, 1)
	go func() { flooded <- h.ns1.Do(func() error { return flood(there, 5000) }) }()
	for n := 0; n < 20; n++ {
		h.edit(t, func(s string) string {
			return strings.Replace(strings.Replace(s, "workloads:\n", oneMore, 1), "routes:\n", "routes:\n  - {to: 10.99.0.0/16, type: prohibit}\n", 1)
		})
		h.ask(t, "reload").wantOK(t)
		h.edit(t, func(s string) string {
			return strings.Replace(strings.Replace(s, oneMore, "workloads:\n", 1), "  - {to: 10.99.0.0/16, type: prohibit}\n", "", 1)
		})
		h.ask(t, "reload").wantOK(t)
	}
	if err := <-flooded; err != nil {
		t.Error(err)
	}
	if h.named("ns9").Exists() {
		t.Error("the namespace that a reload made is left behind")
	}
	if n := scrape(t, h.ns)[key("accounting_imbalance_packets")]; n != 0 {
		t.Errorf("imbalance of %v packets", n)
	}
}

func TestReloadAttachesAWorkload(t *testing.T) {
	h := labUp(t, "")[0]
	h.edit(t, func(s string) string { return strings.Replace(s, "workloads:\n", oneMore, 1) })
	if err := unix.Kill(h.Router.PID, unix.SIGHUP); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the workload is attached", func() bool {
		return len(decode[[]control.Workload](t, h.ask(t, "workload", "list", "-o", "json").wantOK(t))) == 2
	})
	wantEcho(t, h.named("ns9"), here, 63)
	h.edit(t, func(s string) string { return strings.Replace(s, "10.70.1.9/24", "10.70.1.8/24", 1) })
	h.ask(t, "reload").wantOK(t)
	wantEcho(t, h.ns1, "10.70.1.8", 63)
	ns9 := h.named("ns9")
	h.edit(t, func(s string) string { return strings.Replace(s, "{name: ns9,", "{name: ns9, interface: net0,", 1) })
	h.ask(t, "reload").wantOK(t)
	wantEcho(t, h.ns1, "10.70.1.8", 63)
	if links := linksOf(t, ns9); slices.Contains(links, "eth0") {
		t.Errorf("the interface of before is left behind: %v", links)
	}
	h.edit(t, func(s string) string {
		return strings.Replace(s, "  - {name: ns9, interface: net0, address: 10.70.1.8/24}\n", "", 1)
	})
	h.ask(t, "reload").wantOK(t)
	if ns9.Exists() {
		t.Error("the namespace is left behind")
	}
}

// What is wrong in a file changes nothing.
func TestReloadRefuses(t *testing.T) {
	h := labUp(t, "")[0]
	good := read(t, filepath.Join(filepath.Dir(h.Socket), "config.yaml"))
	before := h.ask(t, "show", "config").wantOK(t)
	for change, want := range map[[2]string]string{
		{"workloads:\n", "workloads:\n  - {name: ens160, address: 10.70.1.9/24}\n"}: `"ens160" is the uplink's name`,
		{"rpf: strict", "rpf: sometimes"}:                                           "rpf",
		{"offload: true", "offload: false"}:                                         "offload cannot change from true to false while the router runs",
		{"interface: ens160", "interface: eth7"}:                                    "uplink.interface cannot change",
		{"via: 192.168.0.12", "via: 172.16.0.1"}:                                    "next hop 172.16.0.1 is no neighbour",
		{"workloads:\n", "workloads:\n  - {name: bad, address: 192.168.0.11/24}\n"}: "workload bad: address: 192.168.0.11 is the address of ens160",
	} {
		h.edit(t, func(string) string { return strings.Replace(good, change[0], change[1], 1) })
		h.ask(t, "reload").wantError(t, 1, want)
		if after := h.ask(t, "show", "config").wantOK(t); after != before {
			t.Errorf("%s: the configuration in force is now\n%s", want, after)
		}
		wantEcho(t, h.ns1, there, 62)
	}
}
