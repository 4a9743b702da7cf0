package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vrouter/vrouter/internal/control"
	"github.com/vrouter/vrouter/internal/workload"
)

// A workload that a command attaches has the tutorial's set-up, as those of the file;
// to delete it leaves nothing of that.
func TestWorkloadCommands(t *testing.T) {
	h := labUp(t, "")[0]
	leavesNothing(t)
	h.ask(t, "workload", "add", "ns3", "address", "10.70.1.3/24").wantOK(t)
	ns3 := h.named("ns3")
	want, got := stateOf(t, h.ns1, "eth0"), stateOf(t, ns3, "eth0")
	want.MAC, got.MAC, want.Index, got.Index = "", "", 0, 0
	for i := range want.Addresses {
		want.Addresses[i] = strings.ReplaceAll(want.Addresses[i], here, "10.70.1.3")
	}
	for i := range want.Routes {
		want.Routes[i] = strings.ReplaceAll(want.Routes[i], here, "10.70.1.3")
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("eth0 (-as of the file's +as of the command's):\n%s", d)
	}
	wantEcho(t, ns3, here, 63)
	wantEcho(t, h.ns1, "10.70.1.3", 63)
	for words, err := range map[string]string{
		"ns3 address 10.70.1.4/24":                          `name: there is a workload ns3`,
		"ns4 address 10.70.1.3/24":                          `address: 10.70.1.3 is already taken by workload ns3`,
		"ns4 address 169.254.1.1/24":                        `address: 169.254.1.1 is a link-local address`,
		"ns4 address 10.70.1.4":                             `address: 10.70.1.4 has no prefix length`,
		"ns4":                                               `address: missing`,
		"ns/4 address 10.70.1.4/24":                         `name: "ns/4" has a slash`,
		"../ns4 address 10.70.1.4/24":                       `name: "../ns4" has a slash`,
		"ens160 address 10.70.1.4/24":                       `name: "ens160" is the uplink's name`,
		"ns4 address 10.70.1.4/24 namespace run/netns/ns3":  `namespace: "run/netns/ns3" is not an absolute path`,
		"ns4 address 10.70.1.4/24 namespace /no/where":      `namespace: /no/where: no network namespace there`,
		"ns4 address 10.70.1.4/24 namespace " + string(ns3): `interface: eth0 in ` + string(ns3) + ` is already taken by workload ns3`,
		"ns4 address 10.70.1.4/24 mtu 67":                   `mtu: "67" is not an MTU`,
		"ns4 address 10.70.1.4/24 interface a/b":            `interface: "a/b" is not an interface name`,
	} {
		h.ask(t, append([]string{"workload", "add"}, strings.Fields(words)...)...).wantError(t, 1, err)
	}
	h.ask(t, "workload", "add").wantError(t, 2, "the name is missing")
	h.ask(t, "workload", "add", "ns4", "colour", "red").wantError(t, 2, `"colour": there is address, interface`)
	h.ask(t, "workload", "add", "ns4", "mtu").wantError(t, 2, `"mtu": its value is missing`)
	h.ask(t, "workload", "add", "ns4", "mtu", "big").wantError(t, 2, `"big": not an MTU`)
	h.ask(t, "workload", "del", "ns4").wantError(t, 1, `name: there is no workload "ns4"`)
	h.ask(t, "workload", "del", "ns/3").wantError(t, 1, `name: there is no workload "ns/3"`)

	h.ask(t, "route", "add", "10.80.0.0/16", "via", "10.70.1.3").wantOK(t)
	h.ask(t, "workload", "del", "ns3").wantError(t, 1, `name: routes go by way of ns3 \(via 10.70.1.3\): delete them first`)
	wantEcho(t, ns3, here, 63)
	h.ask(t, "route", "del", "10.80.0.0/16").wantOK(t)
	h.ask(t, "workload", "del", "ns3").wantOK(t)
	if ns3.Exists() {
		t.Error("the namespace is left behind")
	}
}

// A namespace that was there before, by name or by path, stays when its workload
// goes, whatever became of the workload in between.
func TestWorkloadInAFoundNamespace(t *testing.T) {
	h := labUp(t, "")[0]
	byPath, byName := newNamespace(t), h.named("w8")
	if _, err := workload.Create(filepath.Base(string(byName))); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = byName.Delete() })
	for words, found := range map[string]workload.Namespace{"w8": byName, "w9 interface net0 namespace " + string(byPath): byPath} {
		args := strings.Fields(words + " address 10.70.1.9/24 mtu 1300")
		h.ask(t, append([]string{"workload", "add"}, args...)...).wantOK(t)
		wantEcho(t, found, here, 63)
		for _, mtu := range []string{"mtu: 1301", "mtu: 1300"} { // attached again by a reload
			h.edit(t, func(string) string {
				return strings.Replace(h.ask(t, "show", "config").wantOK(t), "mtu: 1300", mtu, 1)
			})
			h.ask(t, "reload").wantOK(t)
		}
		h.ask(t, "workload", "del", args[0]).wantOK(t)
		if !found.Exists() {
			t.Fatal("the namespace is gone")
		}
		if links := linksOf(t, found); !slices.Equal(links, []string{"interface lo"}) {
			t.Errorf("interfaces %v are left", links)
		}
	}
}

// A thousand reloads, each of which adds or takes away a workload's route, and now
// and then a workload, while a flood of pings between others loses none.
func TestThousandReloads(t *testing.T) {
	h := labUp(t, "")[0]
	wantEcho(t, h.ns1, there, 62)
	good := read(t, filepath.Join(filepath.Dir(h.Socket), "config.yaml"))
	route := strings.Replace(good, "routes:\n", "routes:\n  - {to: 10.99.0.0/16, via: "+here+"}\n  - {to: 10.98.0.0/16, type: prohibit}\n", 1)
	one := strings.Replace(good, "workloads:\n", oneMore, 1)
	c := control.NewClient(h.Socket)
	defer c.Close()
	stop := floods(t, h.ns1, there)
	began := time.Now()
	for i := range 1000 {
		text := []string{route, good}[i%2]
		if i%100 == 50 {
			text = one
		}
		h.edit(t, func(string) string { return text })
		if err := c.Post(t.Context(), "/v1/reload", struct{}{}, &struct{}{}); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%v a reload", time.Since(began)/1000)
	stop()
	if n := scrape(t, h.ns)[key("accounting_imbalance_packets")]; n != 0 {
		t.Errorf("imbalance of %v packets", n)
	}
}

// A reload that fails half-way, at a workload that cannot be attached, touches none
// of the others: not even those that were to go or to change.
func TestFailedReloadTouchesNothing(t *testing.T) {
	h := labUp(t, "")[0]
	h.ask(t, "workload", "add", "ns3", "address", "10.70.1.3/24").wantOK(t)
	h.edit(t, func(string) string { return h.ask(t, "show", "config").wantOK(t) })
	h.ask(t, "reload").wantOK(t)
	taken := newNamespace(t)
	in(t, taken, func() error {
		return netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "eth0"}, PeerName: "other"})
	})
	stop := floods(t, h.ns1, "10.70.1.3")
	h.edit(t, func(s string) string {
		s = strings.Replace(s, "address: 10.70.1.3/24\n", "address: 10.70.1.3/24\n    mtu: 1400\n", 1)
		return strings.Replace(s, "workloads:\n", "workloads:\n  - {name: bad, address: 10.70.1.9/24, namespace: "+string(taken)+"}\n", 1)
	})
	for range 5 {
		h.ask(t, "reload").wantError(t, 1, "workload bad: eth0 exists and is no TAP")
	}
	stop()
	h.ask(t, "workload", "del", "ns3").wantOK(t)
}

// Completion knows what there is now; without a router it is silent, and quick.
func TestCompletion(t *testing.T) {
	h := labUp(t, "")[0]
	complete := func(words ...string) []string {
		t.Helper()
		out := h.ask(t, append([]string{"__complete"}, words...)...).out
		list := strings.Split(strings.TrimSpace(out), "\n")
		return list[:len(list)-1] // the last is cobra's directive
	}
	for _, c := range []struct{ words, want string }{
		{"workload del |", "ns1"},
		{"workload del ns1 |", ""},
		{"workload add ns3 |", "address interface namespace mtu"},
		{"workload add ns3 address 10.70.1.3/24 m|", "mtu"},
		{"route del 10|", "10.70.2.1/32"},
		{"route replace b|", "blackhole"},
		{"route get 10.70|", here + " " + there},
		{"route add 10.70.3.1 |", "via dev metric proto encap"},
		{"route add 10.70.3.1 dev |", "ens160 ns1"},
		{"route add 10.70.3.1 via " + here[:5] + "|", here},
		{"show ports e|", "ens160"},
		{"show drops no_|", "no_route"},
	} {
		words := strings.Split(strings.TrimSuffix(c.words, "|"), " ")
		got := complete(words...)
		slices.Sort(got)
		want := strings.Fields(c.want)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", c.words, got, want)
		}
	}
	for _, socket := range []string{"/no/such/socket", silentSocket(t)} {
		began := time.Now()
		r := vrouter(t, "--socket", socket, "__complete", "workload", "del", "")
		if r.status != 0 || r.out != ":4\n" {
			t.Errorf("%s: %+v", socket, r)
		}
		if d := time.Since(began); d > 2*time.Second {
			t.Errorf("%s: it took %v", socket, d)
		}
	}
	h.ask(t, "show", "ports", "ns1").wantOK(t)
	h.ask(t, "show", "ports", "ns7").wantError(t, 1, `there is no port "ns7"`)
	h.ask(t, "show", "drops", "nonsense").wantError(t, 1, `there is no drop reason "nonsense"`)
	if out := h.ask(t, "show", "drops", "no_route").wantOK(t); !hasLine(out, []string{"no_route", "0"}) {
		t.Error(out)
	}
}

// silentSocket takes connections and says nothing.
func silentSocket(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd); os.Remove(path) })
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(fd, 8); err != nil {
		t.Fatal(err)
	}
	return path
}
