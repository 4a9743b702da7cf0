package link

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/vrouter/vrouter/internal/packet"
)

// The system calls of the packet path don't wait, so Go's scheduler is not told of
// them: telling it would cost more than some of them do.

// place is where the frames of a port begin in their buffers: so that the data of superframes is
// aligned, if they have as many headers as the last one. That differs by family and by tunnel.
type place struct{ more int } // bytes behind the headroom

func (p *place) off() int { return packet.Headroom + p.more }

func (p *place) learn(f *packet.Frame) {
	if n := f.DataAt(); n != 0 {
		p.more = -(packet.Headroom + n) & (packet.Alignment - 1) &^ 3 // the IP header stays at a multiple of 4
	}
}

// readOne reads a frame behind vnetLen bytes of virtio header into its place. It says how many: 1,
// or 0 if there is none.
func readOne(fd int, f *packet.Frame, at *place, vnetLen int) (int, error) {
	f.Off = at.off()
	n, err := rawIO(unix.SYS_READ, fd, f.Buf[f.Off-vnetLen:])
	if err == unix.EAGAIN {
		return 0, nil
	}
	if err != nil {
		return 0, readError(err)
	}
	f.Len = max(0, n-vnetLen)
	f.Offload = packet.Offload{}
	if vnetLen > 0 && n >= vnetLen {
		f.Offload = packet.ParseOffload(f.Buf[f.Off-vnetLen:])
		at.learn(f)
	}
	return 1, nil
}

// writeOne writes a frame behind vnetLen bytes of virtio header.
func writeOne(fd int, f *packet.Frame, vnetLen int) (int, error) {
	if _, err := rawIO(unix.SYS_WRITE, fd, ready(f, vnetLen)); err != nil {
		return 0, writeError(err)
	}
	return 1, nil
}

// ready is a frame as it is written, with its virtio header.
func ready(f *packet.Frame, vnetLen int) []byte {
	if vnetLen > 0 {
		f.Offload.Put(f.Buf[f.Off-vnetLen:])
	}
	return f.Buf[f.Off-vnetLen : f.Off+f.Len]
}

// rawIO is read(2) or write(2).
func rawIO(trap uintptr, fd int, b []byte) (int, error) {
	for {
		n, _, errno := syscall.RawSyscall(trap, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
		switch errno {
		case 0:
			return int(n), nil
		case unix.EINTR:
			continue
		}
		return 0, errno
	}
}

// mmsghdr is struct mmsghdr of recvmmsg(2) and sendmmsg(2). On 64 bits the pointers
// in it have Go pad it, as C does.
type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
}

// mmsg is recvmmsg(2) or sendmmsg(2).
func mmsg(trap uintptr, fd int, msgs []mmsghdr) (int, error) {
	for {
		n, _, errno := syscall.RawSyscall6(trap, uintptr(fd), uintptr(unsafe.Pointer(&msgs[0])), uintptr(len(msgs)), unix.MSG_DONTWAIT, 0, 0)
		if errno == unix.EINTR {
			continue
		}
		if errno != 0 {
			return 0, errno
		}
		return int(n), nil
	}
}
