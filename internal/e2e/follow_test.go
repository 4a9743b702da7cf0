package e2e

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vrouter/vrouter/internal/workload"
)

const uplink = "ens160"

// A workload whose namespace was removed is gone from the router too; its
// neighbour does not notice.
func TestNamespaceRemoved(t *testing.T) {
	text := strings.Replace(twoHosts(""), "}]\n", "}, {name: ns2, address: 10.70.1.2/24}]\n", 1)
	hosts := labUp(t, text)
	h, ns2 := hosts[0], workload.Named(hosts[0].Workloads[1].Namespace)
	wantEcho(t, ns2, here, 63)
	if err := ns2.Delete(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "its route goes", func() bool { return !strings.Contains(h.ask(t, "route", "list").wantOK(t), "10.70.1.2") })
	if out := h.ask(t, "workload", "list").wantOK(t); !hasLine(out, []string{"ns2", "10.70.1.2/24", "waits: " + string(ns2) + ": no network namespace there"}) {
		t.Errorf("workloads:\n%s", out)
	}
	if log := read(t, h.Log); !hasLine(log, []string{"level=ERROR", "workload detached: its namespace was removed", "workload=ns2"}) {
		t.Errorf("the log does not tell:\n%s", log)
	}
	wantEcho(t, h.ns1, there, 62)
	if n := scrape(t, h.ns)[key("accounting_imbalance_packets")]; n != 0 {
		t.Errorf("imbalance of %v packets", n)
	}
}

// The same for an interface that somebody deletes.
func TestInterfaceRemoved(t *testing.T) {
	hosts := labUp(t, "")
	h := hosts[0]
	wantEcho(t, h.ns1, there, 62)
	in(t, h.ns1, func() error { return withLink("eth0", netlink.LinkDel) })
	eventually(t, "its route goes", func() bool { return !strings.Contains(h.ask(t, "route", "list").wantOK(t), here) })
	eventually(t, "it is made again", func() bool { return strings.Contains(h.ask(t, "route", "list").wantOK(t), here) })
	wantEcho(t, h.ns1, there, 62)
	h.killRouter(t, 15)
	h.restart(t)
	wantEcho(t, h.ns1, there, 62)
}

// withLink does something to an interface, in the calling thread's namespace.
func withLink(name string, f func(netlink.Link) error) error {
	l, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	if err := f(l); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

func TestUplinkDownAndUp(t *testing.T) {
	h := labUp(t, "")[0]
	wantEcho(t, h.ns1, there, 62)
	in(t, h.ns, func() error { return withLink(uplink, netlink.LinkSetDown) })
	if ttl := echo(t, h.ns1, there, 50*time.Millisecond); ttl != 0 {
		t.Errorf("a reply with ttl %d by an uplink that is down", ttl)
	}
	in(t, h.ns, func() error { return withLink(uplink, netlink.LinkSetUp) })
	resumes(t, h.ns1, there)
}

// An uplink of the same name and address is the same uplink, whatever the kernel
// thinks: both routers lose theirs here, as a veth goes with its peer.
func TestUplinkMadeAgain(t *testing.T) {
	hosts := labUp(t, "")
	wantEcho(t, hosts[0].ns1, there, 62)
	in(t, hosts[0].ns, func() error { return withLink(uplink, netlink.LinkDel) })
	for _, h := range hosts {
		eventually(t, "the log tells", func() bool { return strings.Contains(read(t, h.Log), "the uplink is gone") })
		h.ask(t, "show", "ports").wantOK(t)
	}
	file, err := os.Open(string(hosts[1].ns))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	in(t, hosts[0].ns, func() error {
		return netlink.LinkAdd(&netlink.Veth{
			LinkAttrs: netlink.LinkAttrs{Name: uplink}, PeerName: uplink, PeerNamespace: netlink.NsFd(file.Fd()),
		})
	})
	for _, h := range hosts {
		in(t, h.ns, func() error { return up(uplink, h.Address) })
	}
	resumes(t, hosts[0].ns1, there)
	resumes(t, hosts[1].ns1, here)
	for _, h := range hosts {
		if n := scrape(t, h.ns)[key("accounting_imbalance_packets")]; n != 0 {
			t.Errorf("%s: imbalance of %v packets", h.Name, n)
		}
	}
}

// port_info and what is on the wire follow the uplink's MAC; so does the other
// host, as soon as ARP tells it.
func TestUplinkMACChanges(t *testing.T) {
	hosts := labUp(t, "")
	h := hosts[0]
	wantEcho(t, h.ns1, there, 62)
	mac := net.HardwareAddr{2, 0, 0, 0, 0, 0x11}
	in(t, h.ns, func() error {
		return withLink(uplink, func(l netlink.Link) error { return netlink.LinkSetHardwareAddr(l, mac) })
	})
	followsUplink(t, h, `mac="02:00:00:00:00:11"`)
	in(t, h.ns, func() error { return greet("192.168.0.12:9") })
	resumes(t, h.ns1, there)
	eventually(t, "the other host has learnt it", func() bool {
		return hasLine(hosts[1].ask(t, "show", "neighbors").wantOK(t), []string{"192.168.0.11", mac.String()})
	})
}

// greet lets the kernel of the host ask for a neighbour, as it does for any of
// its own traffic.
func greet(address string) error {
	c, err := net.Dial("udp4", address)
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = c.Write([]byte("hello"))
	return err
}

func TestUplinkMTUChanges(t *testing.T) {
	h := labUp(t, "")[0]
	wantEcho(t, h.ns1, there, 62)
	in(t, h.ns, func() error {
		return withLink(uplink, func(l netlink.Link) error { return netlink.LinkSetMTU(l, 1400) })
	})
	followsUplink(t, h, `mtu="1400"`)
	wantEcho(t, h.ns1, there, 62)
}

func TestUplinkAddressComesLate(t *testing.T) {
	ns := newHost(t)
	in(t, ns, func() error { return withLink(uplink, flush) })
	startRouter(t, ns, "/run/vrouter/vrouter.sock", hostConfig)
	in(t, ns, func() error { return up(uplink, "192.168.0.11/24") })
	eventually(t, "the route of its subnet is there", func() bool {
		return strings.Contains(vrouter(t, "route", "list").wantOK(t), "192.168.0.0/24 dev ens160")
	})
}

// An uplink that is renamed is the same one: nothing stops. The guard follows too.
func TestUplinkRenamed(t *testing.T) {
	hosts := labUp(t, "")
	h := hosts[0]
	wantEcho(t, h.ns1, there, 62)
	rename := func(was, is string) {
		in(t, h.ns, func() error {
			return withLink(was, func(l netlink.Link) error {
				return errors.Join(netlink.LinkSetDown(l), netlink.LinkSetName(l, is), netlink.LinkSetUp(l))
			})
		})
		followsUplink(t, h, `interface="`+is+`"`)
		resumes(t, h.ns1, there)
		if guard := guardOf(t, h.ns); len(guard) != 2 || !strings.HasPrefix(guard[0], "vrouter-ens160") {
			t.Errorf("renamed to %s: the guard's rules are %v", is, guard)
		}
		wantGuarded(t, h, hosts[1])
	}
	rename(uplink, "lan0")
	if log := read(t, h.Log); strings.Count(log, "the uplink was renamed") != 1 {
		t.Errorf("the log does not tell once:\n%s", log)
	}
	rename("lan0", uplink)
}

// wantGuarded sees that the host's own stack does not forward what comes in by
// the uplink: with ip_forward on, and a route, it would.
func wantGuarded(t *testing.T, h, from host) {
	t.Helper()
	in(t, h.ns, func() error {
		back := &netlink.Route{Dst: ipNet(here + "/32"), Gw: net.ParseIP("192.168.0.12")}
		return errors.Join(os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o644), netlink.RouteReplace(back))
	})
	forwarded := func() string {
		out := ""
		in(t, h.ns, func() error {
			b, err := os.ReadFile("/proc/thread-self/net/snmp")
			out = strings.Split(string(b), "\n")[1]
			return err
		})
		return strings.Fields(out)[6] // ForwDatagrams
	}
	before := forwarded()
	wantEcho(t, from.ns1, here, 62)
	if now := forwarded(); now != before {
		t.Errorf("the host's own stack forwarded: %s datagrams, before %s", now, before)
	}
}

// A new address of the uplink: its subnet is routed, and the router speaks from it.
func TestUplinkAddressChanges(t *testing.T) {
	h := labUp(t, "")[0]
	in(t, h.ns, func() error { return withLink(uplink, flush) })
	eventually(t, "its subnet is gone", func() bool { return !strings.Contains(h.ask(t, "route", "list").wantOK(t), "192.168.0.0/24") })
	in(t, h.ns, func() error { return up(uplink, "192.168.0.77/24") })
	eventually(t, "its subnet is back", func() bool {
		return strings.Contains(h.ask(t, "route", "list").wantOK(t), "192.168.0.0/24 dev ens160")
	})
	eventually(t, "it routes by its new address, and speaks from it", func() bool {
		out := h.ask(t, "explain", "icmp "+here+" > "+there+" ttl 1").wantOK(t)
		return strings.Contains(out, "icmp time exceeded 192.168.0.77 > "+here)
	})
	in(t, h.ns, func() error { return errors.Join(withLink(uplink, flush), up(uplink, h.Address)) })
	resumes(t, h.ns1, there)
}

// While the uplink is gone, what does not need it stays: blackholes, and routes by
// way of a workload; the configuration's and the host's. What is wrong is told once.
func TestUplinkGone(t *testing.T) {
	ns := newHost(t)
	r := startRouter(t, ns, "/run/vrouter/vrouter.sock", hostConfig+`routes:
  - {to: 10.71.1.0/24, type: blackhole}
  - {to: 10.71.2.0/24, via: 10.70.1.1}
  - {to: 10.71.3.0/24, via: 192.168.0.12}
kernel: {import: [static]}
`)
	in(t, ns, func() error {
		return errors.Join(
			netlink.RouteAdd(&netlink.Route{Dst: ipNet("10.72.1.0/24"), Type: unix.RTN_BLACKHOLE}),
			netlink.RouteAdd(&netlink.Route{Dst: ipNet("10.72.2.0/24"), Gw: net.ParseIP("192.168.0.12")}))
	})
	stay := []string{"blackhole 10.71.1.0/24 proto static", "10.71.2.0/24 via 10.70.1.1 dev w1 proto static", "blackhole 10.72.1.0/24 proto boot"}
	go1 := []string{"10.71.3.0/24 via 192.168.0.12 dev ens160 proto static", "10.72.2.0/24 via 192.168.0.12 dev ens160 proto boot"}
	routeList(t, true, append(stay, go1...)...)
	in(t, ns, func() error { return withLink(uplink, netlink.LinkDel) })
	routeList(t, false, go1...)
	routeList(t, true, stay...)
	in(t, ns, func() error {
		return netlink.RouteAdd(&netlink.Route{Dst: ipNet("10.72.3.0/24"), Type: unix.RTN_BLACKHOLE})
	})
	routeList(t, true, "blackhole 10.72.3.0/24 proto boot")
	for _, words := range []string{"blackhole 10.73.1.0/24", "10.73.2.0/24 via 10.70.1.1", "10.73.3.0/24 via 192.168.9.12", "10.73.4.0/24 via 192.168.0.12"} {
		args := append([]string{"route", "add"}, strings.Fields(words)...)
		if strings.Contains(words, "192.168.9.12") {
			vrouter(t, args...).wantError(t, 1, "192.168.9.12 is no neighbour")
			continue
		}
		vrouter(t, args...).wantOK(t)
	}
	routeList(t, true, "blackhole 10.73.1.0/24 proto static", "10.73.2.0/24 via 10.70.1.1 dev w1 proto static")
	routeList(t, false, "10.73.4.0/24 via 192.168.0.12 dev ens160 proto static")
	vrouter(t, "reload").wantOK(t)
	routeList(t, true, append(stay, "blackhole 10.73.1.0/24 proto static")...)
	in(t, ns, func() error {
		return errors.Join(netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: uplink}, PeerName: "cable"}), up(uplink, "192.168.9.11/24"))
	})
	const warning = "routes are not used: their next hop is in no subnet of the uplink"
	eventually(t, "the log tells", func() bool { return strings.Contains(read(t, r.errors), warning) })
	for i := range 20 { // events that have nothing to do with it
		in(t, ns, func() error { return up(uplink, fmt.Sprintf("192.168.9.%d/24", 100+i)) })
	}
	eventually(t, "the last event is seen", func() bool { return strings.Contains(read(t, r.errors), "192.168.9.119/24") })
	if log := read(t, r.errors); strings.Count(log, "the uplink is gone") != 1 || strings.Count(log, warning) != 1 {
		t.Errorf("the log:\n%s", log)
	}
}

// A namespace that is removed and made again is attached again, by itself.
func TestNamespaceMadeAgain(t *testing.T) {
	ns, inside := newHost(t), newNamespace(t)
	config := withNamespace(string(inside)) + "routes: [{to: 10.71.2.0/24, via: 10.70.1.1}]\n"
	r := startRouter(t, ns, "/run/vrouter/vrouter.sock", config)
	for range 2 {
		wantEcho(t, inside, "169.254.1.1", 64)
		if err := inside.Delete(); err != nil {
			t.Fatal(err)
		}
		routeList(t, false, "10.70.1.1/32 dev w1 proto workload scope link", "10.71.2.0/24 via 10.70.1.1 dev w1 proto static")
		if _, err := workload.Create(filepath.Base(string(inside))); err != nil {
			t.Fatal(err)
		}
		routeList(t, true, "10.70.1.1/32 dev w1 proto workload scope link", "10.71.2.0/24 via 10.70.1.1 dev w1 proto static")
	}
	wantEcho(t, inside, "169.254.1.1", 64)
	if log := read(t, r.errors); strings.Count(log, "its namespace was removed") != 2 || strings.Count(log, "workload attached") != 3 {
		t.Errorf("the log:\n%s", log)
	}
}

func flush(l netlink.Link) error {
	list, err := netlink.AddrList(l, netlink.FAMILY_V4)
	if err != nil {
		return err
	}
	for i := range list {
		if err := netlink.AddrDel(l, &list[i]); err != nil {
			return err
		}
	}
	return nil
}

// followsUplink waits until port_info says what the kernel says, once.
func followsUplink(t *testing.T, h host, label string) {
	t.Helper()
	eventually(t, "port_info has "+label, func() bool {
		infos := scrape(t, h.ns).labels("port_info{", `port="`+uplink+`"`)
		return len(infos) == 1 && strings.Contains(infos[0], label)
	})
}
