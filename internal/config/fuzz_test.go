package config

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// FuzzLoad holds both readers to their promise for any bytes: a configuration that can be written
// out and read back, or an error in one line that names the file.
func FuzzLoad(f *testing.F) {
	for _, seed := range []string{
		"",
		"node: n\nuplink: {interface: ens160}\n",
		"uplink:\n  interface: e\nworkloads:\n  - &a {name: a, address: 10.70.1.1/24, mtu: &m 1400}\n  - *a\n",
		"uplink: {interface: e}\nroutes:\n  - to: 10.70.2.1\n    via: 192.168.0.12\n  - {to: 10.70.9.0/24, type: blackhole}\n",
		"uplink: {interface: e}\nworkloads: [{name: a, addresses: [10.70.1.1/24, 'fd00::1/128']}]\nroutes:\n  - to: fd00:2::/64\n    via: fe80::1\n  - {to: '::/0', via: 192.168.0.12, encap: ipip}\n",
		"uplink: {interface: e}\nipip: {peers: ['fd00::1'], source: [192.168.0.1, 'fd00::2']}\ngateway: {address6: 'fe80::1'}\n",
		"hosts:\n  - {node: a, uplink: {address: 192.168.0.11/24}}\nlinks: [{subnet: 192.168.0.0/24, gateway: 192.168.0.1}]\n",
		"a: &a [*a]\n", "a: *a", "<<: x", "? a\n: b", "!!str a", "%YAML 1.2\n---\n", "--- a\n...\n---\n", "[[[[{{{{", "- - - -", "a: |\n b\n", "\"", "\xff",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		_, err := ParseLab("f.yaml", data)
		checkMessage(t, err)
		h, err := Parse("f.yaml", data)
		checkMessage(t, err)
		if err != nil {
			return
		}
		file, err := h.YAML()
		if err != nil {
			t.Fatal(err)
		}
		again, err := Parse("f.yaml", file)
		if err != nil {
			t.Fatalf("%v in\n%s", err, file)
		}
		if diff := cmp.Diff(h, again, equateNetip); diff != "" {
			t.Fatalf("reading what was written gives something else (-want +got):\n%s", diff)
		}
	})
}

func checkMessage(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		return
	}
	if message := err.Error(); !strings.HasPrefix(message, "f.yaml:") || strings.ContainsAny(message, "\n\r\x1b") || len(message) > 1000 {
		t.Errorf("not one line that names the file: %q", message)
	}
}
