package e2e

import (
	"context"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vrouter/vrouter/internal/lab"
	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/why"
	"github.com/vrouter/vrouter/internal/workload"
)

// wantWhy wants the cause, the place and the next command that `why` names.
func wantWhy(t *testing.T, src, dst string, reaches bool, cause why.Cause, at, next string) {
	t.Helper()
	r := vrouter(t, "why", "-o", "json", src, dst)
	if want := 0; reaches && r.status != want || !reaches && r.status != 1 {
		t.Errorf("status %d of why %s %s, which reaches: %v; %s", r.status, src, dst, reaches, r.err)
	}
	a := decode[why.Answer](t, r.out)
	if a.Reaches != reaches || a.Cause != cause || a.At != at || !strings.Contains(a.Next, next) {
		t.Errorf("why %s %s: reaches %v, %q at %q, next %q; want %v, %q at %q, next %q\n%s", src, dst, a.Reaches, a.Cause, a.At, a.Next, reaches, cause, at, next, a.Sentence)
	}
	t.Log(a.Sentence)
}

// Of each fault that is planted, why names the cause, the host and what to type next; before it is planted, nothing.
func TestWhyNamesTheFault(t *testing.T) {
	ipip := twoHosts("    ipip: {mode: always}\n")
	for name, f := range map[string]struct {
		text    string
		plant   func(*testing.T, []host)
		dst     string
		reaches bool
		cause   why.Cause
		at      string
		next    string
	}{
		"return route missing": {twoHosts(""), func(t *testing.T, hosts []host) { hosts[1].ask(t, "route", "del", here).wantOK(t) },
			"", false, "no_route", "b", "lab exec b -- vrouter route replace " + here + " via 192.168.0.11"},
		"next hop that nobody answers for": {twoHosts(""), func(t *testing.T, hosts []host) {
			hosts[0].ask(t, "route", "replace", there, "via", "192.168.0.77").wantOK(t)
		},
			"", false, why.Unanswered, "a", "lab exec a -- vrouter route replace " + there + " via 192.168.0.12"},
		"MTU smaller at the far end": {twoHosts(""), func(t *testing.T, hosts []host) { setMTU(t, hosts[1].ns, uplink, 1400) },
			"", true, why.MTU, "b", "lab exec b -- ip link"},
		"MTU smaller at our own uplink": {strings.ReplaceAll(twoHosts(""), here+"/24", here+"/24, mtu: 1500"), func(t *testing.T, hosts []host) {
			for _, h := range hosts {
				setMTU(t, h.ns, uplink, 1428)
			}
			eventually(t, "the router follows", func() bool { return strings.Contains(hosts[0].ask(t, "show", "ports").wantOK(t), "1428") })
		}, "", true, why.MTU, "a", "lab exec a -- ip link"},
		"loop": {strings.NewReplacer("via: 192.168.0.12}", "via: 192.168.0.12}, {to: 10.99.0.0/16, via: 192.168.0.12}", "via: 192.168.0.11}", "via: 192.168.0.11}, {to: 10.99.0.0/16, via: 192.168.0.11}").Replace(twoHosts("")),
			nil, "10.99.0.1", false, why.Loop, "b", "route get 10.99.0.1"},
		"blackhole":           {strings.Replace(twoHosts(""), "via: 192.168.0.12}", "via: 192.168.0.12}, {to: 10.90.0.0/16, type: blackhole}", 1), nil, "10.90.0.1", false, "blackhole", "a", "route get 10.90.0.1"},
		"unknown tunnel peer": {twoHosts("    ipip: {mode: always, peers: [192.168.0.99]}\n"), nil, "", false, "ipip_unknown_peer", "b", "lab exec b -- vrouter show tunnels"},
		"changed tunnel source": {ipip, func(t *testing.T, hosts []host) {
			in(t, hosts[0].ns, func() error { return up(uplink, "192.168.0.21/24") })
			config := filepath.Join(filepath.Dir(hosts[0].Socket), "config.yaml")
			text := read(t, config)
			if err := os.WriteFile(config, []byte(strings.Replace(text, "mode: always", "mode: always\n  source: 192.168.0.21", 1)), 0o644); err != nil {
				t.Fatal(err)
			}
			hosts[0].ask(t, "reload").wantOK(t)
		}, "", false, why.TunnelSource, "a", "lab exec a -- vrouter show config"},
		"ECN": {ipip, func(t *testing.T, hosts []host) {
			outward(t, hosts, func(outer packet.IPv4) { outer[1] |= 3; outer.SetChecksum() })
			eventually(t, "it is dropped", func() bool { return strings.Contains(hosts[1].ask(t, "show", "packets").wantOK(t), "ipip_ecn") })
		}, "", false, "ipip_ecn", "b", "lab exec b -- vrouter show packets "},
		"fragment that never came": {ipip, func(t *testing.T, hosts []host) {
			outward(t, hosts, func(outer packet.IPv4) { outer[6] |= 0x20; outer.SetChecksum() })
			eventually(t, "it waits", func() bool { return strings.Contains(hosts[1].ask(t, "show", "held").wantOK(t), "proto 4") })
		}, "", false, why.Fragments, "b", "lab exec b -- vrouter show held"},
		"stale neighbour": {twoHosts(""), func(t *testing.T, hosts []host) {
			wantEcho(t, hosts[0].ns1, there, 62)
			ghost := packet.MAC{2, 0, 0, 0, 0, 0x99}
			m := packet.ARPMessage{Op: packet.ARPReply, SenderMAC: ghost, SenderIP: netip.MustParseAddr("192.168.0.12"), TargetMAC: uplinkMAC(t, hosts[0].ns), TargetIP: netip.MustParseAddr("192.168.0.11")}
			f := packet.FrameOf(make([]byte, packet.EthernetLen+packet.ARPLen))
			f.SetEthernet(m.TargetMAC, ghost, packet.EtherTypeARP)
			m.Put(f.Payload())
			writeRaw(t, hosts[1].ns, uplink, f.Bytes())
			eventually(t, "it is believed", func() bool {
				return strings.Contains(hosts[0].ask(t, "show", "neighbors").wantOK(t), ghost.String())
			})
		}, "", false, why.Stale, "a", "lab exec a -- vrouter show neighbors"},
		"a source that is not its own": {twoHosts(""), func(t *testing.T, hosts []host) {
			in(t, hosts[0].ns1, func() error {
				if err := up("eth0", "10.70.1.77/24"); err != nil {
					return err
				}
				d := net.Dialer{LocalAddr: &net.UDPAddr{IP: net.IPv4(10, 70, 1, 77)}}
				c, err := d.Dial("udp4", there+":9")
				if err != nil {
					return err
				}
				defer c.Close()
				_, err = c.Write([]byte("hello"))
				return err
			})
			eventually(t, "it is dropped", func() bool { return strings.Contains(hosts[0].ask(t, "show", "packets").wantOK(t), "rpf_failed") })
		}, "", false, "rpf_failed", "a/ns1", "lab exec a/ns1 -- ip addr"},
		"second copy": {twoHosts("    kernel: {guard: false}\n"), func(t *testing.T, hosts []host) {
			in(t, hosts[1].ns, func() error { return os.WriteFile("/proc/sys/net/ipv4/conf/ens160/forwarding", []byte("1"), 0o644) })
		}, "", true, why.Copy, "b", "lab exec b -- vrouter doctor --fix"},
		"killed router":       {twoHosts(""), func(t *testing.T, hosts []host) { hosts[1].killRouter(t, unix.SIGKILL) }, "", false, why.NoRouter, "b", "vrouter lab up"},
		"killed router, ours": {twoHosts(""), func(t *testing.T, hosts []host) { hosts[0].killRouter(t, unix.SIGKILL) }, "", false, why.NoRouter, "a", "vrouter lab up"},
		"cable that loses": {twoHosts("") + "links: {loss: 0%}\n", func(t *testing.T, hosts []host) { vrouter(t, "lab", "link", "192.168.0.0/24", "loss", "50%").wantOK(t) },
			"", true, why.Cable, "192.168.0.0/24", "lab link 192.168.0.0/24 none"},
		"MTU smaller in the middle": {twoHosts("") + "links: {loss: 0%}\n", func(t *testing.T, _ []host) { setMTU(t, workload.Named("vrouter-fabric"), "host1", 1400) },
			"", true, why.MTU, "192.168.0.0/24", "ip link"},
	} {
		t.Run(name, func(t *testing.T) {
			hosts := labUp(t, f.text)
			dst := there
			if f.dst != "" {
				dst = f.dst
			} else if f.plant != nil {
				wantWhy(t, here, dst, true, why.None, "", "")
			}
			if f.plant != nil {
				f.plant(t, hosts)
			}
			wantWhy(t, here, dst, f.reaches, f.cause, f.at, f.next)
		})
	}
}

// The reply goes by a host that the packet does not come by.
func TestWhyOtherWay(t *testing.T) {
	hosts := labUp(t, read(t, "../../examples/lab-three-hosts.yaml"))
	hosts[1].ask(t, "route", "replace", "10.70.1.0/24", "via", "192.168.0.13").wantOK(t)
	wantWhy(t, here, there, true, why.OtherWay, "host-2", "lab exec host-2 -- vrouter route get "+here)
}

// A command that finds no router here says where the lab's are; colours come where they are asked for; no route is a failure in each form.
func TestCommandLineInALab(t *testing.T) {
	hosts := labUp(t, twoHosts(""))
	vrouter(t, "show", "ports").wantError(t, 1, "the lab that is up has the hosts a, b: `vrouter lab exec a -- vrouter")
	if out := vrouter(t, "doctor").out; !strings.Contains(out, "of the lab that is up, for each of its hosts (a, b): vrouter lab exec a -- vrouter doctor") {
		t.Errorf("doctor does not name the lab's hosts:\n%s", out)
	}
	const line = "icmp 10.70.1.1 > 10.70.2.1"
	if out := hosts[0].ask(t, "explain", "--color", "always", line).wantOK(t); !strings.Contains(out, "\x1b[") {
		t.Errorf("no colours:\n%s", out)
	}
	if out := hosts[0].ask(t, "explain", line).wantOK(t); strings.Contains(out, "\x1b[") {
		t.Errorf("colours to a file:\n%s", out)
	}
	for _, form := range []string{"text", "json"} {
		if r := hosts[0].ask(t, "route", "get", "1.2.3.4", "-o", form); r.status != 1 || !strings.Contains(r.err, "no route to 1.2.3.4") {
			t.Errorf("-o %s: %+v", form, r)
		}
	}
	if list, bare := hosts[0].ask(t, "route", "list").wantOK(t), hosts[0].ask(t, "route").wantOK(t); list != bare || hosts[0].ask(t, "show", "routes").wantOK(t) != list {
		t.Errorf("list %q, alone %q", list, bare)
	}
	// From one host to the other, each command asks the router of where it runs.
	within := vrouter(t, "lab", "exec", "a", "--", "vrouter", "lab", "exec", "b", "--", "vrouter", "route", "list").wantOK(t)
	if list := hosts[1].ask(t, "route", "list").wantOK(t); within != list {
		t.Errorf("on b, from a:\n%s, want\n%s", within, list)
	}
	vrouter(t, "lab", "exec", "a", "--", "vrouter", "why", "10.70.1.1", "10.70.2.1").wantOK(t)
}

// What no router and no counter knows, pings show: a switch in the middle that sends what is for one host elsewhere.
func TestWhyProbe(t *testing.T) {
	labUp(t, read(t, "../../examples/lab-three-hosts.yaml"))
	probe := func() (result, why.Answer) {
		r := vrouter(t, "why", "--probe", "-o", "json", here, there)
		return r, decode[why.Answer](t, r.out)
	}
	r, a := probe()
	if r.status != 0 || a.Cause != why.None || len(a.Probed) != 5 || slices.ContainsFunc(a.Probed, func(p why.Probed) bool { return p.Sent != 5 || p.Replies != 5 }) {
		t.Errorf("%+v", r)
	}
	l, err := lab.Load()
	if err != nil {
		t.Fatal(err)
	}
	mac := uplinkMAC(t, workload.Named(l.Hosts[1].Namespace))
	in(t, workload.Named(l.Fabric), func() error {
		return withLink("host0", func(k netlink.Link) error {
			return netlink.NeighSet(&netlink.Neigh{LinkIndex: k.Attrs().Index, Family: unix.AF_BRIDGE, Flags: netlink.NTF_MASTER, State: netlink.NUD_PERMANENT, HardwareAddr: mac[:]})
		})
	})
	if r, a = probe(); r.status != 1 || a.Cause != why.Cable || a.At != "host-1" || !strings.Contains(a.Sentence, "lost between host-1 and host-2") {
		t.Errorf("%+v", r)
	}
	t.Log(a.Sentence)
}

// The same of routers that are named, by socket and by name.
func TestWhyHosts(t *testing.T) {
	hosts := labUp(t, twoHosts(""))
	hosts[1].ask(t, "route", "del", here).wantOK(t)
	r := vrouter(t, "why", "--hosts", "a,"+hosts[1].Socket, here, there)
	if r.status != 1 || !hasLine(r.out, []string{here + " does not reach " + there + ": it arrives, but the reply does not: b has no route to " + here + " (no_route)"}) ||
		!hasLine(r.out, []string{"next: vrouter --socket " + hosts[1].Socket + " route replace " + here + " via 192.168.0.11"}) {
		t.Errorf("%+v", r)
	}
}

// pairs is how many pairs are asked about in healthy labs, all of them together.
const pairs = 1000

// Of a healthy lab nothing is said but that it reaches.
func TestWhyHealthy(t *testing.T) {
	labs := []string{"lab-tutorial", "lab-ipip", "lab-vxlan", "lab-three-hosts", "lab-cross-subnet", "lab-dual-stack"}
	for _, name := range labs {
		t.Run(name, func(t *testing.T) {
			labUp(t, read(t, "../../examples/"+name+".yaml"))
			l, err := lab.Load()
			if err != nil {
				t.Fatal(err)
			}
			var ends []netip.Addr
			for _, h := range l.Hosts {
				for _, w := range h.Workloads {
					for _, a := range w.Addresses {
						ends = append(ends, netip.MustParsePrefix(a).Addr())
					}
				}
			}
			f, done, err := why.OfLab(context.Background(), l, program)
			if err != nil {
				t.Fatal(err)
			}
			defer done()
			r := rand.New(rand.NewPCG(1, 1))
			for n := 0; n < pairs/len(labs); {
				src, dst := ends[r.IntN(len(ends))], ends[r.IntN(len(ends))]
				if src == dst || src.Is4() != dst.Is4() {
					continue
				}
				n++
				a, err := why.Ask(context.Background(), f, src, dst)
				if err != nil {
					t.Fatalf("why %s %s: %v", src, dst, err)
				}
				if !a.Reaches || a.Cause != why.None || a.Next != "" {
					t.Fatalf("why %s %s: %+v", src, dst, a)
				}
			}
		})
	}
}

func setMTU(t *testing.T, ns workload.Namespace, name string, mtu int) {
	t.Helper()
	in(t, ns, func() error { return withLink(name, func(l netlink.Link) error { return netlink.LinkSetMTU(l, mtu) }) })
}

func uplinkMAC(t *testing.T, ns workload.Namespace) packet.MAC {
	return packet.MAC(macOf(t, ns, uplink))
}

// outward sends a ping from the first host's workload in its tunnel to the second one, with an outer header that something on
// the way has changed.
func outward(t *testing.T, hosts []host, change func(outer packet.IPv4)) {
	t.Helper()
	b := make([]byte, packet.EthernetLen+2*packet.IPv4MinLen+68)
	outer := packet.IPv4(b[packet.EthernetLen:])
	packet.PutIPv4(outer, &packet.Header{TotalLen: len(outer), TTL: 64, Protocol: packet.ProtocolIPIP, Src: netip.MustParseAddr("192.168.0.11"), Dst: netip.MustParseAddr("192.168.0.12")})
	inner := outer[packet.IPv4MinLen:]
	packet.PutIPv4(inner, &packet.Header{TotalLen: len(inner), TTL: 63, Protocol: packet.ProtocolICMP, Src: netip.MustParseAddr(here), Dst: netip.MustParseAddr(there)})
	change(outer)
	f := packet.FrameOf(b)
	f.SetEthernet(uplinkMAC(t, hosts[1].ns), uplinkMAC(t, hosts[0].ns), packet.EtherTypeIPv4)
	writeRaw(t, hosts[0].ns, uplink, f.Bytes())
}

// writeRaw sends a frame by an interface, past the host's stack.
func writeRaw(t *testing.T, ns workload.Namespace, name string, frame []byte) {
	t.Helper()
	in(t, ns, func() error {
		i, err := net.InterfaceByName(name)
		if err != nil {
			return err
		}
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return unix.Sendto(fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: i.Index})
	})
}
