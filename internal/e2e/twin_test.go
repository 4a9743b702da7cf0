package e2e

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/gopacket/layers"

	"github.com/vrouter/vrouter/internal/compare"
	"github.com/vrouter/vrouter/internal/lab"
	"github.com/vrouter/vrouter/internal/trace"
	"github.com/vrouter/vrouter/internal/workload"
)

var comparePackets = flag.Int("compare", 300, "how many random packets to compare in each lab with its twin")

// twinUp is labUp with a twin.
func twinUp(t *testing.T, text string) *lab.Lab {
	t.Helper()
	leavesNothing(t)
	t.Cleanup(func() { vrouter(t, "lab", "down").wantOK(t) })
	vrouter(t, "lab", "up", "--twin", "-f", file(t, "lab.yaml", text)).wantOK(t)
	l, err := lab.Load()
	if err != nil {
		t.Fatal(err)
	}
	return l
}

const twoFamilies = "../../examples/lab-dual-stack.yaml"

// A twin is a host like another one for the lab's verbs: it can be entered, is told of, and goes with the lab.
func TestTwin(t *testing.T) {
	l := twinUp(t, read(t, twoFamilies))
	for i, h := range l.Twins {
		ns1 := workload.Named(h.Workloads[0].Namespace)
		wantEcho(t, ns1, []string{there, here}[i], 62)
		wantEcho(t, ns1, []string{"fd00:70:2::1", "fd00:70:1::1"}[i], 62)
	}
	vrouter(t, "lab", "exec", "k8s-master-1-kernel/ns1", "--", program, "version").wantOK(t)
	vrouter(t, "lab", "exec", "k8s-master-2-kernel", "--", program, "version").wantError(t, 1, "no host .*k8s-node-1-kernel")
	list := decode[[]lab.Status](t, vrouter(t, "lab", "status", "-o", "json").wantOK(t))
	if len(list) != 4 || !list[2].Kernel || list[2].Name != "k8s-master-1-kernel" || list[0].Kernel {
		t.Errorf("status %+v", list)
	}
	if text := vrouter(t, "lab", "status").wantOK(t); !strings.Contains(text, "the kernel") {
		t.Errorf("lab status:\n%s", text)
	}
	for _, want := range []string{
		"vrouter-k8s-master-1-kernel sysctl -qw net.ipv4.ip_forward=1\n",
		"vrouter-k8s-master-1-kernel sysctl -qw net.ipv4.conf.veth1.proxy_arp=1\n",
		"ip -n vrouter-k8s-master-1-kernel route add 10.70.1.1 dev veth1 scope link\n",
		"ip -n vrouter-k8s-master-1-kernel route add 10.70.2.1 via 192.168.0.12 dev ens160\n",
	} {
		if text := read(t, l.Twins[0].Commands); !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
}

func TestNoTwin(t *testing.T) {
	labUp(t, "")
	vrouter(t, "lab", "up", "--twin").wantError(t, 1, "the lab that is up has no twin: `vrouter lab down`, then")
	vrouter(t, "lab", "compare", "icmp 10.70.1.1 > 10.70.2.1").wantError(t, 1, "the lab has no twin: `vrouter lab down`, then")
}

func TestLabCompare(t *testing.T) {
	l := twinUp(t, read(t, twoFamilies))
	for line, want := range map[string]string{
		"tcp 10.70.1.1:5 > 10.70.2.1:77":                    "from k8s-master-1/ns1: alike\n  both",
		"udp [fd00:70:1::1]:7 > [fd00:70:2::1]:8":           "from k8s-master-1/ns1: alike\n",
		"arp who has 169.254.1.1 tell 10.70.2.1":            "from k8s-node-1/ns1: alike\n  both    k8s-node-1/ns1         arp reply 169.254.1.1 is at ee:ee:ee:ee:ee:ee",
		"icmp 10.70.1.1 > 10.70.2.1 ttl 1 tos 3":            "tos at k8s-master-1/ns1: vrouter 0xc0, kernel 0xc2\n    I2: ",
		"icmp 10.70.1.1 > 169.254.1.1":                      "kernel nothing\n    I4, I6: ",
		"icmp 10.70.1.1 > 224.0.0.5":                        "alike\n  both    nothing came out",
		"udp 10.70.2.1:1 > 10.70.1.1:2 in k8s-master-1/ns1": "alike",
	} {
		if text := vrouter(t, "lab", "compare", line).wantOK(t); !strings.Contains(text, want) {
			t.Errorf("%q: %q is not in\n%s", line, want, text)
		}
	}
	for line, want := range map[string]string{
		"icmp 10.70.9.9 > 10.70.2.1":               "no workload of the lab has 10.70.9.9: say which is to send it, such as `in k8s-master-1/ns1`",
		"icmp 10.70.1.1 > 10.70.2.1 in nobody/ns1": `no workload "nobody/ns1"`,
		"icmp 10.70.1.1 > 10.70.2.1 length 3000":   "3000 bytes are more than k8s-master-1/ns1 sends at once, 1500",
	} {
		vrouter(t, "lab", "compare", line).wantError(t, 1, want)
	}
	vrouter(t, "lab", "compare", "--random", "5", "icmp 10.70.1.1 > 10.70.2.1").wantError(t, 2, "one of the three")

	// What the kernel does otherwise without a reason is told, and is an error.
	inNamespace(t, l.Twins[0].Namespace, func() error {
		return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("0"), 0o644)
	})
	r := vrouter(t, "lab", "compare", "-o", "json", "icmp 10.70.1.1 > 10.70.2.1")
	if r.status != 1 || !strings.Contains(r.err, "1 of 1 packets came out otherwise without a reason") {
		t.Errorf("with a kernel that forwards nothing: status %d, %s", r.status, r.err)
	}
	m := decode[compare.Summary](t, r.out)
	if len(m.Results) != 1 || len(m.Results[0].Kernel) != 0 || len(m.Results[0].Vrouter) != 4 || len(m.Results[0].Differences) != 4 {
		t.Fatalf("%+v", m)
	}
	if d := m.Results[0].Differences[0]; d.Field != "packet" || d.Kernel != "nothing" || d.Reason != "" {
		t.Errorf("%+v", d)
	}
}

// Limits on what ICMP tells are as they were before.
func TestCompareGivesLimitsBack(t *testing.T) {
	l := twinUp(t, read(t, "../../examples/lab-tutorial.yaml"))
	limits := func() (all string) {
		for _, h := range append(l.Hosts, l.Twins...) {
			for _, name := range []string{h.Namespace, h.Workloads[0].Namespace} {
				inNamespace(t, name, func() error {
					for _, f := range []string{"ipv4/icmp_ratemask", "ipv6/icmp/ratelimit", "ipv6/icmp/ratemask"} {
						b, err := os.ReadFile("/proc/sys/net/" + f)
						if err != nil {
							return err
						}
						all += string(b)
					}
					return nil
				})
			}
		}
		return all
	}
	before := limits()
	vrouter(t, "lab", "compare", "icmp 10.70.1.1 > 10.70.2.1").wantOK(t)
	if after := limits(); after != before {
		t.Errorf("limits were %q, and are %q", before, after)
	}
}

func inNamespace(t *testing.T, name string, f func() error) {
	t.Helper()
	if err := workload.Named(name).Do(f); err != nil {
		t.Fatal(err)
	}
}

// tunnels of both families, and every kind of route.
const twinTunnels = `hosts:
  - node: a
    uplink: {addresses: [192.168.0.11/24, "fd00:192::11/64"]}
    workloads: [{name: ns1, addresses: [10.70.1.1/24, "fd00:70:1::1/128"]}]
    routes:
      - {to: 10.70.2.1, via: 192.168.0.12, encap: ipip}
      - {to: "fd00:70:2::1", via: 192.168.0.12, encap: ipip}
      - {to: 10.99.0.0/24, type: blackhole}
      - {to: 10.98.0.0/24, type: unreachable}
      - {to: 10.97.0.0/24, type: prohibit}
      - {to: "fd00:98::/64", type: unreachable}
      - {to: "fd00:97::/64", type: prohibit}
  - node: b
    uplink: {addresses: [192.168.0.12/24, "fd00:192::12/64"]}
    workloads: [{name: ns1, addresses: [10.70.2.1/24, "fd00:70:2::1/128"]}]
    routes:
      - {to: 10.70.1.1, via: 192.168.0.11, encap: ipip}
      - {to: "fd00:70:1::1", via: 192.168.0.11, encap: ipip}
`

// Whatever random packets come to, each difference between the router and the kernel has a reason.
func TestCompareRandom(t *testing.T) {
	for name, text := range map[string]string{
		"plain": read(t, twoFamilies), "three hosts": read(t, "../../examples/lab-three-hosts.yaml"),
		"tunnels": twinTunnels, "vxlan": read(t, "../../examples/lab-vxlan.yaml"), "cross subnet": read(t, "../../examples/lab-cross-subnet.yaml"),
	} {
		t.Run(name, func(t *testing.T) {
			twinUp(t, text)
			r := vrouter(t, "lab", "compare", "--random", fmt.Sprint(*comparePackets), "--seed", "3")
			if r.status != 0 || !strings.Contains(r.out, fmt.Sprintf("%d packets: ", *comparePackets)) || !strings.Contains(r.out, ", 0 without one") {
				t.Errorf("status %d: %s\n%s", r.status, r.err, r.out)
			}
		})
	}
}

// The packets of a capture are sent by whom they are from.
func TestComparePcap(t *testing.T) {
	twinUp(t, read(t, "../../examples/lab-tutorial.yaml"))
	capture := file(t, "x.pcap", pcap(t, layers.LinkTypeEthernet, described(t,
		"icmp 10.70.1.1 > 10.70.2.1", "udp 10.70.2.1:1 > 10.70.1.1:2", "icmp 192.0.2.1 > 10.70.1.1")))
	r := vrouter(t, "lab", "compare", "--pcap", capture)
	if r.status != 0 || !strings.Contains(r.err, "1 packets of "+capture+" are left out") || !strings.Contains(r.out, "2 packets: ") {
		t.Errorf("status %d: %s\n%s", r.status, r.err, r.out)
	}
}

// An impaired link is no fair comparison.
func TestCompareImpairedLink(t *testing.T) {
	twinUp(t, read(t, "../../examples/lab-bad-link.yaml"))
	vrouter(t, "lab", "compare", "icmp 10.70.1.1 > 10.70.2.1").wantError(t, 1, "link 192.168.0.0/24 is impaired, and the twin's is not: `vrouter lab link 192.168.0.0/24 none` first")
	vrouter(t, "lab", "link", "192.168.0.0/24", "none").wantOK(t)
	vrouter(t, "lab", "compare", "tcp 10.70.1.1:1 > 10.70.2.1:2").wantOK(t)
}

// Packets that were sent on are recorded though nobody traces, and tell who asks later what became of them.
func TestShowForwardedPackets(t *testing.T) {
	h := labUp(t, "")
	wantEcho(t, h[0].ns1, there, 62)
	list := decode[[]trace.Packet](t, h[0].ask(t, "show", "packets", "--forwarded", "-o", "json").wantOK(t))
	if len(list) < 2 || list[0].Outcome != "forwarded" || list[0].In != "ns1" || list[0].Out != "ens160" || list[0].Src != here {
		t.Fatalf("records %+v", list)
	}
	want := fmt.Sprintf("#%d k8s-master-1  ns1 > ens160  icmp echo request 10.70.1.1 > 10.70.2.1", list[0].ID)
	if text := h[0].ask(t, "show", "packets", "--forwarded", fmt.Sprint(list[0].ID)).wantOK(t); !strings.HasPrefix(text, want) {
		t.Errorf("%q does not begin\n%s", want, text)
	}
	h[0].ask(t, "show", "packets", "--forwarded", "99999").wantError(t, 1, `no record of forwarded packet "99999"`)
	if list := decode[[]trace.Packet](t, h[0].ask(t, "show", "packets", "-o", "json").wantOK(t)); len(list) != 0 {
		t.Errorf("dropped: %+v", list)
	}
	vrouter(t, "lab", "break", "return-route").wantOK(t)
	r := vrouter(t, "why", "-v", here, there)
	if !strings.Contains(r.out, "seen: k8s-master-1 passed it on from ns1 to ens160, ") {
		t.Errorf("why does not tell what it has seen:\n%s", r.out)
	}
}
