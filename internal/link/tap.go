package link

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"

	"github.com/songgao/water"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vrouter/vrouter/internal/packet"
)

// tapOffloads is what the workload's stack may leave to us: checksums, and
// segmentation of TCP over either family.
const tapOffloads = unix.TUN_F_CSUM | unix.TUN_F_TSO4 | unix.TUN_F_TSO6 | unix.TUN_F_TSO_ECN

// segmentsDatagrams is segmentation of UDP over either family too, by which QUIC sends (UDP_SEGMENT): TUN_F_USO4 and
// TUN_F_USO6 of linux/if_tun.h, which Linux has from 6.2 on and takes together alone.
const segmentsDatagrams = 0x20 | 0x40

// TAP is a workload's port: the router's end of the network interface in the
// workload's namespace.
type TAP struct {
	handle
	vnetLen int             // bytes of virtio header in front of a frame: 0 or packet.VnetLen
	netlink *netlink.Handle // in the workload's namespace
	index   int
	place   place
	dropped atomic.Uint64 // by the device
	lost    atomic.Uint64 // when read
}

// Draft is a TAP that nobody keeps yet: it goes with the process that made it.
type Draft struct {
	Index int
	name  string
	fd    int
}

// NewTAP makes a TAP in the calling thread's network namespace.
func NewTAP(name string) (*Draft, error) {
	ifce, err := water.New(water.Config{DeviceType: water.TAP, PlatformSpecificParams: water.PlatformSpecificParams{Name: name}})
	if err != nil {
		return nil, tapError(name, err)
	}
	defer ifce.Close()
	file, ok := ifce.ReadWriteCloser.(*os.File)
	if !ok {
		return nil, fmt.Errorf("%s: the TAP is no file but a %T", name, ifce.ReadWriteCloser)
	}
	raw, err := file.SyscallConn()
	if err != nil {
		return nil, err
	}
	d := &Draft{name: name}
	if cerr := raw.Control(func(of uintptr) { d.fd, err = unix.FcntlInt(of, unix.F_DUPFD_CLOEXEC, 0) }); cerr != nil {
		return nil, cerr
	}
	if err != nil {
		return nil, tapError(name, err)
	}
	l, err := netlink.LinkByName(name)
	if err != nil {
		d.Drop()
		return nil, err
	}
	d.Index = l.Attrs().Index
	return d, nil
}

// Keep has the TAP stay, with addresses, routes and connections, until somebody deletes it.
func (d *Draft) Keep() error {
	defer unix.Close(d.fd)
	if err := unix.IoctlSetInt(d.fd, unix.TUNSETPERSIST, 1); err != nil {
		return tapError(d.name, err)
	}
	return nil
}

// Drop lets it go.
func (d *Draft) Drop() { unix.Close(d.fd) }

// OpenTAP opens a TAP that is there, in the calling thread's network namespace. It accepts
// one reader at a time.
func OpenTAP(name string, index int, offload bool) (*TAP, error) {
	// water cannot ask for virtio headers, so that it does not open it.
	flags := uint16(unix.IFF_TAP | unix.IFF_NO_PI)
	t := &TAP{}
	if offload {
		flags |= unix.IFF_VNET_HDR
		t.vnetLen = packet.VnetLen
	}
	fd, err := openTUN(name, flags)
	if err != nil {
		return nil, err
	}
	t.handle = handle{fd: fd}
	if err := t.prepare(name, offload); err != nil {
		t.handle.Close()
		return nil, err
	}
	if t.index != index { // the kernel has made another one, as it was deleted just now
		t.Close()
		return nil, fmt.Errorf("TAP %s was deleted meanwhile", name)
	}
	return t, nil
}

// CheckTUN says why no TAP of a name can be made, whatever there is in its namespace.
func CheckTUN(name string) error {
	fd, err := unix.Open(tunDevice, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return tapError(name, err)
	}
	defer unix.Close(fd)
	if _, err = unix.IoctlGetInt(fd, unix.TUNGETFEATURES); err != nil {
		return tapError(name, err)
	}
	return nil
}

const tunDevice = "/dev/net/tun"

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

func openTUN(name string, flags uint16) (fd int, err error) {
	if fd, err = unix.Open(tunDevice, unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0); err != nil {
		return -1, tapError(name, err)
	}
	ifr, err := unix.NewIfreq(name)
	if err == nil {
		ifr.SetUint16(flags)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr)
	}
	if err != nil {
		unix.Close(fd)
		return -1, tapError(name, err)
	}
	return fd, nil
}

// prepare tells the device what may be left to us. Without offload that is
// nothing, which an earlier run with offload may have set otherwise.
func (t *TAP) prepare(name string, offload bool) (err error) {
	features := 0
	if offload {
		features = tapOffloads | segmentsDatagrams
	}
	err = unix.IoctlSetInt(t.fd, unix.TUNSETOFFLOAD, features)
	if err == unix.EINVAL {
		err = unix.IoctlSetInt(t.fd, unix.TUNSETOFFLOAD, features&^segmentsDatagrams)
	}
	if err != nil {
		return fmt.Errorf("TAP %s: setting offloads: %w (try `offload: false`)", name, err)
	}
	if t.netlink, err = netlink.NewHandle(unix.NETLINK_ROUTE); err != nil {
		return err
	}
	l, err := t.netlink.LinkByName(name)
	if err != nil {
		t.netlink.Close()
		return err
	}
	t.index = l.Attrs().Index
	return nil
}

// Read implements Port.
func (t *TAP) Read(frames []packet.Frame) (int, error) {
	fd, err := t.acquire()
	if err != nil {
		return 0, err
	}
	defer t.release()
	for i := range frames {
		if n, err := readOne(fd, &frames[i], &t.place, t.vnetLen); n == 0 {
			if err == ErrFrameLost {
				t.lost.Add(1)
			}
			return i, err
		}
	}
	return len(frames), nil
}

// Write implements Port.
func (t *TAP) Write(frames []*packet.Frame) (int, error) {
	fd, err := t.acquire()
	if err != nil {
		return 0, err
	}
	defer t.release()
	for i, f := range frames {
		if n, err := writeOne(fd, f, t.vnetLen); n == 0 {
			return i, err
		}
	}
	return len(frames), nil
}

// WriteSlowly implements SlowWriter: Go's scheduler is told of the system call.
func (t *TAP) WriteSlowly(f *packet.Frame) error {
	fd, err := t.acquire()
	if err != nil {
		return err
	}
	defer t.release()
	for {
		if _, err = unix.Write(fd, ready(f, t.vnetLen)); err != unix.EINTR {
			return writeError(err)
		}
	}
}

// Lost implements Port: what did not fit into the queue of the device, too.
func (t *TAP) Lost() uint64 {
	if _, err := t.acquire(); err == nil { // a closed handle asks in whichever namespace the thread is in
		defer t.release()
		if l, err := t.netlink.LinkByIndex(t.index); err == nil && l.Attrs().Statistics != nil {
			t.dropped.Store(l.Attrs().Statistics.TxDropped)
		}
	}
	return t.dropped.Load() + t.lost.Load()
}

// CanOffload implements Port.
func (t *TAP) CanOffload() bool { return t.vnetLen > 0 }

// Forget has the device go when it is closed, wherever somebody has moved it.
func (t *TAP) Forget() {
	if fd, err := t.acquire(); err == nil {
		defer t.release()
		_ = unix.IoctlSetInt(fd, unix.TUNSETPERSIST, 0)
	}
}

// Close implements Port. The device stays.
func (t *TAP) Close() error {
	err := t.handle.Close()
	if err == nil {
		t.netlink.Close()
	}
	return err
}
