package link

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/vrouter/vrouter/internal/packet"
)

const (
	// maxSpin is how long a poller that found nothing looks again and again before
	// it sleeps: waking a thread takes tens of microseconds, and what comes within
	// that time is better met awake.
	maxSpin = 100 * time.Microsecond
	// maxEvents is how many ports one look can tell of.
	maxEvents = 64
	// batchBytes is about how much one batch holds, so that a frame is still in the
	// processor's cache when it is written.
	batchBytes = 256 << 10
	// wakeID is the event of Wake.
	wakeID = -1
)

// descriptor is a port that epoll(7) can watch.
type descriptor interface {
	Port
	acquire() (fd int, err error)
	release()
}

// polled is a port that is watched.
type polled struct {
	descriptor
	share
	parts
	ready  bool // it is among those to be read
	failed bool // the last read failed
	ask    int  // how many frames to read next time
}

// epoll is a Poller over the kernel's readiness events. They are edges: each tells
// that something has come, so a port is read until it has no more.
type epoll struct {
	fd, wake int
	*arena
	from  [BatchSize]int
	ports []*polled // by id; nil: not watched
	ready queue     // ids of ports that may have frames
	read  []int     // ids of those that the batch is from
	clock
	spare  spare
	events [maxEvents]unix.EpollEvent
	spin   time.Duration // how long to look again before sleeping, at present
	woken  bool
	sleeps atomic.Uint64
	roused atomic.Bool // Wake was called, and Read has not returned since
}

// NewPoller makes one for TAPs and packet sockets.
func NewPoller() (Poller, error) {
	memory, err := newArena(BatchSize)
	if err != nil {
		return nil, fmt.Errorf("memory for frames: %w", err)
	}
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("epoll: %w", err), memory.close())
	}
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err == nil {
		err = unix.EpollCtl(fd, unix.EPOLL_CTL_ADD, wake, &unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLET, Fd: wakeID})
	}
	if err != nil {
		unix.Close(fd)
		return nil, errors.Join(fmt.Errorf("eventfd: %w", err), memory.close())
	}
	return &epoll{fd: fd, wake: wake, arena: memory, clock: newClock()}, nil
}

// Add implements Poller.
func (p *epoll) Add(id int, port Port) error {
	d, ok := port.(descriptor)
	if !ok {
		return fmt.Errorf("a %T cannot be polled", port)
	}
	for id >= len(p.ports) {
		p.ports = append(p.ports, nil)
	}
	fd, err := d.acquire()
	if err != nil {
		return err
	}
	defer d.release()
	if err := unix.EpollCtl(p.fd, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLET, Fd: int32(id)}); err != nil {
		return fmt.Errorf("epoll: %w", err)
	}
	p.ports[id] = &polled{descriptor: d, parts: newParts(port, &p.spare), ask: 1}
	return nil
}

// Remove implements Poller.
func (p *epoll) Remove(id int) {
	if fd, err := p.ports[id].acquire(); err == nil { // closed, it is no longer watched
		_ = unix.EpollCtl(p.fd, unix.EPOLL_CTL_DEL, fd, nil)
		p.ports[id].release()
	}
	p.ports[id].drop()
	p.ports[id] = nil
	is := func(r int) bool { return r == id }
	p.read = slices.DeleteFunc(p.read, is)
	if at := slices.IndexFunc(p.ready, is); at >= 0 {
		p.ready.remove(p.ports, at)
	}
}

// Read implements Poller.
func (p *epoll) Read() ([]packet.Frame, []int, *ReadError) {
	p.endTurns()
	for {
		if len(p.ready) == 0 {
			p.wait()
		} else {
			p.look(0) // so that one busy port does not keep the others waiting
		}
		if p.woken {
			p.woken = false
			return nil, nil, nil
		}
		if n, err := p.readReady(); n > 0 || err != nil {
			return p.frames[:n], p.from[:n], err
		}
		p.endTurns()
	}
}

// readReady reads the ports that are ready, who has had the least of the worker's time
// first, as far as there is room and a turn lasts.
func (p *epoll) readReady() (n int, err *ReadError) {
	if len(p.ready) == 0 {
		return 0, nil // a signal has ended the wait
	}
	p.Lap()
	left, last := turn, p.ports[p.ready[0]].spent+turn
	p.floor = max(p.floor, p.ports[p.ready[0]].spent)
	for len(p.ready) > 0 && n < BatchSize && err == nil {
		id := p.ready[0]
		port := p.ports[id]
		if n > 0 && (port.cost > left || port.spent > last) {
			break // another time, so that what there is need not wait for it
		}
		p.ready.remove(p.ports, 0)
		p.read = append(p.read, id)
		room := p.frames[n:min(BatchSize, n+port.wants(left))]
		k, more, e := port.take(room)
		port.adapt(room, k)
		for i := range k {
			p.from[n+i] = id
		}
		n += k
		p.Charge(id, p.Lap())
		port.frames = k
		left -= port.expected(k)
		// An error comes before what waits behind it, so one more read is due; a
		// second error waits for the next event, and so never makes a spin. A frame
		// that was lost is one less of those that wait.
		port.ready = more || e == ErrFrameLost || e != nil && !port.failed && e != ErrGone
		if port.failed = e != nil && e != ErrFrameLost; e != nil {
			err = &ReadError{ID: id, Err: e}
		}
	}
	return n, err
}

// endTurns puts the ports that the batch was from, and that may have more, back among
// those that are ready, now that it is known what the batch has cost.
func (p *epoll) endTurns() {
	for _, id := range p.read {
		port := p.ports[id]
		if port.endTurn(); port.ready {
			p.ready.add(p.ports, id)
		}
	}
	p.read = p.read[:0]
}

// adapt sets how many frames to read next time: twice as many after a read that
// found all it asked for, up to what fills a batch. So a single packet is sent on
// before anybody looks for a second one.
func (p *polled) adapt(room []packet.Frame, found int) {
	if found < len(room) {
		p.ask = max(1, found)
		return
	}
	largest := 1
	for i := range room {
		largest = max(largest, room[i].Len)
	}
	p.ask = max(1, min(2*p.ask, batchBytes/largest))
}

// wait returns when there is an event. How long it looks before it sleeps follows
// what it sees: an event that came soon after falling asleep was worth staying
// awake for, and a long sleep shows that there is nothing to wait for.
func (p *epoll) wait() {
	start := time.Now()
	for waited := time.Duration(0); waited < p.spin; waited = time.Since(start) {
		if p.look(0) {
			return
		}
		syscall.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0) // whoever else wants the processor comes first
	}
	p.sleeps.Add(1)
	p.look(-1)
	if time.Since(start) < maxSpin {
		p.spin = maxSpin
	} else {
		p.spin /= 2
		if p.spin < time.Microsecond {
			p.spin = 0
		}
	}
}

// look takes note of the events that there are, or waits for one if timeout is -1.
func (p *epoll) look(timeout int) bool {
	var n int
	var err error
	if timeout == 0 {
		// The scheduler need not know of a call that does not wait.
		r, _, errno := syscall.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(p.fd), uintptr(unsafe.Pointer(&p.events[0])), maxEvents, 0, 0, 0)
		n = int(r)
		if errno != 0 {
			return false
		}
	} else if n, err = unix.EpollWait(p.fd, p.events[:], timeout); err != nil {
		return false // EINTR: the caller looks again
	}
	for _, e := range p.events[:n] {
		if e.Fd == wakeID {
			var b [8]byte
			_, _ = unix.Read(p.wake, b[:])
			p.roused.Store(false)
			p.woken = true
		} else if port := p.ports[e.Fd]; port != nil && !port.ready {
			port.ready = true
			port.spent = max(port.spent, p.floor)
			p.ready.add(p.ports, int(e.Fd))
		}
	}
	return n > 0
}

// Wake implements Poller.
func (p *epoll) Wake() {
	if p.roused.Swap(true) {
		return
	}
	var one [8]byte
	binary.NativeEndian.PutUint64(one[:], 1)
	_, _ = unix.Write(p.wake, one[:])
}

// Sleeps implements Poller.
func (p *epoll) Sleeps() uint64 { return p.sleeps.Load() }

// Close implements Poller.
func (p *epoll) Close() error {
	unix.Close(p.wake)
	return errors.Join(unix.Close(p.fd), p.arena.close())
}
