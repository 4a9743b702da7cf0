package e2e

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vrouter/vrouter/internal/control"
	"github.com/vrouter/vrouter/internal/workload"
)

const defaultSocket = "/run/vrouter/vrouter.sock"

// listed is a workload as the router lists it.
func listed(t *testing.T, name string) control.Workload {
	t.Helper()
	for _, w := range decode[[]control.Workload](t, vrouter(t, "workload", "list", "-o", "json").wantOK(t)) {
		if w.Name == name {
			return w
		}
	}
	t.Fatalf("there is no workload %s", name)
	return control.Workload{}
}

// A namespace that is not there yet stops nobody: neither at the start nor at a reload. It is said, shown, and attached when
// it comes.
func TestAbsentNamespaceWaits(t *testing.T) {
	leavesNothing(t)
	ns := newHost(t)
	const late = "/run/netns/late"
	two := strings.Replace(hostConfig, "}]", "}, {name: w2, address: 10.70.1.2/24, namespace: "+late+"}]", 1)
	r := startRouter(t, ns, defaultSocket, two)
	w1 := workload.Named("w1")
	wantEcho(t, w1, "169.254.1.1", 64)
	if w := listed(t, "w2"); w.Waits != late+": no network namespace there" {
		t.Errorf("%+v", w)
	}
	if log := read(t, r.errors); !hasLine(log, []string{"level=WARN", "the workload is not attached; trying again", "workload=w2", "no network namespace there"}) {
		t.Errorf("the log does not tell:\n%s", log)
	}
	come := func() {
		t.Helper()
		if _, err := workload.Create("late"); err != nil {
			t.Fatal(err)
		}
		resumes(t, w1, "10.70.1.2")
	}
	come()
	if err := workload.Namespace(late).Delete(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "w2 waits", func() bool { return listed(t, "w2").Waits != "" })

	// The same at a reload, with something else in it.
	write(t, configOf(r), strings.Replace(two, "w2", "w3", 1)+"control: {socket: "+defaultSocket+"}\nroutes: [{to: 10.99.0.0/16, type: prohibit}]\n")
	if out, want := vrouter(t, "reload").wantOK(t), "waits: workload w3: "+late+": no network namespace there\n"; out != want {
		t.Errorf("reload says %q, want %q", out, want)
	}
	if out := vrouter(t, "route", "list").wantOK(t); !strings.Contains(out, "prohibit 10.99.0.0/16") {
		t.Errorf("the rest was not done:\n%s", out)
	}
	come()
	t.Cleanup(func() { _ = workload.Namespace(late).Delete() })
	wantEcho(t, w1, "169.254.1.1", 64)
}

// wantRoutes are a namespace's, in words.
func wantRoutes(t *testing.T, ns workload.Namespace, when string, want ...string) {
	t.Helper()
	var got []string
	in(t, ns, func() error {
		list, err := netlink.RouteList(nil, unix.AF_INET)
		for _, r := range list {
			l, lerr := netlink.LinkByIndex(r.LinkIndex)
			if lerr != nil {
				return lerr
			}
			got = append(got, routeText(l.Attrs().Name, r))
		}
		return err
	})
	slices.Sort(got)
	slices.Sort(want)
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s: routes (-want +got):\n%s", when, d)
	}
}

// A namespace that somebody made is never deleted, whatever becomes of its workload and of the router in between; the
// default route that he had in it is put back.
func TestFoundNamespaceStays(t *testing.T) {
	for _, end := range []string{"reload", "workload del", "down", "stop, start without it", "kill, start without it"} {
		t.Run(end, func(t *testing.T) {
			leavesNothing(t)
			ns, found := newHost(t), newNamespace(t)
			name := filepath.Base(string(found))
			in(t, found, func() error {
				if err := addBridge("own"); err != nil {
					return err
				}
				if err := up("own", "10.9.0.2/24"); err != nil {
					return err
				}
				return netlink.RouteAdd(&netlink.Route{Gw: net.IPv4(10, 9, 0, 1), LinkIndex: mustLink("own").Attrs().Index, MTU: 1400, Flags: int(netlink.FLAG_ONLINK)})
			})
			own := []string{"10.9.0.0/24 dev own proto kernel scope link src 10.9.0.2", "default via 10.9.0.1 dev own"}
			wantRoutes(t, found, "before", own...)
			config := strings.ReplaceAll(hostConfig, "w1", name)
			r := startRouter(t, ns, defaultSocket, config)
			wantRoutes(t, found, "attached", own[0], "10.70.1.0/24 dev eth0 proto kernel scope link src 10.70.1.1", "169.254.1.1/32 dev eth0 scope link", "default via 169.254.1.1 dev eth0")
			r.signal(t, syscall.SIGKILL) // whatever it remembers is gone
			r = startRouter(t, ns, defaultSocket, config)
			without := "node: h\nuplink: {interface: ens160}\n"
			path := file(t, "config.yaml", without)
			switch end {
			case "reload":
				write(t, configOf(r), without+"control: {socket: "+defaultSocket+"}\n")
				vrouter(t, "reload").wantOK(t)
			case "workload del":
				vrouter(t, "workload", "del", name).wantOK(t)
			case "down":
				r.signal(t, syscall.SIGTERM)
				start(t, command(t, "down", "--config", path), ns.Do).wait(t).wantOK(t)
			case "stop, start without it":
				r.signal(t, syscall.SIGTERM)
				startRouter(t, ns, defaultSocket, without)
			case "kill, start without it":
				r.signal(t, syscall.SIGKILL)
				startRouter(t, ns, defaultSocket, without)
			}
			if !found.Exists() {
				t.Fatal("the namespace is gone")
			}
			if links := linksOf(t, found); slices.Contains(links, "interface eth0") {
				t.Errorf("interfaces %v are left", links)
			}
			wantRoutes(t, found, "after", own...)
		})
	}
}

// A TAP that somebody has made himself stays, too, and so do the addresses that he gave it.
func TestFoundInterfaceStays(t *testing.T) {
	leavesNothing(t)
	ns, found := newHost(t), newNamespace(t)
	in(t, found, func() error {
		tap := &netlink.Tuntap{LinkAttrs: netlink.LinkAttrs{Name: "eth0"}, Mode: netlink.TUNTAP_MODE_TAP}
		if err := netlink.LinkAdd(tap); err != nil {
			return err
		}
		return up("eth0", "10.5.0.1/24")
	})
	before := stateOf(t, found, "eth0")
	r := startRouter(t, ns, defaultSocket, withNamespace(string(found)))
	wantEcho(t, found, "169.254.1.1", 64)
	vrouter(t, "workload", "del", "w1").wantOK(t)
	if d := cmp.Diff(before, stateOf(t, found, "eth0")); d != "" {
		t.Errorf("eth0 (-before +now):\n%s", d)
	}
	r.signal(t, syscall.SIGTERM)
}

// A workload's interface has another name in the file of the next start: the former one is no second one with the
// same address.
func TestInterfaceChangesAcrossARestart(t *testing.T) {
	leavesNothing(t)
	ns, inside := newHost(t), newNamespace(t)
	config := withNamespace(string(inside))
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		startRouter(t, ns, defaultSocket, config).signal(t, sig)
		r := startRouter(t, ns, defaultSocket, strings.Replace(config, "w1,", "w1, interface: net0,", 1))
		if links, want := linksOf(t, inside), []string{"interface lo", "interface net0"}; !slices.Equal(links, want) {
			t.Errorf("interfaces %v, want %v", links, want)
		}
		wantEcho(t, inside, "169.254.1.1", 64)
		r.signal(t, sig)
	}
}

// While a router runs nothing is taken from it, whatever the file says by now, and however many wait at its socket.
func TestDownLetsARouterBe(t *testing.T) {
	leavesNothing(t)
	ns := newHost(t)
	r := startRouter(t, ns, defaultSocket, hostConfig)
	pid := r.cmd.Process.Pid
	for _, socket := range []string{defaultSocket, "/run/vrouter/other.sock"} {
		path := file(t, "config.yaml", hostConfig+"control: {socket: "+socket+"}\n")
		start(t, command(t, "down", "--config", path), ns.Do).wait(t).
			wantError(t, 1, fmt.Sprintf("uplink ens160: another vrouter, process %d, forwards by it; stop it first", pid))
	}
	wantEcho(t, workload.Named("w1"), "169.254.1.1", 64)

	// A process that has stopped takes no connections.
	r.send(t, syscall.SIGSTOP)
	var waiting []int
	defer func() {
		for _, fd := range waiting {
			unix.Close(fd)
		}
	}()
	for { // until the queue is full
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		if err != nil {
			t.Fatal(err)
		}
		waiting = append(waiting, fd)
		if err := unix.Connect(fd, &unix.SockaddrUnix{Name: defaultSocket}); err != nil {
			break
		}
	}
	second := tryRouter(t, newHost(t), hostConfig+"control: {socket: "+defaultSocket+"}\n")
	second.wantError(t, 1, "control socket "+defaultSocket+": another vrouter answers there")
	other := file(t, "config.yaml", hostConfig)
	start(t, command(t, "down", "--config", other), ns.Do).wait(t).wantError(t, 1, "stop it first")
	if _, err := os.Stat(defaultSocket); err != nil {
		t.Error(err)
	}
	r.send(t, syscall.SIGCONT)
	for _, fd := range waiting {
		unix.Close(fd)
	}
	waiting = nil
	vrouter(t, "show", "ports").wantOK(t)
	wantEcho(t, workload.Named("w1"), "169.254.1.1", 64)
}

// A record that cannot be read is no reason to remove anything, nor not to start; it is said.
func TestDamagedRecord(t *testing.T) {
	ns := newHost(t)
	const record = "/run/vrouter/ens160.json"
	r := startRouter(t, ns, defaultSocket, hostConfig)
	r.signal(t, syscall.SIGKILL)
	whole := read(t, record)
	for _, text := range []string{"", whole[:len(whole)/2], "null", "{}", `{"owner": {"uplink": "ens160"}, "objects": [null]}`} {
		write(t, record, text)
		down := file(t, "config.yaml", hostConfig)
		start(t, command(t, "down", "--config", down), ns.Do).wait(t).wantError(t, 1, record+": the record is damaged")
		if !workload.Named("w1").Exists() {
			t.Fatal("the namespace is gone")
		}
	}
	r = startRouter(t, ns, defaultSocket, strings.Replace(hostConfig, "}]", "}, {name: w2, address: 10.70.1.2/24}]", 1))
	if log := read(t, r.errors); !strings.Contains(log, "the record is damaged") {
		t.Errorf("the log does not tell:\n%s", log)
	}
	vrouter(t, "workload", "del", "w1").wantOK(t)
	if !workload.Named("w1").Exists() {
		t.Error("a namespace is gone that no record tells of")
	}
	vrouter(t, "workload", "del", "w2").wantOK(t)
	if workload.Named("w2").Exists() {
		t.Error("a namespace of the new record is left")
	}
	_ = workload.Named("w1").Delete()
}

// A reload that is refused has not touched a workload, not even one that was to be in another's place.
func TestRefusedReloadStrandsNobody(t *testing.T) {
	ns, taken := newHost(t), newNamespace(t)
	in(t, taken, func() error { return addBridge("eth0") })
	r := startRouter(t, ns, defaultSocket, strings.Replace(hostConfig, "}]", "}, {name: w2, address: 10.70.1.2/24}]", 1))
	a, b := connect(t, workload.Named("w1"), workload.Named("w2"), "10.70.1.2")
	index := stateOf(t, workload.Named("w2"), "eth0").Index
	write(t, configOf(r), strings.Replace(hostConfig, "}]", "}, {name: bad, address: 10.70.1.2/24, namespace: "+string(taken)+"}]", 1)+
		"control: {socket: "+defaultSocket+"}\n")
	vrouter(t, "reload").wantError(t, 1, "workload bad: eth0 exists and is no TAP")
	pour(t, a, b)
	if now := stateOf(t, workload.Named("w2"), "eth0").Index; now != index {
		t.Errorf("eth0 of w2 has index %d, before %d", now, index)
	}
}

// What a version left that kept no record is taken over: an interface that can only be a router's goes with its
// workload; the namespace, of which nobody knows who made it, stays.
func TestTakesOverWithoutARecord(t *testing.T) {
	ns := newHost(t)
	startRouter(t, ns, defaultSocket, hostConfig).signal(t, syscall.SIGKILL)
	if err := os.Remove("/run/vrouter/ens160.json"); err != nil {
		t.Fatal(err)
	}
	w1 := workload.Named("w1")
	before := stateOf(t, w1, "eth0")
	startRouter(t, ns, defaultSocket, hostConfig)
	wantEcho(t, w1, "169.254.1.1", 64)
	if d := cmp.Diff(before, stateOf(t, w1, "eth0")); d != "" {
		t.Errorf("eth0 (-before +now):\n%s", d)
	}
	vrouter(t, "workload", "del", "w1").wantOK(t)
	if !w1.Exists() {
		t.Fatal("the namespace is gone")
	}
	if links := linksOf(t, w1); slices.Contains(links, "interface eth0") {
		t.Errorf("interfaces %v are left", links)
	}
	if err := w1.Delete(); err != nil {
		t.Error(err)
	}
}
