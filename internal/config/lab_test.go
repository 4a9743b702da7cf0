package config

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func checkLab(t *testing.T, file string, want Lab) {
	t.Helper()
	got, err := ParseLab("l.yaml", []byte(file))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&want, got, equateNetip); diff != "" {
		t.Errorf("wrong lab (-want +got):\n%s", diff)
	}
}

func labHost(node, address string) Host {
	h := defaults(node)
	h.Uplink.Addresses = []netip.Prefix{prefix(address)}
	return h
}

func TestLab(t *testing.T) {
	a, b := labHost("a", "192.168.0.11/24"), labHost("b", "192.168.0.12/24")
	a.Uplink.Interface = "eth9"
	a.Metrics.Listen = ""
	b.Control.Socket = "/tmp/b.sock"
	b.Workloads = []Workload{{Name: "ns1", Interface: "eth0", Addresses: []netip.Prefix{prefix("10.70.2.1/24")}}}
	checkLab(t, `
hosts:
  - node: a
    uplink: {interface: eth9, address: 192.168.0.11/24}
    metrics: {listen: ""}
  - node: b
    uplink: {address: 192.168.0.12/24}
    control: {socket: /tmp/b.sock}
    workloads: [{name: ns1, address: 10.70.2.1/24}]
`, Lab{Hosts: []Host{a, b}})
}

func TestLabWithLinks(t *testing.T) {
	checkLab(t, `
hosts:
  - {node: a, uplink: {address: 192.168.0.11/24}}
  - {node: b, uplink: {address: 192.168.1.12/25}}
links:
  - {subnet: 192.168.0.0/24, gateway: 192.168.0.1}
  - {subnet: 192.168.1.0/25, gateway: 192.168.1.1}
`, Lab{
		Hosts: []Host{labHost("a", "192.168.0.11/24"), labHost("b", "192.168.1.12/25")},
		Links: []Link{
			{Subnet: prefix("192.168.0.0/24"), Gateway: addr("192.168.0.1")},
			{Subnet: prefix("192.168.1.0/25"), Gateway: addr("192.168.1.1")},
		},
	})
}

func TestOneLinkNeedsNoGateway(t *testing.T) {
	checkLab(t, "hosts: [{node: a, uplink: {address: 192.168.0.11/24}}]\nlinks: [{subnet: 192.168.0.0/24}]\n", Lab{
		Hosts: []Host{labHost("a", "192.168.0.11/24")},
		Links: []Link{{Subnet: prefix("192.168.0.0/24")}},
	})
}

func checkLabErrors(t *testing.T, before string, cases [][2]string) {
	t.Helper()
	for _, c := range cases {
		t.Run(c[0], func(t *testing.T) {
			t.Helper()
			_, err := ParseLab("l.yaml", []byte(before+c[0]))
			checkError(t, err, "l.yaml:"+c[1])
		})
	}
}

func TestErrorsOfLabFiles(t *testing.T) {
	const none = "1:1: hosts: missing: list at least one host, with its node and uplink.address"
	checkLabErrors(t, "", [][2]string{
		{"", none},
		{"hosts:\n", none},
		{"hosts: []\n", none},
		{"node: a\n", "1:1: node: unknown key: remove it, or use one of hosts and links"},
		{"hosts:\n  - uplink: {address: 192.168.0.11/24}\n", "2:5: hosts[0].node: missing: a lab has many hosts on one machine; name each of them"},
		{"hosts:\n  - node: a\n", "2:5: hosts[0].uplink.address: missing: give the address of the uplink, such as 192.168.0.11/24"},
		{"hosts: [{node: a, uplink: {address: 192.168.0.0/24}}]\n",
			"1:37: hosts[0].uplink.address: 192.168.0.0 is the network address of 192.168.0.0/24: give another address of that subnet, such as 192.168.0.1"},
	})
}

func TestErrorsOfLabHosts(t *testing.T) {
	checkLabErrors(t, `hosts:
- {node: a, uplink: {address: 192.168.0.11/24}, workloads: [{name: ns1, address: 10.70.1.1/24}]}
- {`, [][2]string{
		{"node: a, uplink: {address: 192.168.0.12/24}}", "3:10: hosts[1].node: a is already taken by hosts[0].node in line 2: give each host its own name"},
		{"node: b, uplink: {address: 192.168.0.11/24}}", "3:31: hosts[1].uplink.address: 192.168.0.11 is already taken by hosts[0].uplink.address in line 2: give each host its own address"},
		{"node: b, uplink: {address: 192.168.0.12/24}, workloads: [{name: ns1, address: 10.70.1.1/24}]}",
			"3:82: hosts[1].workloads[0].address: 10.70.1.1 is already taken by hosts[0].workloads[0].address in line 2: give each workload its own address"},
		{"node: b, uplink: {address: 192.168.0.12/24}, workloads: [{name: ns1, address: 192.168.0.11/24}]}",
			"3:82: hosts[1].workloads[0].address: 192.168.0.11 is already taken by hosts[0].uplink.address in line 2: give each workload its own address"},
		{"node: b, uplink: {address: 192.168.1.12/24}}",
			"3:31: hosts[1].uplink.address: 192.168.1.12/24 is not in 192.168.0.0/24, the subnet of a: give all hosts addresses of one subnet, or list the subnets in links"},
		{"node: b, uplink: {address: 192.168.0.12/25}}",
			"3:31: hosts[1].uplink.address: 192.168.0.12/25 is not in 192.168.0.0/24, the subnet of a: give all hosts addresses of one subnet, or list the subnets in links"},
	})
}

func TestErrorsOfLinks(t *testing.T) {
	checkLabErrors(t, `hosts:
- {node: a, uplink: {address: 192.168.0.11/24}}
links:
- {`, [][2]string{
		{"}", "4:3: links[0].subnet: missing: give the subnet of this link, such as 192.168.0.0/24"},
		{"subnet: 192.168.0.1/24}", "4:12: links[0].subnet: 192.168.0.1/24 has bits set after its first 24: did you mean 192.168.0.0/24, or 192.168.0.1 for one host?"},
		{"subnet: 192.168.0.11}", "4:12: links[0].subnet: 192.168.0.11/32 is not a subnet with hosts: write a prefix length from 1 to 31"},
		{"subnet: 192.168.0.0/24}\n- {subnet: 192.168.1.0/24}", "4:3: links[0].gateway: missing: with more than one link, each needs a gateway to lead to the others"},
		{"subnet: 192.168.0.0/24, gateway: 192.168.1.1}", "4:37: links[0].gateway: 192.168.1.1 is not in 192.168.0.0/24, the subnet of this link: give one of its addresses"},
		{"subnet: 192.168.0.0/24, gateway: 192.168.0.255}", "4:37: links[0].gateway: 192.168.0.255 is the broadcast address of 192.168.0.0/24: give another address of that subnet, such as 192.168.0.254"},
		{"subnet: 192.168.0.0/24, gateway: 192.168.0.11}", "4:37: links[0].gateway: 192.168.0.11 is already taken by hosts[0].uplink.address in line 2: give the gateway its own address"},
		{"subnet: 192.168.0.0/24, gateway: x}", `4:37: links[0].gateway: "x" is not an IP address: write it like 192.168.0.12 or fd00:192::12`},
		{"subnet: 192.168.0.0/16}", "2:31: hosts[0].uplink.address: 192.168.0.11/24 has another prefix length than its link 192.168.0.0/16: write 192.168.0.11/16"},
		{"subnet: 192.168.1.0/24}", "2:31: hosts[0].uplink.address: 192.168.0.11/24 is in none of the links: give it an address of one, or add a link for its subnet"},
		{"subnet: 192.168.0.0/24, gateway: 192.168.0.1}\n- {subnet: 192.168.0.128/25, gateway: 192.168.0.129}",
			"5:12: links[1].subnet: 192.168.0.128/25 overlaps 192.168.0.0/24 of links[0].subnet in line 4: give each link its own addresses"},
	})
}

// Hosts of a lab have addresses of both families, each in one subnet.
func TestLabOfTwoFamilies(t *testing.T) {
	a, b := labHost("a", "192.168.0.11/24"), labHost("b", "192.168.0.12/24")
	a.Uplink.Addresses, b.Uplink.Addresses = append(a.Uplink.Addresses, prefix("fd00:192::11/64")), append(b.Uplink.Addresses, prefix("fd00:192::12/64"))
	checkLab(t, `
hosts:
  - {node: a, uplink: {addresses: [192.168.0.11/24, "fd00:192::11/64"]}}
  - {node: b, uplink: {addresses: [192.168.0.12/24, "fd00:192::12/64"]}}
`, Lab{Hosts: []Host{a, b}})
	checkLabErrors(t, "hosts:\n  - {node: a, uplink: {addresses: [192.168.0.11/24, 'fd00:192::11/64']}}\n  - {node: b, uplink: {", [][2]string{
		{"addresses: [192.168.0.12/24, 'fd00:193::12/64']}}", "3:53: hosts[1].uplink.addresses[1]: fd00:193::12/64 is not in fd00:192::/64, the subnet of a: give all hosts addresses of one subnet, or list the subnets in links"},
		{"addresses: [192.168.0.12/24, 'fd00:192::11/64']}}", "3:53: hosts[1].uplink.addresses[1]: fd00:192::11 is already taken by hosts[0].uplink.addresses[1] in line 2: give each host its own address"},
		{"addresses: []}}", "3:23: hosts[1].uplink.address: missing: give the address of the uplink, such as 192.168.0.11/24"},
	})
}
