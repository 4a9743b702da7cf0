package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vrouter/vrouter/internal/lab"
	"github.com/vrouter/vrouter/internal/workload"
)

func TestLabIsTheTutorials(t *testing.T) {
	hosts := labUp(t, "")
	for i, own := range []string{here, there} {
		net := strings.TrimSuffix(own, "1") + "0/24"
		want := state{Addresses: []string{own + "/24"}, MTU: 1500, Routes: []string{
			net + " dev eth0 proto kernel scope link src " + own,
			"169.254.1.1/32 dev eth0 scope link",
			"default via 169.254.1.1 dev eth0",
		}}
		got := stateOf(t, hosts[i].ns1, "eth0")
		want.Index, want.MAC = got.Index, got.MAC
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("eth0 of %s (-want +got):\n%s", hosts[i].Name, d)
		}
	}
	wantEcho(t, hosts[0].ns1, there, 62)
	wantEcho(t, hosts[1].ns1, here, 62)
}

func TestLabUpTwice(t *testing.T) {
	hosts := labUp(t, "")
	vrouter(t, "lab", "up").wantError(t, 1, "a lab is up already")
	wantEcho(t, hosts[0].ns1, there, 62)
}

func TestLabStatus(t *testing.T) {
	hosts := labUp(t, "")
	text := vrouter(t, "lab", "status").wantOK(t)
	list := decode[[]lab.Status](t, vrouter(t, "lab", "status", "-o", "json").wantOK(t))
	for i, h := range hosts {
		if s := list[i]; s.Name != h.Name || !s.Running || s.PID != h.Router.PID || len(s.Workloads) != 1 {
			t.Errorf("status %+v of host %+v", s, h.Host)
		}
		if running := fmt.Sprintf("running, pid %d", h.Router.PID); !strings.Contains(text, running) {
			t.Errorf("%q is not in\n%s", running, text)
		}
	}
	hosts[1].killRouter(t, 9)
	list = decode[[]lab.Status](t, vrouter(t, "lab", "status", "-o", "json").wantOK(t))
	if !list[0].Running || list[1].Running {
		t.Errorf("after the second router was killed: %+v", list)
	}
}

// A command's exit status is that of `lab exec`; commands of vrouter find the
// host's router by themselves.
func TestLabExec(t *testing.T) {
	labUp(t, "")
	const host = "k8s-master-1"
	if out := vrouter(t, "lab", "exec", host, "--", program, "workload", "list").wantOK(t); !strings.Contains(out, here) {
		t.Errorf("workloads of %s:\n%s", host, out)
	}
	for _, c := range []struct {
		args   []string
		status int
		err    string
	}{
		{[]string{host + "/ns1", "--", program, "nonsense"}, 2, "unknown command"},
		{[]string{host, program, "--socket", "/nowhere", "show", "ports"}, 1, "no router answers at /nowhere"},
		{[]string{"nobody", "--", program, "version"}, 1, `no host "nobody".*k8s-master-1 k8s-node-1`},
		{[]string{host + "/ns9", "--", program, "version"}, 1, `no workload "ns9".*ns1`},
		{[]string{host, "--", "no-such-program"}, 1, "no-such-program"},
		{[]string{host}, 2, "takes where and what"},
	} {
		t.Run(c.err, func(t *testing.T) {
			vrouter(t, append([]string{"lab", "exec"}, c.args...)...).wantError(t, c.status, c.err)
		})
	}
}

// What was killed is no reason for `lab down` to leave anything, nor to fail.
func TestLabDownAfterTheRoutersWereKilled(t *testing.T) {
	for _, h := range labUp(t, "") {
		h.killRouter(t, 9)
	}
}

func TestNoLab(t *testing.T) {
	for _, args := range [][]string{{"down"}, {"status"}, {"exec", "k8s-master-1", "--", program, "version"}} {
		vrouter(t, append([]string{"lab"}, args...)...).wantError(t, 1, "no lab is up; `vrouter lab up` builds one")
	}
}

// A lab that cannot be built is taken down again.
func TestLabUpFails(t *testing.T) {
	leavesNothing(t)
	const listen = "    metrics: {listen: '192.0.2.1:9473'}\n" // nobody's address
	vrouter(t, "lab", "up", "-f", file(t, "lab.yaml", twoHosts(listen))).wantError(t, 1, "the router of a ended: .*192.0.2.1:9473")
	vrouter(t, "lab", "up", "-f", file(t, "lab.yaml", "hosts:\n  - nodes: a\n")).wantError(t, 1, `lab.yaml:2:5: hosts\[0\].nodes: unknown key`)
	vrouter(t, "lab", "up", "-f", "/no/such/file").wantError(t, 1, "/no/such/file")
}

// Every workload reaches every other one: by two routers to another host, and by
// one to its neighbour, although eth0's /24 says that it is on the link.
func TestThreeHosts(t *testing.T) {
	hosts := labUp(t, read(t, "../../examples/lab-three-hosts.yaml"))
	type end struct {
		host, address string
		ns            workload.Namespace
	}
	var ends []end
	for _, h := range hosts {
		for _, w := range h.Workloads {
			address, _, _ := strings.Cut(w.Address, "/")
			ends = append(ends, end{h.Name, address, workload.Named(w.Namespace)})
		}
	}
	if len(ends) != 6 || !slices.ContainsFunc(ends, func(e end) bool { return e.address == "10.70.1.2" }) {
		t.Fatalf("workloads %+v", ends)
	}
	for _, from := range ends {
		for _, to := range ends {
			switch {
			case from == to:
			case from.host == to.host:
				wantEcho(t, from.ns, to.address, 63)
			default:
				wantEcho(t, from.ns, to.address, 62)
			}
		}
	}
}
