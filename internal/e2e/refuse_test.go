package e2e

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/nftables"
	"github.com/vishvananda/netlink"

	"github.com/vrouter/vrouter/internal/control"
	"github.com/vrouter/vrouter/internal/workload"
)

// A configuration that is wrong changes nothing, and says where it is wrong.
func TestBadConfiguration(t *testing.T) {
	for _, c := range []struct{ name, lines, err string }{
		{"unknown key", "routess: []\n", `config.yaml:4:1: routess: unknown key`},
		{"unknown key inside", "log: {levle: info}\n", `config.yaml:4:7: log.levle: unknown key`},
		{"wrong type", "offload: maybe\n", `config.yaml:4:10: offload: "maybe" is neither true nor false`},
		{"IPv6", "routes: [{to: 2001:db8::/32, via: 192.168.0.12}]\n", `config.yaml:4:15: routes\[0\].to: .*IPv6`},
		{"next hop off the link", "log: {level: warn}\nroutes: [{to: 10.70.2.1, via: 10.1.1.1}]\n", `route to 10.70.2.1/32: next hop 10.1.1.1 is no neighbour`},
	} {
		t.Run(c.name, func(t *testing.T) { refuses(t, newHost(t), hostConfig+c.lines, c.err) })
	}
	ns := newHost(t)
	refuses(t, ns, strings.Replace(hostConfig, "}]", "}, {name: w2, address: 10.70.1.1/24}]", 1), `config.yaml:3:[0-9]+: workloads\[1\].address: 10.70.1.1 is already taken`)
	refuses(t, ns, strings.Replace(hostConfig, "ens160", "ens161", 1), "uplink ens161: there is no such interface")
	tryRouter(t, ns, "").wantError(t, 1, `config.yaml:1:1: uplink.interface: missing`)
}

// refuses wants an error of one line, and everything as it was before.
func refuses(t *testing.T, ns workload.Namespace, config, err string) {
	t.Helper()
	before, links := remains(), linksOf(t, ns)
	tryRouter(t, ns, config).wantError(t, 1, err)
	wantNothingNew(t, before)
	if now := linksOf(t, ns); !slices.Equal(now, links) {
		t.Errorf("interfaces %v, before %v", now, links)
	}
}

// guardOf is the guard's rules by their handles, which new ones would not have.
func guardOf(t *testing.T, ns workload.Namespace) (rules []string) {
	t.Helper()
	in(t, ns, func() error {
		c, err := nftables.New()
		if err != nil {
			return err
		}
		list, err := c.ListChainsOfTableFamily(nftables.TableFamilyNetdev)
		for _, chain := range list {
			all, failed := c.GetRules(chain.Table, chain)
			for _, rule := range all {
				rules = append(rules, fmt.Sprint(chain.Table.Name, rule.Handle))
			}
			err = errors.Join(err, failed)
		}
		return err
	})
	return rules
}

func linksOf(t *testing.T, ns workload.Namespace) []string {
	t.Helper()
	var list []string
	in(t, ns, func() error {
		list = interfaces()
		return nil
	})
	return list
}

func TestMetricsPortInUse(t *testing.T) {
	ns := newHost(t)
	in(t, ns, func() error {
		l, err := net.Listen("tcp", metricsAt)
		if err == nil {
			t.Cleanup(func() { l.Close() })
		}
		return err
	})
	refuses(t, ns, hostConfig, "metrics: .*"+metricsAt+".* in use; give another `metrics.listen`")
}

// Two routers must not share a socket, nor an uplink, nor read one TAP; the first
// of them is none the worse for the attempt.
func TestSecondRouter(t *testing.T) {
	ns := newHost(t)
	first := startRouter(t, ns, "/run/vrouter/one.sock", hostConfig)
	before := []any{linksOf(t, ns), stateOf(t, "/run/netns/w1", "eth0"), stateOf(t, ns, uplink), guardOf(t, ns)}
	const quiet = "metrics: {listen: ''}\n"
	refuses(t, ns, hostConfig+quiet+"control: {socket: /run/vrouter/one.sock}\n", "/run/vrouter/one.sock: another vrouter answers there")
	other := strings.Replace(hostConfig, "w1", "w2", 1) + "kernel: {export: true, guard: false}\n"
	refuses(t, ns, other+quiet+"control: {socket: /run/vrouter/two.sock}\n",
		fmt.Sprintf("uplink ens160: another vrouter, process %d, forwards by it", first.cmd.Process.Pid))
	startsWithout(t, newHost(t), hostConfig+quiet, "TAP eth0 is in use: another router")
	startsWithout(t, newHost(t), hostConfig+quiet+"offload: false\n", "TAP eth0 is in use: another router")
	if d := cmp.Diff(before, []any{linksOf(t, ns), stateOf(t, "/run/netns/w1", "eth0"), stateOf(t, ns, uplink), guardOf(t, ns)}); d != "" {
		t.Errorf("the attempts changed something (-before +now):\n%s", d)
	}
	vrouter(t, "--socket", "/run/vrouter/one.sock", "workload", "list").wantOK(t)
	wantEcho(t, workload.Named("w1"), "169.254.1.1", 64)
}

// An interface that is not ours stays as it is.
func TestInterfaceIsNoTAP(t *testing.T) {
	for _, l := range []netlink.Link{
		&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "eth0"}, PeerName: "other"},
		&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "eth0"}},
	} {
		t.Run(l.Type(), func(t *testing.T) {
			inside := newNamespace(t)
			in(t, inside, func() error { return netlink.LinkAdd(l) })
			before := linksOf(t, inside)
			startsWithout(t, newHost(t), withNamespace(string(inside)), "eth0 exists and is no TAP")
			if now := linksOf(t, inside); !slices.Equal(now, before) {
				t.Errorf("interfaces %v, before %v", now, before)
			}
		})
	}
}

func TestPathIsNoNamespace(t *testing.T) {
	for _, path := range []string{file(t, "plain", "text"), t.TempDir(), "/run/netns/nobody", "/no/such/directory"} {
		startsWithout(t, newHost(t), withNamespace(path), path+": no network namespace there")
	}
}

// startsWithout wants a router that starts although its workload w1 cannot be attached, says why, and takes back no
// more than it made.
func startsWithout(t *testing.T, ns workload.Namespace, config, reason string) {
	t.Helper()
	const socket = "/run/vrouter/without.sock"
	before := remains()
	text := config + "control: {socket: " + socket + "}\n"
	path := file(t, "config.yaml", text)
	r := start(t, command(t, "run", "--config", path), ns.Do)
	eventually(t, "the router answers", func() bool { return r.hasEnded() || vrouter(t, "--socket", socket, "show", "ports").status == 0 })
	list := decode[[]control.Workload](t, vrouter(t, "--socket", socket, "workload", "list", "-o", "json").wantOK(t))
	if len(list) != 1 || !strings.Contains(list[0].Waits, reason) {
		t.Errorf("the workloads are %+v, want one that waits: %s", list, reason)
	}
	if out := read(t, r.errors); !strings.Contains(out, "the workload is not attached; trying again") || !strings.Contains(out, reason) {
		t.Errorf("the log does not say %q:\n%s", reason, out)
	}
	r.signal(t, syscall.SIGTERM)
	start(t, command(t, "down", "--config", path), ns.Do).wait(t).wantOK(t)
	wantNothingNew(t, before)
}

func TestWrongWords(t *testing.T) {
	for _, c := range []struct{ args, err string }{
		{"nonsense", `unknown command "nonsense"`},
		{"--nonsense", "unknown flag: --nonsense"},
		{"run", `"config" not set`},
		{"run --config", "flag needs an argument: --config"},
		{"run --config x y", `takes no words, but got "y"`},
		{"down", `"config" not set`},
		{"demo now", `takes no words, but got "now"`},
		{"lab sideways", `unknown word "sideways"`},
		{"lab up --hosts 3", "unknown flag: --hosts"},
		{"show weather", `unknown word "weather"`},
		{"show weather -o json", `unknown word "weather"`},
		{"show prots", `did you mean ports\?`},
		{"lab --socket /nowhere", "`vrouter lab` asks no router by its socket; leave it out"},
		{"--socket /nowhere run --config x", "`vrouter run` asks no router by its socket"},
		{"trace --socket /nowhere --hosts a,b", "--socket and --hosts exclude each other"},
		{"doctor --node a", "--node says which of the hosts in a file"},
		{"show ports -o xml", "-o xml: there is text"},
		{"route get", "takes one address; it got 0"},
		{"route get 10.0.0.1 10.0.0.2", "takes one address; it got 2"},
		{"trace -o xml", "-o xml: there is text"},
		{"trace --inner --outer", "exclude each other"},
		{"trace -c many", "invalid argument \"many\""},
		{"trace -c -1", "-c"},
		{"version --color red", "--color red: there is auto, always, never"},
		{"explain icmp 10.70.1.1", "quote it"},
	} {
		t.Run(c.args, func(t *testing.T) { vrouter(t, strings.Fields(c.args)...).wantError(t, 2, c.err) })
	}
}

func TestNobodyAtTheSocket(t *testing.T) {
	for _, c := range []string{"show ports", "show drops", "show neighbors", "show config", "route list", "route get 10.70.2.1", "workload list", "trace icmp"} {
		vrouter(t, strings.Fields(c)...).wantError(t, 1, "no router answers at /run/vrouter/vrouter.sock: start one")
	}
	dead := file(t, "dead.sock", "")
	vrouter(t, "--socket", dead, "show", "ports").wantError(t, 1, "no router answers at "+dead)
	vrouter(t, "run", "--config", "/no/such/file").wantError(t, 1, "/no/such/file: no such file")
}

// A router that was killed leaves its socket; the next one takes it.
func TestSocketOfTheDead(t *testing.T) {
	ns := newHost(t)
	const socket = "/run/vrouter/vrouter.sock"
	r := startRouter(t, ns, socket, hostConfig)
	r.signal(t, 9)
	if _, err := os.Stat(socket); err != nil {
		t.Fatalf("%v: this test has nothing to show", err)
	}
	vrouter(t, "show", "ports").wantError(t, 1, "no router answers at "+socket)
	startRouter(t, ns, socket, hostConfig).signal(t, 15)
	if _, err := os.Stat(socket); err == nil {
		t.Error("a router that ended by itself has left its socket")
	}
}
