package e2e

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vrouter/vrouter/internal/lab"
	"github.com/vrouter/vrouter/internal/ping"
	"github.com/vrouter/vrouter/internal/workload"
)

// The workloads of the tutorial's lab.
const (
	here  = "10.70.1.1"
	there = "10.70.2.1"
)

// host is one host of a lab that is up.
type host struct {
	*lab.Host
	ns  workload.Namespace
	ns1 workload.Namespace // of its first workload
}

// labUp runs `lab up`, of a file with this text if there is one, and `lab down`
// at the end of the test.
func labUp(t *testing.T, text string) []host {
	t.Helper()
	args := []string{"lab", "up"}
	if text != "" {
		args = append(args, "-f", file(t, "lab.yaml", text))
	}
	leavesNothing(t)
	t.Cleanup(func() { vrouter(t, "lab", "down").wantOK(t) })
	vrouter(t, args...).wantOK(t)
	l, err := lab.Load()
	if err != nil {
		t.Fatal(err)
	}
	var hosts []host
	for _, h := range l.Hosts {
		hosts = append(hosts, host{h, workload.Named(h.Namespace), workload.Named(h.Workloads[0].Namespace)})
	}
	return hosts
}

// twoHosts is the tutorial's lab, with some more lines for each host.
func twoHosts(more string) string {
	one := func(node, uplink, workload, to, via string) string {
		return fmt.Sprintf("  - node: %s\n    uplink: {address: %s/24}\n    workloads: [{name: ns1, address: %s/24}]\n"+
			"    routes: [{to: %s, via: %s}]\n%s", node, uplink, workload, to, via, more)
	}
	return "hosts:\n" + one("a", "192.168.0.11", here, there, "192.168.0.12") +
		one("b", "192.168.0.12", there, here, "192.168.0.11")
}

// named is the namespace that the host's router gives to a workload that has none by a path.
func (h host) named(name string) workload.Namespace { return workload.Named(h.Namespace + "-" + name) }

func file(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// ask runs a command about the host's router.
func (h host) ask(t *testing.T, args ...string) result {
	t.Helper()
	return vrouter(t, append([]string{"--socket", h.Socket}, args...)...)
}

// killRouter ends the router that the lab has started.
func (h host) killRouter(t *testing.T, sig syscall.Signal) {
	t.Helper()
	fd, err := unix.PidfdOpen(h.Router.PID, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.PidfdSendSignal(fd, sig, nil, 0); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the router ends, with all its threads", func() bool {
		n, _ := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
		return n > 0
	})
}

// restart starts it again, as its user would, and waits until it answers.
func (h host) restart(t *testing.T) *running {
	t.Helper()
	config := filepath.Join(filepath.Dir(h.Socket), "config.yaml")
	r := start(t, command(t, "lab", "exec", h.Name, "--", program, "run", "--config", config), outsideOfAll)
	eventually(t, "the router answers again", func() bool { return r.hasEnded() || h.ask(t, "show", "ports").status == 0 })
	if r.hasEnded() {
		t.Fatalf("the router did not start again: %+v", r.wait(t))
	}
	return r
}

func in(t *testing.T, ns workload.Namespace, f func() error) {
	t.Helper()
	if err := ns.Do(f); err != nil {
		t.Fatal(err)
	}
}

// echo pings once with the kernel's own stack and returns the reply's TTL, 0 for none.
func echo(t *testing.T, from workload.Namespace, to string, timeout time.Duration) int {
	t.Helper()
	ttl := 0
	in(t, from, func() error {
		r, err := ping.Run(context.Background(), io.Discard, ping.Options{To: netip.MustParseAddr(to), Count: 1, Timeout: timeout})
		if err == nil && len(r.Replies) > 0 {
			ttl = r.Replies[0].TTL
		}
		return err
	})
	return ttl
}

func wantEcho(t *testing.T, from workload.Namespace, to string, ttl int) {
	t.Helper()
	if got := echo(t, from, to, 2*time.Second); got != ttl {
		t.Errorf("ping from %s to %s: ttl %d, want %d (0: no reply)", from, to, got, ttl)
	}
}

func resumes(t *testing.T, from workload.Namespace, to string) {
	t.Helper()
	eventually(t, "pings from "+string(from)+" to "+to, func() bool { return echo(t, from, to, 100*time.Millisecond) != 0 })
}

// answers is echo where the workload may have no network at all.
func answers(from workload.Namespace, to string) bool {
	answered := false
	_ = from.Do(func() error {
		r, err := ping.Run(context.Background(), io.Discard, ping.Options{To: netip.MustParseAddr(to), Count: 1, Timeout: 100 * time.Millisecond})
		answered = err == nil && len(r.Replies) > 0
		return err
	})
	return answered
}

// state is an interface as `ip addr` and `ip route` show it.
type state struct {
	Index, MTU int
	MAC        string
	Addresses  []string
	Routes     []string
}

func stateOf(t *testing.T, ns workload.Namespace, name string) state {
	t.Helper()
	var s state
	in(t, ns, func() error {
		l, err := netlink.LinkByName(name)
		if err != nil {
			return err
		}
		s.Index, s.MTU, s.MAC = l.Attrs().Index, l.Attrs().MTU, l.Attrs().HardwareAddr.String()
		addresses, err := netlink.AddrList(l, unix.AF_INET)
		if err != nil {
			return err
		}
		for _, a := range addresses {
			s.Addresses = append(s.Addresses, a.IPNet.String())
		}
		routes, err := netlink.RouteList(nil, unix.AF_INET)
		for _, r := range routes {
			s.Routes = append(s.Routes, routeText(name, r))
		}
		return err
	})
	slices.Sort(s.Routes)
	return s
}

// routeText is a route in the words of ip-route(8).
func routeText(dev string, r netlink.Route) string {
	text := "default"
	if r.Dst != nil && !r.Dst.IP.IsUnspecified() {
		text = r.Dst.String()
	}
	if r.Gw != nil {
		text += " via " + r.Gw.String()
	}
	text += " dev " + dev
	if r.Protocol == unix.RTPROT_KERNEL {
		text += " proto kernel"
	}
	if r.Scope == netlink.SCOPE_LINK {
		text += " scope link"
	}
	if r.Src != nil {
		text += " src " + r.Src.String()
	}
	return text
}
