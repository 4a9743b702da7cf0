package layers_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	root   = "../.."
	module = "github.com/vrouter/vrouter"
)

// layers are the packages of the module from the top to the bottom: a package may
// import those of a lower layer alone. A new package needs its place here.
var layers = [][]string{
	{"cmd/vrouter", "cnitest", "internal/bench", "internal/conformance", "internal/e2e", "internal/layers", "internal/peer", "internal/soak", "packaging"},
	{"internal/cni", "internal/demo", "internal/doctor", "internal/top", "internal/web", "internal/why"},
	{"internal/compare"},
	{"internal/lab", "internal/follow", "internal/check"},
	{"internal/control", "metrics"},
	{"internal/node", "internal/twin"},
	{"internal/config", "internal/host", "internal/hostroutes", "internal/timeline", "internal/walk", "internal/engine"},
	{"internal/guard"},
	{"internal/workload"},
	{"internal/trace", "internal/link"},
	{"internal/capture", "internal/dissect", "internal/filter", "internal/impair", "internal/sketch", "internal/tunnelgso"},
	{"forwarder"},
	{"internal/ndproxy"},
	{"arpproxy", "internal/neigh", "rib"},
	{"internal/ipv4", "internal/ipv6"},
	{"internal/packet", "internal/verdict"},
	{"examples", "internal/ethtool", "internal/ping", "internal/rights", "internal/sandbox", "internal/service", "internal/share"}, // on their own
}

// elsewhere is all that the packet path may import from outside the module: it makes no
// system call, serves no metrics, decodes with its own hands, and has no clock, no lock
// and no counter that another one writes to. Nor has what is its own alone.
var elsewhere = map[string][]string{
	"forwarder":        {"encoding/binary", "fmt", "math/bits", "net/netip", "slices", "strings", "github.com/gaissmai/bart"},
	"arpproxy":         {"net/netip"},
	"internal/ndproxy": {"net/netip"},
	"internal/ipv4":    {"net/netip"},
	"internal/ipv6":    {"net/netip"},
	"internal/packet":  {"bytes", "encoding/binary", "fmt", "hash/crc32", "math", "math/bits", "net/netip", "slices"},
}

// forbidden is what a package may not import from elsewhere.
var forbidden = map[string][]string{
	"internal/engine": {"github.com/vishvananda/", "github.com/prometheus/", "github.com/google/gopacket"},
	"rib":             {"github.com/vishvananda/", "github.com/prometheus/", "github.com/google/gopacket"},
}

// imports lists what the packages of the module import, without their tests.
func imports(t *testing.T) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() && path != root && (strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") || name == "testdata" || name == "vendor") {
			return fs.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(name, ".go") {
			return nil
		}
		pkg, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			return err
		}
		pkg = filepath.ToSlash(pkg)
		all[pkg] = append(all[pkg], fileImports(t, path)...)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func fileImports(t *testing.T, path string) (list []string) {
	t.Helper()
	if strings.HasSuffix(path, "_test.go") {
		return nil // a test may use what it likes
	}
	f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range f.Imports {
		p, err := strconv.Unquote(i.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, p)
	}
	return list
}

// layer is the place of a package in the table, counted from the top; -1: it has none.
func layer(pkg string) int {
	return slices.IndexFunc(layers, func(l []string) bool { return slices.Contains(l, pkg) })
}

func TestLayers(t *testing.T) {
	for pkg, list := range imports(t) {
		if layer(pkg) < 0 {
			t.Errorf("package %s has no layer: name it in the table of internal/layers/layers_test.go", pkg)
			continue
		}
		for _, i := range list {
			if fault := fault(pkg, i); fault != "" {
				t.Errorf("%s imports %s: %s", pkg, i, fault)
			}
		}
	}
}

// fault says why a package may not import another one; "" if it may.
func fault(pkg, path string) string {
	for _, prefix := range forbidden[pkg] {
		if strings.HasPrefix(path, prefix) {
			return "the packet path does without it"
		}
	}
	own, ok := strings.CutPrefix(path, module+"/")
	if !ok {
		if all, pure := elsewhere[pkg]; pure && !slices.Contains(all, path) {
			return "the packet path is pure"
		}
		return ""
	}
	switch at := layer(own); {
	case at < 0:
		return "it has no layer"
	case at <= layer(pkg):
		return "it is not of a lower layer"
	}
	return ""
}

// The test itself must be able to see a fault.
func TestFault(t *testing.T) {
	for _, c := range []struct {
		pkg, path string
		ok        bool
	}{
		{"forwarder", module + "/internal/packet", true},
		{"internal/engine", module + "/internal/config", false}, // the same layer
		{"forwarder", module + "/internal/engine", false},
		{"forwarder", "time", false},
		{"forwarder", "sync", false},
		{"forwarder", "sync/atomic", false},
		{"forwarder", "os", false},
		{"forwarder", "net/netip", true},
		{"internal/engine", "time", true},
		{"rib", module + "/forwarder", false},              // a higher one
		{"forwarder", module + "/internal/unheard", false}, // none
		{"internal/packet", module + "/internal/verdict", false},
		{"rib", "github.com/gaissmai/bart", true},
		{"rib", "github.com/vishvananda/netlink", false},
		{"internal/workload", "github.com/vishvananda/netlink", true},
		{"arpproxy", "github.com/google/gopacket/layers", false},
		{"internal/trace", "github.com/google/gopacket/layers", true},
	} {
		if got := fault(c.pkg, c.path); (got == "") != c.ok {
			t.Errorf("%s imports %s: %q", c.pkg, c.path, got)
		}
	}
}

func TestEveryPackageIsNamedOnce(t *testing.T) {
	seen := map[string]bool{}
	for _, pkg := range slices.Concat(layers...) {
		if seen[pkg] {
			t.Errorf("%s is named twice", pkg)
		}
		seen[pkg] = true
	}
}
