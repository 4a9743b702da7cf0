package e2e

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vrouter/vrouter/internal/workload"
)

// Each series of what is configured is there from the start, at 0, and stays, whatever comes and goes: an
// alert on one that is absent would be false, and one on its value silent.
func TestSeriesStay(t *testing.T) {
	ns := newHost(t)
	startRouter(t, ns, "/run/vrouter/vrouter.sock", hostConfig+`kernel: {import: [bird, static, 42, "186"], export: true}
ipip: {peers: [192.168.0.13]}
routes: [{to: 10.71.1.0/24, via: 192.168.0.12}, {to: 10.71.2.0/24, via: 10.99.0.1, encap: ipip, proto: ospf}]
`)
	first := scrape(t, ns)
	for protocol, want := range map[string]float64{"bird": 0, "static": 1, "boot": 0, "42": 0, "bgp": 0, "ospf": 1, "workload": 1} {
		if v, ok := first[key("routes", `protocol="`+protocol+`"`)]; !ok || v != want {
			t.Errorf("at the start there are %v routes of %s (a series: %v), want %v", v, protocol, ok, want)
		}
	}
	stay := func(what string, within func(series) bool) {
		t.Helper()
		eventually(t, what, func() bool { return within(scrape(t, ns)) })
		now := scrape(t, ns)
		gone := slices.DeleteFunc(slices.Sorted(maps.Keys(first)), func(k string) bool {
			_, ok := now[k]
			return ok || strings.HasPrefix(k, "port_info") // what a port is that is not there, nobody can say
		})
		if len(gone) > 0 {
			t.Errorf("after %s, %d series are gone: %v", what, len(gone), gone)
		}
	}
	route := &netlink.Route{Dst: ipNet("10.72.0.0/16"), Type: unix.RTN_BLACKHOLE, Protocol: unix.RTPROT_BIRD}
	count := func(protocol string, n float64) func(series) bool {
		return func(s series) bool { return s[key("routes", `protocol="`+protocol+`"`)] == n }
	}
	in(t, ns, func() error { return netlink.RouteAdd(route) })
	stay("a route of bird came", count("bird", 1))
	in(t, ns, func() error { return netlink.RouteDel(route) })
	stay("it went", count("bird", 0))
	vrouter(t, "route", "add", "10.73.0.0/16", "via", "192.168.0.12", "proto", "rip").wantOK(t)
	first = scrape(t, ns)
	vrouter(t, "route", "del", "10.73.0.0/16").wantOK(t)
	stay("a route by command went", count("rip", 0))
	in(t, ns, func() error { return withLink(uplink, netlink.LinkDel) })
	stay("the uplink went", count("ospf", 0))
	if err := workload.Named("w1").Delete(); err != nil {
		t.Fatal(err)
	}
	stay("the workload's namespace went", count("workload", 0))
	in(t, ns, func() error {
		return errors.Join(netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: uplink}, PeerName: "cable"}), up(uplink, "192.168.0.11/24"))
	})
	stay("the uplink came back", count("ospf", 1))
	if n := scrape(t, ns)[key("accounting_imbalance_packets")]; n != 0 {
		t.Errorf("imbalance of %v packets", n)
	}
}
