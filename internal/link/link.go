// Package link reads and writes frames: a workload's TAP, the uplink's packet
// socket, and memory for tests.
package link

import (
	"time"

	"github.com/vrouter/vrouter/internal/packet"
)

// BatchSize is how many frames one read of a Poller takes at the most.
const BatchSize = 64

// Port is where frames enter and leave the router. One Poller reads a port; any
// number of workers may write to it.
type Port interface {
	// Read fills frames, BatchSize at most, from the first on and says how many: fewer
	// than there is room for, and no error, means that there are no more for now. It
	// never waits. The buffers stay the caller's; no frame is longer than an IP packet
	// can be.
	// With ErrFrameLost there may be more behind the frame that was lost. ErrGone says
	// that the device is no more; any other error passes, and reading may go on.
	Read(frames []packet.Frame) (int, error)
	// Write sends frames in order and says how many went out: all, or those
	// before the one that err is about. It never waits.
	Write(frames []*packet.Frame) (int, error)
	// Lost is the number of frames that could not be read: that the kernel dropped
	// before, or that it has no words for.
	Lost() uint64
	// CanOffload says whether frames with pending checksums and segments may be written.
	CanOffload() bool
	Close() error
}

// SlowWriter is a Port that a thread of low priority may write to: others don't wait
// for it meanwhile, which a Write would have them do that takes long.
type SlowWriter interface {
	// WriteSlowly sends a frame, as Write does.
	WriteSlowly(f *packet.Frame) error
}

// Poller reads many ports in one thread: its owner alone calls its methods, but
// for Wake and Sleeps, which anybody may. It shares the thread's time among the ports:
// the owner tells it what each one's frames have cost.
type Poller interface {
	// Add has a port read. id tells its frames from those of the others.
	Add(id int, p Port) error
	// Remove has a port no longer read. It is still open.
	Remove(id int)
	// Read waits until some port has frames, and lends at most BatchSize of them,
	// from[i] being the id of the port that frames[i] came by. Both are valid until
	// the next Read; do not retain. There are none if it was woken. The error
	// is about one port; the frames hold all the same.
	Read() (frames []packet.Frame, from []int, err *ReadError)
	// Lap is the time since the last Lap; since the frames were read, after a Read.
	Lap() time.Duration
	// Charge has a time count against a port's share.
	Charge(id int, d time.Duration)
	// Cost is all that a port was charged, and what reading it has cost.
	Cost(id int) time.Duration
	// Wake has a Read that waits, or else the next one, return.
	Wake()
	// Sleeps is how often Read had the thread sleep, as there was nothing to do.
	Sleeps() uint64
	Close() error
}
