package config

import (
	"strings"
	"testing"
)

// minimal is a file that needs nothing more; what a test adds to it starts in line 3.
const minimal = "uplink: {interface: ens160}\nnode: n\n"

const hostKeys = "node, uplink, workloads, routes, ipip, vxlan, gateway, kernel, rpf, offload, workers, metrics, control and log"

func checkError(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want %s", want)
	}
	if err.Error() != want {
		t.Errorf("wrong error\ngot  %v\nwant %s", err, want)
	}
}

func checkHostErrors(t *testing.T, before string, cases [][2]string) {
	t.Helper()
	for _, c := range cases {
		t.Run(c[0], func(t *testing.T) {
			t.Helper()
			_, err := Parse("f.yaml", []byte(before+c[0]))
			checkError(t, err, "f.yaml:"+c[1])
		})
	}
}

func TestErrorsOfTheWholeFile(t *testing.T) {
	const missing = "uplink.interface: missing: name the interface towards the other hosts, such as ens160"
	checkHostErrors(t, "", [][2]string{
		{"", "1:1: " + missing},
		{"# nothing\n", "1:1: " + missing},
		{"---\n", "1:1: " + missing},
		{"\n\nnode: n\n", "3:1: " + missing},
		{"node: n\nuplink:\n", "2:1: " + missing},
		{"uplink: {}\n", "1:9: " + missing},
		{"uplink: {interface: }\n", "1:10: " + missing},
		{"text\n", "1:1: a single value stands where keys are expected: write key: value, with the keys " + hostKeys},
		{"- a\n", "1:1: a list stands where keys are expected: write key: value, with the keys " + hostKeys},
		{"%YAML 1.2\n---\n" + minimal, "1:1: a %-directive has no meaning here: remove the line"},
		{minimal + "---\nnode: b\n", "3:1: a second document starts here: put each configuration into a file of its own"},
		{minimal + "...\nnode: b\n", "4:1: a second document starts here: put each configuration into a file of its own"},
		{minimal + "rpf: é\xff\n", "3:7: byte 0xff is not UTF-8: save the file as UTF-8 text"},
	})
}

func TestFileTooLarge(t *testing.T) {
	_, err := Parse("f.yaml", []byte(strings.Repeat("#", 16<<20+1)))
	checkError(t, err, "f.yaml:1:1: the file has 16777217 bytes, more than the 16777216 that are read: give the path of a configuration file")
}

func TestErrorsOfSpelling(t *testing.T) {
	const check = ": check the indentation, quotes and brackets here"
	checkHostErrors(t, minimal, [][2]string{
		{"rpf: \"off\n", "3:6: not valid YAML: could not find end character of double-quoted text" + check},
		{"rpf: [off\n", "3:6: not valid YAML: sequence end token ']' not found" + check},
		{"\trpf: off\n", `3:1: not valid YAML: found character '\t' that cannot start any token` + check},
		{"rpf: b: c\n", "3:6: not valid YAML: mapping value is not allowed in this context" + check},
		{"rpf: !!str off\n", `3:6: tag "!!str" has no meaning here: remove it`},
		{"? rpf\n: off\n", "3:1: the explicit key sign ? has no meaning here: write key: value"},
		{"routes:\n  - - a\n", "4:5: a list stands directly in a list: remove one of the dashes"},
		{"routes: " + strings.Repeat("[", 1000), "3:25: brackets are nested more than 16 deep: remove what is too many"},
		{"rpf: *x\n", "3:6: rpf: no anchor &x stands above: write the value itself"},
		{"<<: {rpf: off}\n", "3:1: merging mappings with << is not supported: write the keys out"},
	})
}

func TestErrorsOfShape(t *testing.T) {
	checkHostErrors(t, minimal, [][2]string{
		{"rpff: off\n", "3:1: rpff: unknown key: remove it, or use one of " + hostKeys},
		{"\"r\\npf\": off\n", `3:1: "r\npf": unknown key: remove it, or use one of ` + hostKeys},
		{"log: {levle: info}\n", "3:7: log.levle: unknown key: remove it, or use one of level and format"},
		{"routes:\n  - via: 192.168.0.12\n    dst: 10.70.2.1\n", "5:5: routes[0].dst: unknown key: remove it, or use one of to, via, type, encap, metric and proto"},
		{"node: m\n", "3:1: node: this key is already in line 2: remove one of them"},
		{"log:\n  level: info\n  level: warn\n", "5:3: log.level: this key is already in line 4: remove one of them"},
		{"rpf: [off]\n", "3:6: rpf: a list stands where one value is expected: write it after the colon"},
		{"rpf:\n  mode: off\n", "4:3: rpf: a mapping stands where one value is expected: write it after the colon"},
		{"log: debug\n", "3:6: log: a single value stands where keys are expected: write key: value, with the keys level and format"},
		{"kernel: {import: static}\n", `3:18: kernel.import: a single value stands where a list is expected: start each entry with "- "`},
		{"workloads:\n  name: ns1\n", `4:3: workloads: a mapping stands where a list is expected: start each entry with "- "`},
		{"workloads:\n  - ns1\n", "4:5: workloads[0]: a single value stands where keys are expected: write key: value, with the keys name, interface, address, addresses, namespace and mtu"},
	})
}

func TestErrorsOfSettings(t *testing.T) {
	checkHostErrors(t, minimal, [][2]string{
		{"rpf: loose\n", `3:6: rpf: "loose" is not known: write strict or off`},
		{"rpf: false\n", `3:6: rpf: "false" is not known: write strict or off`},
		{"rpf: " + strings.Repeat("x", 100) + "\n", `3:6: rpf: "` + strings.Repeat("x", 64) + `…" is not known: write strict or off`},
		{"offload: yes\n", `3:10: offload: "yes" is neither true nor false: write one of them`},
		{"kernel: {guard: 1}\n", `3:17: kernel.guard: "1" is neither true nor false: write one of them`},
		{"kernel: {import: [static, '']}\n", `3:27: kernel.import[1]: "" is not a routing protocol: write a name, such as static or bird, or a number from 0 to 255`},
		{"kernel: {import: [256]}\n", `3:19: kernel.import[0]: "256" is not a routing protocol: write a whole number from 0 to 255`},
		{"kernel: {import: [BIRD]}\n", `3:19: kernel.import[0]: "BIRD" is not a routing protocol: write a name, such as static or bird, or a number from 0 to 255`},
		{"ipip: {mode: CrossSubnet}\n", `3:14: ipip.mode: "CrossSubnet" is not known: write never, always or cross-subnet`},
		{"ipip:\n  peers:\n    - 192.168.0.12\n    - 192.168.0.12\n", "6:7: ipip.peers[1]: 192.168.0.12 is already taken by ipip.peers[0] in line 5: remove one of them"},
		{"ipip: {mode: always}\nvxlan: {mode: cross-subnet}\n", `4:15: vxlan.mode: ipip.mode is always in line 3, and packets go one way or the other: set one of the two modes to never`},
		{"vxlan: {mode: Always}\n", `3:15: vxlan.mode: "Always" is not known: write never, always or cross-subnet`},
		{"vxlan: {vni: 16777216}\n", `3:14: vxlan.vni: "16777216" is not a VXLAN network identifier: write a whole number from 0 to 16777215`},
		{"vxlan: {port: 0}\n", `3:15: vxlan.port: "0" is not a port of UDP: write a whole number from 1 to 65535`},
		{"vxlan: {peers: [192.168.0.12, {address: 192.168.0.12}]}\n", "3:41: vxlan.peers[1].address: 192.168.0.12 is already taken by vxlan.peers[0] in line 3: remove one of them"},
		{"vxlan: {peers: [{mac: 66:00:00:00:00:01}]}\n", "3:17: vxlan.peers[0].address: missing: give the peer's address, such as 192.168.0.12"},
		{"vxlan: {peers: [{address: 192.168.0.12, mac: ff:ff:ff:ff:ff:ff}]}\n", "3:46: vxlan.peers[0].mac: ff:ff:ff:ff:ff:ff is a multicast or broadcast address: make its first byte even"},
		{"vxlan: {source: 192.168.0.11}\n", "3:9: vxlan.source: unknown key: remove it, or use one of mode, vni, port and peers"},
		{"ipip: {peers: ['::1']}\n", "3:16: ipip.peers[0]: ::1 is a loopback address: give the address of one host"},
		{"ipip: {peers: [127.0.0.1]}\n", "3:16: ipip.peers[0]: 127.0.0.1 is a loopback address: give the address of one host"},
		{"ipip: {peers: ['fe80::1']}\n", "3:16: ipip.peers[0]: fe80::1 is a link-local address, which means something else on each link: give one from another network"},
		{"ipip: {source: [192.168.0.11, 192.168.0.12]}\n", "3:31: ipip.source[1]: 192.168.0.11 and 192.168.0.12 are of one family: leave one of them out"},
		{"ipip: {source: 'fe80::1'}\n", "3:16: ipip.source: fe80::1 is a link-local address, which means something else on each link: give one from another network"},
		{"gateway: {address: 'fe80::1'}\n", "3:20: gateway.address: fe80::1 is IPv6: write it as gateway.address6, and here an IPv4 address such as 169.254.1.1"},
		{"gateway: {address6: 'fd00::1'}\n", `3:21: gateway.address6: "fd00::1" is no link-local IPv6 address: write one of fe80::/10, or leave this out for fe80::ecee:eeff:feee:eeee`},
		{"gateway: {address6: 169.254.1.1}\n", `3:21: gateway.address6: "169.254.1.1" is no link-local IPv6 address: write one of fe80::/10, or leave this out for fe80::ecee:eeff:feee:eeee`},
		{"ipip: {min_path_mtu: 67}\n", `3:22: ipip.min_path_mtu: "67" is not an MTU in bytes: write a whole number from 68 to 65521`},
		{"ipip: {peers: [~]}\n", `3:16: ipip.peers[0]: "" is not an IP address: write it like 192.168.0.12 or fd00:192::12`},
		{"gateway: {address: 0.0.0.0}\n", "3:20: gateway.address: 0.0.0.0 means this network: give the address of one host"},
		{"gateway: {mac: ee-ee}\n", `3:16: gateway.mac: "ee-ee" is not a MAC address of 6 bytes: write it like ee:ee:ee:ee:ee:ee`},
		{"gateway: {mac: 02:00:5e:10:00:00:00:01}\n", `3:16: gateway.mac: "02:00:5e:10:00:00:00:01" is not a MAC address of 6 bytes: write it like ee:ee:ee:ee:ee:ee`},
		{"gateway: {mac: 01:00:5e:00:00:01}\n", "3:16: gateway.mac: 01:00:5e:00:00:01 is a multicast or broadcast address: make its first byte even"},
		{"gateway: {mac: 00:00:00:00:00:00}\n", "3:16: gateway.mac: 00:00:00:00:00:00 is no address: write it like ee:ee:ee:ee:ee:ee"},
		{"metrics: {listen: 9473}\n", `3:19: metrics.listen: "9473" is not host:port: write it like 127.0.0.1:9473, or "" for no metrics`},
		{"metrics: {listen: off}\n", `3:19: metrics.listen: "off" is not host:port: write it like 127.0.0.1:9473, or "" for no metrics`},
		{"metrics: {listen: 'a b:1'}\n", `3:19: metrics.listen: "a b" is neither an address nor the name of a host: write it like 127.0.0.1:9473`},
		{"metrics: {listen: ':http'}\n", `3:19: metrics.listen: port "http" is not a number from 0 to 65535: write it like 127.0.0.1:9473`},
		{"metrics: {listen: ':65536'}\n", `3:19: metrics.listen: port "65536" is not a number from 0 to 65535: write it like 127.0.0.1:9473`},
		{"control: {socket: v.sock}\n", `3:19: control.socket: "v.sock" is not an absolute path: start it with a slash`},
		{"control: {socket: /" + strings.Repeat("a", 107) + "}\n", `3:19: control.socket: "/` + strings.Repeat("a", 63) + `…" has 108 bytes, and the kernel takes 107 for a socket: use a shorter path`},
		{"control: {group: a b}\n", `3:18: control.group: "a b" is neither the name nor the number of a group: write it as getent group shows it`},
		{"log: {level: trace}\n", `3:14: log.level: "trace" is not known: write debug, info, warn or error`},
		{"log: {format: xml}\n", `3:15: log.format: "xml" is not known: write text or json`},
	})
}

func TestErrorsOfNodeAndUplink(t *testing.T) {
	checkHostErrors(t, "", [][2]string{
		{"node: a/b\nuplink: {interface: e}\n", `1:7: node: "a/b" has a slash, and a name is not a path: leave the directories out`},
		{"node: -a\nuplink: {interface: e}\n", `1:7: node: "-a" is not a name: use 1 to 64 letters, digits, dots, dashes and underscores; neither dot nor dash first`},
		{"uplink: {interface: eth 0}\n", `1:21: uplink.interface: "eth 0" is not an interface name: use 1 to 15 bytes, without spaces, slash, colon and percent sign`},
		{"uplink:\n  interface: ens160\n  address: 192.168.0.11/24\n", "3:12: uplink.address: the address is read from the kernel: remove this line; only lab files have it"},
	})
}

// An alias of a list of aliases of a list makes a small file large.
func TestAliasesDoNotMultiplyWithoutEnd(t *testing.T) {
	file := "hosts:\n- workloads: &w [" + strings.Repeat("{},", 2000) + "]\n" + strings.Repeat("- workloads: *w\n", 2000)
	_, err := ParseLab("f.yaml", []byte(file))
	if err == nil || !strings.HasSuffix(err.Error(), "more than 1048576 values from here on: use fewer aliases (*name)") {
		t.Errorf("got %v", err)
	}
}
