package link

import (
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// handle is a descriptor that several goroutines use, none of which waits. It is
// not an os.File, as Go's own poller would be woken by each frame, too.
type handle struct {
	mu     sync.RWMutex // read: in use; written: being closed
	fd     int
	closed bool
}

// acquire lends the descriptor until release is called.
func (h *handle) acquire() (fd int, err error) {
	h.mu.RLock()
	if h.closed {
		h.mu.RUnlock()
		return -1, os.ErrClosed
	}
	return h.fd, nil
}

func (h *handle) release() { h.mu.RUnlock() }

// Close waits until nobody uses the descriptor.
func (h *handle) Close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return os.ErrClosed
	}
	h.closed = true
	return os.NewSyscallError("close", unix.Close(h.fd))
}
