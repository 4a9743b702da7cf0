package link

import (
	"golang.org/x/sys/unix"

	"github.com/vrouter/vrouter/internal/packet"
)

// pageSize in bytes: each buffer begins with a page.
const pageSize = 4096

// arena is the buffers of a batch in one piece of memory, of huge pages where the
// kernel has some: fewer page table walks while frames are copied.
type arena struct {
	frames []packet.Frame
	memory []byte
}

// newArena makes n frames of the largest size. They are valid until close.
func newArena(n int) (*arena, error) {
	const stride = (packet.BufferLen + pageSize - 1) &^ (pageSize - 1)
	memory, err := mapMemory(n * stride)
	if err != nil {
		return nil, err
	}
	_ = unix.Madvise(memory, unix.MADV_HUGEPAGE) // the kernel's to grant
	a := &arena{frames: make([]packet.Frame, n), memory: memory}
	for i := range a.frames {
		a.frames[i] = packet.Frame{Buf: memory[i*stride:][:packet.BufferLen:packet.BufferLen], Off: packet.Headroom}
	}
	return a, nil
}

// close gives the memory back.
func (a *arena) close() error { return unix.Munmap(a.memory) }

// mapMemory maps so many bytes, none of which is there before it is written.
func mapMemory(n int) ([]byte, error) {
	return unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
}
