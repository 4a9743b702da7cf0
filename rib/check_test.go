package rib

import (
	"errors"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// good is valid; each case below spoils one thing of it.
var good = Route{Prefix: netip.MustParsePrefix("10.70.2.0/24"), Via: netip.MustParseAddr("192.168.0.12"),
	Dev: "ens160", Port: 1, Protocol: "static", Source: Static}

var invalid = []struct {
	name  string
	spoil func(*Route)
	want  string
}{
	{"no prefix", func(r *Route) { r.Prefix = netip.Prefix{} },
		"invalid Prefix via 192.168.0.12 dev ens160 proto static: invalid route: " +
			"the destination is no prefix; write one, such as 10.70.2.0/24 or fd00:70:2::/64"},
	{"IPv4 in IPv6", func(r *Route) { r.Prefix = prefix("::ffff:10.70.2.0/120") },
		"::ffff:10.70.2.0/120 via 192.168.0.12 dev ens160 proto static: invalid route: " +
			"the destination is an IPv4 address in an IPv6 one; write it as IPv4"},
	{"IPv6 by an IPv4 next hop", func(r *Route) { r.Prefix = prefix("2001:db8::/32") },
		"2001:db8::/32 via 192.168.0.12 dev ens160 proto static: invalid route: " +
			"no IPv6 packet is sent to an IPv4 next hop but by a tunnel; give an IPv6 one, or `encap: ipip` or `vxlan`"},
	{"IPv6 host bits", func(r *Route) { r.Prefix = prefix("2001:db8::1/64") },
		"2001:db8::1/64 via 192.168.0.12 dev ens160 proto static: invalid route: " +
			"the prefix has host bits; write 2001:db8::/64"},
	{"a tunnel to the link alone", func(r *Route) { r.Encap, r.Via = IPIP, addr("fe80::1") },
		"10.70.2.0/24 via fe80::1 dev ens160 proto static encap ipip: invalid route: " +
			"the end of a tunnel is not on the link alone; give another address of it as the next hop"},
	{"next hop of a zone", func(r *Route) { r.Via = addr("fe80::1%ens160") },
		"10.70.2.0/24 via fe80::1%ens160 dev ens160 proto static: invalid route: " +
			"the next hop is not the address of a host; give the neighbour's unicast address"},
	{"IPv4 next hop in IPv6", func(r *Route) { r.Via = addr("::ffff:10.0.0.1") },
		"10.70.2.0/24 via ::ffff:10.0.0.1 dev ens160 proto static: invalid route: " +
			"the next hop is not the address of a host; give the neighbour's unicast address"},
	{"host bits", func(r *Route) { r.Prefix = prefix("10.70.2.1/24") },
		"10.70.2.1/24 via 192.168.0.12 dev ens160 proto static: invalid route: " +
			"the prefix has host bits; write 10.70.2.0/24"},
	{"no port", func(r *Route) { r.Port = NoPort },
		"10.70.2.0/24 via 192.168.0.12 dev ens160 proto static: invalid route: " +
			"a unicast route leaves by a port and this one has none; name a device that the router has"},
	{"IPv6 multicast next hop", func(r *Route) { r.Via = addr("ff02::1") },
		"10.70.2.0/24 via ff02::1 dev ens160 proto static: invalid route: " +
			"the next hop is not the address of a host; give the neighbour's unicast address"},
	{"no next hop at all", func(r *Route) { r.Via = addr("::") },
		"10.70.2.0/24 via :: dev ens160 proto static: invalid route: " +
			"the next hop is not the address of a host; give the neighbour's unicast address"},
	{"multicast next hop", func(r *Route) { r.Via = addr("224.0.0.5") },
		"10.70.2.0/24 via 224.0.0.5 dev ens160 proto static: invalid route: " +
			"the next hop is not the address of a host; give the neighbour's unicast address"},
	{"ipip without next hop", func(r *Route) { r.Encap, r.Via = IPIP, netip.Addr{} },
		"10.70.2.0/24 dev ens160 proto static scope link encap ipip: invalid route: " +
			"ipip needs a next hop to be sent to; add one, or drop the encapsulation"},
	{"unknown encapsulation", func(r *Route) { r.Encap = 3 },
		"10.70.2.0/24 via 192.168.0.12 dev ens160 proto static encap unknown(3): invalid route: " +
			"its encapsulation is none of none, ipip, vxlan"},
	{"unknown type", func(r *Route) { r.Type = 9 },
		"unknown(9) 10.70.2.0/24 via 192.168.0.12 dev ens160 proto static: invalid route: " +
			"its type is none of unicast, blackhole, unreachable, prohibit, broadcast"},
	{"blackhole with next hop", func(r *Route) { r.Type = Blackhole },
		"blackhole 10.70.2.0/24 via 192.168.0.12 dev ens160 proto static: invalid route: " +
			"a blackhole route sends nothing; leave out next hop, device and encapsulation"},
	{"prohibit with device", func(r *Route) { r.Type, r.Via = Prohibit, netip.Addr{} },
		"prohibit 10.70.2.0/24 dev ens160 proto static scope link: invalid route: " +
			"a prohibit route sends nothing; leave out next hop, device and encapsulation"},
	{"unreachable with port", func(r *Route) { r.Type, r.Via, r.Dev = Unreachable, netip.Addr{}, "" },
		"unreachable 10.70.2.0/24 proto static: invalid route: " +
			"a unreachable route has no port; set it to -1"},
	{"broadcast with next hop", func(r *Route) { r.Type = Broadcast },
		"broadcast 10.70.2.0/24 via 192.168.0.12 dev ens160 proto static: invalid route: " +
			"a broadcast route has no next hop and no encapsulation; leave them out"},
}

func TestInvalidRoutes(t *testing.T) {
	for _, tt := range invalid {
		t.Run(tt.name, func(t *testing.T) {
			bad := good
			tt.spoil(&bad)
			other := good
			other.Prefix = prefix("10.70.3.0/24")
			table := NewTable()
			before := table.FIB()
			for method, err := range map[string]error{
				"Add":       table.Add(bad),
				"Replace":   table.Replace(bad),
				"SetSource": table.SetSource(Static, []Route{other, bad}),
			} {
				wantError(t, method, err, ErrInvalid, tt.want)
			}
			if table.FIB() != before {
				t.Error("a failed call published something")
			}
		})
	}
	bad := good
	bad.Source = 4
	wantError(t, "Add", NewTable().Add(bad), ErrInvalid, "10.70.2.0/24 via 192.168.0.12 dev ens160 proto static: "+
		"invalid route: its source is none of workload, connected, static, kernel")
}

func TestConflicts(t *testing.T) {
	table := NewTable()
	if err := table.Add(good); err != nil {
		t.Fatal(err)
	}
	before := table.FIB()
	const text = "10.70.2.0/24 via 192.168.0.12 dev ens160 proto static: route exists"
	wantError(t, "Add", table.Add(good), ErrExists,
		text+" from source static with that prefix and metric 0: replace it, or use another metric")
	wantError(t, "SetSource", table.SetSource(Kernel, []Route{good, good}), ErrExists,
		text+": source kernel lists that prefix and metric 0 twice: leave one out, or give it another metric")
	wantError(t, "Delete", table.Delete(good.Prefix, Static, 5), ErrNotFound,
		"10.70.2.0/24: no such route from source static with metric 5: list the routes to see which there are")
	wantError(t, "Delete", table.Delete(prefix("0.0.0.0/0"), Kernel, 0), ErrNotFound,
		"default: no such route from source kernel with metric 0: list the routes to see which there are")
	wantError(t, "Delete", table.Delete(prefix("10.70.2.9/24"), Static, 0), ErrInvalid,
		"10.70.2.9/24: invalid route: the prefix has host bits; write 10.70.2.0/24")
	wantError(t, "Delete", table.Delete(netip.Prefix{}, Static, 0), ErrInvalid,
		"invalid Prefix: invalid route: the destination is no prefix; write one, such as 10.70.2.0/24 or fd00:70:2::/64")
	if table.FIB() != before {
		t.Error("a failed call published something")
	}
}

// TestBroadcastForms: with the link's port, as the kernel lists it, and without.
func TestBroadcastForms(t *testing.T) {
	for _, r := range []Route{
		{Type: Broadcast, Prefix: prefix("192.168.0.255/32"), Dev: "ens160", Port: 0},
		{Type: Broadcast, Prefix: prefix("192.168.0.255/32"), Port: NoPort},
	} {
		if err := NewTable().Add(r); err != nil {
			t.Error(err)
		}
	}
}

// TestFamilies: which packets go by which next hop, plain and in a tunnel.
func TestFamilies(t *testing.T) {
	for _, to := range []string{"10.70.2.0/24", "0.0.0.0/0", "fd00:70:2::/64", "fd00:70:2::1/128", "::/0"} {
		for _, r := range []Route{
			{Via: addr("fd00:192::12")}, {Via: addr("fe80::1")}, {},
			{Via: addr("fd00:192::12"), Encap: IPIP}, {Via: addr("192.168.0.12"), Encap: IPIP},
		} {
			r.Prefix, r.Dev = prefix(to), "ens160"
			table := NewTable()
			if err := table.Add(r); err != nil {
				t.Error(err)
			}
			if err := table.Replace(Route{Prefix: r.Prefix, MTU: 1400}.Over([]Hop{{r, 1}, {r, 2}})); err != nil {
				t.Error(err)
			}
			if got := table.FIB().Lookup(r.Prefix.Addr()); got == nil || got.MTU != 1400 || len(got.Multipath.Paths()) != 2 {
				t.Errorf("%s: looked up as %v", to, got)
			}
		}
	}
}

func wantError(t *testing.T, method string, err, kind error, text string) {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Errorf("%s: got %v, want one that is %q", method, err, kind)
		return
	}
	if d := cmp.Diff(text, err.Error()); d != "" {
		t.Errorf("%s (-want +got):\n%s", method, d)
	}
}
