package e2e

import (
	"errors"
	"fmt"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vrouter/vrouter/internal/control"
	"github.com/vrouter/vrouter/internal/workload"
)

// The host's own `ip route add`, typed as the tutorial has it, is followed at
// once; its next hop is a peer, as one of the configuration would be.
func TestKernelRoutesAreFollowed(t *testing.T) {
	text := strings.NewReplacer("    routes: [{to: 10.70.2.1, via: 192.168.0.12}]\n", "", "    routes: [{to: 10.70.1.1, via: 192.168.0.11}]\n", "").
		Replace(twoHosts("    ipip: {mode: always}\n    kernel: {import: [static]}\n"))
	hosts := labUp(t, text)
	wantEcho(t, hosts[0].ns1, there, 0)
	for i, r := range []struct{ to, via string }{{there, "192.168.0.12"}, {here, "192.168.0.11"}} {
		route := &netlink.Route{Dst: &net.IPNet{IP: net.ParseIP(r.to), Mask: net.CIDRMask(32, 32)}, Gw: net.ParseIP(r.via)}
		in(t, hosts[i].ns, func() error { return netlink.RouteAdd(route) })
		eventually(t, "the route is there", func() bool {
			return strings.Contains(hosts[i].ask(t, "route", "list").wantOK(t), r.to+"/32 via "+r.via+" dev ens160 proto boot encap ipip")
		})
	}
	wantEcho(t, hosts[0].ns1, there, 62)
	tunnels := decode[[]control.Tunnel](t, hosts[0].ask(t, "show", "tunnels", "-o", "json").wantOK(t))
	if len(tunnels) != 1 || tunnels[0].Peer != "192.168.0.12" || tunnels[0].Mode != "both" || tunnels[0].TxPackets == 0 || tunnels[0].RxPackets == 0 {
		t.Errorf("tunnels %+v", tunnels)
	}
	in(t, hosts[0].ns, func() error {
		return netlink.RouteDel(&netlink.Route{Dst: &net.IPNet{IP: net.ParseIP(there), Mask: net.CIDRMask(32, 32)}, Gw: net.ParseIP("192.168.0.12")})
	})
	eventually(t, "the route goes", func() bool { return !strings.Contains(hosts[0].ask(t, "route", "list").wantOK(t), there) })
	wantEcho(t, hosts[0].ns1, there, 0)
}

// importing is a host that takes over some routes of its own table.
func importing(t *testing.T) (ns workload.Namespace, r *running) {
	t.Helper()
	ns = newHost(t)
	r = startRouter(t, ns, "/run/vrouter/vrouter.sock", hostConfig+"kernel: {import: [static, bird]}\n")
	return ns, r
}

// importingForLong is importing for longer than a command may take.
func importingForLong(t *testing.T) (ns workload.Namespace, r *running) {
	t.Helper()
	ns = newHost(t)
	path := file(t, "config.yaml", hostConfig+"kernel: {import: [static, bird]}\n")
	t.Cleanup(func() { start(t, command(t, "down", "--config", path), ns.Do).wait(t).wantOK(t) })
	r = start(t, patiently(t, "run", "--config", path), ns.Do)
	eventually(t, "the router answers", func() bool { return r.hasEnded() || vrouter(t, "show", "ports").status == 0 })
	return ns, r
}

func ipNet(s string) *net.IPNet {
	_, n, err := net.ParseCIDR(s)
	if err != nil {
		panic(err)
	}
	return n
}

// routeList waits until `route list` has each line, or, without want, none of them.
func routeList(t *testing.T, want bool, lines ...string) {
	t.Helper()
	out := ""
	defer func() {
		if t.Failed() {
			t.Logf("want %v: %q in\n%s", want, lines, out)
		}
	}()
	eventually(t, "the routes follow", func() bool {
		out = vrouter(t, "route", "list").wantOK(t)
		for _, line := range lines {
			if slices.Contains(strings.Split(out, "\n"), line) != want {
				return false
			}
		}
		return true
	})
}

func TestKernelRoutesOfEachKind(t *testing.T) {
	ns, _ := importing(t)
	link := 0
	in(t, ns, func() error {
		l, err := netlink.LinkByName(uplink)
		link = l.Attrs().Index
		return errors.Join(err, netlink.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "other"}}), up("other", "172.16.0.1/24"))
	})
	other := 0
	in(t, ns, func() error {
		l, err := netlink.LinkByName("other")
		other = l.Attrs().Index
		return err
	})
	via := net.ParseIP("192.168.0.12")
	onlink := int(netlink.FLAG_ONLINK)
	large := uint32(4278198272) // an int of 32 bits wraps
	hop := func(link int, via string, share int) *netlink.NexthopInfo {
		return &netlink.NexthopInfo{LinkIndex: link, Gw: net.ParseIP(via), Hops: share - 1}
	}
	routes := []struct {
		route netlink.Route
		want  string
	}{
		{netlink.Route{Dst: ipNet("10.71.1.0/24"), Gw: via, Protocol: unix.RTPROT_BIRD}, "10.71.1.0/24 via 192.168.0.12 dev ens160 proto bird"},
		{netlink.Route{Dst: ipNet("10.71.1.0/24"), Gw: via, Protocol: unix.RTPROT_BIRD, Priority: 32}, "10.71.1.0/24 via 192.168.0.12 dev ens160 proto bird metric 32  (not used: another one is preferred)"},
		{netlink.Route{Dst: ipNet("0.0.0.0/0"), Gw: via, Priority: int(large)}, "default via 192.168.0.12 dev ens160 proto boot metric 4278198272"},
		{netlink.Route{Dst: ipNet("10.71.2.0/24"), Type: unix.RTN_BLACKHOLE, Protocol: unix.RTPROT_BIRD}, "blackhole 10.71.2.0/24 proto bird"},
		{netlink.Route{Dst: ipNet("10.71.3.0/24"), Type: unix.RTN_UNREACHABLE}, "unreachable 10.71.3.0/24 proto boot"},
		{netlink.Route{Dst: ipNet("10.71.4.0/24"), Type: unix.RTN_PROHIBIT, Protocol: unix.RTPROT_STATIC}, "prohibit 10.71.4.0/24 proto static"},
		{netlink.Route{Dst: ipNet("10.71.9.0/24"), Gw: via, Protocol: 196}, "10.71.9.0/24 via 192.168.0.12 dev ens160 proto 196"}, // static, as FRR has it
		{netlink.Route{Dst: ipNet("10.71.5.0/24"), LinkIndex: link, Scope: netlink.SCOPE_LINK}, "10.71.5.0/24 dev ens160 proto boot scope link"},
		{netlink.Route{Dst: ipNet("10.71.6.0/24"), LinkIndex: link, Gw: net.ParseIP("10.99.0.1"), Flags: onlink}, "10.71.6.0/24 via 10.99.0.1 dev ens160 proto boot"},
		{netlink.Route{Dst: ipNet("10.71.7.0/24"), MultiPath: []*netlink.NexthopInfo{hop(link, "192.168.0.12", 1), hop(link, "192.168.0.13", 7)}, Protocol: unix.RTPROT_BIRD},
			"10.71.7.0/24 proto bird nexthop via 192.168.0.12 dev ens160 weight 1 nexthop via 192.168.0.13 dev ens160 weight 7"},
		{netlink.Route{Dst: ipNet("10.71.8.0/24"), MultiPath: []*netlink.NexthopInfo{hop(link, "192.168.0.12", 1), hop(other, "172.16.0.2", 7)}},
			"10.71.8.0/24 via 192.168.0.12 dev ens160 proto boot"},
	}
	var lines []string
	for _, r := range routes {
		in(t, ns, func() error { return netlink.RouteAdd(&r.route) })
		routeList(t, true, r.want)
		lines = append(lines, r.want)
	}
	// What leaves by another interface, or is of another protocol, is not the router's.
	in(t, ns, func() error {
		return errors.Join(
			netlink.RouteAdd(&netlink.Route{Dst: ipNet("10.72.1.0/24"), Gw: net.ParseIP("172.16.0.2")}),
			netlink.RouteAdd(&netlink.Route{Dst: ipNet("10.72.2.0/24"), Gw: via, Protocol: unix.RTPROT_OSPF}),
			netlink.RouteAdd(&netlink.Route{Dst: ipNet("10.72.3.0/24"), Gw: via}))
	})
	routeList(t, true, append(lines, "10.72.3.0/24 via 192.168.0.12 dev ens160 proto boot")...)
	if out := vrouter(t, "route", "list").wantOK(t); strings.Contains(out, "10.72.1") || strings.Contains(out, "10.72.2") {
		t.Errorf("routes that are not the router's:\n%s", out)
	}
	out := vrouter(t, "route", "get", "10.71.7.9").wantOK(t)
	for _, want := range []string{"one of 2 next hops, by the hash of the flow", "next hop 192.168.0.12 weight 1 is", "next hop 192.168.0.13 weight 7 is"} {
		if !strings.Contains(out, want) {
			t.Errorf("route get has no %q:\n%s", want, out)
		}
	}
	out = vrouter(t, "explain", "udp 10.70.1.1:1000 > 10.71.7.9:53").wantOK(t)
	if !regexp.MustCompile(`why: this flow by 10.71.7.0/24 via 192.168.0.1[23] dev ens160 proto bird weight [17]: next hop [12] of 2`).MatchString(out) {
		t.Errorf("explain does not say which next hop:\n%s", out)
	}
	for _, r := range routes {
		in(t, ns, func() error { return netlink.RouteDel(&r.route) })
		routeList(t, false, r.want)
	}
}

// `ip route replace` and `append` are followed as the kernel does it: of routes
// with one key the first is used.
func TestKernelRoutesWithOneKey(t *testing.T) {
	ns, _ := importing(t)
	by := func(via string, protocol netlink.RouteProtocol) *netlink.Route {
		return &netlink.Route{Dst: ipNet("10.71.1.0/24"), Gw: net.ParseIP(via), Protocol: protocol}
	}
	text := func(via, protocol string) string {
		return fmt.Sprintf("10.71.1.0/24 via %s dev ens160 proto %s", via, protocol)
	}
	for _, step := range []struct {
		do   func(*netlink.Route) error
		what *netlink.Route
		want string
	}{
		{netlink.RouteAdd, by("192.168.0.12", unix.RTPROT_BIRD), text("192.168.0.12", "bird")},
		{netlink.RouteAppend, by("192.168.0.13", unix.RTPROT_STATIC), text("192.168.0.12", "bird")},
		{netlink.RouteReplace, by("192.168.0.14", unix.RTPROT_BIRD), text("192.168.0.14", "bird")},
		{netlink.RouteReplace, by("192.168.0.15", unix.RTPROT_OSPF), text("192.168.0.13", "static")},
		{netlink.RouteDel, by("192.168.0.13", unix.RTPROT_STATIC), ""},
		{netlink.RouteReplace, by("192.168.0.16", unix.RTPROT_BIRD), text("192.168.0.16", "bird")},
	} {
		in(t, ns, func() error { return step.do(step.what) })
		if step.want != "" {
			routeList(t, true, step.want)
		}
		eventually(t, "no more than the one", func() bool {
			n := strings.Count(vrouter(t, "route", "list").wantOK(t), "10.71.1.0/24")
			return n == min(1, len(step.want))
		})
	}
}

// manyRoutes adds or deletes routes as fast as it can.
func manyRoutes(t *testing.T, ns workload.Namespace, n int, do func(*netlink.Handle, *netlink.Route) error) {
	t.Helper()
	in(t, ns, func() error {
		h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
		if err != nil {
			return err
		}
		defer h.Close()
		for i := range n {
			dst := &net.IPNet{IP: net.IPv4(20, byte(i>>16), byte(i>>8), byte(i)), Mask: net.CIDRMask(32, 32)}
			if err := do(h, &netlink.Route{Dst: dst, Gw: net.ParseIP("192.168.0.12"), Protocol: unix.RTPROT_BIRD}); err != nil {
				return fmt.Errorf("%s: %w", dst, err)
			}
		}
		return nil
	})
}

// cpu is the time that a process has computed.
func cpu(t *testing.T, pid int) time.Duration {
	t.Helper()
	_, stat, _ := strings.Cut(read(t, fmt.Sprintf("/proc/%d/stat", pid)), ") ")
	ticks := 0
	for _, field := range strings.Fields(stat)[11:13] { // utime and stime, in hundredths of a second
		n, err := strconv.Atoi(field)
		if err != nil {
			t.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

func birds(t *testing.T, ns workload.Namespace) int {
	return int(scrape(t, ns)[key("routes", `protocol="bird"`)])
}

// A burst costs in proportion to its size, and one route among many costs next
// to nothing: nothing is listed for it.
func TestManyKernelRoutes(t *testing.T) {
	const many = 100_000
	ns, r := importing(t)
	pid := r.cmd.Process.Pid
	began := cpu(t, pid)
	manyRoutes(t, ns, many, (*netlink.Handle).RouteAdd)
	eventually(t, "all of them are there", func() bool { return birds(t, ns) == many })
	added := cpu(t, pid)
	t.Logf("%d routes added: %v of the router's time", many, added-began)
	if added-began > 10*time.Second {
		t.Errorf("a burst of %d routes cost %v", many, added-began)
	}
	const few = 200
	via := net.ParseIP("192.168.0.13")
	for i := range few {
		route := &netlink.Route{Dst: ipNet(fmt.Sprintf("21.0.%d.0/24", i)), Gw: via, Protocol: unix.RTPROT_BIRD}
		in(t, ns, func() error { return netlink.RouteAdd(route) })
	}
	eventually(t, "those too", func() bool { return birds(t, ns) == many+few })
	cost := (cpu(t, pid) - added) / few
	t.Logf("one more among them: %v", cost)
	if cost > 5*time.Millisecond {
		t.Errorf("one route among %d cost %v", many, cost)
	}
	manyRoutes(t, ns, many/2, (*netlink.Handle).RouteDel)
	eventually(t, "half of them go again", func() bool { return birds(t, ns) == many/2+few })
	if took := r.signal(t, syscall.SIGTERM); took > time.Second {
		t.Errorf("with all those routes it took %v to stop", took)
	}
}

// A table that was large for a moment is no measure of what the router takes: memory is given back when
// all is quiet, however often it was large.
func TestMemoryIsGivenBack(t *testing.T) {
	if raced() {
		t.Skip("the race detector keeps its own memory")
	}
	const many, rounds, allowed = 100_000, 3, 24 << 10 // KiB
	ns, r := importingForLong(t)
	birds(t, ns)
	first := resident(t, r)
	for range rounds {
		manyRoutes(t, ns, many, (*netlink.Handle).RouteAdd)
		within(t, time.Minute, "all of them are there", func() bool { return birds(t, ns) == many })
		manyRoutes(t, ns, many, (*netlink.Handle).RouteDel)
		within(t, time.Minute, "all of them are gone", func() bool { return birds(t, ns) == 0 })
	}
	last := 0
	defer func() { t.Logf("%d KiB before, %d after", first, last) }()
	within(t, time.Minute, "the memory is given back", func() bool { last = resident(t, r); return last < first+allowed })
}

// resident is the memory of a router in KiB.
func resident(t *testing.T, r *running) (kib int) {
	t.Helper()
	_, after, _ := strings.Cut(read(t, fmt.Sprintf("/proc/%d/status", r.cmd.Process.Pid)), "VmRSS:")
	if _, err := fmt.Sscan(after, &kib); err != nil {
		t.Fatal(err)
	}
	return kib
}

// Notifications that the kernel had no room for are made up for.
func TestLostNotifications(t *testing.T) {
	const many = 120_000 // more than the socket takes
	ns, r := importingForLong(t)
	in(t, ns, func() error {
		return netlink.RouteAdd(&netlink.Route{Dst: ipNet("21.1.0.0/24"), Gw: net.ParseIP("192.168.0.12")})
	})
	routeList(t, true, "21.1.0.0/24 via 192.168.0.12 dev ens160 proto boot") // it listens by now
	goroutines := func() float64 { return scrape(t, ns)[key("go_goroutines")] }
	before := goroutines()
	for i, round := range []struct {
		do   func(*netlink.Handle, *netlink.Route) error
		left int
	}{{(*netlink.Handle).RouteAdd, many}, {(*netlink.Handle).RouteDel, 0}} {
		r.send(t, syscall.SIGSTOP)
		manyRoutes(t, ns, many, round.do)
		r.send(t, syscall.SIGCONT)
		within(t, time.Minute, "the router has what the host has", func() bool { return birds(t, ns) == round.left })
		if n := strings.Count(read(t, r.errors), "lost track of the host's interfaces and routes"); n != i+1 {
			t.Fatalf("the notifications overflowed %d times, want %d: this test shows nothing", n, i+1)
		}
	}
	eventually(t, "no subscription is left behind", func() bool { return goroutines() <= before+1 })
	in(t, ns, func() error {
		return netlink.RouteAdd(&netlink.Route{Dst: ipNet("21.0.0.0/24"), Gw: net.ParseIP("192.168.0.12")})
	})
	routeList(t, true, "21.0.0.0/24 via 192.168.0.12 dev ens160 proto boot")
}

// Next hops and destinations that are on the uplink's link without being in its
// subnet are asked for there.
func TestKernelOnLinkRoutes(t *testing.T) {
	text := strings.NewReplacer("    routes: [{to: 10.70.2.1, via: 192.168.0.12}]\n", "").Replace(twoHosts("    kernel: {import: [static]}\n"))
	hosts := labUp(t, text)
	a, b := hosts[0], hosts[1]
	in(t, b.ns, func() error {
		return errors.Join(up(uplink, "10.99.0.1/32"), up(uplink, "10.98.0.1/32"),
			netlink.RouteAdd(&netlink.Route{Dst: ipNet(here + "/32"), Gw: net.ParseIP("192.168.0.11")}))
	})
	in(t, a.ns, func() error {
		return withLink(uplink, func(l netlink.Link) error {
			index := l.Attrs().Index
			return errors.Join(
				netlink.RouteAdd(&netlink.Route{Dst: ipNet(there + "/32"), LinkIndex: index, Gw: net.ParseIP("10.99.0.1"), Flags: int(netlink.FLAG_ONLINK)}),
				netlink.RouteAdd(&netlink.Route{Dst: ipNet("10.98.0.0/24"), LinkIndex: index, Scope: netlink.SCOPE_LINK}))
		})
	})
	resumes(t, a.ns1, there)
	wantEcho(t, a.ns1, there, 62)
	resumes(t, a.ns1, "10.98.0.1")
	wantEcho(t, a.ns1, "10.98.0.1", 63)
}
