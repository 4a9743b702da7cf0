package e2e

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vrouter/vrouter/internal/control"
	"github.com/vrouter/vrouter/internal/workload"
)

// The workloads of the lab of both families, and the hosts.
const (
	here6   = "fd00:70:1::1"
	there6  = "fd00:70:2::1"
	uplink6 = "fd00:192::11"
	peer6   = "fd00:192::12"
)

func dualStack(t *testing.T) []host {
	t.Helper()
	return labUp(t, read(t, "../../examples/lab-dual-stack.yaml"))
}

// state6 is what a namespace has of IPv6 but for what is link-local, as ip(8) shows it.
func state6(t *testing.T, ns workload.Namespace) (all []string) {
	t.Helper()
	in(t, ns, func() error {
		links, err := netlink.LinkList()
		if err != nil {
			return err
		}
		name := map[int]string{}
		for _, l := range links {
			name[l.Attrs().Index] = l.Attrs().Name
			addresses, err := netlink.AddrList(l, unix.AF_INET6)
			if err != nil {
				return err
			}
			for _, a := range addresses {
				if a.IP.IsGlobalUnicast() {
					text := a.IPNet.String() + " dev " + l.Attrs().Name
					if a.Flags&(unix.IFA_F_TENTATIVE|unix.IFA_F_DADFAILED) != 0 {
						text += " tentative"
					}
					all = append(all, text)
				}
			}
		}
		routes, err := netlink.RouteList(nil, unix.AF_INET6)
		for _, r := range routes {
			if r.Dst == nil || !r.Dst.IP.IsLinkLocalUnicast() && !r.Dst.IP.IsMulticast() {
				r.Src = nil
				all = append(all, routeText(name[r.LinkIndex], r))
			}
		}
		return err
	})
	slices.Sort(all)
	return all
}

func wantState6(t *testing.T, ns workload.Namespace, want ...string) {
	t.Helper()
	slices.Sort(want)
	if got := state6(t, ns); !slices.Equal(got, want) {
		t.Errorf("%s has\n%s\nwant\n%s", ns, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// The tutorial's lab in both families: each workload is as Calico's plugin leaves it, pings and TCP cross two hosts, a
// traceroute names them by their global addresses, and the books balance.
func TestDualStack(t *testing.T) {
	hosts := dualStack(t)
	h := hosts[0]
	wantEcho(t, h.ns1, there, 62)
	wantEcho(t, h.ns1, there6, 62)
	wantEcho(t, hosts[1].ns1, here6, 62)
	wantState6(t, h.ns1, here6+"/128 dev eth0", here6+"/128 dev eth0 proto kernel", "default via fe80::ecee:eeff:feee:eeee dev eth0")
	for _, key := range []string{"disable_ipv6", "accept_ra", "autoconf"} {
		if got := settingIn(t, h.ns1, "eth0/"+key); got != "0" {
			t.Errorf("%s is %s, want 0", key, got)
		}
	}
	wantEcho(t, h.ns1, uplink6, 64)
	a, b := connect(t, h.ns1, hosts[1].ns1, there6)
	exchange(t, a, b, 16<<20)
	exchangeDatagrams(t, h.ns1, hosts[1].ns1, here6, there6)
	if program, err := exec.LookPath("traceroute"); err == nil {
		in(t, h.ns1, func() error {
			out, err := exec.Command(program, "-6", "-n", "-q", "1", there6).CombinedOutput()
			var hops []string
			for _, m := range regexp.MustCompile(`(?m)^ *\d+ +(\S+)`).FindAllStringSubmatch(string(out), -1) {
				hops = append(hops, m[1])
			}
			if want := []string{uplink6, peer6, there6}; !slices.Equal(hops, want) {
				t.Errorf("traceroute: %v, want %v\n%s", hops, want, out)
			}
			return err
		})
	}
	for _, h := range hosts {
		s := scrape(t, h.ns)
		if n := s[key("accounting_imbalance_packets")]; n != 0 {
			t.Errorf("%s: imbalance of %v packets", h.Name, n)
		}
		if s[key("nd_solicitations_received_total", `port="ns1"`, `answer="gateway"`)] == 0 {
			t.Errorf("%s: nobody has asked for the gateway: %v", h.Name, s.labels("nd_solicitations"))
		}
	}
}

// A router that is killed keeps its workloads' connections: the next one takes them over.
func TestDualStackTakeOver(t *testing.T) {
	hosts := dualStack(t)
	h := hosts[0]
	a, b := connect(t, h.ns1, hosts[1].ns1, there6)
	exchange(t, a, b, 1<<20)
	before, mac := state6(t, h.ns1), stateOf(t, h.ns1, "eth0").MAC
	h.killRouter(t, syscall.SIGKILL)
	wantState6(t, h.ns1, before...)
	h.restart(t)
	resumes(t, h.ns1, there6)
	exchange(t, a, b, 1<<20)
	wantState6(t, h.ns1, before...)
	if now := stateOf(t, h.ns1, "eth0").MAC; now != mac {
		t.Errorf("eth0 was %s, is %s", mac, now)
	}
}

// Workloads and routes of both families by command, and what the file then says.
func TestDualStackCommands(t *testing.T) {
	hosts := dualStack(t)
	h := hosts[0]
	h.ask(t, "workload", "add", "ns3", "address", "10.70.1.3/24", "address", "fd00:70:1::3/128").wantOK(t)
	h.ask(t, "workload", "add", "ns4", "addresses", "fd00:70:1::4/64,fd00:70:1::5/128").wantOK(t)
	ns3, ns4 := h.named("ns3"), h.named("ns4")
	wantState6(t, ns3, "fd00:70:1::3/128 dev eth0", "fd00:70:1::3/128 dev eth0 proto kernel", "default via fe80::ecee:eeff:feee:eeee dev eth0")
	if s := stateOf(t, ns4, "eth0"); s.Addresses != nil || s.Routes != nil {
		t.Errorf("without an IPv4 address it has %+v", s)
	}
	wantEcho(t, ns3, here, 63)
	wantEcho(t, ns3, here6, 63)
	wantEcho(t, ns4, here6, 63) // in one subnet with it: the router answers for what it forwards to
	wantEcho(t, ns3, "fd00:70:1::5", 63)
	config := h.ask(t, "show", "config").wantOK(t)
	for _, want := range []string{"    addresses:\n      - 10.70.1.3/24\n      - fd00:70:1::3/128\n", "address6: fe80::ecee:eeff:feee:eeee"} {
		if !strings.Contains(config, want) {
			t.Errorf("the file does not say %q:\n%s", want, config)
		}
	}
	for words, err := range map[string]string{
		"ns5 address 10.70.1.5/24 address fd00:70:1::3/128": `address: fd00:70:1::3 is already taken by workload ns3`,
		"ns5 address fd00:192::11/128":                      `address: fd00:192::11 is the address of ens160`,
		"ns5 address fe80::5/64":                            `address: fe80::5 is a link-local address`,
	} {
		h.ask(t, append([]string{"workload", "add"}, strings.Fields(words)...)...).wantError(t, 1, err)
	}

	h.ask(t, "route", "del", there6).wantOK(t)
	if ttl := echo(t, h.ns1, there6, 100*1e6); ttl != 0 {
		t.Errorf("without a route a ping is answered, ttl %d", ttl)
	}
	var linkLocal netip.Addr
	in(t, hosts[1].ns, func() error {
		return withLink(uplink, func(l netlink.Link) error {
			all, err := netlink.AddrList(l, unix.AF_INET6)
			for _, a := range all {
				if a.IP.IsLinkLocalUnicast() {
					linkLocal, _ = netip.AddrFromSlice(a.IP)
				}
			}
			return err
		})
	})
	h.ask(t, "route", "add", there6, "via", linkLocal.String(), "dev", "ens160").wantOK(t)
	wantEcho(t, h.ns1, there6, 62)
	// RFC 8950: the next hop of an IPv4 route is an IPv6 neighbour.
	h.ask(t, "route", "replace", there, "via", "inet6", linkLocal.String()).wantOK(t)
	wantEcho(t, h.ns1, there, 62)
	h.ask(t, "route", "add", "default", "via", peer6).wantOK(t)
	if out := h.ask(t, "route", "list").wantOK(t); !strings.Contains(out, "via "+peer6+" dev ens160") {
		t.Errorf("there is no default route:\n%s", out)
	}
	for words, err := range map[string]string{
		"fd00:9::/64 via 192.168.0.12": `to: fd00:9::/64 is IPv6, of which the next hop 192.168.0.12 knows nothing but in a tunnel: add encap ipip or vxlan`,
		"fd00:9::/64 via fd00:193::1":  `via: fd00:193::1 is no neighbour`,
		"fe80::/64 via " + peer6:       `to: fe80::/64 is in fe80::/10, which is never forwarded to`,
	} {
		h.ask(t, append([]string{"route", "add"}, strings.Fields(words)...)...).wantError(t, 1, err)
	}
	h.ask(t, "workload", "del", "ns3").wantOK(t)
	if ns3.Exists() {
		t.Error("the namespace is left behind")
	}
}

// A namespace that had no IPv6, and what was in the place of the router's routes, are as they were when the router is taken back.
func TestDualStackDown(t *testing.T) {
	ns := newHost(t)
	leavesNothing(t)
	in(t, ns, func() error { return addIPv6(uplink, uplink6+"/64") })
	theirs, err := workload.Create("theirs")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = theirs.Delete() })
	setIn(t, theirs, "all/disable_ipv6", "1")
	setIn(t, theirs, "default/disable_ipv6", "1")
	const control = "control: {socket: " + defaultSocket + "}\n"
	config := "node: h\nuplink: {interface: ens160}\nworkloads:\n" +
		"  - {name: w1, namespace: " + string(theirs) + ", addresses: [10.70.1.1/24, 'fd00:70:1::1/128']}\n"
	r := startRouter(t, ns, defaultSocket, config)
	attached := []string{here6 + "/128 dev eth0", here6 + "/128 dev eth0 proto kernel", "default via fe80::ecee:eeff:feee:eeee dev eth0"}
	wantState6(t, theirs, attached...)
	wantEcho(t, theirs, uplink6, 64)

	path := file(t, "new.yaml", config+"  - {name: w2, address: 'fd00:70:1::2/128'}\n"+control)
	out := vrouter(t, "plan", "--config", path).wantOK(t)
	for _, want := range []string{
		"make interface eth0 in /run/netns/w2, set mtu 1500 of eth0, give fd00:70:1::2/128 to eth0",
		"add fd00:70:1::2/128 dev w2 proto workload scope link",
		"icmp6 fd00:70:1::1 > fd00:70:1::2: dropped at route no_route; then forwarded by w2",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("the plan does not say %q:\n%s", want, out)
		}
	}
	r.signal(t, syscall.SIGKILL)
	start(t, command(t, "down", "--config", file(t, "h.yaml", config+control)), ns.Do).wait(t).wantOK(t)
	wantState6(t, theirs)
	if got := settingIn(t, theirs, "all/disable_ipv6"); got != "1" {
		t.Errorf("the namespace's disable_ipv6 is %s", got)
	}
}

// The host reaches its workloads by vrouter0, and they the host, in both families.
func TestDualStackExport(t *testing.T) {
	leavesNothing(t)
	ns := newHost(t)
	in(t, ns, func() error { return addIPv6(uplink, uplink6+"/64") })
	const control = "control: {socket: " + defaultSocket + "}\n"
	config := "node: h\nuplink: {interface: ens160}\nkernel: {export: true}\n" +
		"workloads: [{name: w1, addresses: [10.70.1.1/24, 'fd00:70:1::1/128']}]\n"
	r := startRouter(t, ns, defaultSocket, config)
	w1 := workload.Named("w1")
	resumes(t, ns, here)
	resumes(t, ns, here6)
	wantEcho(t, ns, here6, 64)
	wantEcho(t, w1, uplink6, 64)
	a, b := connect(t, ns, w1, here6)
	exchange(t, a, b, 1<<20)
	a, b = connect(t, w1, ns, uplink6)
	exchange(t, a, b, 1<<20)
	has := func() bool {
		return slices.ContainsFunc(state6(t, ns), func(s string) bool { return strings.HasPrefix(s, here6+"/128 dev vrouter0") })
	}
	if !has() {
		t.Errorf("the host has %q", state6(t, ns))
	}
	r.signal(t, syscall.SIGTERM)
	eventually(t, "the host's routes go with the router", func() bool { return !has() })
	start(t, command(t, "down", "--config", file(t, "h.yaml", config+control)), ns.Do).wait(t).wantOK(t)
}

// Routes of the host's in IPv6 are mirrored, and followed; so are IPv4 ones with an IPv6 next hop.
func TestDualStackImport(t *testing.T) {
	one := func(node, n, workload string) string {
		return "  - node: " + node + "\n    uplink: {addresses: [192.168.0.1" + n + "/24, 'fd00:192::1" + n + "/64']}\n" +
			"    workloads: [{name: ns1, addresses: [10.70." + n + ".1/24, 'fd00:70:" + n + "::1/128']}]\n    kernel: {import: [static]}\n"
	}
	hosts := labUp(t, "hosts:\n"+one("a", "1", here)+one("b", "2", there))
	route := func(h host, words string) {
		t.Helper()
		ipIn(t, h.ns, words)
	}
	route(hosts[0], "-6 route add "+there6+" via "+peer6+" dev ens160 proto static")
	route(hosts[1], "-6 route add "+here6+" via "+uplink6+" dev ens160 proto static")
	resumes(t, hosts[0].ns1, there6)
	route(hosts[0], "route add "+there+" via inet6 "+peer6+" dev ens160 proto static")
	route(hosts[1], "route add "+here+" via inet6 "+uplink6+" dev ens160 proto static")
	resumes(t, hosts[0].ns1, there)
	route(hosts[0], "-6 route del "+there6+" proto static")
	eventually(t, "the route goes", func() bool { return !strings.Contains(hosts[0].ask(t, "route", "list").wantOK(t), there6) })
	// Over a nexthop object, as FRR has them, of which the kernel says nothing when it goes.
	route(hosts[0], "-6 nexthop add id 7 via "+peer6+" dev ens160 proto zebra")
	route(hosts[0], "-6 route add "+there6+" nhid 7 proto static")
	resumes(t, hosts[0].ns1, there6)
	route(hosts[0], "nexthop del id 7")
	eventually(t, "the route goes with it", func() bool { return !strings.Contains(hosts[0].ask(t, "route", "list").wantOK(t), there6) })
	// Two next hops of one route.
	route(hosts[0], "-6 route add "+there6+" proto static nexthop via "+peer6+" dev ens160 nexthop via fd00:192::13 dev ens160")
	eventually(t, "both next hops are there", func() bool {
		out := hosts[0].ask(t, "route", "get", there6)
		return out.status == 0 && strings.Contains(out.out, peer6) && strings.Contains(out.out, "fd00:192::13")
	})
}

// A host that forwards IPv6 of its own sends no second copy: the guard keeps it out.
func TestDualStackGuard(t *testing.T) {
	hosts := dualStack(t)
	h, other := hosts[0], hosts[1]
	setIn(t, other.ns, "all/forwarding", "1")
	ipIn(t, other.ns, "-6 route add "+there6+" via "+uplink6) // back, so that a copy would be heard
	wantEcho(t, h.ns1, there6, 62)
	before := scrape(t, h.ns)
	for range 5 {
		wantEcho(t, h.ns1, there6, 62)
	}
	grown := scrape(t, h.ns).since(before)
	if n := grown[key("step_packets_total", `step="ttl"`, `verdict="edit"`)]; n != 10 {
		t.Errorf("%v packets were forwarded of 5 pings and their replies", n)
	}
	if out := vrouter(t, "lab", "exec", other.Name, "--", program, "doctor", "--socket", other.Socket); strings.Contains(out.out, "FAIL") {
		t.Errorf("doctor: %s", out.out)
	}
}

// What needs IPv6 on the uplink is told where there is none.
func TestDualStackDoctor(t *testing.T) {
	h := dualStack(t)[0]
	doctor := func() string {
		t.Helper()
		return vrouter(t, "lab", "exec", h.Name, "--", program, "doctor", "--socket", h.Socket).out
	}
	if out := doctor(); !strings.Contains(out, "ok") || strings.Contains(out, "fail") {
		t.Errorf("of a lab that works: %s", out)
	}
	const uplinkConf = "ens160/"
	for _, c := range []struct{ file, value, want, mended string }{
		{uplinkConf + "accept_ra", "1", "ok ipv6", ""},
		{uplinkConf + "forwarding", "1", "it takes no router advertisements there", ""},
		{uplinkConf + "forwarding", "0", "ok ipv6", ""},
		{"all/forwarding", "1", "ok ip_forward", ""}, // the guard keeps the host out
		{uplinkConf + "disable_ipv6", "1", "IPv6 is disabled on ens160: it has no address of it, and no neighbour is found there", "0"},
	} {
		setIn(t, h.ns, c.file, c.value)
		if out := doctor(); !strings.Contains(strings.Join(strings.Fields(out), " "), c.want) {
			t.Errorf("with %s in %s it does not say %q:\n%s", c.value, c.file, c.want, out)
		}
		if c.mended != "" {
			vrouter(t, "lab", "exec", h.Name, "--", program, "doctor", "--fix", "--socket", h.Socket)
			if got := settingIn(t, h.ns, c.file); got != c.mended {
				t.Errorf("after --fix %s is %s, want %s", c.file, got, c.mended)
			}
		}
	}
	// Without a guard the host's own forwarding is a second copy of each packet.
	ipIn(t, h.ns, "-6 rule add from "+here6+" lookup 77 priority 100")
	ipIn(t, h.ns, "-6 route add blackhole default table 77")
	if out := doctor(); !strings.Contains(out, "the policy rule 100, from fd00:70:1::1/128 lookup 77, comes before the main table, and takes packets of workload ns1 elsewhere") {
		t.Errorf("with a policy rule: %s", out)
	}
	config := strings.Replace(h.ask(t, "show", "config").wantOK(t), "guard: true", "guard: false", 1)
	if out := vrouter(t, "lab", "exec", h.Name, "--", program, "doctor", "--config", file(t, "h.yaml", config)).out; !strings.Contains(out, "the host's own stack forwards IPv6, and kernel.guard is false") {
		t.Errorf("without a guard: %s", out)
	}
}

// The demo in IPv6 shows what the other one does.
func TestDemo6(t *testing.T) {
	leavesNothing(t)
	out := vrouter(t, "demo", "-6").wantOK(t)
	for _, want := range []string{
		"PING fd00:70:2::1(fd00:70:2::1) 56 data bytes",
		"3 packets transmitted, 3 received, 0% packet loss",
		"fd00:70:2::1/128 via fd00:192::12 dev ens160",
		`vrouter_forwarded_packets_total{family="ipv6"}`,
		`vrouter_nd_solicitations_received_total{answer="gateway",port="ns1"}`,
	} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not show %q", want)
		}
	}
	if n := strings.Count(out, "ttl=62"); n != 3 {
		t.Errorf("it shows ttl=62 %d times", n)
	}
	for _, direction := range []string{"echo request fd00:70:1::1 > fd00:70:2::1", "echo reply fd00:70:2::1 > fd00:70:1::1"} {
		wantHops(t, out, direction)
	}
	if t.Failed() {
		t.Log(out)
	}
}

// ipIn runs ip(8) in a namespace.
func ipIn(t *testing.T, ns workload.Namespace, words string) {
	t.Helper()
	in(t, ns, func() error {
		out, err := exec.Command("ip", strings.Fields(words)...).CombinedOutput()
		if err != nil {
			err = fmt.Errorf("ip %s: %s", words, out)
		}
		return err
	})
}

// setIn sets one of net.ipv6.conf in a namespace, settingIn reads it.
func setIn(t *testing.T, ns workload.Namespace, key, value string) {
	t.Helper()
	in(t, ns, func() error { return os.WriteFile("/proc/sys/net/ipv6/conf/"+key, []byte(value), 0o644) })
}

func settingIn(t *testing.T, ns workload.Namespace, key string) (value string) {
	t.Helper()
	in(t, ns, func() error {
		b, err := os.ReadFile("/proc/sys/net/ipv6/conf/" + key)
		value = strings.TrimSpace(string(b))
		return err
	})
	return value
}

// addIPv6 gives an interface an address that can be used at once.
func addIPv6(name, address string) error {
	for key, value := range map[string]string{"disable_ipv6": "0", "accept_ra": "0", "accept_dad": "0"} {
		if err := os.WriteFile("/proc/sys/net/ipv6/conf/"+name+"/"+key, []byte(value), 0o644); err != nil {
			return err
		}
	}
	return withLink(name, func(l netlink.Link) error {
		a, err := netlink.ParseAddr(address)
		if err != nil {
			return err
		}
		a.Flags = unix.IFA_F_NODAD
		return netlink.AddrAdd(l, a)
	})
}

// IPv6 between hosts that speak IPv4 alone: each packet in an IPv4 packet, protocol 41, beside IPv4 in the same tunnel, and with what fits there.
func TestDualStackOverIPv4(t *testing.T) {
	one := func(node, n, other string) string {
		return "  - node: " + node + "\n    uplink: {address: 192.168.0.1" + n + "/24}\n" +
			"    workloads: [{name: ns1, addresses: [10.70." + n + ".1/24, 'fd00:70:" + n + "::1/128']}]\n" +
			"    routes:\n      - {to: 10.70." + other + ".1, via: 192.168.0.1" + other + ", encap: ipip}\n" +
			"      - {to: 'fd00:70:" + other + "::1', via: 192.168.0.1" + other + ", encap: ipip}\n"
	}
	carries(t, labUp(t, "hosts:\n"+one("a", "1", "2")+one("b", "2", "1")), "192.168.0.12", 1480)
}

// The other way round: both families in IPv6 packets, between hosts that have no IPv4 on their link.
func TestDualStackOverIPv6(t *testing.T) {
	one := func(node, n, other string) string {
		return "  - node: " + node + "\n    uplink: {address: 'fd00:192::1" + n + "/64'}\n" +
			"    workloads: [{name: ns1, addresses: [10.70." + n + ".1/24, 'fd00:70:" + n + "::1/128']}]\n" +
			"    routes:\n      - {to: 10.70." + other + ".1, via: 'fd00:192::1" + other + "', encap: ipip}\n" +
			"      - {to: 'fd00:70:" + other + "::1', via: 'fd00:192::1" + other + "', encap: ipip}\n"
	}
	carries(t, labUp(t, "hosts:\n"+one("a", "1", "2")+one("b", "2", "1")), peer6, 1460)
}

// carries wants all traffic of two hosts' workloads in a tunnel to a peer.
func carries(t *testing.T, hosts []host, peer string, mtu int) {
	t.Helper()
	h := hosts[0]
	if got := stateOf(t, h.ns1, "eth0").MTU; got != mtu {
		t.Errorf("eth0 has an MTU of %d, want %d", got, mtu)
	}
	wantEcho(t, h.ns1, there, 62)
	wantEcho(t, h.ns1, there6, 62)
	for _, to := range []string{there, there6} {
		a, b := connect(t, h.ns1, hosts[1].ns1, to)
		exchange(t, a, b, 8<<20)
		a.Close()
		b.Close()
	}
	exchangeDatagrams(t, h.ns1, hosts[1].ns1, here6, there6)
	for _, x := range decode[[]control.Tunnel](t, h.ask(t, "show", "tunnels", "-o", "json").wantOK(t)) {
		if x.Peer != peer || x.Mode != "both" || x.TxPackets == 0 || x.RxPackets == 0 {
			t.Errorf("tunnel %+v", x)
		}
	}
	for _, h := range hosts {
		s := scrape(t, h.ns)
		if n := s[key("accounting_imbalance_packets")]; n != 0 {
			t.Errorf("%s: imbalance of %v packets", h.Name, n)
		}
		for _, k := range s.labels("lost_packets_total{") {
			if s[k] != 0 {
				t.Errorf("%s: %s is %v", h.Name, k, s[k])
			}
		}
	}
}

// A hundred thousand routes of IPv6 beside a million of IPv4, read and read again, and both families are forwarded by them.
func TestMillionRoutesBesideIPv6(t *testing.T) {
	h := dualStack(t)[0]
	h.killRouter(t, syscall.SIGTERM)
	const many = 100_000
	h.edit(t, func(s string) string {
		var six strings.Builder
		for i := range many {
			fmt.Fprintf(&six, "  - to: fd01:%x:%x::/64\n    via: fd00:192::12\n", i>>16, i&0xffff)
		}
		const own = "routes:\n"
		return strings.Replace(withMillion(t, s, "26.66.63.0/24"), own, own+six.String(), 1)
	})
	config := filepath.Join(filepath.Dir(h.Socket), "config.yaml")
	r := start(t, patiently(t, "lab", "exec", h.Name, "--", program, "run", "--config", config), outsideOfAll)
	within(t, time.Minute, "the router answers", func() bool { return r.hasEnded() || h.ask(t, "show", "ports").status == 0 })
	if r.hasEnded() {
		t.Fatalf("the router did not start: %+v", r.wait(t))
	}
	resumes(t, h.ns1, there6)
	resumes(t, h.ns1, there)
	if out := h.ask(t, "route", "get", "fd01:1:2::9").wantOK(t); !strings.Contains(out, "by  fd01:1:2::/64 via "+peer6) {
		t.Errorf("the route to fd01:1:2::9:\n%s", out)
	}
	wantMemory(t, r)
	run(t, patiently(t, "--socket", h.Socket, "reload")).wantOK(t)
	wantEcho(t, h.ns1, there6, 62)
	wantMemory(t, r)
}

// The uplink's IPv6 addresses are followed as its IPv4 ones are.
func TestDualStackUplinkIsFollowed(t *testing.T) {
	hosts := dualStack(t)
	h := hosts[0]
	wantEcho(t, h.ns1, there6, 62)
	ip := func(words string) {
		t.Helper()
		ipIn(t, h.ns, words)
	}
	has := func(route string) func() bool {
		return func() bool { return strings.Contains(h.ask(t, "route", "list").wantOK(t), route+"\n") }
	}
	const static = there6 + "/128 via " + peer6 + " dev ens160 proto static"
	ip("-6 addr del " + uplink6 + "/64 dev ens160")
	eventually(t, "the subnet's route goes, and what leads by a next hop there", func() bool { return !has("fd00:192::/64 dev ens160 proto kernel scope link")() && !has(static)() })
	wantEcho(t, h.ns1, there, 62)
	setIn(t, h.ns, "ens160/accept_dad", "1")
	setIn(t, h.ns, "ens160/dad_transmits", "3")
	ip("-6 addr add " + uplink6 + "/64 dev ens160")
	resumes(t, h.ns1, there6)
	if !has(static)() {
		t.Errorf("routes:\n%s", h.ask(t, "route", "list").wantOK(t))
	}
	// Another link-local address: Neighbor Discovery is spoken from that.
	in(t, h.ns, func() error {
		return withLink(uplink, func(l netlink.Link) error {
			all, err := netlink.AddrList(l, unix.AF_INET6)
			for _, a := range all {
				if a.IP.IsLinkLocalUnicast() {
					if err := netlink.AddrDel(l, &a); err != nil {
						return err
					}
				}
			}
			return err
		})
	})
	ip("-6 addr add fe80::11/64 dev ens160 nodad")
	resumes(t, hosts[1].ns1, here6)
	h.ask(t, "route", "replace", there6, "via", "fd00:192::99").wantOK(t)
	if out := h.ask(t, "explain", "icmp6 "+here6+" > "+there6).wantOK(t); !strings.Contains(out, "fe80::11") {
		t.Errorf("a neighbour is not asked for from the new link-local address:\n%s", out)
	}
}

// A router that is configured for IPv4 alone leaves the host's IPv6 to the host, its routes and its guard, until a command names an IPv6
// address, and from when none does any more.
func TestIPv6IsLeftToTheHost(t *testing.T) {
	leavesNothing(t)
	ns := newHost(t)
	in(t, ns, func() error { return addIPv6(uplink, uplink6+"/64") })
	startRouter(t, ns, defaultSocket, "node: h\nuplink: {interface: ens160}\nkernel: {import: [static]}\nworkloads: [{name: w1, address: 10.70.1.1/24}]\n")
	ipIn(t, ns, "-6 route add fd00:80::/64 via "+peer6+" dev ens160 proto static")
	imported := func() bool { return strings.Contains(vrouter(t, "route", "list").wantOK(t), "fd00:80::/64 via "+peer6) }
	const four, both = 2, 6
	wants := func(when string, rules int, routes bool) {
		t.Helper()
		eventually(t, when, func() bool { return len(guardOf(t, ns)) == rules && imported() == routes })
	}
	wants("IPv4 alone", four, false)
	vrouter(t, "workload", "add", "w2", "address", "fd00:70:1::2/128").wantOK(t)
	wants("with a workload", both, true)
	vrouter(t, "workload", "del", "w2").wantOK(t)
	wants("without it", four, false)
	vrouter(t, "route", "add", "fd00:90::/64", "via", peer6).wantOK(t)
	wants("with a route", both, true)
	vrouter(t, "route", "del", "fd00:90::/64").wantOK(t)
	wants("without it", four, false)
}
