package e2e

import (
	"net"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vrouter/vrouter/internal/control"
	"github.com/vrouter/vrouter/internal/workload"
)

const programName = "vrouter_tunnel"

// egress are the programs at a host's uplink, the first one first.
func egress(t *testing.T, ns workload.Namespace) (names []string, links []link.ID) {
	t.Helper()
	in(t, ns, func() error {
		l, err := netlink.LinkByName(uplink)
		if err != nil {
			return err
		}
		all, err := link.QueryPrograms(link.QueryOptions{Target: l.Attrs().Index, Attach: ebpf.AttachTCXEgress})
		if err != nil {
			return err
		}
		for _, p := range all.Programs {
			prog, err := ebpf.NewProgramFromID(p.ID)
			if err != nil {
				return err
			}
			info, err := prog.Info()
			prog.Close()
			if err != nil {
				return err
			}
			id, _ := p.LinkID()
			names, links = append(names, info.Name), append(links, id)
		}
		return nil
	})
	return names, links
}

// needsPrograms leaves a test out where none can be loaded.
func needsPrograms(t *testing.T) {
	t.Helper()
	p, err := ebpf.NewProgram(passProgram)
	if err != nil {
		t.Skip("no programs here: ", err)
	}
	p.Close()
}

// passProgram is somebody else's, and lets no other one see what it has seen (TCX_PASS).
var passProgram = &ebpf.ProgramSpec{Name: "somebody_elses", Type: ebpf.SchedCLS, License: "GPL", Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()}}

// infront attaches somebody else's program in front of all others.
func infront(t *testing.T, ns workload.Namespace) {
	t.Helper()
	p, err := ebpf.NewProgram(passProgram)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	in(t, ns, func() error {
		l, err := netlink.LinkByName(uplink)
		if err != nil {
			return err
		}
		at, err := link.AttachTCX(link.TCXOptions{Interface: l.Attrs().Index, Program: p, Attach: ebpf.AttachTCXEgress, Anchor: link.Head()})
		if err == nil {
			t.Cleanup(func() { at.Close() })
		}
		return err
	})
}

// offloadOf is who cuts superframes that leave a host by tunnels, and why.
func offloadOf(t *testing.T, h host) (who, why string) {
	t.Helper()
	for _, x := range decode[[]control.Tunnel](t, h.ask(t, "show", "tunnels", "-o", "json").wantOK(t)) {
		who, why = x.Offload, x.CutBecause
	}
	return who, why
}

// superframes are those that went into tunnels of a host, by where they were cut.
func superframes(t *testing.T, h host) (whole, cut float64) {
	t.Helper()
	s := scrape(t, h.ns)
	for _, k := range s.labels("tunnel_superframes_total{") {
		if strings.Contains(k, `cut="kernel"`) {
			whole += s[k]
		} else {
			cut += s[k]
		}
	}
	return whole, cut
}

// Superframes leave by the tunnel whole. Whatever somebody does to the program that it takes, connections live on: it is
// put back at once, and who stands in front of it stays.
func TestSuperframesLeaveWhole(t *testing.T) {
	needsPrograms(t)
	for _, lab := range []string{"lab-ipip", "lab-vxlan"} {
		t.Run(lab, func(t *testing.T) { superframesLeaveWhole(t, lab) })
	}
}

func superframesLeaveWhole(t *testing.T, lab string) {
	hosts := labUp(t, read(t, "../../examples/"+lab+".yaml"))
	h := hosts[0]
	a, b := connect(t, h.ns1, hosts[1].ns1, there)
	exchange(t, a, b, 8<<20)
	for _, h := range hosts {
		if who, why := offloadOf(t, h); who != "kernel" || why != "" {
			t.Errorf("%s: %s, %s", h.Name, who, why)
		}
		if whole, cut := superframes(t, h); whole == 0 || cut != 0 {
			t.Errorf("%s: %v superframes have left whole, %v were cut", h.Name, whole, cut)
		}
	}
	if out := h.ask(t, "explain", "icmp 10.70.1.1 > "+there+" in ns1").wantOK(t); !strings.Contains(out, "superframes leave whole") {
		t.Errorf("explain does not tell:\n%s", out)
	}
	nothingDropped(t, hosts)

	_, links := egress(t, h.ns)
	in(t, h.ns, func() error {
		l, err := link.NewFromID(links[0])
		if err != nil {
			return err
		}
		defer l.Close()
		return l.Detach()
	})
	exchange(t, a, b, 8<<20)
	repaired := func(n float64) func() bool {
		return func() bool { return scrape(t, h.ns)[key("host_repairs_total", `kind="program"`)] >= n }
	}
	eventually(t, "it is put back, and counted", repaired(1))
	eventually(t, "they leave whole again", func() bool { who, _ := offloadOf(t, h); return who == "kernel" })

	infront(t, h.ns)
	exchange(t, a, b, 8<<20)
	eventually(t, "it is put in front again", repaired(2))
	exchange(t, a, b, 8<<20)
	if names, _ := egress(t, h.ns); !slices.Equal(names, []string{programName, "somebody_elses"}) {
		t.Errorf("the programs at the uplink are %v", names)
	}
	if _, cut := superframes(t, hosts[1]); cut != 0 {
		t.Errorf("the other host has cut %v", cut)
	}
}

// The program goes with the router, however that ends; another's stays.
func TestProgramGoesWithTheRouter(t *testing.T) {
	needsPrograms(t)
	h := labUp(t, read(t, "../../examples/lab-ipip.yaml"))[0]
	infront(t, h.ns)
	h.killRouter(t, syscall.SIGKILL)
	others := func() bool {
		names, _ := egress(t, h.ns)
		return slices.Equal(names, []string{"somebody_elses"})
	}
	eventually(t, "a killed router leaves no program", others)
	r := h.restart(t)
	if names, _ := egress(t, h.ns); !slices.Equal(names, []string{programName, "somebody_elses"}) {
		t.Errorf("the programs at the uplink are %v", names)
	}
	r.signal(t, syscall.SIGTERM)
	eventually(t, "nor does one that was stopped", others)
}

// Without the right to load it superframes are cut, which is said.
func TestNoProgram(t *testing.T) {
	ns := newHost(t)
	without := func(f func() error) error {
		return ns.Do(func() error {
			for _, bit := range []uintptr{unix.CAP_SYS_ADMIN, unix.CAP_BPF} {
				if err := unix.Prctl(unix.PR_CAPBSET_DROP, bit, 0, 0, 0); err != nil {
					return err
				}
			}
			return f()
		})
	}
	config := "uplink: {interface: ens160}\nroutes: [{to: 10.70.2.1, via: 192.168.0.12, encap: ipip}]\ncontrol: {socket: " + defaultSocket + "}\n"
	path := file(t, "config.yaml", config)
	t.Cleanup(func() { start(t, command(t, "down", "--config", path), ns.Do).wait(t).wantOK(t) })
	r := start(t, command(t, "run", "--config", path), without)
	eventually(t, "it is said", func() bool {
		out := vrouter(t, "--socket", defaultSocket, "show", "tunnels", "-o", "json")
		return out.status == 0 && strings.Contains(out.out, `"cut here"`) && strings.Contains(out.out, "CAP_SYS_ADMIN")
	})
	if log := read(t, r.errors); !hasLine(log, []string{"level=WARN", "superframes in tunnels are cut", "CAP_SYS_ADMIN"}) {
		t.Errorf("the log does not tell:\n%s", log)
	}
	if out := vrouter(t, "--socket", defaultSocket, "explain", "icmp 192.168.0.12 > 10.70.2.1 in ens160").wantOK(t); !strings.Contains(out, "superframes are cut here: ") {
		t.Errorf("explain does not tell:\n%s", out)
	}
	r.signal(t, syscall.SIGTERM)
}

// Each family goes through tunnels to ends of the other one, whole.
func TestSuperframesInTunnelsOfEitherFamily(t *testing.T) {
	needsPrograms(t)
	const there6 = "fd00:70:2::1"
	one := func(node, n, other string) string {
		return strings.NewReplacer("NODE", node, "OTHER", other, "N", n).Replace(`  - node: NODE
    uplink: {addresses: [192.168.0.1N/24, "fd00:192::1N/64"]}
    workloads: [{name: ns1, addresses: [10.70.N.1/24, "fd00:70:N::1/128"]}]
    routes: [{to: 10.70.OTHER.1, via: "fd00:192::1OTHER", encap: ipip}, {to: "fd00:70:OTHER::1", via: 192.168.0.1OTHER, encap: ipip}]
`)
	}
	hosts := labUp(t, "hosts:\n"+one("a", "1", "2")+one("b", "2", "1"))
	a, b := connect(t, hosts[0].ns1, hosts[1].ns1, there)
	exchange(t, a, b, 4<<20)
	var l net.Listener
	in(t, hosts[1].ns1, func() (err error) {
		l, err = net.Listen("tcp6", "["+there6+"]:7001")
		return err
	})
	defer l.Close()
	in(t, hosts[0].ns1, func() (err error) {
		a, err = net.DialTimeout("tcp6", l.Addr().String(), patience)
		return err
	})
	defer a.Close()
	b, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	exchange(t, a, b, 4<<20)
	for _, h := range hosts {
		s := scrape(t, h.ns)
		for _, k := range s.labels("tunnel_superframes_total{") {
			if whole := strings.Contains(k, `cut="kernel"`); whole != (s[k] > 0) {
				t.Errorf("%s: %s is %v", h.Name, k, s[k])
			}
		}
	}
	nothingDropped(t, hosts)
}

// The program follows the uplink, which may be another interface of the same name; and is there while routes lead into tunnels.
func TestProgramFollowsTheUplink(t *testing.T) {
	needsPrograms(t)
	ns := newHost(t)
	startRouter(t, ns, defaultSocket, hostConfig)
	programs := func(want int) func() bool {
		return func() bool {
			n := 0
			_ = ns.Do(func() error {
				l, err := netlink.LinkByName(uplink)
				if err != nil {
					return err
				}
				all, err := link.QueryPrograms(link.QueryOptions{Target: l.Attrs().Index, Attach: ebpf.AttachTCXEgress})
				if err == nil {
					n = len(all.Programs)
				}
				return err
			})
			return n == want
		}
	}
	if !programs(0)() {
		t.Error("there is a program, and no tunnel")
	}
	vrouter(t, "route", "add", "10.70.2.1", "via", "192.168.0.12", "encap", "ipip").wantOK(t)
	eventually(t, "a tunnel brings the program", programs(1))
	for range 3 {
		in(t, ns, func() error { return withLink(uplink, netlink.LinkDel) })
		in(t, ns, func() error {
			if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: uplink}, PeerName: "cable"}); err != nil {
				return err
			}
			return up(uplink, "192.168.0.11/24")
		})
		eventually(t, "the new uplink has it", programs(1))
		eventually(t, "superframes leave whole", func() bool {
			out := vrouter(t, "show", "tunnels", "-o", "json")
			return out.status == 0 && strings.Contains(out.out, `"offload": "kernel"`)
		})
	}
	vrouter(t, "route", "del", "10.70.2.1").wantOK(t)
	eventually(t, "without a tunnel there is none", programs(0))
}
