package config

import "testing"

func TestErrorsOfRoutes(t *testing.T) {
	const notPrefix = " is not an IPv4 address with a prefix length: write it like 10.70.2.0/24"
	const ipv6 = " is IPv6, and vrouter forwards IPv4: give an IPv4 address"
	const notMetric = " is not a metric: write a whole number from 0 to 4294967295"
	checkHostErrors(t, minimal+"routes:\n- {", [][2]string{
		{"via: 192.168.0.12}", "4:3: routes[0].to: missing: give the destination, such as 10.70.2.0/24"},
		{"to: 10.70.2.1}", "4:3: routes[0].via: missing: give the next hop, such as 192.168.0.12, or a type: blackhole, unreachable or prohibit"},
		{"to: 10.70.2.1/24, via: 192.168.0.12}", "4:8: routes[0].to: 10.70.2.1/24 has bits set after its first 24: did you mean 10.70.2.0/24, or 10.70.2.1 for one host?"},
		{"to: 10.70.2.0/33, via: 192.168.0.12}", `4:8: routes[0].to: "10.70.2.0/33"` + notPrefix},
		{"to: default, via: 192.168.0.12}", `4:8: routes[0].to: "default" is not an IPv4 network or address: write it like 10.70.2.0/24; all destinations are 0.0.0.0/0`},
		{"to: 'fd00::/64', via: 192.168.0.12}", `4:8: routes[0].to: "fd00::/64"` + ipv6},
		{"to: 'fd00::1', via: 192.168.0.12}", `4:8: routes[0].to: "fd00::1"` + ipv6},
		{"to: 10.70.2.1, via: 'fe80::1%e'}", `4:24: routes[0].via: "fe80::1%e"` + ipv6},
		{"to: 10.70.2.1, via: 224.0.0.5}", "4:24: routes[0].via: 224.0.0.5 is a multicast address: give the address of one host"},
		{"to: 10.70.2.1, via: 192.168.0.12/24}", `4:24: routes[0].via: "192.168.0.12/24" is not an IPv4 address: write it like 192.168.0.12`},
		{"to: 10.70.2.1, type: local}", `4:25: routes[0].type: "local" is not known: write unicast, blackhole, unreachable or prohibit`},
		{"to: 10.70.2.1, type: blackhole, via: 192.168.0.12}", "4:41: routes[0].via: a blackhole route has no next hop: remove via, or the type"},
		{"to: 10.70.2.1, type: prohibit, encap: none}", "4:42: routes[0].encap: a prohibit route sends nothing to encapsulate: remove encap, or the type"},
		{"to: 10.70.2.1, via: 192.168.0.12, encap: gre}", `4:45: routes[0].encap: "gre" is not known: write none or ipip`},
		{"to: 10.70.2.1, via: 192.168.0.12, metric: -1}", `4:46: routes[0].metric: "-1"` + notMetric},
		{"to: 10.70.2.1, via: 192.168.0.12, metric: 4294967296}", `4:46: routes[0].metric: "4294967296"` + notMetric},
		{"to: 10.70.2.1, via: 192.168.0.12}\n- {to: 10.70.2.1/32, type: blackhole}",
			"5:8: routes[1].to: 10.70.2.1/32 with metric 0 is already taken by routes[0].to in line 4: remove one of them, or give it another metric"},
	})
}
