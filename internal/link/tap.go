package link

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"syscall"

	"github.com/songgao/water"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vrouter/vrouter/internal/packet"
)

// tapOffloads is what the workload's stack may leave to us: checksums, and
// segmentation of TCP over IPv4.
const tapOffloads = unix.TUN_F_CSUM | unix.TUN_F_TSO4 | unix.TUN_F_TSO_ECN

// TAP is a workload's port: the router's end of the network interface in the
// workload's namespace.
type TAP struct {
	file    *os.File
	raw     syscall.RawConn
	vnetLen int // bytes of virtio header in front of a frame: 0 or packet.VnetLen
	handle  *netlink.Handle
	index   int
	lost    atomic.Uint64
	closed  atomic.Bool

	frames []packet.Frame // of the Read under way
	n      int
	err    error
	ready  func(fd uintptr) bool // t.readReady, bound once: a new one a call would allocate
}

// OpenTAP makes the TAP, or takes over the one that an earlier run left, in the
// calling thread's network namespace. It is persistent: it stays, with
// addresses, routes and connections, until somebody deletes it.
func OpenTAP(name string, offload bool) (*TAP, error) {
	file, err := makePersistent(name)
	if err != nil {
		return nil, err
	}
	t := &TAP{file: file}
	if offload {
		// water cannot ask for virtio headers, so the device it made is opened
		// again with them; it accepts one reader at a time.
		file.Close()
		if t.file, err = openVnet(name); err != nil {
			return nil, err
		}
		t.vnetLen = packet.VnetLen
	}
	if err := t.prepare(name, offload); err != nil {
		t.file.Close()
		return nil, err
	}
	return t, nil
}

func makePersistent(name string) (*os.File, error) {
	ifce, err := water.New(water.Config{
		DeviceType:             water.TAP,
		PlatformSpecificParams: water.PlatformSpecificParams{Name: name, Persist: true},
	})
	if err != nil {
		return nil, tapError(name, err)
	}
	file, ok := ifce.ReadWriteCloser.(*os.File)
	if !ok {
		return nil, fmt.Errorf("%s: the TAP is no file but a %T", name, ifce.ReadWriteCloser)
	}
	return file, nil
}

func tapError(name string, err error) error {
	switch {
	case errors.Is(err, unix.EBUSY):
		return fmt.Errorf("TAP %s is in use: another router, or another program, reads it; stop that one first: %w", name, err)
	case errors.Is(err, unix.EINVAL):
		return fmt.Errorf("%s exists and is no TAP; remove it (ip link del %s) or configure another interface name: %w", name, name, err)
	case errors.Is(err, unix.ENOENT):
		return fmt.Errorf("TAP %s: /dev/net/tun is not there; load the module (modprobe tun): %w", name, err)
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return fmt.Errorf("TAP %s: no permission for /dev/net/tun; run as root, or with CAP_NET_ADMIN: %w", name, err)
	}
	return fmt.Errorf("TAP %s: %w", name, err)
}

func openVnet(name string) (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, tapError(name, err)
	}
	ifr, err := unix.NewIfreq(name)
	if err == nil {
		ifr.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr)
	}
	if err != nil {
		unix.Close(fd)
		return nil, tapError(name, err)
	}
	return os.NewFile(uintptr(fd), "/dev/net/tun"), nil
}

// prepare tells the device what may be left to us. Without offload that is
// nothing, which an earlier run with offload may have set otherwise.
func (t *TAP) prepare(name string, offload bool) error {
	raw, err := t.file.SyscallConn()
	if err != nil {
		return err
	}
	t.raw, t.ready = raw, t.readReady
	features := 0
	if offload {
		features = tapOffloads
	}
	var ioctlErr error
	if err := raw.Control(func(fd uintptr) {
		ioctlErr = unix.IoctlSetInt(int(fd), unix.TUNSETOFFLOAD, features)
	}); err != nil {
		return err
	}
	if ioctlErr != nil {
		return fmt.Errorf("TAP %s: setting offloads: %w (try `offload: false`)", name, ioctlErr)
	}
	if t.handle, err = netlink.NewHandle(unix.NETLINK_ROUTE); err != nil {
		return err
	}
	l, err := t.handle.LinkByName(name)
	if err != nil {
		t.handle.Close()
		return err
	}
	t.index = l.Attrs().Index
	return nil
}

// Read implements Port.
func (t *TAP) Read(frames []packet.Frame) (int, error) {
	t.frames, t.n, t.err = frames, 0, nil
	if t.raw.Read(t.ready) != nil {
		return 0, os.ErrClosed // the one error that waiting can end with
	}
	return t.n, readError(t.err)
}

// readReady reads until the device has no more, or the batch is full. Answering
// false lets the goroutine wait until the device is readable.
func (t *TAP) readReady(fd uintptr) bool {
	for t.n < len(t.frames) {
		f := &t.frames[t.n]
		f.Off = packet.Headroom
		n, err := unix.Read(int(fd), f.Buf[f.Off-t.vnetLen:])
		switch {
		case err == unix.EAGAIN:
			return t.n > 0
		case err == unix.EINTR:
			continue
		case err != nil:
			t.err = err
			return true
		}
		f.Len = max(0, n-t.vnetLen)
		f.Offload = packet.Offload{}
		if t.vnetLen > 0 && n >= t.vnetLen {
			f.Offload = packet.ParseOffload(f.Buf[f.Off-t.vnetLen:])
		}
		t.n++
	}
	return true
}

// Write implements Port.
func (t *TAP) Write(frames []*packet.Frame) (int, error) {
	sent := 0
	var werr error
	err := t.raw.Control(func(fd uintptr) {
		for _, f := range frames {
			if t.vnetLen > 0 {
				f.Offload.Put(f.Buf[f.Off-t.vnetLen:])
			}
			if werr = writeOne(int(fd), f.Buf[f.Off-t.vnetLen:f.Off+f.Len]); werr != nil {
				return
			}
			sent++
		}
	})
	if err != nil {
		return sent, err
	}
	return sent, writeError(werr)
}

func writeOne(fd int, b []byte) error {
	for {
		_, err := unix.Write(fd, b)
		if err != unix.EINTR {
			return err
		}
	}
}

// Lost implements Port: what did not fit into the queue of the device.
func (t *TAP) Lost() uint64 {
	if t.closed.Load() { // a closed handle asks in whichever namespace the thread is in
		return t.lost.Load()
	}
	l, err := t.handle.LinkByIndex(t.index)
	if err == nil && l.Attrs().Statistics != nil {
		t.lost.Store(l.Attrs().Statistics.TxDropped)
	}
	return t.lost.Load()
}

// CanOffload implements Port.
func (t *TAP) CanOffload() bool { return t.vnetLen > 0 }

// Close implements Port. The device stays.
func (t *TAP) Close() error {
	t.closed.Store(true)
	t.handle.Close()
	return t.file.Close()
}
