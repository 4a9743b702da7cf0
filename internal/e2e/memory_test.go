package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
)

const (
	// cgroupMemory is what a router may have in a cgroup, of its own and in the kernel.
	cgroupMemory = 96 << 20
	// mappedMemory is what it may map besides, used or not, where no cgroup can be made.
	mappedMemory = 224 << 20
)

// hungry are the floods that fill what a router keeps: queues, fragments, neighbours, the
// large buffers.
var hungry = []string{
	"neighbours that are not there", "first fragments for the gateway", "overlapping fragments", "fragments for others", "jumbo frames", "fragments of tunnels",
	"neighbours of a /64 that are not there", "first fragments of IPv6 for the gateway", "overlapping fragments of IPv6", "solicitations from a /64",
}

// A router with little memory lives through the floods that make it take some: its limits
// hold before the kernel has to end it.
func TestLittleMemory(t *testing.T) {
	b := besiegeDual(t, confined(t, cgroupMemory)...)
	for _, a := range slices.Concat(attacks, attacks6) {
		if slices.Contains(hungry, a.name) {
			t.Run(a.name, func(t *testing.T) { b.withstand(t, a) })
		}
	}
	here, far := connect(t, b.w[1], b.w[2], "10.70.1.3")
	exchange(t, here, far, 64<<20)
	t.Logf("resident: %d KiB", b.memory(t))
}

// confined is a command that runs another one with little memory: in a cgroup, or, where
// none can be made, by a limit of its data. The race detector would need far more.
func confined(t *testing.T, memory int) (command []string) {
	if raced() {
		return nil
	}
	for _, c := range []struct{ hierarchy, limit string }{
		{"/sys/fs/cgroup/memory", "memory.limit_in_bytes"}, // version 1
		{"/sys/fs/cgroup", "memory.max"},
	} {
		dir := filepath.Join(c.hierarchy, "vrouter-e2e-"+strconv.Itoa(os.Getppid()))
		if os.Mkdir(dir, 0o755) != nil {
			continue
		}
		t.Cleanup(func() { eventually(t, "the cgroup is empty", func() bool { return os.Remove(dir) == nil }) })
		if err := os.WriteFile(filepath.Join(dir, c.limit), []byte(strconv.Itoa(memory)), 0o644); err == nil {
			t.Logf("%d MiB in %s", memory>>20, dir)
			return []string{"sh", "-c", `echo $$ > ` + dir + `/cgroup.procs && exec "$@"`, "sh"}
		}
	}
	memory += mappedMemory
	t.Logf("no cgroup can be made here: %d MiB of data", memory>>20)
	return []string{"sh", "-c", fmt.Sprintf(`ulimit -d %d && exec "$@"`, memory>>10), "sh"}
}
