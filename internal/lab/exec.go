package lab

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/vrouter/vrouter/internal/workload"
)

// Exec replaces this process by a command on HOST or in HOST/WORKLOAD. Commands
// of vrouter speak to that host's router by themselves there. It returns only if
// it fails.
func (l *Lab) Exec(where string, args []string) error {
	hostName, workloadName, inWorkload := strings.Cut(where, "/")
	h, err := l.Host(hostName)
	if err != nil {
		return err
	}
	namespace := h.Namespace
	if inWorkload {
		w, err := h.Workload(workloadName)
		if err != nil {
			return err
		}
		namespace = w.Namespace
	}
	path, err := exec.LookPath(args[0])
	if err != nil && args[0] == "vrouter" {
		path, err = os.Executable() // not installed: this very program
	}
	if err != nil {
		return fmt.Errorf("%w; install it, or give its path", err)
	}
	// Of two values the first one counts, as that of a host where this command runs.
	env := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "VROUTER_SOCKET=") })
	if h.Socket != "" {
		env = append(env, "VROUTER_SOCKET="+h.Socket)
	}
	return workload.Named(namespace).Do(func() error {
		showSys()
		return fmt.Errorf("%s: %w", path, syscall.Exec(path, args, env))
	})
}

// showSys has /sys be that of the calling thread's network namespace, as `ip netns exec` does. Where that may not be,
// it stays the machine's.
func showSys() {
	if unix.Unshare(unix.CLONE_NEWNS) != nil || unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, "") != nil {
		return
	}
	_ = unix.Unmount("/sys", unix.MNT_DETACH)
	_ = unix.Mount("sysfs", "/sys", "sysfs", 0, "")
}
