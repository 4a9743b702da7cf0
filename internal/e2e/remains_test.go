package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/vrouter/vrouter/internal/lab"
	"github.com/vrouter/vrouter/internal/workload"
)

// remains is all that vrouter could leave on a machine.
func remains() []string {
	list := append(processes(), interfaces()...)
	for _, pattern := range []string{workload.Directory + "/*", lab.Directory, lab.Directory + "/*", "/run/vrouter/*"} {
		files, _ := filepath.Glob(pattern)
		list = append(list, files...)
	}
	return list
}

// processes are all there are but this one: nobody else is in our process
// namespace. What has ended waits for its parent, which may be slow.
func processes() []string {
	var list []string
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range stats {
		b, err := os.ReadFile(file)
		if err != nil || file == "/proc/1/stat" || strings.Contains(string(b), ") Z ") {
			continue
		}
		name, _, _ := strings.Cut(string(b), ")") // what follows changes all the time
		list = append(list, "process "+name+")")
	}
	return list
}

// interfaces are those of the namespace that commands start in.
func interfaces() []string {
	var list []string
	links, err := netlink.LinkList()
	if err != nil {
		return []string{err.Error()}
	}
	for _, l := range links {
		list = append(list, "interface "+l.Attrs().Name)
	}
	return list
}

// leavesNothing holds a test, from here to its end, to what was there before.
func leavesNothing(t *testing.T) {
	t.Helper()
	before := remains()
	t.Cleanup(func() { wantNothingNew(t, before) })
}

func wantNothingNew(t *testing.T, before []string) {
	t.Helper()
	var left []string
	defer func() {
		if t.Failed() {
			t.Logf("left behind: %q", left)
		}
	}()
	eventually(t, "nothing is left behind", func() bool {
		left = slices.DeleteFunc(remains(), func(s string) bool { return slices.Contains(before, s) })
		return len(left) == 0
	})
}
