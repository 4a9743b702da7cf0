package workload

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// Hidden says whether a name that this process gives to a namespace would be seen by it alone: it has
// the directory of the names in common with the first process, and not the mounts there. Whoever has a
// directory of his own, as in a container, wants that.
func Hidden() bool {
	own, err := os.Readlink("/proc/thread-self/ns/mnt")
	first, ferr := os.Readlink("/proc/1/ns/mnt")
	if err != nil || ferr == nil && own == first {
		return false
	}
	how := propagation("/run/netns", "/run", "/")
	if ferr != nil { // it may not be looked into
		return how == "slave"
	}
	return how != "shared" && SameFile("/run", "/proc/1/root/run")
}

// Surface has this process begin anew among the mounts of the first process, so that others see the
// names that it gives. It returns only if that cannot be had.
func Surface() error {
	return onThread(func() error {
		mounts, err := unix.Open("/proc/1/ns/mnt", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		dir, err := os.Getwd()
		if err != nil {
			return err
		}
		program, err := os.Executable()
		if err != nil {
			return err
		}
		if err := unix.Unshare(unix.CLONE_FS); err != nil {
			return err
		}
		if err := unix.Setns(mounts, unix.CLONE_NEWNS); err != nil {
			return err
		}
		_ = os.Chdir(dir)
		if _, err := os.Stat(program); err != nil {
			program = "/proc/self/exe"
		}
		return fmt.Errorf("%s: %w", program, unix.Exec(program, os.Args, os.Environ()))
	})
}

// SameFile says whether two paths lead to one file or directory.
func SameFile(a, b string) bool {
	x, err := os.Stat(a)
	y, yerr := os.Stat(b)
	return err == nil && yerr == nil && os.SameFile(x, y)
}

// propagation is how the mount of the first of these directories that is one is tied to others:
// shared, slave or private, see mount_namespaces(7).
func propagation(dirs ...string) string {
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "private"
	}
	for _, dir := range dirs {
		kind := ""
		for line := range strings.Lines(string(b)) { // the last one lies on top
			mount, _, _ := strings.Cut(line, " - ")
			if f := strings.Fields(mount); len(f) > 5 && f[4] == dir {
				tags := strings.Join(f[6:], " ")
				switch kind = "private"; {
				case strings.Contains(tags, "shared:"):
					kind = "shared"
				case strings.Contains(tags, "master:"):
					kind = "slave"
				}
			}
		}
		if kind != "" {
			return kind
		}
	}
	return "private"
}
