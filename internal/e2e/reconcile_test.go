package e2e

import (
	"errors"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vrouter/vrouter/internal/control"
	"github.com/vrouter/vrouter/internal/guard"
	"github.com/vrouter/vrouter/internal/workload"
)

const newMAC = "06:00:00:00:00:77"

func setMAC(name string) func() error {
	return func() error {
		mac, err := net.ParseMAC(newMAC)
		if err != nil {
			return err
		}
		return netlink.LinkSetHardwareAddr(mustLink(name), mac)
	}
}

// twoWorkloads is a host with w1 and w2.
var twoWorkloads = strings.Replace(hostConfig, "}]", "}, {name: w2, address: 10.70.1.2/24}]", 1)

// A workload gives its interface another MAC: it is reached as before without saying a word, and the list has the new one.
func TestWorkloadChangesItsMAC(t *testing.T) {
	startRouter(t, newHost(t), defaultSocket, twoWorkloads)
	w1, w2 := workload.Named("w1"), workload.Named("w2")
	wantEcho(t, w1, "10.70.1.2", 63)
	in(t, w2, setMAC("eth0"))
	eventually(t, "the list has the new MAC", func() bool {
		list := decode[[]control.Workload](t, vrouter(t, "workload", "list", "-o", "json").wantOK(t))
		return list[1].MAC == newMAC
	})
	wantEcho(t, w1, "10.70.1.2", 63)
}

// The same for the host's own interface, which udev gives a MAC of its own.
func TestHostInterfaceChangesItsMAC(t *testing.T) {
	ns := newHost(t)
	startRouter(t, ns, defaultSocket, hostConfig+"kernel: {export: true}\n")
	w1 := workload.Named("w1")
	resumes(t, w1, hostAddress)
	in(t, ns, setMAC("vrouter0"))
	resumes(t, w1, hostAddress)
	resumes(t, ns, "10.70.1.1")
}

// vrouter0 is taken away, and its name taken for a while: it is made again as soon as that can be.
func TestHostInterfaceIsMadeAgain(t *testing.T) {
	ns := newHost(t)
	r := startRouter(t, ns, defaultSocket, hostConfig+"kernel: {export: true}\n")
	resumes(t, ns, "10.70.1.1")
	in(t, ns, func() error { return errors.Join(withLink("vrouter0", netlink.LinkDel), addBridge("vrouter0")) })
	eventually(t, "it is said", func() bool { return strings.Contains(read(t, r.errors), "vrouter0 exists and is no TAP") })
	wantEcho(t, workload.Named("w1"), "169.254.1.1", 64)
	in(t, ns, func() error { return withLink("vrouter0", netlink.LinkDel) })
	eventually(t, "the host reaches its workload", func() bool { return answers(ns, "10.70.1.1") })
	resumes(t, workload.Named("w1"), hostAddress)
}

// A firewall that begins anew takes the guard along: it is put back at once, said and counted.
func TestGuardIsPutBack(t *testing.T) {
	ns := newHost(t)
	r := startRouter(t, ns, defaultSocket, hostConfig)
	if len(guardOf(t, ns)) != 2 {
		t.Fatalf("the guard has the rules %v", guardOf(t, ns))
	}
	for n := 1; n <= 2; n++ {
		in(t, ns, func() error { return guard.Remove("ens160") })
		eventually(t, "the guard is there again", func() bool { return len(guardOf(t, ns)) == 2 })
		eventually(t, "it is counted", func() bool {
			return scrape(t, ns)[key("host_repairs_total", `kind="guard"`)] == float64(n)
		})
	}
	if log := read(t, r.errors); !hasLine(log, []string{"level=WARN", "somebody has changed what the router has on this host", "guard ens160"}) {
		t.Errorf("the log does not tell:\n%s", log)
	}
}

// Whether a guard is needed is said by the uplink's own setting: where the host does not forward what comes in by it, a
// guard that cannot be set is no reason not to start.
func TestGuardIsNeeded(t *testing.T) {
	ns := newHost(t)
	in(t, ns, func() error {
		return errors.Join(set("ipv4/ip_forward", "0")(), set("ipv4/conf/ens160/forwarding", "1")())
	})
	in(t, ns, func() error {
		if !guard.Needed("ens160") {
			t.Error("ens160 forwards, and no guard is needed")
		}
		return nil
	})
	in(t, ns, func() error {
		return errors.Join(set("ipv4/ip_forward", "1")(), set("ipv4/conf/ens160/forwarding", "0")())
	})
	in(t, ns, func() error {
		if guard.Needed("ens160") {
			t.Error("ens160 does not forward, and a guard is needed")
		}
		return nil
	})
}

// What a workload's own root does to eth0 is made right, without a reload.
func TestWorkloadIsMendedAtOnce(t *testing.T) {
	r := startRouter(t, newHost(t), defaultSocket, twoWorkloads)
	w1, w2 := workload.Named("w1"), workload.Named("w2")
	wantEcho(t, w2, "10.70.1.1", 63)
	elsewhere := newNamespace(t)
	other, err := os.Open(string(elsewhere))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	for _, c := range []struct {
		name string
		harm func() error
	}{
		{"down and up", func() error {
			return errors.Join(withLink("eth0", netlink.LinkSetDown), withLink("eth0", netlink.LinkSetUp))
		}},
		{"default route deleted", func() error { return netlink.RouteDel(&netlink.Route{Gw: net.IPv4(169, 254, 1, 1)}) }},
		{"renamed", func() error {
			return withLink("eth0", func(l netlink.Link) error {
				return errors.Join(netlink.LinkSetDown(l), netlink.LinkSetName(l, "other"), netlink.LinkSetUp(l))
			})
		}},
		{"moved", func() error {
			return withLink("eth0", func(l netlink.Link) error { return netlink.LinkSetNsFd(l, int(other.Fd())) })
		}},
		{"deleted", func() error { return withLink("eth0", netlink.LinkDel) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			said := len(read(t, r.errors))
			in(t, w1, c.harm)
			eventually(t, "it is as it was", func() bool { return answers(w1, "10.70.1.2") })
			resumes(t, w2, "10.70.1.1")
			eventually(t, "it is said", func() bool { return strings.Contains(read(t, r.errors)[said:], "eth0") })
			if links := linksOf(t, w1); !slices.Equal(links, []string{"interface eth0", "interface lo"}) && !slices.Equal(links, []string{"interface lo", "interface eth0"}) {
				t.Errorf("interfaces %v", links)
			}
			if links := linksOf(t, elsewhere); !slices.Equal(links, []string{"interface lo"}) {
				t.Errorf("interfaces elsewhere: %v", links)
			}
		})
	}
}

// What somebody in a workload's namespace has chosen is let be, and said, until a reload.
func TestChosenSetUpIsLetBe(t *testing.T) {
	ns := newHost(t)
	startRouter(t, ns, defaultSocket, twoWorkloads)
	w1, w2 := workload.Named("w1"), workload.Named("w2")
	wantEcho(t, w2, "10.70.1.1", 63)
	for i, c := range []struct {
		name, note string
		choose     func() error
	}{
		{"no address", "eth0 has no longer 10.70.1.1/24", func() error { return withLink("eth0", flush) }},
		{"another gateway", "in the place of the router's", func() error {
			return netlink.RouteReplace(&netlink.Route{Gw: net.IPv4(10, 70, 1, 254), LinkIndex: mustLink("eth0").Attrs().Index})
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			in(t, w1, c.choose)
			eventually(t, "it is said", func() bool { return strings.Contains(listed(t, "w1").Note, c.note) })
			// A change that has the router look once more, and that it follows.
			in(t, w1, func() error {
				return withLink("eth0", func(l netlink.Link) error { return netlink.LinkSetAlias(l, c.name) })
			})
			in(t, w2, func() error { return netlink.RouteDel(&netlink.Route{Gw: net.IPv4(169, 254, 1, 1)}) })
			eventually(t, "the other workload's route is given again", func() bool { return answers(w2, "192.168.0.11") })
			// One of the uplink, which all workloads follow.
			mtu := 1400 + i
			in(t, ns, func() error {
				return withLink(uplink, func(l netlink.Link) error { return netlink.LinkSetMTU(l, mtu) })
			})
			for _, w := range []workload.Namespace{w1, w2} {
				eventually(t, "it has the uplink's new MTU", func() bool { return stateOf(t, w, "eth0").MTU == mtu })
			}
			if note := listed(t, "w1").Note; answers(w1, "192.168.0.11") || !strings.Contains(note, c.note) {
				t.Errorf("it is not let be: %q", note)
			}
			if out := vrouter(t, "doctor").out; !strings.Contains(out, "workload w1: ") || !strings.Contains(out, c.note) {
				t.Errorf("doctor says nothing of it:\n%s", out)
			}
			vrouter(t, "reload").wantOK(t)
			eventually(t, "a reload makes it as it was", func() bool { return answers(w1, "192.168.0.11") })
			if out := vrouter(t, "doctor").out; strings.Contains(out, "workload w1: ") {
				t.Errorf("doctor still says something of it:\n%s", out)
			}
			if note := listed(t, "w1").Note; note != "" {
				t.Errorf("it still says %q", note)
			}
		})
	}
}

// A workload that puts eth0 into a bridge of its own keeps its network over our restart; it is said.
func TestWorkloadBridgesItsInterface(t *testing.T) {
	ns := newHost(t)
	r := startRouter(t, ns, defaultSocket, twoWorkloads)
	w1, w2 := workload.Named("w1"), workload.Named("w2")
	wantEcho(t, w2, "10.70.1.1", 63)
	in(t, w1, func() error {
		if err := errors.Join(addBridge("br0"), withLink("eth0", flush)); err != nil {
			return err
		}
		br := mustLink("br0")
		return errors.Join( // before anybody gives it its address again
			netlink.LinkSetMaster(mustLink("eth0"), br), up("br0", "10.70.1.1/24"),
			netlink.RouteAdd(&netlink.Route{LinkIndex: br.Attrs().Index, Dst: ipNet("169.254.1.1/32"), Scope: netlink.SCOPE_LINK}),
			netlink.RouteReplace(&netlink.Route{Gw: net.IPv4(169, 254, 1, 1), LinkIndex: br.Attrs().Index}),
		)
	})
	want := []string{"10.70.1.0/24 dev br0 proto kernel scope link src 10.70.1.1", "169.254.1.1/32 dev br0 scope link", "default via 169.254.1.1 dev br0"}
	for range 2 {
		resumes(t, w2, "10.70.1.1")
		eventually(t, "it is said", func() bool { return strings.Contains(listed(t, "w1").Note, "is a port of a bridge") })
		var routes []string
		in(t, w1, func() error {
			list, err := netlink.RouteList(nil, unix.AF_INET)
			for _, x := range list {
				if l, err := netlink.LinkByIndex(x.LinkIndex); err == nil {
					routes = append(routes, routeText(l.Attrs().Name, x))
				}
			}
			return err
		})
		slices.Sort(routes)
		if !slices.Equal(routes, want) {
			t.Errorf("routes %q, want %q", routes, want)
		}
		r.signal(t, syscall.SIGKILL)
		r = startRouter(t, ns, defaultSocket, twoWorkloads)
	}
	resumes(t, w2, "10.70.1.1")
}

// Whatever a workload's root has done to his namespace while there was no router, the next one starts at once, and the others
// have their network.
func TestWorkloadCannotStopAStart(t *testing.T) {
	hold := -1 // what somebody reads
	for _, c := range []struct {
		name  string
		harm  func(t *testing.T, w1 workload.Namespace)
		waits bool
	}{
		{"more addresses of one subnet", func(t *testing.T, w1 workload.Namespace) {
			in(t, w1, func() error {
				return errors.Join(set("ipv4/conf/eth0/promote_secondaries", "0")(), set("ipv4/conf/all/promote_secondaries", "0")(),
					up("eth0", "10.70.9.1/24"), up("eth0", "10.70.9.2/24"), up("eth0", "10.70.9.3/24"))
			})
		}, false},
		{"a bridge of that name", func(t *testing.T, w1 workload.Namespace) {
			in(t, w1, func() error { return errors.Join(withLink("eth0", netlink.LinkDel), addBridge("eth0")) })
		}, true},
		{"its TAP opened", func(t *testing.T, w1 workload.Namespace) {
			in(t, w1, func() error {
				fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
				if err != nil {
					return err
				}
				hold = fd
				ifr, err := unix.NewIfreq("eth0")
				if err != nil {
					return err
				}
				ifr.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
				return unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr)
			})
		}, true},
		{"20,000 addresses", func(t *testing.T, w1 workload.Namespace) {
			in(t, w1, func() error {
				h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
				if err != nil {
					return err
				}
				defer h.Close()
				eth0 := mustLink("eth0")
				for i := range 20_000 {
					a := &netlink.Addr{IPNet: &net.IPNet{IP: net.IPv4(11, byte(i>>16), byte(i>>8), byte(i)), Mask: net.CIDRMask(32, 32)}}
					if err := h.AddrAdd(eth0, a); err != nil {
						return err
					}
				}
				return nil
			})
		}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			ns := newHost(t)
			startRouter(t, ns, defaultSocket, twoWorkloads).signal(t, syscall.SIGKILL)
			w1, w2 := workload.Named("w1"), workload.Named("w2")
			c.harm(t, w1)
			defer func() { unix.Close(hold); hold = -1 }()
			began := time.Now()
			startRouter(t, ns, defaultSocket, twoWorkloads)
			if took := time.Since(began); took > 2*time.Second {
				t.Errorf("it took %v to start", took)
			}
			wantEcho(t, w2, "169.254.1.1", 64)
			if w := listed(t, "w1"); (w.Waits != "") != c.waits {
				t.Errorf("%+v", w)
			}
			if !c.waits {
				resumes(t, w2, "10.70.1.1")
			}
			// It cannot keep the router from reloading either.
			vrouter(t, "route", "add", "10.98.0.0/16", "via", "192.168.0.12").wantOK(t)
			if r := vrouter(t, "reload"); c.waits && (r.status != 1 || !strings.Contains(r.err, "reloaded, but not all of it could be done")) || !c.waits && r.status != 0 {
				t.Errorf("reload: %+v", r)
			}
		})
	}
}
