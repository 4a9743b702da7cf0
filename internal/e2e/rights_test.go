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

	"golang.org/x/sys/unix"

	"github.com/vrouter/vrouter/internal/control"
	"github.com/vrouter/vrouter/internal/workload"
)

// A router keeps three capabilities, on every thread, and works with them: it
// attaches, answers, and makes a namespace at a reload.
func TestRightsThatAreKept(t *testing.T) {
	ns := newHost(t)
	const socket = "/run/vrouter/vrouter.sock"
	r := startRouter(t, ns, socket, hostConfig)
	const kept = 1<<unix.CAP_NET_ADMIN | 1<<unix.CAP_NET_RAW | 1<<unix.CAP_SYS_ADMIN
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", r.cmd.Process.Pid))
	if err != nil || len(tasks) < 2 {
		t.Fatalf("threads: %v, %v", tasks, err)
	}
	for _, task := range tasks {
		b, err := os.ReadFile(task)
		if err != nil {
			continue // the thread has ended
		}
		for _, want := range []string{
			fmt.Sprintf("CapPrm:\t%016x", kept), fmt.Sprintf("CapEff:\t%016x", kept), fmt.Sprintf("CapBnd:\t%016x", kept),
			"CapInh:\t0000000000000000", "CapAmb:\t0000000000000000", "NoNewPrivs:\t1",
		} {
			if !strings.Contains(string(b), want+"\n") {
				t.Errorf("%s has no %q:\n%s", task, want, regexp.MustCompile(`(?m)^(Cap|NoNew).*$`).FindAllString(string(b), -1))
			}
		}
	}
	// The threads that forward have their priority by a right that is given up then.
	list := decode[[]control.Worker](t, vrouter(t, "--socket", socket, "show", "workers", "-o", "json").wantOK(t))
	if want := nicest(t); list[0].Nice != want {
		t.Errorf("a worker has nice %d, and may have %d", list[0].Nice, want)
	}
	wantEcho(t, workload.Named("w1"), "169.254.1.1", 64)
	more := strings.Replace(hostConfig, "}]", "}, {name: w2, address: 10.70.1.2/24}]", 1)
	write(t, configOf(r), more+"control: {socket: "+socket+"}\n")
	vrouter(t, "--socket", socket, "reload").wantOK(t)
	wantEcho(t, workload.Named("w2"), "10.70.1.1", 63)
}

// nicest is 10 before the priority of this process or, where there is no right to it, that.
func nicest(t *testing.T) int {
	t.Helper()
	out, err := exec.Command("nice", "-n", "-10", "nice").Output() // complains where it may not, and goes on
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(out)))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// What is missing is named, with what it is for; nothing is changed.
func TestRightsThatAreMissing(t *testing.T) {
	leavesNothing(t)
	ns := newHost(t)
	for _, c := range []struct {
		drop   []uintptr
		config string
		err    string
	}{
		{[]uintptr{unix.CAP_NET_RAW}, hostConfig, `missing CAP_NET_RAW \(the packet socket on the uplink\): run as root`},
		{[]uintptr{unix.CAP_NET_ADMIN, unix.CAP_SYS_ADMIN}, hostConfig, `missing CAP_NET_ADMIN \(.*\), CAP_SYS_ADMIN \(making and entering`},
		{[]uintptr{unix.CAP_NET_ADMIN, unix.CAP_SYS_ADMIN}, "uplink: {interface: ens160}\n", `missing CAP_NET_ADMIN \([^)]*\): run as root`},
	} {
		without := func(f func() error) error {
			return ns.Do(func() error { // on a thread that ends with it
				for _, bit := range c.drop {
					if err := unix.Prctl(unix.PR_CAPBSET_DROP, bit, 0, 0, 0); err != nil {
						return err
					}
				}
				return f()
			})
		}
		start(t, command(t, "run", "--config", file(t, "config.yaml", c.config)), without).wait(t).wantError(t, 1, c.err)
	}
}

// Members of control.group read; they do not change. In a user namespace that
// has a single user there is nobody else to try it with.
func TestControlGroup(t *testing.T) {
	ns := newHost(t)
	const socket = "/run/vrouter/group.sock"
	users, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		t.Fatal(err)
	}
	group := uint32(60123)
	if strings.HasSuffix(strings.TrimSpace(string(users)), " 1") {
		group = 0
	}
	r := tryRouter(t, ns, hostConfig+"control: {socket: "+socket+", group: no-such-group}\n")
	r.wantError(t, 1, "control.group: no group is called .*; make it")
	startRouterWith(t, ns, socket, hostConfig+fmt.Sprintf("control: {socket: %s, group: %d}\n", socket, group))
	var st unix.Stat_t
	if err := unix.Stat(socket, &st); err != nil || st.Gid != group || st.Mode&0o777 != 0o660 {
		t.Errorf("the socket has group %d and mode %o (%v), want %d and 660", st.Gid, st.Mode&0o777, err, group)
	}
	if group == 0 {
		return
	}
	as := func(gid uint32, args ...string) result {
		cmd := command(t, append([]string{"--socket", socket}, args...)...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 60124, Gid: gid}}
		return run(t, cmd)
	}
	for _, words := range [][]string{{"show", "ports"}, {"route", "list"}, {"explain", "icmp 10.70.1.1 > 169.254.1.1"}, {"trace", "--duration", "1s"}} {
		as(group, words...).wantOK(t)
	}
	for _, words := range []string{"reload", "route add 10.99.0.0/16 via 192.168.0.12", "workload del w1"} {
		as(group, strings.Fields(words)...).wantError(t, 1, "members of the socket's group may read; only root may change")
	}
	as(group+1, "show", "ports").wantError(t, 1, "no permission for "+socket)
}

// A namespace that is known by a process alone is out of reach without CAP_SYS_PTRACE,
// if that process may do more than the router: the error says what to do.
func TestNamespaceOfAProcess(t *testing.T) {
	startsWithout(t, newHost(t), withNamespace("/proc/1/ns/net"), "/proc/1/ns/net: permission denied; name the namespace (ip netns attach NAME PID)")
}
