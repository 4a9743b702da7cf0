package main

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// giveWay takes the lowest priority for this process: who watches a router at full
// load is not to take the processor from it. Linux keeps priorities by thread;
// threads that come later have that of the one that made them.
func giveWay() {
	threads, _ := os.ReadDir("/proc/self/task")
	for _, t := range threads {
		if id, err := strconv.Atoi(t.Name()); err == nil {
			_ = unix.Setpriority(unix.PRIO_PROCESS, id, 19) // may be forbidden; it only matters under load
		}
	}
}
