package peer

import (
	"errors"
	"fmt"
	"net/rpc"
	"os"

	"golang.org/x/sys/unix"
)

// InGuest says whether this program is the guest's init.
func InGuest() bool { return os.Getpid() == 1 && os.Getenv(marker) != "" }

// Guest is the guest's init: it makes the kernel complete, and serves an Agent
// until the guest is stopped. When it can't, it turns the guest off.
func Guest() {
	fmt.Fprintln(os.Stderr, "init:", guest())
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
}

func guest() error {
	for _, m := range []struct{ kind, at string }{{"proc", "/proc"}, {"sysfs", "/sys"}, {"tmpfs", "/run"}} {
		if err := unix.Mount(m.kind, m.at, m.kind, 0, ""); err != nil {
			return fmt.Errorf("mounting %s: %w", m.at, err)
		}
	}
	for _, m := range []string{"ipip", "veth"} {
		if err := loadModule(m); err != nil {
			return err
		}
	}
	tty, err := openRaw(line)
	if err != nil {
		return fmt.Errorf("%s: %w", line, err)
	}
	server := rpc.NewServer()
	if err := server.Register(&Agent{}); err != nil {
		return err
	}
	if _, err := tty.Write([]byte{ready}); err != nil {
		return err
	}
	server.ServeConn(tty)
	return errors.New("the line was closed")
}

// openRaw opens a terminal that passes every byte as it is.
func openRaw(path string) (*os.File, error) {
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	t, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return nil, err
	}
	t.Iflag, t.Oflag, t.Lflag = 0, 0, 0
	t.Cflag = t.Cflag&^(unix.CSIZE|unix.PARENB) | unix.CS8
	t.Cc[unix.VMIN], t.Cc[unix.VTIME] = 1, 0
	if err := unix.IoctlSetTermios(fd, unix.TCSETS, t); err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), path), nil
}
