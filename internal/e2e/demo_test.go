package e2e

import (
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The way of one packet across, in the words of the trace.
var pathSteps = []string{"rx", "check", "route", "ttl", "neigh", "tx"}

func TestDemo(t *testing.T) {
	leavesNothing(t)
	began := time.Now()
	out := vrouter(t, "demo").wantOK(t)
	if took := time.Since(began); took > patience {
		t.Errorf("it took %v", took)
	}
	for _, want := range []string{
		"ttl=62",
		"3 packets transmitted, 3 received, 0% packet loss",
		"arp reply 169.254.1.1 is at ee:ee:ee:ee:ee:ee",
		"10.70.2.1/32 via 192.168.0.12 dev ens160",
		`vrouter_step_packets_total{step="ttl",verdict="edit"}`,
		`vrouter_arp_requests_received_total{answer="gateway",port="ns1"}`,
	} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not show %q", want)
		}
	}
	for _, direction := range []string{"echo request 10.70.1.1 > 10.70.2.1", "echo reply 10.70.2.1 > 10.70.1.1"} {
		wantHops(t, out, direction)
	}
	if t.Failed() {
		t.Log(out)
	}
}

// wantHops wants a packet's blocks: one on each host, in the order of time, each
// with the steps of the path in order.
func wantHops(t *testing.T, out, packet string) {
	t.Helper()
	heads := regexp.MustCompile(`(?m)^\+[0-9.]+ ms  #\d+ (\S+)  (\S+) > (\S+)  icmp6? (.*) id \d+ seq 1 .*$`)
	var hosts, ports []string
	for _, m := range heads.FindAllStringSubmatchIndex(out, -1) {
		text := func(i int) string { return out[m[2*i]:m[2*i+1]] }
		if text(4) != packet {
			continue
		}
		hosts, ports = append(hosts, text(1)), append(ports, text(2), text(3))
		block, _, _ := strings.Cut(out[m[1]:], "\n\n")
		var steps []string
		for _, line := range regexp.MustCompile(`(?m)^  (\w+) +\+`).FindAllStringSubmatch(block, -1) {
			steps = append(steps, line[1])
		}
		if !slices.Equal(steps, pathSteps) {
			t.Errorf("steps %v of %s on %s, want %v", steps, packet, text(1), pathSteps)
		}
	}
	want := []string{"k8s-master-1", "k8s-node-1"}
	if strings.Contains(packet, "reply") {
		slices.Reverse(want)
	}
	if !slices.Equal(hosts, want) || !slices.Equal(ports, []string{"ns1", "ens160", "ens160", "ns1"}) {
		t.Errorf("%s is seen on %v, at ports %v", packet, hosts, ports)
	}
}

func TestDemoInterrupted(t *testing.T) {
	for _, c := range []struct {
		name   string
		signal syscall.Signal
		group  bool // as Ctrl-C does: to all processes of the terminal
		status int
	}{
		{"SIGINT", syscall.SIGINT, false, 130},
		{"Ctrl-C", syscall.SIGINT, true, 130},
		{"SIGTERM", syscall.SIGTERM, false, 130},
		{"SIGKILL", syscall.SIGKILL, false, -1},
	} {
		t.Run(c.name, func(t *testing.T) {
			leavesNothing(t)
			cmd := command(t, "demo")
			cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
			r := start(t, cmd, outsideOfAll)
			eventually(t, "it pings", func() bool { return strings.Contains(read(t, r.out), "icmp_seq=1") })
			if c.group {
				if err := unix.Kill(-cmd.Process.Pid, c.signal); err != nil {
					t.Fatal(err)
				}
			} else {
				r.signal(t, c.signal)
			}
			end := r.wait(t)
			if end.status != c.status || end.err != "" {
				t.Errorf("status %d, stderr %q; want status %d and silence", end.status, end.err, c.status)
			}
			if strings.Contains(end.out, "The counters that moved") {
				t.Error("it was not stopped halfway")
			}
		})
	}
}

// Where TAPs are not to be had, the demo says so in one line, and what it had
// built until then is gone.
func TestDemoFails(t *testing.T) {
	for _, c := range []struct {
		name, cover string // what stands in the place of /dev/net/tun
		err         string
	}{
		{"no device", "", "/dev/net/tun: no such file.*modprobe tun"},
		{"not that device", "/dev/null", "the router of k8s-[a-z0-9-]+ ended: .*workload ns1: TAP eth0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			leavesNothing(t)
			r := start(t, command(t, "demo"), withoutTUN(c.cover)).wait(t)
			if r.status != 1 {
				t.Errorf("status %d, want 1", r.status)
			}
			wantOneLine(t, r.err, c.err)
		})
	}
}

// withoutTUN runs a function on a thread whose mounts are its own.
func withoutTUN(cover string) func(func() error) error {
	return func(f func() error) error {
		result := make(chan error)
		go func() {
			runtime.LockOSThread() // and never unlocked: the thread ends here
			err := hideTUN(cover)
			if err == nil {
				err = f()
			}
			result <- err
		}()
		return <-result
	}
}

func hideTUN(cover string) error {
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return os.NewSyscallError("unshare", err)
	}
	if cover == "" {
		return os.NewSyscallError("mount", unix.Mount("tmpfs", "/dev/net", "tmpfs", 0, ""))
	}
	return os.NewSyscallError("mount", unix.Mount(cover, "/dev/net/tun", "", unix.MS_BIND, ""))
}
