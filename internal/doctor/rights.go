package doctor

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/vrouter/vrouter/internal/rights"
	"github.com/vrouter/vrouter/internal/sandbox"
)

// capabilities speaks of this process: a router that its user starts has the same.
func capabilities(h *Host) (found []Finding, err error) {
	if h.Router != nil {
		return nil, nil // it has what it needs
	}
	missing, err := rights.Missing(true)
	for _, r := range missing {
		found = append(found, Finding{State: Fail, Means: r.Name + " is missing, for " + r.For, Mend: "sudo vrouter run --config FILE"})
	}
	return found, err
}

const tunDevice = sandbox.TUN

func tun(*Host) ([]Finding, error) {
	err := sandbox.OpenTUN()
	switch {
	case err == nil:
		return nil, nil
	case errors.Is(err, fs.ErrNotExist) && tunInKernel():
		return []Finding{{
			State: Fail, Means: "the kernel has tun, but " + tunDevice + " is not there: no workload can be attached",
			Mend: "mkdir -p /dev/net && mknod -m 666 " + tunDevice + " c 10 200", fix: makeTUN,
		}}, nil
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENXIO):
		return []Finding{{
			State: Fail, Means: "the kernel's tun is not loaded: no workload can be attached",
			Mend: "modprobe tun", fix: func() error { return exec.Command("modprobe", "tun").Run() },
		}}, nil
	case errors.Is(err, fs.ErrPermission):
		return []Finding{{
			State: Fail, Means: err.Error() + ": no workload can be attached",
			Mend: "chmod 666 " + tunDevice, fix: func() error { return os.Chmod(tunDevice, 0o666) },
		}}, nil
	}
	return nil, err
}

// tunInKernel looks for a line `200 tun` (linux/miscdevice.h: TUN_MINOR).
func tunInKernel() bool {
	b, err := os.ReadFile("/proc/misc")
	return err == nil && strings.Contains(string(b), "200 tun\n")
}

func makeTUN() error {
	if err := os.MkdirAll(filepath.Dir(tunDevice), 0o755); err != nil {
		return err
	}
	if err := unix.Mknod(tunDevice, unix.S_IFCHR|0o666, int(unix.Mkdev(10, 200))); err != nil {
		return err
	}
	return os.Chmod(tunDevice, 0o666) // whatever the umask
}
