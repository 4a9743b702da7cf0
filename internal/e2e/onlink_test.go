package e2e

import (
	"errors"
	"net"
	"strings"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/vrouter/vrouter/internal/doctor"
)

// shape is how a host has the address 192.168.0.13, and 192.168.0.12 on its link.
type shape struct {
	name      string
	addresses []string // the peer's behind a slash-less one
	routes    []string // on the link, `via` nobody; or with the flag onlink
	want      string   // in `route list`
}

var shapes = []shape{
	{"peer", []string{"192.168.0.13/32 peer 192.168.0.12/32"}, nil, "192.168.0.12/32 dev ens160 proto kernel scope link"},
	{"peer with a subnet", []string{"192.168.0.13/32 peer 192.168.0.12/24"}, nil, "192.168.0.0/24 dev ens160 proto kernel scope link"},
	{"/31", []string{"192.168.0.13/31"}, nil, "192.168.0.12/31 dev ens160 proto kernel scope link"},
	{"/32 and a host on the link", []string{"192.168.0.13/32"}, []string{"192.168.0.12/32"}, "192.168.0.12/32 dev ens160 proto kernel scope link"},
	{"/32 and a subnet on the link", []string{"192.168.0.13/32"}, []string{"192.168.0.0/16"}, "192.168.0.12/32 dev ens160 proto kernel scope link"},
	{"/32 and a gateway with onlink", []string{"192.168.0.13/32"}, []string{"0.0.0.0/0 onlink 192.168.0.12"}, "192.168.0.12/32 dev ens160 proto kernel scope link"},
	{"subnets that begin alike", []string{"10.0.0.1/8", "10.0.5.1/16", "10.0.0.2/24", "192.168.0.13/24"}, nil, "10.0.0.0/16 dev ens160 proto kernel scope link"},
	{"secondary", []string{"192.168.0.13/24", "192.168.0.14/24", "192.168.0.15/32"}, nil, "192.168.0.0/24 dev ens160 proto kernel scope link"},
}

// take gives an interface this shape, in the calling thread's namespace.
func (s shape) take(l netlink.Link) error {
	err := flush(l)
	for _, a := range s.addresses {
		local, peer, _ := strings.Cut(a, " peer ")
		parsed, bad := netlink.ParseAddr(local)
		err = errors.Join(err, bad)
		if peer != "" {
			p, bad := netlink.ParseIPNet(peer)
			err, parsed.Peer = errors.Join(err, bad), p
		}
		err = errors.Join(err, netlink.AddrAdd(l, parsed))
	}
	for _, r := range s.routes {
		to, via, onlink := strings.Cut(r, " onlink ")
		route := &netlink.Route{Dst: ipNet(to), LinkIndex: l.Attrs().Index, Scope: netlink.SCOPE_LINK}
		if onlink {
			route.Scope, route.Gw, route.Flags = netlink.SCOPE_UNIVERSE, net.ParseIP(via), int(netlink.FLAG_ONLINK)
		}
		err = errors.Join(err, netlink.RouteAdd(route))
	}
	return err
}

// Whatever the addresses of an uplink look like, whom the host itself reaches on the link is a neighbour:
// at the start as well as when it changes, plain as well as in IP-in-IP.
func TestAddressShapes(t *testing.T) {
	for _, mode := range []string{"never", "cross-subnet", "always"} {
		t.Run(mode, func(t *testing.T) {
			lab := strings.ReplaceAll(twoHosts("    ipip: {mode: "+mode+", peers: [192.168.0.12, 192.168.0.13]}\n"), "192.168.0.11", "192.168.0.13")
			hosts := labUp(t, lab)
			a := hosts[0]
			wantEcho(t, a.ns1, there, 62)
			for _, s := range shapes {
				in(t, a.ns, func() error { return withLink(uplink, s.take) })
				a.wantShape(t, s)
				if s.name == "/32 and a host on the link" { // one that is no neighbour without it
					a.killRouter(t, syscall.SIGTERM)
					a.restart(t)
					a.wantShape(t, s)
				}
			}
		})
	}
}

func (h host) wantShape(t *testing.T, s shape) {
	t.Helper()
	defer func() {
		if t.Failed() {
			t.Logf("%s:\n%s\n%s", s.name, h.ask(t, "route", "list").wantOK(t), h.ask(t, "explain", "icmp "+here+" > "+there).wantOK(t))
		}
	}()
	eventually(t, "the route is there", func() bool {
		return hasLine(h.ask(t, "route", "list").wantOK(t), strings.Fields(s.want))
	})
	resumes(t, h.ns1, there)
	wantEcho(t, h.ns1, there, 62)
}

// A next hop that the host loses on the link is said to be none, and is one again when the host
// has it again: nothing has to be told to the router.
func TestNextHopComesOnLink(t *testing.T) {
	ns := newHost(t)
	onLink := &netlink.Route{Dst: ipNet("10.99.0.1/32"), Scope: netlink.SCOPE_LINK}
	do := func(f func(*netlink.Route) error) {
		in(t, ns, func() error {
			return withLink(uplink, func(l netlink.Link) error { onLink.LinkIndex = l.Attrs().Index; return f(onLink) })
		})
	}
	do(netlink.RouteAdd)
	r := startRouter(t, ns, "/run/vrouter/vrouter.sock", hostConfig+"routes: [{to: 10.71.1.0/24, via: 10.99.0.1}]\n")
	lines := []string{"10.71.1.0/24 via 10.99.0.1 dev ens160 proto static", "10.99.0.1/32 dev ens160 proto kernel scope link"}
	for range 2 {
		routeList(t, true, lines...)
		do(netlink.RouteDel)
		routeList(t, false, lines...)
		do(netlink.RouteAdd)
	}
	routeList(t, true, lines...)
	if log := read(t, r.errors); strings.Count(log, "routes are not used") != 2 || strings.Count(log, "via=10.99.0.1") != 2 {
		t.Errorf("the log does not tell each time:\n%s", log)
	}
	vrouter(t, "route", "add", "10.71.2.0/24", "via", "10.98.0.1").wantError(t, 1, "10.98.0.1 is no neighbour.*ip route add 10.98.0.1 dev ens160")
}

// An end of a tunnel that the host has no way to: explain blames that, and not where the packet
// goes; doctor says it.
func TestNoWayToATunnelsEnd(t *testing.T) {
	p := newPatient(t, hostConfig+"routes: [{to: 10.71.1.0/24, via: 172.31.0.1, encap: ipip}]\n")
	startRouter(t, p.ns, "/run/vrouter/vrouter.sock", read(t, p.config))
	if f := p.want(t, "next_hops", doctor.Fail); !strings.Contains(f.Means, "no way by ens160 to 172.31.0.1") {
		t.Errorf("%+v", f)
	}
	out := vrouter(t, "explain", "icmp 10.70.1.1 > 10.71.1.1").wantOK(t)
	for _, want := range []string{"no_route: no route contains 172.31.0.1, the tunnel's other end", "why: none of", "contains 172.31.0.1, the tunnel's other end"} {
		if !strings.Contains(out, want) {
			t.Errorf("explain does not say %q:\n%s", want, out)
		}
	}
	// By a gateway of the host's that is narrower than the uplink.
	in(t, p.ns, func() error {
		return netlink.RouteAdd(&netlink.Route{Dst: ipNet("172.31.0.0/24"), Gw: net.ParseIP("192.168.0.1"), MTU: 1400})
	})
	eventually(t, "the host's way is taken", func() bool {
		out = vrouter(t, "explain", "icmp 10.70.1.1 > 10.71.1.1").wantOK(t)
		return strings.Contains(out, "to the tunnel's other end by 172.31.0.1/32 via 192.168.0.1 dev ens160") && strings.Contains(out, "mtu 1400 - 20 for the outer header = 1380")
	})
	p.want(t, "next_hops", doctor.OK)
}

// Next hops that doctor has to find out of reach, and those it has not.
func TestDoctorNextHops(t *testing.T) {
	p := newPatient(t, hostConfig+"routes:\n  - {to: 10.71.1.0/24, via: 10.99.0.1}\n  - {to: 10.71.2.0/24, via: 192.168.0.12}\n  - {to: 10.71.3.0/24, via: 10.70.1.1}\n  - {to: 10.71.4.0/24, type: blackhole}\n")
	f := p.want(t, "next_hops", doctor.Fail)
	if !strings.Contains(f.Means, "10.99.0.1, the next hop of the route to 10.71.1.0/24, is not on the link of ens160") {
		t.Errorf("%+v", f)
	}
	p.byHand(t, f.Mend)
	in(t, p.ns, func() error { // where there is no ip(8)
		return withLink(uplink, func(l netlink.Link) error {
			return netlink.RouteReplace(&netlink.Route{Dst: ipNet("10.99.0.1/32"), LinkIndex: l.Attrs().Index, Scope: netlink.SCOPE_LINK})
		})
	})
	p.want(t, "next_hops", doctor.OK)
	own := patient{p.ns, file(t, "config.yaml", hostConfig+"routes: [{to: 10.71.1.0/24, via: 192.168.0.11}]\n")}
	if f := own.want(t, "next_hops", doctor.Fail); !strings.Contains(f.Means, "192.168.0.11, the next hop of the route to 10.71.1.0/24, is this host itself") {
		t.Errorf("%+v", f)
	}
}
