package e2e

import (
	"encoding/binary"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/vrouter/vrouter/internal/control"
	"github.com/vrouter/vrouter/internal/doctor"
	"github.com/vrouter/vrouter/internal/ethtool"
	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/ping"
)

// isVXLAN says whether a packet of IPv4 is a datagram to its port.
func isVXLAN(ip packet.IPv4) bool {
	b := ip[ip.HeaderLen():]
	return ip.Protocol() == packet.ProtocolUDP && binary.BigEndian.Uint16(b[2:]) == packet.VXLANPort
}

// In `always` nothing but VXLAN (and ARP) is between the hosts, of both families; eth0 is 50 bytes smaller, and says so
// again when the uplink changes. A second host on the wire that is no peer gets nothing in.
func TestVXLANAlways(t *testing.T) {
	hosts := labUp(t, read(t, "../../examples/lab-vxlan.yaml"))
	h := hosts[0]
	wire := sniff(t, hosts[1], isVXLAN)
	for _, to := range []string{there, there6} {
		wantEcho(t, h.ns1, to, 62)
		a, b := connect(t, h.ns1, hosts[1].ns1, to)
		exchange(t, a, b, 8<<20)
	}
	if plain := wire(); len(plain) > 0 {
		t.Errorf("not only VXLAN is on the wire: %v", plain)
	}
	if mtu := stateOf(t, h.ns1, "eth0").MTU; mtu != 1450 {
		t.Errorf("eth0 has an MTU of %d, want 1450", mtu)
	}
	for _, x := range decode[[]control.Tunnel](t, h.ask(t, "show", "tunnels", "-o", "json").wantOK(t)) {
		if x.Peer != "192.168.0.12" || !strings.Contains(x.Kind, "vxlan") || x.Mode != "both" || x.PathMTU != 1500 || x.Cause != "uplink" || x.TxPackets == 0 || x.RxPackets == 0 {
			t.Errorf("tunnel %+v", x)
		}
	}
	nothingDropped(t, hosts)
	checks := file(t, "checks.yaml", "checks:\n  - {packet: \"icmp 10.70.1.1 > 10.70.2.1\", expect: delivered, encap: vxlan}\n")
	if r := vrouter(t, "lab", "check", checks); r.status != 0 {
		t.Errorf("%+v", r)
	}
	setMTU(t, h.ns, uplink, 1400)
	eventually(t, "eth0 follows", func() bool { return stateOf(t, h.ns1, "eth0").MTU == 1350 })
	wantEcho(t, h.ns1, there, 62)
}

// Plain inside a subnet, VXLAN to the other one.
func TestVXLANCrossSubnet(t *testing.T) {
	hosts := labUp(t, strings.ReplaceAll(read(t, "../../examples/lab-cross-subnet.yaml"), "ipip:", "vxlan:"))
	h := hosts[0]
	for to, want := range map[string]string{
		"10.70.2.1": "encap none: vxlan.mode is cross-subnet, and 192.168.0.12 is in a subnet of ens160",
		"10.70.3.1": "encap vxlan: vxlan.mode is cross-subnet, and 192.168.1.13 is in no subnet of ens160",
	} {
		wantEcho(t, h.ns1, to, 62)
		if out := h.ask(t, "route", "get", to).wantOK(t); !strings.Contains(out, want) {
			t.Errorf("route get %s does not say %q:\n%s", to, want, out)
		}
	}
	for _, x := range decode[[]control.Tunnel](t, h.ask(t, "show", "tunnels", "-o", "json").wantOK(t)) {
		if used := x.TxPackets > 0; used != (x.Peer == "192.168.1.13") {
			t.Errorf("tunnel %+v", x)
		}
	}
}

// What an uplink can do, and its MTU, change while superframes are under way in tunnels: all that was sent arrives, and
// superframes leave the router whole all the time.
func TestUplinkChangesUnderSuperframes(t *testing.T) {
	needsPrograms(t)
	for _, lab := range []string{"lab-ipip", "lab-vxlan"} {
		t.Run(lab, func(t *testing.T) {
			hosts := labUp(t, read(t, "../../examples/"+lab+".yaml"))
			a, b := connect(t, hosts[0].ns1, hosts[1].ns1, there)
			exchange(t, a, b, 1<<20)
			var changes []func() error
			for _, on := range []bool{false, true} {
				for _, f := range [][]string{{"tx-udp_tnl-segmentation", "tx-ipxip4-segmentation"}, {"tx-tcp-segmentation", "tx-generic-segmentation"}, {"tx-checksum-ip-generic", "tx-scatter-gather"}} {
					changes = append(changes, func() error { return ethtool.Set(uplink, on, f...) })
				}
			}
			for _, mtu := range []int{1300, 1500} {
				changes = append(changes, func() error {
					return withLink(uplink, func(l netlink.Link) error { return netlink.LinkSetMTU(l, mtu) })
				})
			}
			stop, done := make(chan struct{}), make(chan struct{})
			go func() {
				defer close(done)
				for {
					select {
					case <-stop:
						return
					default:
						exchange(t, a, b, 4<<20)
					}
				}
			}()
			whole := func() float64 { n, _ := superframes(t, hosts[0]); return n }
			for _, change := range changes {
				for _, h := range hosts {
					in(t, h.ns, change)
				}
				before := whole()
				eventually(t, "more superframes go into the tunnel", func() bool { return whole() > before })
			}
			close(stop)
			<-done
			if _, cut := superframes(t, hosts[0]); cut != 0 {
				t.Errorf("%v superframes were cut in the router", cut)
			}
		})
	}
}

// With IPv6 outside each datagram has a checksum, which nobody can tell a kernel to make: there superframes are cut in
// the router, which says so.
func TestSuperframesInVXLANOverIPv6(t *testing.T) {
	needsPrograms(t)
	one := func(node, n, other string) string {
		return strings.NewReplacer("NODE", node, "OTHER", other, "N", n).Replace(`  - node: NODE
    uplink: {addresses: [192.168.0.1N/24, "fd00:192::1N/64"]}
    workloads: [{name: ns1, addresses: [10.70.N.1/24, "fd00:70:N::1/128"]}]
    routes: [{to: 10.70.OTHER.1, via: "fd00:192::1OTHER", encap: vxlan}, {to: "fd00:70:OTHER::1", via: "fd00:192::1OTHER", encap: vxlan}]
`)
	}
	hosts := labUp(t, "hosts:\n"+one("a", "1", "2")+one("b", "2", "1"))
	for _, to := range []string{there, there6} {
		wantEcho(t, hosts[0].ns1, to, 62)
		a, b := connect(t, hosts[0].ns1, hosts[1].ns1, to)
		exchange(t, a, b, 4<<20)
	}
	for _, h := range hosts {
		if whole, cut := superframes(t, h); whole != 0 || cut == 0 {
			t.Errorf("%s: %v superframes have left whole, %v were cut", h.Name, whole, cut)
		}
		if who, why := offloadOf(t, h); who != "cut here" || !strings.Contains(why, "checksum") {
			t.Errorf("%s: %s, %s", h.Name, who, why)
		}
	}
	nothingDropped(t, hosts)
}

func TestDemoVXLAN(t *testing.T) {
	leavesNothing(t)
	for _, args := range [][]string{{"demo", "--vxlan"}, {"demo", "-6", "--vxlan"}} {
		out := vrouter(t, args...).wantOK(t)
		for _, want := range []string{"ttl=62", "vxlan vni 4096", "RFC 7348"} {
			if !strings.Contains(out, want) {
				t.Errorf("%v: %q is not in\n%s", args, want, out)
			}
		}
	}
	vrouter(t, "demo", "--vxlan", "--ipip").wantError(t, 2, "--ipip and --vxlan")
}

// A vxlan device of the host's own at the router's port gets what the router gets, or nothing.
func TestDoctorVXLAN(t *testing.T) {
	const mode = "vxlan: {mode: always}\n"
	p := newPatient(t, hostConfig+mode+noGuard)
	if f := p.want(t, "guard", doctor.Fail); !strings.Contains(f.Means, "Port Unreachable") {
		t.Errorf("%+v", f)
	}
	device := func(name string, id, port int) func() error {
		return func() error {
			l := &netlink.Vxlan{LinkAttrs: netlink.LinkAttrs{Name: name}, VxlanId: id, Port: port}
			if err := netlink.LinkAdd(l); err != nil {
				return setUp(name) // it is there
			}
			return netlink.LinkSetUp(l)
		}
	}
	in(t, p.ns, device("other", 7, 8472))
	p.isMended(t, "vxlan", doctor.Fail, "ip link set vxlan0 down", device("vxlan0", 4096, 4789))
	in(t, p.ns, device("vxlan0", 4096, 4789))
	p.want(t, "guard", doctor.OK)
	guarded := patient{p.ns, file(t, "config.yaml", hostConfig+mode)}
	guarded.want(t, "vxlan", doctor.Warn, "--fix") // somebody's own, perhaps
	patient{p.ns, file(t, "config.yaml", hostConfig)}.want(t, "vxlan", doctor.OK)

	in(t, p.ns, func() error { return netlink.AddrAdd(mustLink(uplink), address("192.168.0.21/24")) })
	two := patient{p.ns, file(t, "config.yaml", hostConfig+mode+"routes: [{to: 10.70.2.1, via: 192.168.0.12}]\n")}
	if f := two.want(t, "ipip_source", doctor.Warn); !strings.Contains(f.Means, "vxlan_unknown_peer") {
		t.Errorf("%+v", f)
	}
	startRouterWith(t, p.ns, "/run/vrouter/vrouter.sock", hostConfig+mode)
	guarded.want(t, "mtu", doctor.OK)
	big := patient{p.ns, file(t, "config.yaml", strings.Replace(hostConfig+mode, "}]", ", mtu: 1480}]", 1))}
	if f := big.examine(t, "mtu"); len(f) == 0 || !strings.Contains(f[0].Means, "mtu 1480 in the configuration, and 1450 fits") {
		t.Errorf("%+v", f)
	}
}

// Where an outer header leaves less than the 1280 bytes that IPv6 needs, workloads keep these, and their IPv6: outer packets are cut.
func TestIPv6NeedsItsBytes(t *testing.T) {
	one := func(n, peer int) string {
		return fmt.Sprintf("  - node: h%d\n    uplink: {addresses: [192.168.0.1%d/24]}\n    workloads: [{name: ns1, addresses: [10.70.%d.1/24, \"fd00:70:%d::1/128\"]}]\n"+
			"    routes: [{to: 10.70.%d.1, via: 192.168.0.1%d}, {to: \"fd00:70:%d::1\", via: 192.168.0.1%d}]\n    vxlan: {mode: always}\n", n, n, n, n, peer, peer, peer, peer)
	}
	hosts := labUp(t, "hosts:\n"+one(1, 2)+one(2, 1))
	wantEcho(t, hosts[0].ns1, "fd00:70:2::1", 62)
	for _, h := range hosts {
		in(t, h.ns, func() error {
			return withLink(uplink, func(l netlink.Link) error { return netlink.LinkSetMTU(l, 1280) })
		})
		eventually(t, h.Name+"'s workload follows", func() bool { return stateOf(t, h.ns1, "eth0").MTU == 1280 })
	}
	in(t, hosts[0].ns1, func() error {
		r, err := ping.Run(t.Context(), io.Discard, ping.Options{To: netip.MustParseAddr("fd00:70:2::1"), Count: 3, Timeout: patience, Data: 1280 - 48})
		if err == nil && len(r.Replies) != 3 {
			err = fmt.Errorf("%d of 3 pings of 1280 bytes are answered", len(r.Replies))
		}
		return err
	})
}
