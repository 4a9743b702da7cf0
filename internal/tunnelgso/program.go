// Package tunnelgso lets a superframe in a tunnel leave whole. The kernel takes an offloaded frame from a packet
// socket for what its virtio header says, which has no words for a packet in a packet. A program at the interface's
// egress (tcx, Linux 6.6) tells it: it takes the outer header off and puts the same one on again, by the helper
// that marks the frame as one with an outer header (SKB_GSO_IPXIP4, SKB_GSO_IPXIP6). Then the kernel cuts it where the device
// can't. The router still composes every byte.
package tunnelgso

import (
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// name is how bpftool(8) shows it.
const name = "vrouter_tunnel"

// Program is attached to an interface, until Close or until this process ends: of no use without the
// router, it goes with it. It touches superframes in tunnels of these sockets alone.
type Program struct {
	device int
	link   link.Link
	took   []atomic.Uint64 // by socket, in memory shared with the program
	missed atomic.Bool
	// Missed is told when frames were sent that the program has not seen.
	Missed chan struct{}
}

// Attach puts the program at an interface's egress, in front of whatever is there: another one may end a frame's way
// along the programs. cookies are the sockets' (SO_COOKIE).
func Attach(device int, cookies []uint64) (_ *Program, err error) {
	counts, err := ebpf.NewMap(&ebpf.MapSpec{
		Name: name, Type: ebpf.Array, KeySize: 4, ValueSize: uint32(len(cookies) * countLen), MaxEntries: 1, Flags: unix.BPF_F_MMAPABLE,
	})
	if err != nil {
		return nil, refused(err)
	}
	defer counts.Close() // the program and the mapping keep it
	prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: name, Type: ebpf.SchedCLS, Instructions: instructions(counts.FD(), cookies), License: "GPL",
	})
	if err != nil {
		return nil, refused(err)
	}
	defer prog.Close() // the link keeps it
	p := &Program{device: device, Missed: make(chan struct{}, 1)}
	if err := p.share(counts.FD(), len(cookies)); err != nil {
		return nil, err
	}
	p.link, err = link.AttachTCX(link.TCXOptions{Interface: device, Program: prog, Attach: ebpf.AttachTCXEgress, Anchor: link.Head()})
	if err != nil {
		return nil, refused(err)
	}
	return p, nil
}

// share maps the program's counters.
func (p *Program) share(fd, sockets int) error {
	b, err := unix.Mmap(fd, 0, sockets*countLen, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("the program's counters: %w", err)
	}
	p.took = unsafe.Slice((*atomic.Uint64)(unsafe.Pointer(&b[0])), sockets)
	runtime.AddCleanup(p, func(b []byte) { _ = unix.Munmap(b) }, b)
	return nil
}

// refused says what is wrong, and what helps.
func refused(err error) error {
	switch {
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("this process may not load the program: that takes CAP_SYS_ADMIN and CAP_NET_ADMIN, outside of any user namespace: %w", unix.EPERM)
	case errors.Is(err, ebpf.ErrNotSupported):
		return fmt.Errorf("this kernel has no tcx (Linux 6.6): %w", err)
	}
	return err
}

// Fault is what somebody has done to it; "": it is as it was put.
func (p *Program) Fault() string {
	info, err := p.link.Info()
	switch {
	case err != nil || info.TCX() == nil || int(info.TCX().Ifindex) != p.device:
		return "somebody has taken the program away"
	case p.missed.Load():
		return "another program, or a filter, at the interface's egress keeps superframes from the program"
	}
	return ""
}

// Took is how many superframes in tunnels of a socket the program has seen. All that is sent passes it before
// sendmmsg(2) returns.
func (p *Program) Took(socket int) uint64 { return p.took[socket].Load() }

// Miss is told of frames that were sent and that it has not seen.
func (p *Program) Miss() {
	p.missed.Store(true)
	select {
	case p.Missed <- struct{}{}:
	default:
	}
}

// Detach takes it off the interface, as bpftool(8) does: for tests.
func (p *Program) Detach() error { return p.link.Detach() }

// Close takes it away.
func (p *Program) Close() error { return p.link.Close() }
