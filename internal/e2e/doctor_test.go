package e2e

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vrouter/vrouter/internal/doctor"
	"github.com/vrouter/vrouter/internal/guard"
	"github.com/vrouter/vrouter/internal/workload"
)

// patient is a host that the doctor looks at.
type patient struct {
	ns     workload.Namespace
	config string
}

// newPatient has the uplink's peer up too, so that there is a carrier.
func newPatient(t *testing.T, config string) patient {
	t.Helper()
	ns := newHost(t)
	in(t, ns, func() error { return setUp("cable") })
	return patient{ns, file(t, "config.yaml", config)}
}

func setUp(name string) error {
	l, err := netlink.LinkByName(name)
	if err == nil {
		err = netlink.LinkSetUp(l)
	}
	return err
}

// examine runs the doctor and returns what he says of a check; he fails if, and
// only if, a finding does.
func (p patient) examine(t *testing.T, check string, args ...string) (found []doctor.Finding) {
	t.Helper()
	args = append([]string{"doctor", "-o", "json", "--config", p.config}, args...)
	r := start(t, command(t, args...), p.ns.Do).wait(t)
	all := decode[[]doctor.Finding](t, r.out)
	if fails := doctor.Failures(all) > 0; fails != (r.status == 1) || r.status > 1 {
		t.Errorf("exit status %d with %+v", r.status, all)
	}
	for _, f := range all {
		if f.Name == check {
			found = append(found, f)
		}
	}
	return found
}

// want is one finding of this state.
func (p patient) want(t *testing.T, check string, state doctor.State, args ...string) doctor.Finding {
	t.Helper()
	found := p.examine(t, check, args...)
	if len(found) != 1 || found[0].State != state {
		t.Fatalf("the check %s says %+v, want one finding %s", check, found, state)
	}
	return found[0]
}

// isMended holds a check to what it promises: broken, it says so; --fix mends it, and the
// second time has nothing to do; broken again, the command it names mends it.
func (p patient) isMended(t *testing.T, check string, state doctor.State, mend string, harm func() error) {
	t.Helper()
	p.want(t, check, doctor.OK)
	in(t, p.ns, harm)
	f := p.want(t, check, state)
	if !strings.Contains(f.Mend, mend) {
		t.Errorf("the mend is %q, want %q", f.Mend, mend)
	}
	if fixed := p.want(t, check, doctor.OK, "--fix"); fixed.Done != f.Mend {
		t.Errorf("--fix did %q, and promised %q", fixed.Done, f.Mend)
	}
	if again := p.want(t, check, doctor.OK, "--fix"); again.Done != "" {
		t.Errorf("--fix has done it again: %+v", again)
	}
	in(t, p.ns, harm)
	p.byHand(t, p.want(t, check, state).Mend)
	p.want(t, check, doctor.OK)
}

// isAdvised is isMended for what is somebody else's: --fix lets it be.
func (p patient) isAdvised(t *testing.T, check string, state doctor.State, mend string, harm func() error) {
	t.Helper()
	p.want(t, check, doctor.OK)
	in(t, p.ns, harm)
	if f := p.want(t, check, state, "--fix"); f.Mend != mend || f.Done != "" {
		t.Errorf("the mend is %q, done %q; want %q, and nothing done", f.Mend, f.Done, mend)
	}
	p.want(t, check, state)
	if _, err := exec.LookPath(strings.Fields(mend)[0]); err != nil {
		t.Skipf("%s is not installed", mend)
	}
	p.byHand(t, mend)
	p.want(t, check, doctor.OK)
}

// byHand does what the mend says, if its program is installed here; that --fix does
// it is proved without.
func (p patient) byHand(t *testing.T, mend string) {
	t.Helper()
	program := strings.Fields(mend)[0]
	if _, err := exec.LookPath(program); err != nil && program != "echo" {
		t.Logf("not tried, as %s is not installed: %s", program, mend)
		if r := start(t, command(t, "doctor", "--fix", "--config", p.config), p.ns.Do).wait(t); r.status > 1 {
			t.Fatalf("%+v", r)
		}
		return
	}
	start(t, exec.CommandContext(t.Context(), "sh", "-c", mend), p.ns.Do).wait(t).wantOK(t)
}

func set(key, value string) func() error {
	return func() error { return os.WriteFile("/proc/sys/net/"+key, []byte(value), 0) }
}

const noGuard = "kernel: {guard: false}\n"

func TestDoctorHealthy(t *testing.T) {
	p := newPatient(t, hostConfig)
	in(t, p.ns, set("ipv4/ip_forward", "1")) // which the guard takes care of
	all := decode[[]doctor.Finding](t, start(t, command(t, "doctor", "-o", "json", "--config", p.config), p.ns.Do).wait(t).wantOK(t))
	for _, f := range all {
		if f.State != doctor.OK || f.Means == "" || f.Mend != "" {
			t.Errorf("a healthy host: %+v", f)
		}
	}
	startRouterWith(t, p.ns, "/run/vrouter/vrouter.sock", hostConfig)
	out := start(t, command(t, "doctor"), p.ns.Do).wait(t).wantOK(t)
	if strings.Contains(out, "warn") || !strings.HasPrefix(out, "ok  configuration  that of the router at /run/vrouter/vrouter.sock\n") {
		t.Errorf("while the router runs:\n%s", out)
	}
}

func TestDoctorStack(t *testing.T) {
	p := newPatient(t, hostConfig+noGuard)
	p.isMended(t, "ip_forward", doctor.Fail, "echo 0 > /proc/sys/net/ipv4/conf/ens160/forwarding", set("ipv4/conf/ens160/forwarding", "1"))
	p = newPatient(t, hostConfig+"ipip: {mode: always}\n"+noGuard)
	if f := p.want(t, "guard", doctor.Fail, "--fix"); !strings.Contains(f.Means, "Protocol Unreachable") {
		t.Errorf("%+v", f)
	}
	// The name alone tells it where the kernel has no ipip to make a real one.
	tunnel := func() error { return errors.Join(addBridge("tunl0"), setUp("tunl0")) }
	p.isMended(t, "ipip", doctor.Fail, "ip link set tunl0 down", tunnel)
	p = patient{p.ns, file(t, "config.yaml", hostConfig)}
	in(t, p.ns, tunnel)
	p.want(t, "ipip", doctor.Warn, "--fix") // somebody's own, perhaps
}

// addBridge is content with one that is there.
func addBridge(name string) error {
	err := netlink.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: name}})
	if errors.Is(err, unix.EEXIST) {
		return nil
	}
	return err
}

func TestDoctorReversePath(t *testing.T) {
	p := newPatient(t, hostConfig+"routes: [{to: 10.70.2.1, via: 192.168.0.12}]\n")
	in(t, p.ns, func() error { // a second way out, which the host prefers
		return errors.Join(set("ipv4/conf/all/rp_filter", "0")(), addBridge("other"), up("other", "172.16.0.1/24"),
			netlink.RouteAdd(&netlink.Route{Gw: net.IPv4(172, 16, 0, 2)}))
	})
	p.isMended(t, "rp_filter", doctor.Warn, "echo 2 > /proc/sys/net/ipv4/conf/ens160/rp_filter", set("ipv4/conf/ens160/rp_filter", "1"))
	in(t, p.ns, set("ipv4/conf/ens160/rp_filter", "1"))
	p = patient{p.ns, file(t, "config.yaml", hostConfig+"routes: [{to: 10.70.2.1, via: 192.168.0.12, encap: ipip}]\n")}
	p.want(t, "rp_filter", doctor.OK) // in a tunnel it meets no filter
}

func TestDoctorBridge(t *testing.T) {
	if _, err := os.Stat("/proc/sys/net/bridge"); err != nil {
		t.Log("this kernel has no br_netfilter: there is nothing to see, and the check says so")
	}
	p := newPatient(t, hostConfig)
	in(t, p.ns, func() error { return errors.Join(addBridge("br0"), up("br0", "192.168.1.11/24")) })
	b := patient{p.ns, file(t, "config.yaml", strings.Replace(hostConfig, "ens160", "br0", 1))}
	if _, err := os.Stat("/proc/sys/net/bridge"); err != nil {
		b.want(t, "bridge_filter", doctor.OK)
	} else {
		in(t, p.ns, set("bridge/bridge-nf-call-iptables", "0"))
		b.isMended(t, "bridge_filter", doctor.Warn, "echo 0 > /proc/sys/net/bridge/bridge-nf-call-iptables", set("bridge/bridge-nf-call-iptables", "1"))
	}
	p.want(t, "bridge_filter", doctor.OK) // ens160 is none
	in(t, p.ns, func() error {
		l, err := netlink.LinkByName("ens160")
		if err != nil {
			return err
		}
		return netlink.LinkSetMaster(l, &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "br0"}})
	})
	if f := p.want(t, "uplink", doctor.Warn); f.Mend != "set uplink.interface: br0" {
		t.Errorf("%+v", f)
	}
}

func TestDoctorUplink(t *testing.T) {
	p := newPatient(t, hostConfig)
	p.isMended(t, "uplink", doctor.Fail, "ip link set ens160 up", func() error { return netlink.LinkSetDown(mustLink("ens160")) })
	in(t, p.ns, func() error { return netlink.LinkSetDown(mustLink("cable")) })
	p.want(t, "uplink", doctor.Warn) // no carrier
	in(t, p.ns, func() error {
		return errors.Join(setUp("cable"), netlink.AddrDel(mustLink("ens160"), address("192.168.0.11/24")))
	})
	p.want(t, "uplink", doctor.Fail, "--fix")
	in(t, p.ns, func() error { return netlink.LinkDel(mustLink("ens160")) })
	if f := p.want(t, "uplink", doctor.Fail, "--fix"); !strings.Contains(f.Means, "there is no interface ens160") {
		t.Errorf("%+v", f)
	}
	if f := p.examine(t, "routes"); f != nil {
		t.Errorf("without an uplink: %+v", f)
	}
}

// mustLink is a link that can't be used if there is none: what follows fails.
func mustLink(name string) netlink.Link {
	l, err := netlink.LinkByName(name)
	if err != nil {
		return &netlink.Device{}
	}
	return l
}

func address(s string) *netlink.Addr {
	a, err := netlink.ParseAddr(s)
	if err != nil {
		panic(err)
	}
	return a
}

func TestDoctorOwners(t *testing.T) {
	p := newPatient(t, hostConfig+"routes: [{to: 10.70.2.0/24, via: 192.168.0.12}]\n")
	in(t, p.ns, func() error { return errors.Join(addBridge("cali1"), setUp("cali1")) })
	route := func(to string) func() error {
		return func() error {
			return netlink.RouteAdd(&netlink.Route{LinkIndex: mustLink("cali1").Attrs().Index, Dst: address(to).IPNet, Scope: netlink.SCOPE_LINK})
		}
	}
	p.isAdvised(t, "routes", doctor.Fail, "ip route del 10.70.1.1/32 dev cali1", route("10.70.1.1/32"))
	p.isAdvised(t, "routes", doctor.Warn, "ip route del 10.70.2.128/25 dev cali1", route("10.70.2.128/25"))
	for _, a := range []string{"169.254.1.1/32", "10.70.1.1/32"} {
		p.isAdvised(t, "addresses", doctor.Fail, "ip addr del "+a+" dev cali1", func() error { return netlink.AddrAdd(mustLink("cali1"), address(a)) })
	}
	in(t, p.ns, func() error { return netlink.AddrAdd(mustLink("cali1"), address("10.70.0.1/16")) })
	found := p.examine(t, "routes", "--fix")
	if len(found) != 1 || found[0].State != doctor.Warn || !strings.HasPrefix(found[0].Mend, "ip addr del 10.70.0.1/16 dev cali1") {
		t.Errorf("another program's subnet: %+v", found)
	}
}

func TestDoctorImport(t *testing.T) {
	p := newPatient(t, hostConfig+"kernel: {import: [bird, static]}\n")
	if f := p.examine(t, "import", "--fix"); len(f) != 2 || f[0].Mend != "ip route show proto bird" || f[1].State != doctor.Warn {
		t.Errorf("no routes: %+v", f)
	}
	in(t, p.ns, func() error {
		return errors.Join(addBridge("other"), up("other", "172.16.0.1/24"),
			netlink.RouteAdd(&netlink.Route{Dst: address("10.71.0.0/16").IPNet, Gw: net.IPv4(192, 168, 0, 12), Protocol: unix.RTPROT_BOOT}),
			netlink.RouteAdd(&netlink.Route{Dst: address("10.72.0.0/16").IPNet, Gw: net.IPv4(172, 16, 0, 2), Protocol: unix.RTPROT_BIRD}))
	})
	if f := p.want(t, "import", doctor.Warn); !strings.Contains(f.Means, "10.72.0.0/16 proto bird leaves by other, not by ens160") {
		t.Errorf("%+v", f)
	}
}

func TestDoctorMTU(t *testing.T) {
	p := newPatient(t, hostConfig+"ipip: {mode: always}\n")
	startRouterWith(t, p.ns, "/run/vrouter/vrouter.sock", hostConfig+"ipip: {mode: always}\n")
	w1 := workload.Named("w1")
	p.isMended(t, "mtu", doctor.Warn, "nsenter --net=/run/netns/w1 ip link set eth0 mtu 1480", func() error {
		return w1.Do(func() error { return netlink.LinkSetMTU(mustLink("eth0"), 1500) })
	})
	big := patient{p.ns, file(t, "config.yaml", strings.Replace(hostConfig, "}]", ", mtu: 9000}]", 1))}
	if f := big.examine(t, "mtu"); len(f) != 2 || !strings.Contains(f[0].Means, "mtu 9000 in the configuration, and 1500 fits") {
		t.Errorf("%+v", f)
	}
}

// What a killed router leaves: its guard, its socket, its workloads once they are
// no more in the file.
func TestDoctorLeftovers(t *testing.T) {
	leavesNothing(t)
	const socket = "/run/vrouter/vrouter.sock"
	p := newPatient(t, hostConfig)
	killed := func() error {
		startRouterWith(t, p.ns, socket, hostConfig).signal(t, 9)
		return nil
	}
	p.isMended(t, "old_guard", doctor.Warn, "nft delete table netdev vrouter-ens160", killed)
	p.isMendedAfter(t, "old_socket", "rm "+socket, killed)
	p.want(t, "old_workloads", doctor.OK)
	other := patient{p.ns, file(t, "config.yaml", strings.Replace(hostConfig, "w1", "w2", 1))}
	other.isMendedAfter(t, "old_workloads", "ip netns del w1", killed)
	in(t, p.ns, killed)
	in(t, workload.Named("w1"), func() error { return addBridge("more") }) // so that the namespace is of use to somebody
	f := other.want(t, "old_workloads", doctor.OK, "--fix")
	if f.Done != "ip -n w1 link del eth0" || !workload.Named("w1").Exists() {
		t.Errorf("%+v", f)
	}
	in(t, p.ns, func() error { return guard.Remove("ens160") })
	os.Remove(socket)
}

// isMendedAfter is isMended where the same harm was done for another check before, and may have been
// mended since: where the program that mends it is not installed, byHand mends everything.
func (p patient) isMendedAfter(t *testing.T, check, mend string, harm func() error) {
	t.Helper()
	in(t, p.ns, harm)
	if f := p.want(t, check, doctor.Warn); f.Mend != mend {
		t.Errorf("the mend is %q, want %q", f.Mend, mend)
	}
	p.want(t, check, doctor.OK, "--fix")
	p.isMended(t, check, doctor.Warn, mend, harm)
}

// Who has the uplink is said by its lock. Whatever a configuration says, and whatever other processes are called, the
// doctor ends none of them and takes nothing from them.
func TestDoctorLetsRoutersBe(t *testing.T) {
	const socket = "/run/vrouter/vrouter.sock"
	p := newPatient(t, hostConfig)
	in(t, p.ns, set("ipv4/ip_forward", "1"))
	r := startRouterWith(t, p.ns, socket, hostConfig)
	before := guardOf(t, p.ns)
	moved := patient{p.ns, file(t, "config.yaml", hostConfig+"control: {socket: /run/vrouter/other.sock}\n")}
	f := moved.want(t, "router", doctor.Warn, "--fix")
	if f.Mend != "vrouter --socket "+socket+" doctor" || !strings.Contains(f.Means, fmt.Sprintf("process %d, answers at %s", r.cmd.Process.Pid, socket)) {
		t.Errorf("%+v", f)
	}
	taken := patient{p.ns, file(t, "config.yaml", strings.Replace(hostConfig, "10.70.1.1/24", "192.168.0.11/24", 1)+"control: {socket: /run/vrouter/other.sock}\n")}
	if f := taken.want(t, "addresses", doctor.Fail, "--fix"); f.Done != "" || f.Mend != "give workload w1 another address" {
		t.Errorf("%+v", f)
	}
	empty := patient{p.ns, file(t, "config.yaml", "uplink: {interface: ens160}\ncontrol: {socket: /run/vrouter/other.sock}\n")}
	empty.want(t, "old_workloads", doctor.OK, "--fix")
	empty.want(t, "old_guard", doctor.OK, "--fix")
	if r.hasEnded() {
		t.Fatalf("the router was ended: %+v", r.wait(t))
	}
	if now := guardOf(t, p.ns); !slices.Equal(before, now) {
		t.Errorf("the guard was %v, and is %v", before, now)
	}
	wantEcho(t, workload.Named("w1"), "169.254.1.1", 64)
}

func TestDoctorTUN(t *testing.T) {
	p := newPatient(t, hostConfig)
	private := func(f func() error) error { // mounts that only this thread's children see
		return p.ns.Do(func() error {
			if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
				return err
			}
			return errors.Join(unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""), unix.Mount("tmpfs", "/dev/net", "tmpfs", 0, ""), f())
		})
	}
	look := func(args ...string) doctor.Finding {
		r := start(t, command(t, append([]string{"doctor", "-o", "json", "--config", p.config}, args...)...), private).wait(t)
		for _, f := range decode[[]doctor.Finding](t, r.out) {
			if f.Name == "tun" {
				return f
			}
		}
		return doctor.Finding{}
	}
	if f := look(); f.State != doctor.Fail || f.Mend != "mkdir -p /dev/net && mknod -m 666 /dev/net/tun c 10 200" {
		t.Errorf("%+v", f)
	}
	// Only the host's own root may make devices, and some of them not even he: then it stays.
	may := private(func() error { return unix.Mknod("/dev/net/tun", unix.S_IFCHR|0o666, int(unix.Mkdev(10, 200))) }) == nil
	if f := look("--fix"); (f.State == doctor.OK) != may {
		t.Errorf("mknod is allowed: %v; %+v", may, f)
	}
}

// Without rights, or without a configuration, it says so.
func TestDoctorWithout(t *testing.T) {
	ns := newHost(t)
	without := func(f func() error) error {
		return ns.Do(func() error {
			return errors.Join(unix.Prctl(unix.PR_CAPBSET_DROP, unix.CAP_NET_RAW, 0, 0, 0), f())
		})
	}
	r := start(t, command(t, "doctor"), without).wait(t)
	wantOneLine(t, r.err, "1 of 5 findings fail")
	if r.status != 1 || !strings.Contains(r.out, "fail  capabilities   CAP_NET_RAW is missing, for the packet socket on the uplink") ||
		!strings.Contains(r.out, "mend: vrouter doctor --config FILE") {
		t.Errorf("%+v", r)
	}
	bad := file(t, "config.yaml", "nonsense: 1\n")
	r = start(t, command(t, "doctor", "--config", bad), ns.Do).wait(t)
	if r.status != 1 || !strings.Contains(r.out, bad+":1:1: nonsense: unknown key") {
		t.Errorf("%+v", r)
	}
}

// A policy rule that takes workloads' packets elsewhere is said; one that does not is none of its business.
func TestDoctorRules(t *testing.T) {
	p := newPatient(t, hostConfig+"routes: [{to: 10.70.2.0/24, via: 192.168.0.12}]\n")
	rule := func(change func(*netlink.Rule)) *netlink.Rule {
		r := netlink.NewRule()
		r.Priority, r.Table, r.Family = 100, 77, unix.AF_INET
		change(r)
		return r
	}
	in(t, p.ns, func() error {
		return errors.Join(addBridge("other"), up("other", "172.16.0.1/24"),
			netlink.RouteAdd(&netlink.Route{Table: 77, Dst: address("10.70.2.0/25").IPNet, Gw: net.IPv4(172, 16, 0, 2)}))
	})
	for words, change := range map[string]func(*netlink.Rule){
		"from all lookup 77, comes before the main table, and takes packets of 10.70.2.0/24":      func(*netlink.Rule) {},
		"from 10.70.1.0/24 lookup 77, comes before the main table, and takes packets of workload": func(r *netlink.Rule) { r.Src = address("10.70.1.0/24").IPNet },
		"": func(r *netlink.Rule) { r.Dst = address("10.9.0.0/16").IPNet },
	} {
		r := rule(change)
		in(t, p.ns, func() error { return netlink.RuleAdd(r) })
		if words == "" {
			p.want(t, "rules", doctor.OK)
		} else if f := p.want(t, "rules", doctor.Warn, "--fix"); !strings.Contains(f.Means, words) || !strings.HasPrefix(f.Mend, "ip rule del priority 100") {
			t.Errorf("%+v", f)
		}
		in(t, p.ns, func() error { return netlink.RuleDel(r) })
	}
}

// What belongs to the router of another host on this machine is none of this one's; nor does a router lose anything by its
// program's name.
func TestDoctorLetsOthersBe(t *testing.T) {
	leavesNothing(t)
	p, other := newPatient(t, "uplink: {interface: ens160}\n"), newHost(t)
	startRouterWith(t, other, "/run/vrouter/other.sock", strings.Replace(hostConfig, "w1", "theirs", 1)+"control: {socket: /run/vrouter/other.sock}\n")
	p.want(t, "old_workloads", doctor.OK, "--fix")
	if !workload.Named("theirs").Exists() {
		t.Error("another router's workload is gone")
	}
	other9 := filepath.Join(t.TempDir(), "router9")
	if err := os.Link(program, other9); err != nil {
		b, rerr := os.ReadFile(program)
		if rerr != nil || os.WriteFile(other9, b, 0o755) != nil {
			t.Fatal(err)
		}
	}
	const socket = "/run/vrouter/mine.sock"
	config := file(t, "config.yaml", hostConfig+"metrics: {listen: ''}\ncontrol: {socket: "+socket+"}\n")
	t.Cleanup(func() { start(t, command(t, "down", "--config", config), p.ns.Do).wait(t).wantOK(t) })
	r := start(t, exec.CommandContext(t.Context(), other9, "run", "--config", config), p.ns.Do)
	eventually(t, "the router answers", func() bool { return r.hasEnded() || vrouter(t, "--socket", socket, "show", "ports").status == 0 })
	before := guardOf(t, p.ns)
	mine := patient{p.ns, config}
	for _, check := range []string{"old_guard", "old_workloads", "router", "old_socket"} {
		mine.want(t, check, doctor.OK, "--fix")
	}
	p.want(t, "old_guard", doctor.OK, "--fix")
	if now := guardOf(t, p.ns); len(now) != 2 || !slices.Equal(now, before) {
		t.Errorf("the guard was %v, and is %v", before, now)
	}
}
