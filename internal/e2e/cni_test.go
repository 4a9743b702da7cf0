//go:build cni

package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containernetworking/cni/pkg/types"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vrouter/vrouter/cnitest"
	"github.com/vrouter/vrouter/internal/control"
	"github.com/vrouter/vrouter/internal/workload"
)

// cniPlugins is where Debian's containernetworking-plugins are, cniOwn the plugin, and cniData what IPAM notes.
const (
	cniPlugins = "/usr/lib/cni"
	cniOwn     = "/run/e2e/cni"
	cniData    = "/run/e2e/ipam"
	cniJournal = "/var/lib/cni/vrouter"
)

// cniHost makes this namespace a host, of which the router runs, with a neighbour 192.168.0.12.
func cniHost(t *testing.T, more string) (r *running, again func() *running) {
	t.Helper()
	if _, err := os.Stat(cniPlugins + "/host-local"); err != nil {
		t.Fatalf("%v: install Debian's package containernetworking-plugins", err)
	}
	if err := unix.Mount("tmpfs", "/var/lib", "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount("/var/lib", unix.MNT_DETACH) })
	if err := os.RemoveAll(cniData); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(cniOwn, 0o755); err != nil {
		t.Fatal(err)
	}
	os.Remove(cniOwn + "/vrouter")
	if err := os.Symlink(program, cniOwn+"/vrouter"); err != nil {
		t.Fatal(err)
	}
	cable := newNamespace(t)
	if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "ens160"}, PeerName: "cable"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = netlink.LinkDel(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "ens160"}}) })
	if err := up("ens160", "192.168.0.11/24"); err != nil {
		t.Fatal(err)
	}
	peer, err := netlink.LinkByName("cable")
	if err != nil {
		t.Fatal(err)
	}
	fd, err := os.Open(string(cable))
	if err != nil {
		t.Fatal(err)
	}
	defer fd.Close()
	if err := netlink.LinkSetNsFd(peer, int(fd.Fd())); err != nil {
		t.Fatal(err)
	}
	in(t, cable, func() error { return up("cable", "192.168.0.12/24") })
	path := file(t, "config.yaml", "node: h\nuplink: {interface: ens160}\nmetrics: {listen: \"\"}\n"+more)
	t.Cleanup(func() { vrouter(t, "down", "--config", path).wantOK(t) })
	again = func() *running {
		r := start(t, exec.Command(program, "run", "--config", path), outsideOfAll)
		eventually(t, "the router answers", func() bool { return r.hasEnded() || vrouter(t, "show", "ports").status == 0 })
		if r.hasEnded() {
			t.Fatalf("the router did not start: %+v", r.wait(t))
		}
		return r
	}
	return again(), again
}

const cniRoutes = "routes: [{to: 10.70.2.0/24, via: 192.168.0.12}]\n"

// cniConfig is that of a network, dual stack.
var cniConfig = map[string]any{"ipam": map[string]any{
	"type": "host-local", "dataDir": cniData,
	"ranges": [][]map[string]string{{{"subnet": "10.70.1.0/24"}}, {{"subnet": "fd00:70:1::/64"}}},
}}

// cniLeftovers are workloads, addresses that are taken, names of namespaces, and what was begun.
func cniLeftovers(t *testing.T) (all []string) {
	for _, pattern := range []string{cniData + "/*/[1f]*", cniJournal + "/*/*", "/run/netns/vrouter-cni-*"} {
		files, _ := filepath.Glob(pattern)
		all = append(all, files...)
	}
	var list []control.Workload
	if out := vrouter(t, "workload", "list", "-o", "json"); out.status == 0 {
		list = decode[[]control.Workload](t, out.out)
	}
	for _, w := range list {
		all = append(all, "workload "+w.Name)
	}
	return all
}

// cni calls the plugin.
func cni(t *testing.T, verb, id, netns string, more ...any) (map[string]any, *types.Error) {
	t.Helper()
	return cniOf(t, cniOwn+"/vrouter", cniConfig, verb, id, netns, more...)
}

func cniOf(t *testing.T, path string, config map[string]any, verb, id, netns string, more ...any) (map[string]any, *types.Error) {
	t.Helper()
	c := map[string]any{"cniVersion": "1.0.0", "name": "pods", "type": filepath.Base(path)}
	for k, v := range config {
		c[k] = v
	}
	for i := 0; i < len(more); i += 2 {
		c[more[i].(string)] = more[i+1]
	}
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path)
	cmd.Env = []string{"CNI_COMMAND=" + verb, "CNI_CONTAINERID=" + id, "CNI_NETNS=" + netns, "CNI_IFNAME=eth0", "CNI_PATH=" + cniOwn + ":" + cniPlugins}
	cmd.Stdin = bytes.NewReader(text)
	out, err := cmd.Output()
	if err == nil {
		result := map[string]any{}
		_ = json.Unmarshal(out, &result)
		return result, nil
	}
	e := &types.Error{}
	if json.Unmarshal(out, e) != nil || e.Code == 0 {
		t.Fatalf("%s: %v, %s", verb, err, out)
	}
	return nil, e
}

func wantCNI(t *testing.T, verb, id, netns string, more ...any) map[string]any {
	t.Helper()
	result, e := cni(t, verb, id, netns, more...)
	if e != nil {
		t.Fatalf("%s: code %d: %v", verb, e.Code, e)
	}
	return result
}

// The plugin holds to the specification in each version.
func TestCNI(t *testing.T) {
	leavesNothing(t)
	r, again := cniHost(t, cniRoutes)
	cnitest.Run(t, cnitest.Plugin{
		Path: cniOwn + "/vrouter", Dirs: []string{cniOwn, cniPlugins}, Versions: []string{"0.4.0", "1.0.0", "1.1.0"},
		Config: cniConfig, Leftovers: cniLeftovers,
		Unavailable: func(t *testing.T, f func()) {
			r.signal(t, syscall.SIGTERM)
			f()
			r = again()
		},
	})
}

// Containers hold over a router's end, however it ended; those that have gone meanwhile do not come back, and free their
// addresses.
func TestCNIRestart(t *testing.T) {
	leavesNothing(t)
	r, again := cniHost(t, cniRoutes)
	before := cniLeftovers(t)
	var ns []workload.Namespace
	for i := range 3 {
		ns = append(ns, newNamespace(t))
		wantCNI(t, "ADD", fmt.Sprint("c", i), string(ns[i]), "ipam", oneFamily)
	}
	address := func(i int) string { return fmt.Sprintf("10.70.1.%d", 2+i) }
	wantEcho(t, ns[0], address(1), 63)
	r.signal(t, syscall.SIGKILL)
	if err := ns[2].Delete(); err != nil {
		t.Fatal(err)
	}
	r = again()
	wantEcho(t, ns[0], address(1), 63)
	if out := vrouter(t, "workload", "list").wantOK(t); strings.Contains(out, "\nc2 ") {
		t.Errorf("a container without a namespace is there again:\n%s", out)
	}
	// One goes while the router runs, and without DEL: its address is for another one.
	if err := ns[1].Delete(); err != nil {
		t.Fatal(err)
	}
	late := newNamespace(t)
	if err := vrouterAdd(t, "other", address(1)+"/32", string(late)); err != nil {
		t.Errorf("the address of a container that is gone cannot be had: %v", err)
	}
	r.signal(t, syscall.SIGTERM)
	for i := range 3 {
		wantCNI(t, "DEL", fmt.Sprint("c", i), string(ns[i]), "ipam", oneFamily)
	}
	wantCNI(t, "DEL", "other", "", "ipam", oneFamily)
	if links := linksOf(t, ns[0]); !slices.Equal(links, []string{"interface lo"}) {
		t.Errorf("DEL without a router leaves %v", links)
	}
	again()
	if after := cniLeftovers(t); !slices.Equal(before, after) {
		t.Errorf("left behind: %q", after)
	}
}

var oneFamily = map[string]any{"type": "host-local", "dataDir": cniData, "ranges": [][]map[string]string{{{"subnet": "10.70.1.0/24"}}}}

func vrouterAdd(t *testing.T, id, address, netns string) error {
	c := control.NewClient(defaultSocket)
	defer c.Close()
	return c.Post(t.Context(), "/v1/workloads", control.NewWorkload{
		Name: id, Addresses: []string{address}, Namespace: netns, Container: &control.Container{Network: "pods", ID: id},
	}, &control.Workload{})
}

// CHECK says at which step and why a packet would be dropped, and what somebody has changed in the container.
func TestCNICheck(t *testing.T) {
	leavesNothing(t)
	cniHost(t, cniRoutes+"ipip: {mode: always}\n")
	ns := newNamespace(t)
	result := wantCNI(t, "ADD", "c1", string(ns), "cniVersion", "1.1.0")
	if text := fmt.Sprint(result); !strings.Contains(text, "mtu:1480") {
		t.Errorf("with IP-in-IP the result is %s, want mtu 1480", text)
	}
	check := func() *types.Error {
		t.Helper()
		_, e := cni(t, "CHECK", "c1", string(ns), "prevResult", result, "cniVersion", "1.1.0")
		return e
	}
	if e := check(); e != nil {
		t.Fatal(e)
	}
	vrouter(t, "route", "add", "prohibit", "10.70.2.1/32").wantOK(t)
	if e := check(); e == nil || e.Code != 102 || !strings.Contains(e.Details, "step route: prohibit") {
		t.Errorf("with a route that prohibits it: %+v", e)
	}
	vrouter(t, "route", "del", "10.70.2.1/32").wantOK(t)
	eventually(t, "CHECK tells that the address is gone", func() bool { // which the router puts back if it has something to do just then
		in(t, ns, func() error {
			l, err := netlink.LinkByName("eth0")
			if err == nil {
				a, _ := netlink.ParseAddr("10.70.1.2/32")
				_ = netlink.AddrDel(l, a)
			}
			return err
		})
		e := check()
		return e != nil && e.Code == 101 && strings.Contains(e.Msg, "10.70.1.2")
	})
	wantCNI(t, "DEL", "c1", string(ns))
}

// Where no room is left for the record, a container is not added, and nothing is left of it.
func TestCNIFullDisk(t *testing.T) {
	leavesNothing(t)
	if err := os.MkdirAll("/run/vrouter", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", "/run/vrouter", "tmpfs", 0, "size=64k"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = unix.Unmount("/run/vrouter", unix.MNT_DETACH)
		_ = os.Remove("/run/vrouter")
	})
	cniHost(t, cniRoutes)
	before, ns := cniLeftovers(t), newNamespace(t)
	filler := filepath.Join("/run/vrouter", "filler")
	_ = os.WriteFile(filler, make([]byte, 1<<20), 0o644)
	_, e := cni(t, "ADD", "c1", string(ns))
	if e == nil || e.Code != types.ErrIOFailure || !strings.Contains(e.Msg, "no space left") {
		t.Errorf("ADD with a full disk: %+v, want code 5", e)
	}
	if links := linksOf(t, ns); !slices.Equal(links, []string{"interface lo"}) {
		t.Errorf("it leaves %v", links)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	if after := cniLeftovers(t); !slices.Equal(before, after) {
		t.Errorf("left behind: %q", after)
	}
	wantCNI(t, "ADD", "c1", string(ns))
	wantCNI(t, "DEL", "c1", string(ns))
}

// A namespace that only a process has gets a name for as long as the container is there.
func TestCNIProcess(t *testing.T) {
	leavesNothing(t)
	cniHost(t, cniRoutes)
	before, ns := cniLeftovers(t), newNamespace(t)
	cmd := exec.Command("sleep", "60")
	r := start(t, cmd, ns.Do)
	path := fmt.Sprintf("/proc/%d/ns/net", cmd.Process.Pid)
	wantCNI(t, "ADD", "c1", path)
	wantEcho(t, workload.Named("vrouter-cni-c1"), "169.254.1.1", 64)
	r.signal(t, syscall.SIGKILL)
	wantCNI(t, "DEL", "c1", path)
	if after := cniLeftovers(t); !slices.Equal(before, after) {
		t.Errorf("left behind: %q", after)
	}
}

// A hundred ADDs one after the other, beside Debian's bridge plugin. It prints what they took.
func TestCNISpeed(t *testing.T) {
	leavesNothing(t)
	cniHost(t, cniRoutes)
	bridge := map[string]any{"bridge": "cni0", "ipam": oneFamily}
	t.Cleanup(func() { _ = netlink.LinkDel(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "cni0"}}) })
	var own, others []time.Duration
	for i := range 100 {
		for _, p := range []struct {
			path   string
			config map[string]any
			took   *[]time.Duration
		}{{cniOwn + "/vrouter", map[string]any{"ipam": oneFamily}, &own}, {cniPlugins + "/bridge", bridge, &others}} {
			ns := newNamespace(t)
			id := fmt.Sprintf("%s-%d", filepath.Base(p.path), i)
			began := time.Now()
			if _, e := cniOf(t, p.path, p.config, "ADD", id, string(ns)); e != nil {
				t.Fatalf("%s: %v", p.path, e)
			}
			*p.took = append(*p.took, time.Since(began))
			t.Cleanup(func() { _, _ = cniOf(t, p.path, p.config, "DEL", id, string(ns)) })
		}
	}
	slices.Sort(own)
	slices.Sort(others)
	t.Logf("100 ADDs, median (most): vrouter %v (%v), bridge %v (%v)", own[50], own[99], others[50], others[99])
}

// A container reaches what is outside by the network's gateway, which masquerades with nftables as docs/cni.md says.
func TestCNIOutOfTheCluster(t *testing.T) {
	if _, err := exec.LookPath("nft"); err != nil {
		t.Fatalf("%v: install Debian's package nftables", err)
	}
	leavesNothing(t)
	cniHost(t, "routes: [{to: 0.0.0.0/0, via: 192.168.0.12}]\n")
	outside := newNamespace(t)
	gateway := workload.Named(fmt.Sprintf("test-%d", namespaces.Load()-1)) // cniHost's cable
	doc := regexp.MustCompile("(?ms)^```\n(ip route add.*?)^```$").FindStringSubmatch(read(t, "../../docs/cni.md"))
	if doc == nil {
		t.Fatal("docs/cni.md has no commands for the gateway")
	}
	script := "ip link add wan type veth peer name eth0 netns " + filepath.Base(string(outside)) + "\n" +
		"ip link set wan up; ip addr add 203.0.113.1/24 dev wan; echo 1 >/proc/sys/net/ipv4/ip_forward\n" + doc[1]
	out := start(t, exec.Command("bash", "-euc", script), gateway.Do).wait(t)
	if out.status != 0 {
		t.Fatalf("%+v", out)
	}
	in(t, outside, func() error { return up("eth0", "203.0.113.2/24") })
	ns := newNamespace(t)
	wantCNI(t, "ADD", "c1", string(ns), "ipam", oneFamily)
	resumes(t, ns, "203.0.113.2")
	wantEcho(t, ns, "203.0.113.2", 62)
	wantCNI(t, "DEL", "c1", string(ns), "ipam", oneFamily)
}

// In VXLAN the MTU that the runtime hears of, and the container has, leaves room for 50 bytes. CHECK finds nothing wrong.
func TestCNIVXLAN(t *testing.T) {
	leavesNothing(t)
	cniHost(t, cniRoutes+"vxlan: {mode: always}\n")
	ns := newNamespace(t)
	result := wantCNI(t, "ADD", "c1", string(ns), "cniVersion", "1.1.0")
	if text := fmt.Sprint(result); !strings.Contains(text, "mtu:1450") {
		t.Errorf("the result is %s, want mtu 1450", text)
	}
	if mtu := stateOf(t, ns, "eth0").MTU; mtu != 1450 {
		t.Errorf("eth0 has an MTU of %d, want 1450", mtu)
	}
	wantCNI(t, "CHECK", "c1", string(ns), "cniVersion", "1.1.0", "prevResult", result)
	wantCNI(t, "DEL", "c1", string(ns))
}
