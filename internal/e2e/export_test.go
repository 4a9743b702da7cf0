package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vrouter/vrouter/internal/workload"
)

const hostAddress = "192.168.0.11"

// exported are the workloads in a host's table, as `ip route` would show them.
func exported(t *testing.T, ns workload.Namespace) string {
	t.Helper()
	var list []string
	in(t, ns, func() error {
		routes, err := netlink.RouteListFiltered(unix.AF_INET, &netlink.Route{Protocol: 118}, netlink.RT_FILTER_PROTOCOL)
		for _, r := range routes {
			l, err := netlink.LinkByIndex(r.LinkIndex)
			if err != nil {
				return err
			}
			list = append(list, fmt.Sprintf("%s dev %s scope %s src %s", r.Dst, l.Attrs().Name, r.Scope, r.Src))
		}
		return err
	})
	return strings.Join(list, "\n")
}

// pour sends some megabytes one way, which uses checksum and segmentation offload.
func pour(t *testing.T, from, to net.Conn) {
	t.Helper()
	sent := bytes.Repeat([]byte("0123456789abcdef"), 1<<18)
	go func() { _, _ = from.Write(sent) }()
	got := make([]byte, len(sent))
	if _, err := io.ReadFull(to, got); err != nil || !bytes.Equal(sent, got) {
		t.Errorf("4 MiB from %s to %s: %v", from.LocalAddr(), to.LocalAddr(), err)
	}
}

// With kernel.export the host and its workloads reach each other, by ping, UDP
// and TCP, as one hop; and what goes between hosts is as before, with ip_forward on.
func TestHostReachesItsWorkloads(t *testing.T) {
	hosts := labUp(t, twoHosts("    kernel: {export: true}\n"))
	h := hosts[0]
	if got, want := exported(t, h.ns), here+"/32 dev vrouter0 scope link src "+hostAddress; got != want {
		t.Errorf("the host's table has %q, want %q", got, want)
	}
	in(t, h.ns, func() error { return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o644) })
	wantEcho(t, h.ns, here, 64)
	wantEcho(t, h.ns1, hostAddress, 64)
	wantEcho(t, h.ns1, "169.254.1.1", 64)
	wantEcho(t, h.ns1, there, 62)
	in(t, hosts[1].ns, func() error { // as BIRD would
		return netlink.RouteAdd(&netlink.Route{Dst: ipNet(here + "/32"), Gw: net.ParseIP(hostAddress)})
	})
	wantEcho(t, h.ns1, "192.168.0.12", 63) // the other host, whose own stack answers
	wantEcho(t, hosts[1].ns1, here, 62)
	for _, c := range []struct {
		name     string
		from, to workload.Namespace
		address  string
	}{{"host to workload", h.ns, h.ns1, here}, {"workload to host", h.ns1, h.ns, hostAddress}, {"workload to workload", h.ns1, hosts[1].ns1, there}} {
		t.Run(c.name, func(t *testing.T) {
			a, b := connect(t, c.from, c.to, c.address)
			pour(t, a, b)
			pour(t, b, a)
		})
	}
	// A workload may send to the host from its own address alone.
	in(t, h.ns1, func() error { return up("eth0", "10.70.1.99/32") })
	in(t, h.ns1, func() error {
		d := net.Dialer{LocalAddr: &net.UDPAddr{IP: net.ParseIP("10.70.1.99")}}
		c, err := d.Dial("udp4", hostAddress+":9")
		if err == nil {
			_, err = c.Write([]byte("forged"))
		}
		return err
	})
	eventually(t, "the forged packet is dropped", func() bool {
		return scrape(t, h.ns)[key("drop_packets_total", `port="ns1"`, `reason="rpf_failed"`)] == 1
	})
	if n := scrape(t, h.ns)[key("accounting_imbalance_packets")]; n != 0 {
		t.Errorf("imbalance of %v packets", n)
	}
	out := h.ask(t, "explain", "tcp 192.168.0.11:1 > 10.70.1.1:80").wantOK(t)
	if !strings.Contains(out, "vrouter0 > ns1") || !strings.Contains(out, "forwarded") {
		t.Errorf("explain:\n%s", out)
	}
}

// The routes are there as long as the router forwards: a stop takes them back, a
// kill leaves them to the next start, and that one takes back what is too many.
func TestExportIsTakenBack(t *testing.T) {
	leavesNothing(t)
	ns := newHost(t)
	const socket = "/run/vrouter/vrouter.sock"
	config := func(workloads, export string) string {
		return "node: h\nuplink: {interface: ens160}\nworkloads: [" + workloads + "]\nkernel: {export: " + export + "}\n"
	}
	const w1, w2 = "{name: w1, address: 10.70.1.1/24}", "{name: w2, address: 10.70.1.2/24}"
	const r1, r2 = "10.70.1.1/32 dev vrouter0 scope link src 192.168.0.11", "10.70.1.2/32 dev vrouter0 scope link src 192.168.0.11"
	wants := func(when, want string) {
		t.Helper()
		eventually(t, when, func() bool { return exported(t, ns) == want })
	}
	r := startRouter(t, ns, socket, config(w1+", "+w2, "true"))
	wants("both workloads", r1+"\n"+r2)
	if took := r.signal(t, syscall.SIGTERM); took.Seconds() > 1 {
		t.Errorf("it took %v to stop", took)
	}
	wants("nothing after a stop", "")
	r = startRouter(t, ns, socket, config(w1+", "+w2, "true"))
	r.signal(t, syscall.SIGKILL)
	wants("both after a kill", r1+"\n"+r2)
	r = startRouter(t, ns, socket, config(w1, "true"))
	wants("what the next start is to have", r1)
	wantEcho(t, ns, "10.70.1.1", 64)

	// The host changes its address, and deletes the interface: both are followed.
	in(t, ns, func() error { return withLink(uplink, flush) })
	in(t, ns, func() error { return up(uplink, "192.168.0.77/24") })
	wants("another source address", "10.70.1.1/32 dev vrouter0 scope link src 192.168.0.77")
	if out := vrouter(t, "show", "neighbors").wantOK(t); strings.Contains(out, "192.168.0.11 ") || !strings.Contains(out, "192.168.0.77 ") {
		t.Errorf("the host has another address now; neighbours:\n%s", out)
	}
	wantEcho(t, ns, "10.70.1.1", 64)
	in(t, ns, func() error { return withLink("vrouter0", netlink.LinkDel) })
	wants("an interface made again", "10.70.1.1/32 dev vrouter0 scope link src 192.168.0.77")
	wantEcho(t, ns, "10.70.1.1", 64)
	in(t, ns, func() error { return withLink("vrouter0", netlink.LinkSetDown) })
	in(t, ns, func() error { return withLink("vrouter0", netlink.LinkSetUp) })
	wants("routes entered again", "10.70.1.1/32 dev vrouter0 scope link src 192.168.0.77")
	if err := workload.Named("w1").Delete(); err != nil {
		t.Fatal(err)
	}
	wants("a workload that went", "")

	r.signal(t, syscall.SIGKILL)
	startRouter(t, ns, socket, config(w1, "false"))
	in(t, ns, func() error {
		if _, err := netlink.LinkByName("vrouter0"); err == nil {
			t.Error("vrouter0 is there without kernel.export")
		}
		return nil
	})
}

// A service of the host's at an address of 169.254/16, as NodeLocal DNSCache is, is the host's to each of
// its workloads, whatever interface has it; no other host's workload gets there.
func TestLinkLocalServiceOfTheHost(t *testing.T) {
	const service = "169.254.20.10"
	hosts := labUp(t, twoHosts("    kernel: {export: true}\n"))
	h := hosts[0]
	in(t, h.ns, func() error { return errors.Join(addBridge("nodelocaldns"), up("nodelocaldns", service+"/32")) })
	resumes(t, h.ns1, service)
	wantEcho(t, h.ns1, service, 64)
	a, b := connect(t, h.ns1, h.ns, service)
	pour(t, a, b)
	pour(t, b, a)
	if ttl := echo(t, hosts[1].ns1, service, 200*time.Millisecond); ttl != 0 {
		t.Errorf("another host's workload gets an answer with ttl %d", ttl)
	}
	if out := h.ask(t, "explain", "udp "+here+":1053 > "+service+":53").wantOK(t); !strings.Contains(out, "forwarded") || !strings.Contains(out, "dev vrouter0") {
		t.Errorf("explain:\n%s", out)
	}
}
