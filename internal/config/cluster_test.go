package config

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

const clusterFile = `hosts:
  - node: a
    uplink: {addresses: [192.168.0.11/24, "fd00:192::11/64"]}
    blocks: [10.70.1.0/24, "fd00:70:1::/64"]
    workloads: [{name: ns1, addresses: [10.70.1.1/24, "fd00:70:1::1/128"]}]
    ipip: {mode: cross-subnet}
  - node: b
    uplink: {addresses: [192.168.0.12/24, "fd00:192::12/64"]}
    blocks: [10.70.2.0/24, "fd00:70:2::/64"]
    workloads: [{name: ns1, address: 10.70.2.1/24}, {name: guest, addresses: [10.70.1.200/24, "fd00:99::1/128"]}]
    ipip: {mode: cross-subnet}
  - node: c
    uplink: {address: 192.168.7.13/24}
    blocks: [10.70.3.0/24, "fd00:70:3::/64"]
    ipip: {mode: always}
links:
  - {subnet: 192.168.0.0/24, gateway: 192.168.0.1}
  - {subnet: 192.168.7.0/24, gateway: 192.168.7.1}
`

func loadNode(t *testing.T, text, node string) (*Host, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "cluster.yaml")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return LoadNode(path, node)
}

func routeTexts(h *Host) (all []string) {
	for t := range h.Routes.All {
		all = append(all, strings.TrimSpace(fmt.Sprint(t.To, " ", t.Via, " ", t.Encap)))
	}
	return all
}

// Each host has a route to what the others have, by their uplink's address of that family.
func TestDerivedRoutes(t *testing.T) {
	for node, want := range map[string][]string{
		"a": {
			"10.70.2.0/24 192.168.0.12", "fd00:70:2::/64 fd00:192::12", "10.70.1.200/32 192.168.0.12", "fd00:99::1/128 fd00:192::12",
			"10.70.3.0/24 192.168.7.13", "fd00:70:3::/64 192.168.7.13 ipip",
		},
		"b": {"10.70.1.0/24 192.168.0.11", "fd00:70:1::/64 fd00:192::11", "10.70.3.0/24 192.168.7.13", "fd00:70:3::/64 192.168.7.13 ipip"},
	} {
		h, err := loadNode(t, clusterFile, node)
		if err != nil {
			t.Fatal(err)
		}
		if got := routeTexts(h); !slices.Equal(got, want) {
			t.Errorf("%s has %q, want %q", node, got, want)
		}
	}
	lab, err := ParseLab("l.yaml", []byte(clusterFile))
	if err != nil {
		t.Fatal(err)
	}
	if n := lab.Hosts[2].Routes.Len(); n != 6 {
		t.Errorf("as a lab c has %d routes: %q", n, routeTexts(&lab.Hosts[2]))
	}
	// Who has a list of routes, be it an empty one, has no others.
	h, err := loadNode(t, strings.Replace(clusterFile, "node: b\n", "node: b\n    routes: []\n", 1), "b")
	if err != nil || h.Routes.Len() != 0 {
		t.Errorf("with routes: [] b has %q, %v", routeTexts(h), err)
	}
}

// A host that sends none takes the VXLAN of those who do; who would not understand each other is told before.
func TestVXLANOfClusters(t *testing.T) {
	vxlan := func(b, c string) string {
		return strings.NewReplacer("ipip: {mode: cross-subnet}\n  - node: c", "vxlan: {mode: cross-subnet"+b+"}\n  - node: c", "ipip: {mode: always}", "vxlan: {mode: always"+c+"}").Replace(clusterFile)
	}
	a, err := loadNode(t, vxlan(", vni: 7, port: 8472", ", vni: 7, port: 8472"), "a")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprint(a.VXLAN.Peers), "[{192.168.0.12 } {fd00:192::12 } {192.168.7.13 }]"; got != want || a.VXLAN.VNI != 7 || a.VXLAN.Port != 8472 {
		t.Errorf("a hears %s, want %s, of network %d at port %d", got, want, a.VXLAN.VNI, a.VXLAN.Port)
	}
	b, err := loadNode(t, vxlan("", ""), "b")
	if err != nil || b.VXLAN.Peers != nil || !slices.Contains(routeTexts(b), "fd00:70:3::/64 192.168.7.13 vxlan") {
		t.Errorf("b: %v, peers %v, routes %q", err, b.VXLAN.Peers, routeTexts(b))
	}
	for text, want := range map[string]string{
		vxlan(", vni: 7", ""):     "hosts[2].vxlan.vni: c has the network identifier 4096 and b 7",
		vxlan("", ", port: 8472"): "hosts[2].vxlan.port: c has port 8472 and b 4789",
	} {
		if _, err := loadNode(t, text, "a"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func TestErrorsOfClusters(t *testing.T) {
	for _, c := range []struct{ was, is, node, want string }{
		{"", "", "d", `no host is called "d": it has a, b, c; give one of them as --node`},
		{"10.70.2.0/24, \"fd", "10.70.1.0/25, \"fd", "a", "hosts[1].blocks[0]: 10.70.1.0/25 overlaps 10.70.1.0/24 of hosts[0].blocks[0] in line 4: give each host blocks of its own"},
		{"[10.70.1.0/24, ", "[10.70.1.0/24, 10.70.1.128/25, ", "a", "overlaps"},
		{"10.70.3.0/24", "10.0.0.0/8", "b", "overlaps"},
		{"fd00:70:2::/64", "fd00:70::/32", "b", "overlaps"},
		{"10.70.3.0/24", "192.168.0.0/28", "b", "192.168.0.11/24 is in 192.168.0.0/28, the block of"},
		{"192.168.7.13/24", "192.168.0.12/24", "a", "192.168.0.12 is already taken by hosts[1]"},
		{"10.70.3.0/24", "10.70.3.1/24", "a", "has bits set after its first 24"},
		{"10.70.3.0/24", "0.0.0.0/0", "a", "is every address"},
		{"10.70.3.0/24", "ten", "a", "is not an IP network"},
		{"node: c", "node: a", "a", "a is already taken"},
		{"mode: always", "mode: never", "a", "the uplink of c has no IPv6 address by which others reach it"},
	} {
		text := strings.Replace(clusterFile, c.was, c.is, 1)
		if _, err := loadNode(t, text, c.node); err == nil || !strings.Contains(err.Error(), strings.ReplaceAll(c.want, "192.168.0.11/24 is", "192.168.0.11 is")) {
			t.Errorf("%q for %q, node %s: %v, want %s", c.is, c.was, c.node, err, c.want)
		}
	}
	if _, err := Parse("f.yaml", []byte("uplink: {interface: e}\nblocks: [10.70.1.0/24]\n")); err == nil || !strings.Contains(err.Error(), "blocks: unknown key") {
		t.Errorf("blocks in a host file: %v", err)
	}
}

// The routes to a thousand hosts with a hundred workloads each are made in less than 2 s.
func TestThousandHosts(t *testing.T) {
	var b strings.Builder
	b.WriteString("hosts:\n")
	for h := range 1000 {
		net := fmt.Sprintf("10.%d.%d", h/250, h%250)
		fmt.Fprintf(&b, "  - node: node-%d\n    uplink: {address: 172.16.%d.%d/16}\n    blocks: [%s.0/24, \"fd00:70:%x::/64\"]\n    ipip: {mode: always}\n    workloads:\n", h, h/250, h%250+1, net, h)
		for w := range 100 {
			fmt.Fprintf(&b, "      - {name: w%d, address: %s.%d/24}\n", w, net, w+1)
		}
	}
	began := time.Now()
	l, err := parseLab("l.yaml", b.String())
	if err != nil {
		t.Fatal(err)
	}
	read := time.Since(began)
	began = time.Now()
	l.enterRoutes(500)
	took := time.Since(began)
	if n := l.Hosts[500].Routes.Len(); n != 2*999 {
		t.Errorf("%d routes, want %d", n, 2*999)
	}
	t.Logf("reading and checking %d bytes: %v; the routes of one host: %v", b.Len(), read, took)
	if took > 2*time.Second {
		t.Errorf("the routes of one host took %v", took)
	}
}
