package config

import (
	"slices"
	"testing"
)

func TestErrorsOfRoutes(t *testing.T) {
	const notPrefix = " is not an IP address with a prefix length: write it like 10.70.2.0/24 or fd00:70:2::/64"
	const needsTunnel = " is IPv6, of which the next hop 192.168.0.12 knows nothing but in a tunnel: add `encap: ipip` or `encap: vxlan`, or give an IPv6 next hop"
	const notMetric = " is not a metric: write a whole number from 0 to 4294967295"
	checkHostErrors(t, minimal+"routes:\n- {", [][2]string{
		{"via: 192.168.0.12}", "4:3: routes[0].to: missing: give the destination, such as 10.70.2.0/24"},
		{"to: 10.70.2.1}", "4:3: routes[0].via: missing: give the next hop, such as 192.168.0.12, or a type: blackhole, unreachable or prohibit"},
		{"to: 10.70.2.1/24, via: 192.168.0.12}", "4:8: routes[0].to: 10.70.2.1/24 has bits set after its first 24: did you mean 10.70.2.0/24, or 10.70.2.1 for one host?"},
		{"to: 10.70.2.0/33, via: 192.168.0.12}", `4:8: routes[0].to: "10.70.2.0/33"` + notPrefix},
		{"to: default, via: 192.168.0.12}", `4:8: routes[0].to: "default" is not an IP network or address: write it like 10.70.2.0/24 or fd00:70:2::/64; all destinations are 0.0.0.0/0 and ::/0`},
		{"to: 'fd00::/64', via: 192.168.0.12}", "4:8: routes[0].to: fd00::/64" + needsTunnel},
		{"to: 'fd00::1', via: 192.168.0.12}", "4:8: routes[0].to: fd00::1/128" + needsTunnel},
		{"to: 10.70.2.1, via: 'fe80::1%e'}", `4:24: routes[0].via: "fe80::1%e" names an interface: leave out what follows the %`},
		{"to: 'fd00::1', via: 192.168.0.12, encap: none}", "4:8: routes[0].to: fd00::1/128" + needsTunnel},
		{"to: 'fd00::1/64', via: 'fe80::1'}", "4:8: routes[0].to: fd00::1/64 has bits set after its first 64: did you mean fd00::/64, or fd00::1 for one host?"},
		{"to: 'fe80::/64', via: 'fd00::1'}", "4:8: routes[0].to: fe80::/64 is in fe80::/10, which is never forwarded to: give another destination"},
		{"to: 'ff02::1', type: blackhole}", "4:8: routes[0].to: ff02::1/128 is in ff00::/8, which is never forwarded to: give another destination"},
		{"to: 'fd00::1', via: 'ff02::1'}", "4:24: routes[0].via: ff02::1 is a multicast address: give the address of one host"},
		{"to: 'fd00::1', via: '::ffff:192.168.0.12', encap: ipip}", `4:24: routes[0].via: "::ffff:192.168.0.12" is an IPv4 address in the form of IPv6: write 192.168.0.12`},
		{"to: 'fd00::1', via: 'fe80::1', encap: ipip}", "4:24: routes[0].via: fe80::1 is a link-local address, which is no end of a tunnel: give one from another network"},
		{"to: 10.70.2.1, via: 224.0.0.5}", "4:24: routes[0].via: 224.0.0.5 is a multicast address: give the address of one host"},
		{"to: 10.70.2.1, via: 192.168.0.12/24}", `4:24: routes[0].via: "192.168.0.12/24" is not an IP address: write it like 192.168.0.12 or fd00:192::12`},
		{"to: 10.70.2.1, type: local}", `4:25: routes[0].type: "local" is not known: write unicast, blackhole, unreachable or prohibit`},
		{"to: 10.70.2.1, type: blackhole, via: 192.168.0.12}", "4:41: routes[0].via: a blackhole route has no next hop: remove via, or the type"},
		{"to: 10.70.2.1, type: prohibit, encap: none}", "4:42: routes[0].encap: a prohibit route sends nothing to encapsulate: remove encap, or the type"},
		{"to: 10.70.2.1, via: 192.168.0.12, encap: gre}", `4:45: routes[0].encap: "gre" is not known: write none, ipip or vxlan`},
		{"to: 10.70.2.1, via: 192.168.0.12, metric: -1}", `4:46: routes[0].metric: "-1"` + notMetric},
		{"to: 10.70.2.1, via: 192.168.0.12, metric: 4294967296}", `4:46: routes[0].metric: "4294967296"` + notMetric},
		{"to: 10.70.2.1, via: 192.168.0.12}\n- {to: 10.70.2.1/32, type: blackhole}",
			"5:8: routes[1].to: 10.70.2.1/32 with metric 0 is already taken by routes[0].to in line 4: remove one of them, or give it another metric"},
	})
}

// Routes of both families, by next hops of either.
func TestRoutesOfTwoFamilies(t *testing.T) {
	const file = minimal + `routes:
  - {to: "fd00:70:2::1", via: "fd00:192::12"}
  - to: fd00:70:3::/64
    via: fe80::1
  - {to: "fd00:70:4::1", via: 192.168.0.12, encap: ipip}
  - {to: 10.70.2.1, via: "fd00:192::12", encap: ipip}
  - {to: 10.70.3.1, via: "fe80::1"}
  - {to: "::/0", type: unreachable}
`
	h, err := Parse("f.yaml", []byte(file))
	if err != nil {
		t.Fatal(err)
	}
	want := []Route{
		{To: prefix("fd00:70:2::1/128"), Via: addr("fd00:192::12"), Type: RouteUnicast},
		{To: prefix("fd00:70:3::/64"), Via: addr("fe80::1"), Type: RouteUnicast},
		{To: prefix("fd00:70:4::1/128"), Via: addr("192.168.0.12"), Type: RouteUnicast, Encap: EncapIPIP},
		{To: prefix("10.70.2.1/32"), Via: addr("fd00:192::12"), Type: RouteUnicast, Encap: EncapIPIP},
		{To: prefix("10.70.3.1/32"), Via: addr("fe80::1"), Type: RouteUnicast},
		{To: prefix("::/0"), Type: RouteUnreachable},
	}
	if got := slices.Collect(h.Routes.All); !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	if _, err := Parse("f.yaml", []byte(minimal+"ipip: {mode: always}\nroutes: [{to: 'fd00:70:2::1', via: 192.168.0.12}]\n")); err != nil {
		t.Error(err)
	}
}
