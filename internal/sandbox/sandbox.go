// Package sandbox runs this program again inside namespaces of its own: what it
// builds there is seen by nobody else, and goes when it ends, however it ends.
package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const marker = "VROUTER_SANDBOX"

// Inside says whether this is the inner program.
func Inside() bool { return os.Getenv(marker) != "" }

// Run runs this program again, with the same arguments, in its own network and
// mount namespaces, and in a user namespace of its own where it is not root. It
// returns the inner program's exit status. The inner program has the files (Inherited).
func Run(ctx context.Context, files ...*os.File) (status int, err error) {
	// The inner program dies with the thread that started it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := command(ctx, os.Geteuid() != 0, files)
	err = cmd.Start()
	if errors.Is(err, fs.ErrPermission) && os.Geteuid() == 0 {
		cmd = command(ctx, true, files) // a root without the right to make namespaces
		err = cmd.Start()
	}
	if err != nil {
		return 1, fmt.Errorf("making namespaces: %w; run as root (sudo), or allow user namespaces (sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone)", err)
	}
	err = cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() >= 0 {
		return exit.ExitCode(), nil
	}
	return 0, err
}

// Inherited is one of the files that Run was given, by its place.
func Inherited(i int) *os.File { return os.NewFile(uintptr(3+i), "inherited") }

func command(ctx context.Context, userNamespace bool, files []*os.File) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(os.Environ(), marker+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = os.Stdin, os.Stdout, os.Stderr, files
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	attr := &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if userNamespace {
		attr.Cloneflags |= unix.CLONE_NEWUSER
		attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}
	}
	cmd.SysProcAttr = attr
	return cmd
}

// Enter finishes the inside: mounts of its own, and an empty /run, where named
// namespaces and control sockets go.
func Enter() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("making mounts private: %w", err)
	}
	if err := unix.Mount("tmpfs", "/run", "tmpfs", 0, "mode=0755"); err != nil {
		return fmt.Errorf("mounting an empty /run: %w", err)
	}
	return nil
}

// TUN is the device that makes TAPs.
const TUN = "/dev/net/tun"

// OpenTUN tries whether it can be opened.
func OpenTUN() error {
	f, err := os.OpenFile(TUN, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return f.Close()
}

// CheckTUN says what to do where TAPs cannot be made.
func CheckTUN() error {
	err := OpenTUN()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: load the module (modprobe tun)", err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: run as root (sudo), or let this user open it (chmod 666 %s)", err, TUN)
	}
	return err
}
