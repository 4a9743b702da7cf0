// Package link reads and writes frames: a workload's TAP, the uplink's packet
// socket, and memory for tests.
package link

import "github.com/vrouter/vrouter/internal/packet"

// Port is where frames enter and leave the router. One goroutine reads a port;
// any number may write to it.
type Port interface {
	// Read waits until there is at least one frame, fills frames from the first
	// on and says how many. The buffers stay the caller's. After Close it
	// returns an error that wraps os.ErrClosed; ErrGone says that the device
	// is no more; any other error passes, and reading may go on.
	Read(frames []packet.Frame) (int, error)
	// Write sends frames in order and says how many went out: all, or those
	// before the one that err is about. It never waits.
	Write(frames []*packet.Frame) (int, error)
	// Lost is the number of packets that the kernel dropped before they could be read.
	Lost() uint64
	// CanOffload says whether frames with pending checksums and segments may be written.
	CanOffload() bool
	Close() error
}
