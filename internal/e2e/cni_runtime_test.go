//go:build cni

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vrouter/vrouter/internal/workload"
)

// containerHost is a host with mounts of its own: an empty /run, /var and /opt, and an /etc that changes stay in.
type containerHost struct {
	name string
	pid  int
}

const hostMounts = `set -e
mount -t tmpfs t /var/lib; cp -a /etc /var/lib/etc
mount --bind /var/lib/etc /etc
cp /run/e2e/vrouter /var/lib/vrouter
mount -t tmpfs t /run; mkdir /run/netns
mount -t tmpfs t /var/log; mount -t tmpfs t /srv; mount -t tmpfs t /opt
mkdir -p /etc/cni/net.d /etc/vrouter /opt/cni/bin
rm -f /etc/cni/net.d/*
mv /var/lib/vrouter /opt/cni/bin/vrouter
ip link set lo up; ip link set ens160 up
ip addr add 192.168.0.%[1]d/24 dev ens160; ip addr add fd00:192::%[1]d/64 dev ens160 nodad
containerd >/var/log/containerd.log 2>&1 &
until ctr version >/dev/null 2>&1; do sleep 0.1; done
echo ready
wait
`

// on runs a script on the host.
func (h *containerHost) on(t *testing.T, script string) string {
	t.Helper()
	cmd := exec.Command("nsenter", "-t", fmt.Sprint(h.pid), "-m", "-n", "bash", "-euc", script)
	cmd.Env = hostEnv()
	r := start(t, cmd, outsideOfAll)
	select {
	case <-r.ended:
	case <-time.After(commandTimeout):
		t.Fatalf("%s: not within %v:\n%s\n%s%s", h.name, commandTimeout, script, read(t, r.out), read(t, r.errors))
	}
	if r.status != nil {
		t.Fatalf("%s: %v:\n%s\n%s%s", h.name, r.status, script, read(t, r.out), read(t, r.errors))
	}
	return read(t, r.out)
}

// hostEnv knows nothing of the tests.
func hostEnv() []string { return []string{"PATH=/opt/cni/bin:" + os.Getenv("PATH"), "HOME=/root"} }

var docBlock = regexp.MustCompile("(?ms)^```sh (both|node-1|node-2)\n(.*?)^```$")

// What docs/cni.md says, done: two hosts with containerd, a container on each, pings in both families and TCP between them,
// plain and then in IP-in-IP and in VXLAN.
func TestCNIRuntime(t *testing.T) {
	for _, program := range []string{"containerd", "runc", "ctr", "nsenter"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Fatalf("%v: install Debian's packages containerd, runc, busybox-static and containernetworking-plugins", err)
		}
	}
	leavesNothing(t)
	cable := newNamespace(t)
	hosts := map[string]*containerHost{}
	for i := 1; i <= 2; i++ {
		h := &containerHost{name: fmt.Sprint("node-", i)}
		ns, err := workload.Create("cni-" + h.name)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = ns.Delete() })
		script := fmt.Sprintf("ip link add ens160 type veth peer name h%d netns %s\n", i, cableOf(cable)) + fmt.Sprintf(hostMounts, 10+i)
		cmd := exec.Command("unshare", "-m", "bash", "-c", script)
		cmd.Env = hostEnv()
		r := start(t, cmd, ns.Do)
		h.pid = cmd.Process.Pid
		within(t, 2*patience, h.name+" is ready", func() bool {
			if r.hasEnded() {
				t.Fatalf("%s: %s", h.name, read(t, r.errors))
			}
			return strings.Contains(read(t, r.out), "ready")
		})
		mounts, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/mnt", h.pid))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { endAll(mounts) })
		hosts[h.name] = h
	}
	if out, err := exec.Command("nsenter", "--net="+string(cable), "bash", "-euc", "ip link add br0 type bridge; for i in h1 h2; do ip link set $i master br0 up; done; ip link set br0 up").CombinedOutput(); err != nil {
		t.Fatalf("the cable: %v %s", err, out)
	}
	doc := read(t, "../../docs/cni.md")
	blocks := docBlock.FindAllStringSubmatch(doc, -1)
	if len(blocks) < 8 {
		t.Fatalf("docs/cni.md has %d blocks", len(blocks))
	}
	run := func(block []string) {
		t.Helper()
		for _, name := range []string{"node-1", "node-2"} {
			if block[1] != name && block[1] != "both" {
				continue
			}
			out := hosts[name].on(t, block[2])
			if strings.Contains(block[2], "ping -c") && (strings.Count(out, "ttl=62") != 2 || !strings.Contains(out, "hello")) {
				t.Errorf("%s: no two replies with ttl=62, and hello:\n%s", block[2], out)
			}
			if strings.Contains(block[2], "explain") && !strings.Contains(out, "forwarded") {
				t.Errorf("%s", out)
			}
		}
	}
	last := len(blocks) - 1 // the end of both containers
	for _, block := range blocks[:last] {
		run(block)
	}
	for _, tunnel := range []struct {
		name string
		mtu  int // with the outer headers of IPv6, which the routes of that family lead to
	}{{"ipip", 1460}, {"vxlan", 1430}} {
		for _, h := range hosts {
			h.on(t, "sed -i 's/^[a-z]*: {mode: [a-z]*}/"+tunnel.name+": {mode: always}/' /etc/vrouter/vrouter.yaml; vrouter reload")
		}
		for _, b := range blocks {
			if strings.Contains(b[2], "ping -c") {
				b[2] = strings.ReplaceAll(b[2], "--exec-id ", "--exec-id "+tunnel.name+"-")
				run(b)
			}
		}
		if out := hosts["node-1"].on(t, "vrouter show tunnels"); !strings.Contains(out, "192.168.0.12") || !strings.Contains(out, tunnel.name) {
			t.Errorf("nothing went in %s:\n%s", tunnel.name, out)
		}
		if out := hosts["node-2"].on(t, "ctr task exec --exec-id mtu-"+tunnel.name+" c2 /bin/busybox ip link show eth0"); !strings.Contains(out, fmt.Sprint("mtu ", tunnel.mtu, " ")) {
			t.Errorf("the container's MTU in %s: %s", tunnel.name, out)
		}
	}
	run(blocks[last])
}

// endAll ends all processes that have these mounts.
func endAll(mounts string) {
	links, _ := filepath.Glob("/proc/[0-9]*/ns/mnt")
	for _, link := range links {
		if is, err := os.Readlink(link); err == nil && is == mounts {
			pid, _ := strconv.Atoi(strings.Split(link, "/")[2])
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

func cableOf(ns workload.Namespace) string { return strings.TrimPrefix(string(ns), "/run/netns/") }
