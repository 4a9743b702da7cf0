package e2e

import (
	"errors"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/vrouter/vrouter/internal/control"
	"github.com/vrouter/vrouter/internal/doctor"
)

// The other host knows this one by its second address. `ipip.source` has the outer header come from that, with
// a reload too; an error about a packet of the tunnel is taken for one of this host's.
func TestIPIPSource(t *testing.T) {
	lab := strings.Replace(twoHosts("    ipip: {mode: always}\n"), "{to: 10.70.1.1, via: 192.168.0.11}", "{to: 10.70.1.1, via: 192.168.0.50}", 1)
	hosts := labUp(t, lab)
	a := hosts[0]
	in(t, a.ns, func() error { return withLink(uplink, addAddress("192.168.0.50/24")) })
	eventually(t, "the other host drops what it does not know", func() bool {
		echo(t, a.ns1, there, 0)
		return scrape(t, hosts[1].ns)[key("drop_packets_total", `port="ens160"`, `reason="ipip_unknown_peer"`)] > 0
	})
	a.edit(t, func(s string) string {
		return strings.Replace(s, "  mode: always\n", "  mode: always\n  source: 192.168.0.50\n", 1)
	})
	a.ask(t, "reload").wantOK(t)
	resumes(t, a.ns1, there)
	wantEcho(t, a.ns1, there, 62)
	wantEcho(t, hosts[1].ns1, here, 62)
	if out := a.ask(t, "show", "config").wantOK(t); !strings.Contains(out, "  source: 192.168.0.50\n") {
		t.Errorf("show config:\n%s", out)
	}
	out := a.ask(t, "explain", "icmp "+here+" > "+there).wantOK(t)
	for _, want := range []string{"192.168.0.50 > 192.168.0.12 proto 4", "why: from 192.168.0.50: ipip.source says so"} {
		if !strings.Contains(out, want) {
			t.Errorf("explain does not say %q:\n%s", want, out)
		}
	}
	if list := decode[[]control.Tunnel](t, a.ask(t, "show", "tunnels", "-o", "json").wantOK(t)); len(list) != 1 || list[0].TxPackets == 0 || list[0].RxPackets == 0 {
		t.Errorf("tunnels %+v", list)
	}
}

func addAddress(a string) func(netlink.Link) error {
	return func(l netlink.Link) error {
		parsed, err := netlink.ParseAddr(a)
		return errors.Join(err, netlink.AddrAdd(l, parsed))
	}
}

// What doctor says of the address that tunnels come from.
func TestDoctorIPIPSource(t *testing.T) {
	const tunnels = hostConfig + "routes: [{to: 10.71.1.0/24, via: 192.168.0.12}]\n"
	p := newPatient(t, tunnels+"ipip: {mode: always}\n")
	with := func(source string) patient {
		return patient{p.ns, file(t, "config.yaml", tunnels+"ipip: {mode: always, source: "+source+"}\n")}
	}
	p.want(t, "ipip_source", doctor.OK)
	with("192.168.0.11").want(t, "ipip_source", doctor.OK)
	if f := with("192.168.0.50").want(t, "ipip_source", doctor.Fail); !strings.Contains(f.Means, "192.168.0.50 is no address of this host") {
		t.Errorf("%+v", f)
	}
	in(t, p.ns, func() error {
		return errors.Join(withLink(uplink, addAddress("192.168.0.50/24")), withLink(uplink, addAddress("10.9.0.1/24")), withLink("cable", addAddress("10.8.0.1/24")))
	})
	if f := p.want(t, "ipip_source", doctor.Warn); !strings.Contains(f.Means, "to 192.168.0.12 comes from 192.168.0.11, and this host is 192.168.0.50 as well") {
		t.Errorf("two addresses: %+v", f)
	}
	with("192.168.0.50").want(t, "ipip_source", doctor.OK)
	if f := with("10.9.0.1").want(t, "ipip_source", doctor.Warn); !strings.Contains(f.Means, "comes from ipip.source 10.9.0.1, and this host is 192.168.0.11 in that subnet") {
		t.Errorf("of another subnet: %+v", f)
	}
	if f := with("10.8.0.1").want(t, "ipip_source", doctor.Warn); !strings.Contains(f.Means, "is on cable, not on ens160") {
		t.Errorf("of another interface: %+v", f)
	}
	r := startRouterWith(t, p.ns, "/run/vrouter/vrouter.sock", tunnels+"ipip: {mode: always, source: 192.168.0.99}\n")
	eventually(t, "the log says so too", func() bool {
		return strings.Contains(read(t, r.errors), "ipip.source is no address of this host")
	})
}
