package config

import (
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// netip's types hide their fields, and == is their equality; so do lists of routes.
var equateNetip = cmp.Options{
	cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{}),
	cmp.Transformer("All", func(r Routes) []Route { return slices.Collect(r.All) }),
}

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// defaults is what an almost empty file gives.
func defaults(node string) Host {
	return Host{
		Node:    node,
		Uplink:  Uplink{Interface: "ens160"},
		IPIP:    IPIP{Mode: ModeNever},
		VXLAN:   VXLAN{Mode: ModeNever, VNI: 4096, Port: 4789},
		Gateway: Gateway{Address: addr("169.254.1.1"), Address6: addr("fe80::ecee:eeff:feee:eeee"), MAC: net.HardwareAddr{0xee, 0xee, 0xee, 0xee, 0xee, 0xee}},
		Kernel:  Kernel{Guard: true},
		RPF:     RPFStrict,
		Offload: true,
		Metrics: Metrics{Listen: "127.0.0.1:9473"},
		Control: Control{Socket: "/run/vrouter/vrouter.sock"},
		Log:     Log{Level: LogInfo, Format: LogText},
	}
}

func checkHost(t *testing.T, file string, want Host) {
	t.Helper()
	got, err := Parse("f.yaml", []byte(file))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&want, got, equateNetip); diff != "" {
		t.Errorf("wrong configuration (-want +got):\n%s", diff)
	}
}

func TestDefaults(t *testing.T) {
	hostname, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	checkHost(t, "uplink: {interface: ens160}\n", defaults(hostname))
}

func TestEmptyValuesAreDefaults(t *testing.T) {
	checkHost(t, `
node: n
uplink: {interface: ens160}
workloads:
routes: []
ipip: ~
gateway: {address: }
kernel: {import: [], guard: null}
metrics:
  # listen: 0.0.0.0:9473
`, defaults("n"))
}

func TestEveryKey(t *testing.T) {
	want := Host{
		Node:   "k8s-master-1",
		Uplink: Uplink{Interface: "ens160"},
		Workloads: []Workload{
			{Name: "ns1", Interface: "eth0", Addresses: []netip.Prefix{prefix("10.70.1.1/24")}, Namespace: "/run/netns/other", MTU: 1480},
			{Name: "ns2", Interface: "net1", Addresses: []netip.Prefix{prefix("10.70.1.2/32")}},
		},
		Routes: NewRoutes([]Route{
			{To: prefix("10.70.2.1/32"), Via: addr("192.168.0.12"), Type: RouteUnicast, Encap: EncapIPIP},
			{To: prefix("10.70.2.1/32"), Via: addr("192.168.0.13"), Type: RouteUnicast, Encap: EncapNone, Metric: 4294967295},
			{To: prefix("10.70.9.0/24"), Type: RouteBlackhole},
			{To: prefix("0.0.0.0/0"), Type: RouteProhibit},
		}),
		IPIP: IPIP{Mode: ModeCrossSubnet, Peers: []netip.Addr{addr("192.168.0.12")}, MinPathMTU: 1280, Source: Source{addr("192.168.0.50")}},
		VXLAN: VXLAN{Mode: ModeNever, VNI: 16777215, Port: 8472, Peers: []VTEP{
			{Address: addr("192.168.0.12")}, {Address: addr("fd00:192::12"), MAC: net.HardwareAddr{0x66, 0, 0, 0, 0, 1}},
		}},
		Gateway: Gateway{Address: addr("10.70.1.254"), Address6: addr("fe80::1034:56ff:fe01:203"), MAC: net.HardwareAddr{0x12, 0x34, 0x56, 0x01, 0x02, 0x03}},
		Kernel:  Kernel{Import: []string{"static", "bird", "186"}},
		RPF:     RPFOff,
		Control: Control{Socket: "/tmp/v.sock", Group: "adm"},
		Log:     Log{Level: LogDebug, Format: LogJSON},
	}
	checkHost(t, `
node: k8s-master-1
uplink:
  interface: ens160
workloads:
  - name: ns1
    interface: eth0
    address: 10.70.1.1/24
    namespace: /run/netns/other
    mtu: 1480
  - {name: ns2, interface: net1, address: 10.70.1.2/32}
routes:
  - to: 10.70.2.1
    via: 192.168.0.12
    encap: ipip
  - {to: 10.70.2.1/32, via: 192.168.0.13, encap: none, metric: 4294967295}
  - {to: 10.70.9.0/24, type: blackhole}
  - {to: 0.0.0.0/0, type: prohibit}
ipip: {mode: cross-subnet, peers: [192.168.0.12], min_path_mtu: 1280, source: 192.168.0.50}
vxlan: {vni: 16777215, port: 8472, peers: [192.168.0.12, {address: "fd00:192::12", mac: 66:00:00:00:00:01}]}
gateway: {address: 10.70.1.254, mac: 12:34:56:01:02:03}
kernel: {import: [static, bird, 186], guard: false}
rpf: off
offload: false
metrics: {listen: ""}
control: {socket: /tmp/v.sock, group: adm}
log: {level: debug, format: json}
`, want)
}

func TestWordsThatYAMLOnceTookForBooleansOrNumbers(t *testing.T) {
	want := defaults("0x1F")
	want.RPF = RPFOff
	want.Uplink.Interface = "no"
	want.Workloads = []Workload{{Name: "012", Interface: "1e3", Addresses: []netip.Prefix{prefix("10.70.1.1/24")}}}
	checkHost(t, `{node: 0x1F, uplink: {interface: no}, rpf: off, workloads: [{name: 012, interface: 1e3, address: 10.70.1.1/24}]}`, want)
}

func TestNobodyIsNotEverybody(t *testing.T) {
	want := defaults("n")
	want.IPIP.Peers = []netip.Addr{}
	checkHost(t, "{node: n, uplink: {interface: ens160}, ipip: {peers: []}}", want)
}

func TestAnchors(t *testing.T) {
	want := defaults("n")
	want.Workloads = []Workload{
		{Name: "a", Interface: "eth0", Addresses: []netip.Prefix{prefix("10.70.1.1/24")}, MTU: 1400},
		{Name: "b", Interface: "eth0", Addresses: []netip.Prefix{prefix("10.70.1.2/24")}, MTU: 1400},
	}
	checkHost(t, `
node: &node n
uplink: {interface: ens160}
workloads:
  - {name: a, address: 10.70.1.1/24, mtu: &mtu 1400}
  - {name: b, address: 10.70.1.2/24, mtu: *mtu}
`, want)
}

func TestByteOrderMarkAndCRLF(t *testing.T) {
	checkHost(t, "\ufeffnode: n\r\nuplink:\r\n  interface: ens160\r\n", defaults("n"))
}

func TestLoad(t *testing.T) {
	file := filepath.Join(t.TempDir(), "host.yaml")
	if err := os.WriteFile(file, []byte("node: n\nuplink: {interfac: ens160}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Load(file)
	if want := file + ":2:10: uplink.interfac: unknown key: remove it, or use one of interface, address and addresses"; err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	for _, load := range []func(string) error{
		func(file string) error { _, err := Load(file); return err },
		func(file string) error { _, err := LoadLab(file); return err },
	} {
		if err := load(file + ".not"); err == nil || !strings.Contains(err.Error(), "no such file") {
			t.Errorf("loading a file that is not there: %v", err)
		}
	}
}

// Without `node` the hostname is the name: as long as Linux lets it be, and told of if it cannot be one.
func TestNodeIsTheHostname(t *testing.T) {
	was := hostname
	t.Cleanup(func() { hostname = was })
	const file = "uplink: {interface: ens160}\n"
	long := strings.Repeat("a", 60) + ".b-c"
	hostname = func() (string, error) { return long, nil }
	h, err := Parse("f.yaml", []byte(file))
	if err != nil || h.Node != long {
		t.Errorf("node %q, %v", h.Node, err)
	}
	again, err := h.YAML()
	if err != nil {
		t.Fatal(err)
	}
	if h, err := Parse("f.yaml", again); err != nil || h.Node != long {
		t.Errorf("written and read: node %q, %v", h.Node, err)
	}
	for _, name := range []string{"", "(none)", "-a", "a b", long + "x", "é"} {
		hostname = func() (string, error) { return name, nil }
		_, err := Parse("f.yaml", []byte(file))
		checkError(t, err, "f.yaml:1:1: node: missing, and the hostname "+quote(name)+" is no name for a node: set node to 1 to 64 letters, digits, dots, dashes and underscores; neither dot nor dash first")
	}
}
