package config

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func TestErrorsOfWorkloads(t *testing.T) {
	const notInterface = " is not an interface name: use 1 to 15 bytes, without spaces, slash, colon and percent sign"
	const notName = " is not a name: use 1 to 128 letters, digits, dots, dashes and underscores; neither dot nor dash first"
	const notMTU = " is not an MTU in bytes: write a whole number from 68 to 65521"
	long := strings.Repeat("a", 129)
	checkHostErrors(t, minimal+"workloads:\n- {", [][2]string{
		{"address: 10.70.1.1/24}", "4:3: workloads[0].name: missing: name the workload, such as ns1"},
		{"name: ns1}", "4:3: workloads[0].address: missing: give the workload its address, such as 10.70.1.1/24"},
		{"name: a/b, address: 10.70.1.1/24}", `4:10: workloads[0].name: "a/b" has a slash, and a name is not a path: leave the directories out`},
		{"name: .a, address: 10.70.1.1/24}", `4:10: workloads[0].name: ".a"` + notName},
		{"name: '', address: 10.70.1.1/24}", `4:10: workloads[0].name: ""` + notName},
		{"name: " + long + ", address: 10.70.1.1/24}", `4:10: workloads[0].name: "` + long[:64] + `…"` + notName},
		{"name: a, address: 10.70.1.1/24, interface: a/b}", `4:47: workloads[0].interface: "a/b"` + notInterface},
		{"name: a, address: 10.70.1.1/24, interface: 'a b'}", `4:47: workloads[0].interface: "a b"` + notInterface},
		{"name: a, address: 10.70.1.1/24, interface: ..}", `4:47: workloads[0].interface: ".."` + notInterface},
		{"name: a, address: 10.70.1.1/24, interface: ''}", `4:47: workloads[0].interface: ""` + notInterface},
		{"name: a, address: 10.70.1.1/24, interface: tap%d}", `4:47: workloads[0].interface: "tap%d"` + notInterface},
		{"name: a, address: 10.70.1.1/24, interface: abcdefghijklmnop}", `4:47: workloads[0].interface: "abcdefghijklmnop"` + notInterface},
		{"name: a, address: 10.70.1.1/24, namespace: other}", `4:47: workloads[0].namespace: "other" is not an absolute path: start it with a slash`},
		{"name: a, address: 10.70.1.1/24, namespace: \"/a\\nb\"}", `4:47: workloads[0].namespace: "/a\nb" has characters that do not print: use a path without them`},
		{"name: a, address: 10.70.1.1/24, mtu: 67}", `4:41: workloads[0].mtu: "67"` + notMTU},
		{"name: a, address: 10.70.1.1/24, mtu: 65522}", `4:41: workloads[0].mtu: "65522"` + notMTU},
		{`name: a, addresses: [10.70.1.1/24, "fd00::1/128"], mtu: 1279}`, "4:60: workloads[0].mtu: 1279 is less than IPv6 needs, and the workload has an address of it: write 1280 or more"},
		{"name: a, address: 10.70.1.1/24, mtu: 0x5dc}", `4:41: workloads[0].mtu: "0x5dc"` + notMTU},
		{"name: a, address: 10.70.1.1/24, mtu: big}", `4:41: workloads[0].mtu: "big"` + notMTU},
	})
}

func TestErrorsOfWorkloadAddresses(t *testing.T) {
	for address, want := range map[string]string{
		"10.70.1.1":            "10.70.1.1 has no prefix length: write 10.70.1.1/24, or /32 for an address without a subnet",
		"10.70.1.0/24":         "10.70.1.0 is the network address of 10.70.1.0/24: give another address of that subnet, such as 10.70.1.1",
		"10.70.1.255/24":       "10.70.1.255 is the broadcast address of 10.70.1.0/24: give another address of that subnet, such as 10.70.1.254",
		"10.70.1.3/30":         "10.70.1.3 is the broadcast address of 10.70.1.0/30: give another address of that subnet, such as 10.70.1.2",
		"10.70.1.1/0":          "10.70.1.1/0 has prefix length 0: write one from 1 to 32, such as 10.70.1.1/24",
		"10.70.1.1/33":         `"10.70.1.1/33" is not an IP address with a prefix length: write it like 10.70.2.0/24 or fd00:70:2::/64`,
		"ten":                  `"ten" is not an IP address with a prefix length: write it like 10.70.2.0/24 or fd00:70:2::/64`,
		"0.0.0.0/24":           "0.0.0.0 means this network: give the address of one host",
		"127.0.0.1/8":          "127.0.0.1 is a loopback address: give the address of one host",
		"224.0.0.1/24":         "224.0.0.1 is a multicast address: give the address of one host",
		"240.0.0.1/24":         "240.0.0.1 is a reserved address: give the address of one host",
		"255.255.255.255/32":   "255.255.255.255 is the broadcast address: give the address of one host",
		"169.254.7.1/24":       "169.254.7.1 is a link-local address, which is never routed: give one from another network",
		"10.9.9.9/24":          "10.9.9.9 is the address of the gateway: give the workload another one",
		"fd00::1":              "fd00::1 has no prefix length: write fd00::1/64, or /128 for an address without a subnet",
		"fd00::1/0":            "fd00::1/0 has prefix length 0: write one from 1 to 128, such as fd00::1/96",
		"fd00::1/129":          `"fd00::1/129" is not an IP address with a prefix length: write it like 10.70.2.0/24 or fd00:70:2::/64`,
		"fd00::/64":            "fd00:: is the anycast address of all routers in fd00::/64: give another address of that subnet, such as fd00::1",
		"::/64":                ":: means that there is no address: give the address of one host",
		"::1/128":              "::1 is a loopback address: give the address of one host",
		"ff02::1/64":           "ff02::1 is a multicast address: give the address of one host",
		"fe80::1/64":           "fe80::1 is a link-local address, which is never routed: give one from another network",
		"fe80::1%eth0/64":      `"fe80::1%eth0/64" names an interface: leave out what follows the %`,
		"::ffff:10.70.1.1/120": `"::ffff:10.70.1.1/120" is an IPv4 address in the form of IPv6: write 10.70.1.1`,
	} {
		t.Run(address, func(t *testing.T) {
			_, err := Parse("f.yaml", []byte(minimal+"gateway: {address: 10.9.9.9}\nworkloads:\n  - name: ns1\n    address: '"+address+"'\n"))
			checkError(t, err, "f.yaml:6:14: workloads[0].address: "+want)
		})
	}
}

func TestAddressesAtTheEndsOfTheSmallestSubnets(t *testing.T) {
	for _, address := range []string{"10.70.1.0/31", "10.70.1.1/31", "10.70.1.0/32", "10.70.1.255/32", "10.70.1.2/30", "'fd00::/127'", "'fd00::/128'", "'fd00::ffff:ffff:ffff:ffff/64'"} {
		if _, err := Parse("f.yaml", []byte(minimal+"workloads: [{name: ns1, address: "+address+"}]\n")); err != nil {
			t.Error(err)
		}
	}
}

func TestErrorsOfEqualWorkloads(t *testing.T) {
	checkHostErrors(t, minimal+"workloads:\n- {name: a, address: 10.70.1.1/24, namespace: /x}\n- {name: b, address: 10.70.1.2/24}\n- {", [][2]string{
		{"name: a, address: 10.70.1.3/24}", "6:10: workloads[2].name: a is already taken by workloads[0].name in line 4: give each workload its own name"},
		{"name: c, address: 10.70.1.1/16}", "6:22: workloads[2].address: 10.70.1.1 is already taken by workloads[0].address in line 4: give each workload its own address"},
		{"name: c, address: 10.70.1.3/24, namespace: /x/}", "6:47: workloads[2].namespace: eth0 in /x is already taken by workloads[0].namespace in line 4: give one of them another interface or namespace"},
		{"name: c, address: 10.70.1.3/24, namespace: /var/run/netns/b}", "6:47: workloads[2].namespace: eth0 in /run/netns/b is already taken by workloads[1].interface in line 5: give one of them another interface or namespace"},
	})
}

func TestTwoInterfacesInOneNamespace(t *testing.T) {
	_, err := Parse("f.yaml", []byte(minimal+`workloads:
  - {name: a, address: 10.70.1.1/24, namespace: /x}
  - {name: b, address: 10.70.1.2/24, namespace: /x, interface: eth1}
`))
	if err != nil {
		t.Error(err)
	}
}

// A workload has one address or several, under one key or the other.
func TestAddressesOfAWorkload(t *testing.T) {
	h, err := Parse("f.yaml", []byte(minimal+`workloads:
  - {name: a, addresses: [10.70.1.1/24, "fd00:70:1::1/128", "fd00:70:1::2/128"]}
  - {name: b, addresses: [10.70.1.2/24]}
  - name: c
    address: fd00:70:1::3/64
`))
	if err != nil {
		t.Fatal(err)
	}
	want := [][]netip.Prefix{{prefix("10.70.1.1/24"), prefix("fd00:70:1::1/128"), prefix("fd00:70:1::2/128")}, {prefix("10.70.1.2/24")}, {prefix("fd00:70:1::3/64")}}
	for i, w := range h.Workloads {
		if !slices.Equal(w.Addresses, want[i]) {
			t.Errorf("%s has %v, want %v", w.Name, w.Addresses, want[i])
		}
	}
	checkHostErrors(t, minimal+"workloads:\n- {name: a, address: 10.70.1.1/24}\n- {name: b, ", [][2]string{
		{"addresses: []}", "5:3: workloads[1].address: missing: give the workload its address, such as 10.70.1.1/24"},
		{"address: 10.70.1.2/24, addresses: [10.70.1.3/24]}", "5:22: workloads[1].address: there is `addresses` too: write all of them there, and leave this out"},
		{"addresses: [10.70.1.2/24, fd00::1/128]}", "5:39: workloads[1].addresses[1]: a mapping stands where one value is expected: put an IPv6 address in quotes here"},
		{"addresses: [10.70.1.2/24, 'fd00::1']}", "5:39: workloads[1].addresses[1]: fd00::1 has no prefix length: write fd00::1/64, or /128 for an address without a subnet"},
		{"addresses: ['fd00::1/128', 'fd00::1/64']}", "5:40: workloads[1].addresses[1]: fd00::1 is already taken by workloads[1].addresses[0] in line 5: give each workload its own address"},
		{"addresses: ['fd00::1/128', 10.70.1.1/32]}", "5:40: workloads[1].addresses[1]: 10.70.1.1 is already taken by workloads[0].address in line 4: give each workload its own address"},
		{"addresses: ['fd00::1/128', 169.254.1.1/32]}", "5:40: workloads[1].addresses[1]: 169.254.1.1 is a link-local address, which is never routed: give one from another network"},
	})
}

func TestWorkloadByCommand(t *testing.T) {
	w, err := CheckWorkload(WorkloadWords{Name: "a", Addresses: []string{"10.70.1.1/24", "fd00::1/128"}})
	if err != nil || len(w.Addresses) != 2 {
		t.Errorf("%+v, %v", w, err)
	}
	for _, c := range []struct {
		addresses []string
		want      string
	}{
		{nil, "address: missing: give the workload its address, such as 10.70.1.1/24"},
		{[]string{"fd00::1/128", "fd00::1/64"}, "address: fd00::1 is said twice: leave one of them out"},
		{[]string{"10.70.1.1/24", "x"}, `address: "x" is not an IP address with a prefix length: write it like 10.70.2.0/24 or fd00:70:2::/64`},
	} {
		_, err := CheckWorkload(WorkloadWords{Name: "a", Addresses: c.addresses})
		checkError(t, err, c.want)
	}
}
