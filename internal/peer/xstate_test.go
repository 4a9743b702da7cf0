//go:build peer

package peer_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/vrouter/vrouter/internal/peer"
)

// preloads are the shim, and what makes any processor one with AMX.
func preloads(t *testing.T) (shim, amx string) {
	dir := t.TempDir()
	shim, amx = filepath.Join(dir, "xstate.so"), filepath.Join(dir, "amx.so")
	must(t, peer.CompilePreload(peer.Xstate, shim))
	must(t, peer.CompilePreload(source(t, "amx.c"), amx))
	return shim, amx
}

func source(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	must(t, err)
	return string(b)
}

// Less vector state than the processor has is refused without the shim (EFAULT, as
// errno 14 in the guest's panic); with it, what was given is set.
func TestVectorState(t *testing.T) {
	const given, withAMX = 832, 11008 // bytes; testdata/vector.c, testdata/amx.c
	program := filepath.Join(t.TempDir(), "vector")
	must(t, peer.Compile(source(t, "vector.c"), program))
	shim, amx := preloads(t)
	for _, c := range []struct {
		name    string
		preload []string
		shim    bool
	}{
		{"this processor", nil, false},
		{"this processor, shim", []string{shim}, true},
		{"AMX", []string{amx}, false},
		{"AMX, shim", []string{shim, amx}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			var said strings.Builder
			cmd := exec.Command(program)
			cmd.Env = append(os.Environ(), "LD_PRELOAD="+strings.Join(c.preload, ":"))
			cmd.Stderr = &said
			out, err := cmd.Output()
			size, sizeErr := strconv.Atoi(string(out))
			if sizeErr != nil || strings.HasPrefix(c.name, "AMX") && size < withAMX {
				t.Fatalf("%q bytes of vector state, %v: %s", out, err, said.String())
			}
			refused := err != nil && strings.Contains(said.String(), "PTRACE_SETREGSET: Bad address")
			if want := !c.shim && size > given; refused != want || err != nil && !refused {
				t.Errorf("%d of %d bytes: %v, %s; want it refused: %t", given, size, err, said.String(), want)
			}
		})
	}
}

// On a processor with AMX the guest's kernel would panic when it starts init.
func TestProcessorWithAMX(t *testing.T) {
	_, amx := preloads(t)
	t.Setenv("LD_PRELOAD", amx)
	namespaces(t, "host-a", "host-b", "ns1", "wide")
	cable(t, "host-a", uplinkA, "host-b", "eth0")
	address(t, "host-a", uplinkA, "192.168.0.11/24")
	b := newBed(t, "always", direct)
	b.run("ping", (*bed).ping)
	b.run("tcp", (*bed).tcp)
	b.clean()
}
