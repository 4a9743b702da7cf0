package e2e

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/vrouter/vrouter/internal/lab"
	"github.com/vrouter/vrouter/internal/workload"
)

// A lab that cannot be built deletes nothing that it found.
func TestLabUpDeletesNothingThatItFound(t *testing.T) {
	for _, name := range []string{"vrouter-a", "vrouter-b-ns1"} {
		leavesNothing(t)
		ns, err := workload.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		in(t, ns, func() error { return addBridge("mine") })
		vrouter(t, "lab", "up", "-f", file(t, "lab.yaml", twoHosts(""))).wantError(t, 1, "namespace /run/netns/"+name+" is there, and none of this lab's")
		if !ns.Exists() || len(linksOf(t, ns)) != 2 {
			t.Fatalf("%s is gone, or another one", name)
		}
		if err := ns.Delete(); err != nil {
			t.Fatal(err)
		}
	}
}

// Names that would make one name of two are refused, with words that fit.
func TestLabNamesThatCollide(t *testing.T) {
	leavesNothing(t)
	collide := strings.NewReplacer("node: a\n", "node: x\n", "name: ns1, address: "+here, "name: y, address: "+here, "node: b\n", "node: x-y\n")
	for text, err := range map[string]string{
		strings.Replace(twoHosts(""), "node: a\n", "node: fabric\n", 1): "the namespace of host fabric would be vrouter-fabric, which is that of what joins the hosts",
		collide.Replace(twoHosts("")):                                   "the namespace of host x-y would be vrouter-x-y, which is that of workload y of host x",
	} {
		vrouter(t, "lab", "up", "-f", file(t, "lab.yaml", text)).wantError(t, 1, err)
	}
}

// A router of the lab that was killed is started again by `lab up`.
func TestLabUpStartsWhatHasEnded(t *testing.T) {
	hosts := labUp(t, "")
	hosts[0].killRouter(t, syscall.SIGKILL)
	vrouter(t, "lab", "up").wantOK(t)
	resumes(t, hosts[0].ns1, there)
	list := decode[[]lab.Status](t, vrouter(t, "lab", "status", "-o", "json").wantOK(t))
	if !list[0].Running || !list[1].Running || list[0].PID == hosts[0].Router.PID || list[1].PID != hosts[1].Router.PID {
		t.Errorf("%+v", list)
	}
	vrouter(t, "lab", "up").wantError(t, 1, "a lab is up already")
}

// A workload that is added to a host of the lab is the lab's: it is shown, one can get in, it goes with the lab, and the same
// name on another host is another namespace.
func TestLabKnowsAddedWorkloads(t *testing.T) {
	hosts := labUp(t, "")
	for i, h := range hosts {
		h.ask(t, "workload", "add", "more", "address", []string{"10.70.1.7/24", "10.70.2.7/24"}[i]).wantOK(t)
	}
	for i, s := range decode[[]lab.Status](t, vrouter(t, "lab", "status", "-o", "json").wantOK(t)) {
		address := []string{"10.70.1.7/24", "10.70.2.7/24"}[i]
		want := lab.Workload{Name: "more", Namespace: "vrouter-" + hosts[i].Name + "-more", Address: address, Addresses: []string{address}}
		if len(s.Workloads) != 2 || !slices.ContainsFunc(s.Workloads, func(w lab.Workload) bool { return reflect.DeepEqual(w, want) }) {
			t.Errorf("workloads %+v, want %+v among them", s.Workloads, want)
		}
	}
	wantEcho(t, hosts[0].named("more"), here, 63)
	wantEcho(t, hosts[1].named("more"), there, 63)
	out := vrouter(t, "lab", "exec", hosts[1].Name+"/more", "--", "cat", "/proc/net/fib_trie").wantOK(t)
	if !strings.Contains(out, "10.70.2.7") {
		t.Errorf("`lab exec` is elsewhere:\n%s", out)
	}
	hosts[0].killRouter(t, syscall.SIGKILL) // `lab down` finds it all the same: leavesNothing
}

// `lab exec` shows the /sys of the host, or of the workload.
func TestLabExecShowsSys(t *testing.T) {
	hosts := labUp(t, "")
	if _, err := os.Stat("/sys/class/net"); err != nil {
		t.Skip("no /sys here")
	}
	if out := vrouter(t, "lab", "exec", hosts[0].Name+"/ns1", "--", "ls", "/sys/class/net").wantOK(t); out != "eth0\nlo\n" {
		t.Errorf("in ns1 there is %q", out)
	}
	if out := vrouter(t, "lab", "exec", hosts[0].Name, "--", "ls", "/sys/class/net").wantOK(t); out != "ens160\nlo\n" {
		t.Errorf("on the host there is %q", out)
	}
}

// With mounts of its own, as `ip netns exec` and `lab exec` give them to a command, a router's namespaces are seen by everybody, and
// a kill leaves nothing in the way of the next start.
func TestNamespacesAreSeenByOthers(t *testing.T) {
	hosts := labUp(t, "")
	h := hosts[0]
	h.killRouter(t, syscall.SIGTERM)
	h.edit(t, func(s string) string { return strings.Replace(s, "workloads:\n", oneMore, 1) })
	for range 2 {
		r := h.restart(t)
		ns9 := h.named("ns9")
		if !ns9.Exists() {
			t.Fatal("nobody else sees the namespace")
		}
		resumes(t, ns9, here)
		r.signal(t, syscall.SIGKILL)
	}
	// Where a name was that was not seen, a file is left.
	if err := h.named("ns9").Delete(); err != nil {
		t.Fatal(err)
	}
	write(t, string(h.named("ns9")), "")
	r := h.restart(t)
	resumes(t, h.named("ns9"), here)
	r.signal(t, syscall.SIGTERM)
	config := filepath.Join(filepath.Dir(h.Socket), "config.yaml")
	vrouter(t, "lab", "exec", h.Name, "--", program, "down", "--config", config).wantOK(t)
	if h.named("ns9").Exists() {
		t.Error("the namespace is left")
	}
}
