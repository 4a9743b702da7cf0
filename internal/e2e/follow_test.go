package e2e

import (
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

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
	if out := h.ask(t, "workload", "list").wantOK(t); strings.Contains(out, "ns2") {
		t.Errorf("workloads:\n%s", out)
	}
	if log := read(t, h.Log); !hasLine(log, []string{"level=ERROR", "workload detached: its namespace or interface was removed", "workload=ns2"}) {
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
	// The router is well: it has it back after a restart.
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
