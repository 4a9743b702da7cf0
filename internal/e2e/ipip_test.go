package e2e

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vrouter/vrouter/internal/control"
	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/workload"
)

// In `always` nothing but IP-in-IP (and ARP) is between the hosts, eth0 is 20
// bytes smaller, and says so again when the uplink changes.
func TestIPIPAlways(t *testing.T) {
	hosts := labUp(t, read(t, "../../examples/lab-ipip.yaml"))
	h := hosts[0]
	wire := sniff(t, hosts[1], func(ip packet.IPv4) bool { return ip.Protocol() == packet.ProtocolIPIP })
	wantEcho(t, h.ns1, there, 62)
	wantEcho(t, hosts[1].ns1, here, 62)
	a, b := connect(t, h.ns1, hosts[1].ns1, there)
	exchange(t, a, b, 8<<20)
	if plain := wire(); len(plain) > 0 {
		t.Errorf("not only IP-in-IP is on the wire: %v", plain)
	}
	if mtu := stateOf(t, h.ns1, "eth0").MTU; mtu != 1480 {
		t.Errorf("eth0 has an MTU of %d, want 1480", mtu)
	}
	for _, x := range decode[[]control.Tunnel](t, h.ask(t, "show", "tunnels", "-o", "json").wantOK(t)) {
		if x.Peer != "192.168.0.12" || x.Mode != "both" || x.PathMTU != 1500 || x.Cause != "uplink" || x.TxPackets == 0 || x.RxPackets == 0 {
			t.Errorf("tunnel %+v", x)
		}
	}
	in(t, h.ns, func() error {
		return withLink(uplink, func(l netlink.Link) error { return netlink.LinkSetMTU(l, 1400) })
	})
	eventually(t, "eth0 follows", func() bool { return stateOf(t, h.ns1, "eth0").MTU == 1380 })
	wantEcho(t, h.ns1, there, 62)
}

// sniff listens on a host's interfaces, before the guard; the function it returns
// lists the protocols of the IP packets that were in no tunnel.
func sniff(t *testing.T, h host, tunnel func(packet.IPv4) bool) func() []string {
	t.Helper()
	var fd int
	in(t, h.ns, func() (err error) {
		if fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0x0300 /* ETH_P_ALL */); err != nil {
			return err
		}
		return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 64<<20)
	})
	t.Cleanup(func() { unix.Close(fd) })
	return func() (plain []string) {
		buf, seen := make([]byte, 1<<16), 0
		for {
			n, _, err := unix.Recvfrom(fd, buf, 0)
			if err != nil {
				break
			}
			seen++
			f := packet.Frame{Buf: buf, Len: n}
			switch ip := packet.IPv4(f.Payload()); {
			case f.EtherType() == packet.EtherTypeIPv6 && packet.IPv6(ip).NextHeader() == packet.ProtocolTCP:
				plain = append(plain, "TCP of IPv6")
			case f.EtherType() == packet.EtherTypeIPv4 && !tunnel(ip):
				plain = append(plain, fmt.Sprint("protocol ", ip.Protocol()))
			}
		}
		if seen == 0 {
			t.Error("the wire was silent")
		}
		return plain
	}
}

// Plain inside a subnet, IP-in-IP to the other one, by a router in between that
// knows nothing of the workloads.
func TestIPIPCrossSubnet(t *testing.T) {
	hosts := labUp(t, read(t, "../../examples/lab-cross-subnet.yaml"))
	h := hosts[0]
	for _, to := range []string{"10.70.2.1", "10.70.3.1"} {
		wantEcho(t, h.ns1, to, 62)
	}
	for to, want := range map[string]string{
		"10.70.2.1": "encap none: ipip.mode is cross-subnet, and 192.168.0.12 is in a subnet of ens160",
		"10.70.3.1": "encap ipip: ipip.mode is cross-subnet, and 192.168.1.13 is in no subnet of ens160",
	} {
		if out := h.ask(t, "route", "get", to).wantOK(t); !strings.Contains(out, want) {
			t.Errorf("route get %s does not say %q:\n%s", to, want, out)
		}
		if out, hop := h.ask(t, "route", "get", to).wantOK(t), "next hop "+map[string]string{"10.70.2.1": "192.168.0.12", "10.70.3.1": "192.168.0.1"}[to]+" is "; !strings.Contains(out, hop) {
			t.Errorf("route get %s does not say %q, who gets its packets:\n%s", to, hop, out)
		}
		if out := h.ask(t, "explain", "icmp 10.70.1.1 > "+to).wantOK(t); !strings.Contains(out, want) {
			t.Errorf("explain does not say %q:\n%s", want, out)
		}
	}
	tunnels := decode[[]control.Tunnel](t, h.ask(t, "show", "tunnels", "-o", "json").wantOK(t))
	for _, x := range tunnels {
		if used := x.TxPackets > 0; used != (x.Peer == "192.168.1.13") {
			t.Errorf("tunnel %+v", x)
		}
	}
}

// A real router between the hosts whose next link carries less: what the kernel there says
// is believed, and the workload hears what fits inside.
func TestIPIPPathMTU(t *testing.T) {
	h := labUp(t, read(t, "../../examples/lab-cross-subnet.yaml"))[0]
	const there, narrow = "10.70.3.1", 1300
	wantEcho(t, h.ns1, there, 62)
	in(t, workload.Named("vrouter-fabric"), func() error {
		return withLink("link1", func(l netlink.Link) error { return netlink.LinkSetMTU(l, narrow) })
	})
	fits := func() (mtu int) { // as the workload's kernel has it
		in(t, h.ns1, func() error {
			c, err := net.Dial("udp", there+":9")
			if err != nil {
				return err
			}
			defer c.Close()
			raw, err := c.(*net.UDPConn).SyscallConn()
			if err != nil {
				return err
			}
			_ = raw.Control(func(fd uintptr) {
				_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DO)
			})
			_, _ = c.Write(make([]byte, 1400)) // too long, when that is known
			return raw.Control(func(fd uintptr) { mtu, err = unix.GetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_MTU) })
		})
		return mtu
	}
	eventually(t, "the tunnel's path MTU is what the router told", func() bool {
		fits()
		for _, x := range decode[[]control.Tunnel](t, h.ask(t, "show", "tunnels", "-o", "json").wantOK(t)) {
			if x.Peer == "192.168.1.13" {
				return x.PathMTU == narrow && x.Cause == "192.168.0.1" && x.Refused == 0
			}
		}
		return false
	})
	eventually(t, "the workload knows what fits inside", func() bool { return fits() == narrow-20 })
}

func TestDemoIPIP(t *testing.T) {
	leavesNothing(t)
	out := vrouter(t, "demo", "--ipip").wantOK(t)
	for _, want := range []string{"ttl=62", "192.168.0.11 > 192.168.0.12 proto 4", "RFC 2003", "from 192.168.0.11: 10.70.1.1 > 10.70.2.1"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
}

// explain sends nothing, and its words are checked before anybody is asked.
func TestExplain(t *testing.T) {
	h := labUp(t, "")[0]
	before := scrape(t, h.ns)
	out := h.ask(t, "explain", "icmp 10.70.1.1 > 10.70.2.1 ttl 1").wantOK(t)
	for _, want := range [][]string{{"ttl", "drop", "ttl_exceeded", "RFC 1812 5.3.1"}, {"dropped"}, {"icmp time exceeded 192.168.0.11 > 10.70.1.1", "because of #1"}} {
		if !hasLine(out, want) {
			t.Errorf("no line with %q in\n%s", want, out)
		}
	}
	e := decode[control.Explanation](t, h.ask(t, "explain", "-o", "json", "udp 10.70.1.1:5 > 10.70.2.1:53 length 3000 df").wantOK(t))
	if len(e.Packets) != 2 || e.Packets[0].Reason != "mtu_exceeded" || e.Packets[1].Cause != 1 {
		t.Errorf("%+v", e)
	}
	for name, n := range scrape(t, h.ns).since(before) {
		if (strings.Contains(name, "port_") || strings.Contains(name, "tunnel_")) && n != 0 {
			t.Errorf("explaining moved %s by %v", name, n)
		}
	}
	vrouter(t, "explain", "icmp 10.70.1.1 > nowhere").wantError(t, 2, `"nowhere" is no IPv4 address`)
	h.ask(t, "explain", "icmp 10.70.1.1 > 10.70.2.1 in ns7").wantError(t, 1, `no port "ns7"`)
}

// What waits is explained with what becomes of it, and is listed while it does; what is
// for the host itself is left to its own stack.
func TestExplainWaiting(t *testing.T) {
	h := labUp(t, "")[0]
	ask := func(line string) control.Explanation {
		return decode[control.Explanation](t, h.ask(t, "explain", "-o", "json", line).wantOK(t))
	}
	h.ask(t, "route", "add", "10.81.0.0/16", "via", "192.168.0.77", "dev", "ens160").wantOK(t)
	e := ask("icmp 10.70.1.1 > 10.81.0.9")
	var actions []string
	for _, c := range e.Packets[0].Consequences {
		actions = append(actions, c.Action)
	}
	if e.Packets[0].Outcome != "waits" || strings.Join(actions, " ") != "wait ask drop tell" || len(e.Packets) != 3 ||
		e.Packets[1].Summary != "arp who has 192.168.0.77 tell 192.168.0.11" || e.Packets[2].When == "" {
		t.Errorf("%+v", e.Packets)
	}
	if e = ask("icmp 192.168.0.12 > 192.168.0.11"); e.Packets[0].Outcome != "host" {
		t.Errorf("%+v", e.Packets)
	}
	send := func() {
		if err := h.ns1.Do(func() error {
			c, err := net.Dial("udp", "10.81.0.9:9")
			if err == nil {
				_, _ = c.Write([]byte("anybody there?"))
				err = c.Close()
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "a packet is held", func() bool {
		send()
		held := decode[[]control.Held](t, h.ask(t, "show", "held", "-o", "json").wantOK(t))
		return len(held) == 1 && held[0].NextHop == "192.168.0.77" && held[0].Packets > 0 && strings.Contains(held[0].Missing, "an answer")
	})
	eventually(t, "in words", func() bool {
		send()
		return hasLine(h.ask(t, "show", "held").wantOK(t), []string{"192.168.0.77", "ens160", "an answer"})
	})
}
