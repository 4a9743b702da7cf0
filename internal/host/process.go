package host

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// StartTime tells a process from any later one of its number: clock ticks since boot, field 22 of
// proc_pid_stat(5), which counts from behind the name in parentheses: a name may hold anything. A
// zombie has ended.
func StartTime(pid int) (string, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", err
	}
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	if len(fields) < 20 || fields[0] == "Z" {
		return "", os.ErrProcessDone
	}
	return fields[19], nil
}

// Alive says whether a process is there.
func Alive(pid int, start string) bool {
	now, err := StartTime(pid)
	return pid != 0 && err == nil && now == start
}

// End ends a process: with a signal it can act on, then with one it can't.
func End(pid int, start string, patience time.Duration) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil || !Alive(pid, start) { // it has ended, and the number may be another's
		return nil
	}
	defer unix.Close(fd)
	for _, sig := range []unix.Signal{unix.SIGTERM, unix.SIGKILL} {
		if err := unix.PidfdSendSignal(fd, sig, nil, 0); err != nil {
			return nil
		}
		if waitPidfd(fd, patience) {
			return nil
		}
	}
	return fmt.Errorf("process %d does not end", pid)
}

// waitPidfd says whether the process ended in time.
func waitPidfd(fd int, patience time.Duration) bool {
	deadline := time.Now().Add(patience)
	for {
		left := time.Until(deadline)
		if left <= 0 {
			return false
		}
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(left.Milliseconds())+1)
		if n > 0 || err != nil && !errors.Is(err, unix.EINTR) {
			return n > 0
		}
	}
}
