package doctor

import (
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// largeReceiveOffload (LRO) joins TCP segments in a way that cannot be undone: what it
// made is cut into segments that nobody has sent, and what some drivers make a packet
// socket with virtio headers can't even read. A kernel that forwards turns it off by itself; one that does not leaves it on.
// Generic receive offload (GRO) is fine: the router passes it on, or cuts it up again.
func largeReceiveOffload(h *Host) ([]Finding, error) {
	name := h.Config.Uplink.Interface
	if _, err := h.link(); err != nil {
		return nil, err
	}
	flags, err := deviceFlags(name)
	if errors.Is(err, unix.EOPNOTSUPP) || err == nil && flags&flagLRO == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("offloads of %s: %w", name, err)
	}
	return []Finding{{
		State: Fail, Means: name + " joins the TCP segments it receives (LRO): what it made cannot be cut into what was sent, and with some drivers is lost",
		Mend: "ethtool -K " + name + " lro off", fix: func() error { return setDeviceFlags(name, flags&^flagLRO) },
	}}, nil
}

const flagLRO = 1 << 15 // ETH_FLAG_LRO of linux/ethtool.h

// Variables, as no virtual interface can do LRO, for the tests to stand in.
var (
	deviceFlags    = func(name string) (uint32, error) { return ethtool(name, unix.ETHTOOL_GFLAGS, 0) }
	setDeviceFlags = func(name string, flags uint32) error {
		_, err := ethtool(name, unix.ETHTOOL_SFLAGS, flags)
		return err
	}
)

// ethtool is a command with one value, struct ethtool_value of linux/ethtool.h.
func ethtool(name string, command, data uint32) (uint32, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	value := struct{ command, data uint32 }{command, data}
	request := struct { // struct ifreq
		name [unix.IFNAMSIZ]byte
		data unsafe.Pointer
		_    [16]byte
	}{data: unsafe.Pointer(&value)}
	copy(request.name[:], name)
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&request)))
	if errno != 0 {
		return 0, errno
	}
	return value.data, nil
}
