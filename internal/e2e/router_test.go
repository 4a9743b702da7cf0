package e2e

import (
	"fmt"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/vrouter/vrouter/internal/workload"
)

// hostConfig is a host with one workload; tests add lines.
const hostConfig = `node: h
uplink: {interface: ens160}
workloads: [{name: w1, address: 10.70.1.1/24}]
`

// withNamespace is hostConfig with a namespace that something else made.
func withNamespace(path string) string {
	return strings.Replace(hostConfig, "}]", ", namespace: "+path+"}]", 1)
}

var namespaces atomic.Int32

// newNamespace makes one that speaks no IPv6, whose announcements would be packets too.
func newNamespace(t *testing.T) workload.Namespace {
	t.Helper()
	ns, err := workload.Create(fmt.Sprintf("test-%d", namespaces.Add(1)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if ns.Exists() {
			if err := ns.Delete(); err != nil {
				t.Error(err)
			}
		}
	})
	in(t, ns, noIPv6)
	return ns
}

func noIPv6() error {
	for _, which := range []string{"all", "default"} {
		if err := os.WriteFile("/proc/sys/net/ipv6/conf/"+which+"/disable_ipv6", []byte("1"), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// newHost is a namespace with an uplink that leads to nobody.
func newHost(t *testing.T) workload.Namespace {
	t.Helper()
	ns := newNamespace(t)
	in(t, ns, func() error {
		uplink := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "ens160"}, PeerName: "cable"}
		if err := netlink.LinkAdd(uplink); err != nil {
			return err
		}
		return up("ens160", "192.168.0.11/24")
	})
	return ns
}

// up gives an interface its address, in the calling thread's namespace.
func up(name, address string) error {
	l, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	ip, subnet, err := net.ParseCIDR(address)
	if err != nil {
		return err
	}
	subnet.IP = ip
	if err := netlink.AddrAdd(l, &netlink.Addr{IPNet: subnet}); err != nil {
		return err
	}
	return netlink.LinkSetUp(l)
}

// tryRouter starts one that is not expected to stay.
func tryRouter(t *testing.T, ns workload.Namespace, config string) result {
	t.Helper()
	return start(t, command(t, "run", "--config", file(t, "config.yaml", config)), ns.Do).wait(t)
}

// startRouter starts one and waits until it answers. What it leaves is removed.
func startRouter(t *testing.T, ns workload.Namespace, socket, config string) *running {
	t.Helper()
	return startRouterWith(t, ns, socket, config+"control: {socket: "+socket+"}\n")
}

// startRouterWith is startRouter for a configuration that says all of `control`.
func startRouterWith(t *testing.T, ns workload.Namespace, socket, config string) *running {
	t.Helper()
	path := file(t, "config.yaml", config)
	t.Cleanup(func() {
		start(t, command(t, "down", "--config", path), ns.Do).wait(t).wantOK(t)
	})
	r := start(t, command(t, "run", "--config", path), ns.Do)
	eventually(t, "the router answers", func() bool {
		return r.hasEnded() || vrouter(t, "--socket", socket, "show", "ports").status == 0
	})
	if r.hasEnded() {
		t.Fatalf("the router did not start: %+v", r.wait(t))
	}
	return r
}

// What a router leaves so that the next one can take over, `vrouter down` removes.
func TestDown(t *testing.T) {
	leavesNothing(t)
	ns := newHost(t)
	const socket = "/run/vrouter/vrouter.sock"
	r := startRouter(t, ns, socket, hostConfig)
	path := file(t, "config.yaml", hostConfig)
	start(t, command(t, "down", "--config", path), ns.Do).wait(t).wantError(t, 1, "another vrouter, process [0-9]+, forwards by it; stop it first")
	r.signal(t, syscall.SIGINT)
	if end := r.wait(t); end.status != 0 || !strings.Contains(end.err, "msg=stopped") {
		t.Errorf("after SIGINT: %+v", end)
	}
	if !workload.Named("w1").Exists() {
		t.Error("the workload did not outlive its router")
	}
	start(t, command(t, "down", "--config", path), ns.Do).wait(t).wantOK(t)
	if workload.Named("w1").Exists() {
		t.Error("the workload is still there")
	}
}
