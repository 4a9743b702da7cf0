package engine

import (
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vrouter/vrouter/forwarder"
	"github.com/vrouter/vrouter/internal/packet"
)

const (
	// SlowWrite is how much of a processor's time writing a frame to a workload may
	// take. What its own stack does with what it receives is a part of that: the kernel
	// does it before write(2) returns. Some µs are usual, 20 for a superframe.
	SlowWrite = 100 * time.Microsecond
	// slowLimit is how much more than that a port's writes may take until it is slow.
	// What has come together is halved at every tick, so that it is some 5 % of a
	// processor that a port may take so for good.
	slowLimit = 10 * time.Millisecond
	// fastWrite is what each frame whose write does not take long takes off that: now and then a write carries
	// what the kernel has to do for others, and one stack that is slow is so with each frame.
	fastWrite = 10 * time.Microsecond
	// A port stays slow for leastSlow, twice as long each time that it is again
	// within slowMemory, and not for longer than mostSlow.
	leastSlow  = time.Second
	mostSlow   = time.Minute
	slowMemory = 2 * time.Minute
)

// pace is how long writes to a port take. A clock on the wall tells cheaply that
// something may be wrong, the thread's own whether it is: somebody else may have had the
// processor meanwhile.
type pace struct {
	slow    atomic.Bool   // it is written by the slow lane
	watched atomic.Bool   // the thread's clock is asked
	seen    atomic.Bool   // since the last tick a write seemed slow
	excess  atomic.Int64  // ns that writes have taken beyond SlowWrite each
	lost    atomic.Uint64 // packets that the slow lane took and could not write
}

// over adds what some writes have taken too long, and says whether it was too much.
func (p *pace) over(d time.Duration, frames int) bool {
	d -= time.Duration(frames) * SlowWrite
	return d > 0 && p.excess.Add(int64(d)) > int64(slowLimit)
}

// under takes off what writes that did not take long are good for.
func (p *pace) under(frames int) {
	for was := p.excess.Load(); was > 0 && !p.excess.CompareAndSwap(was, max(0, was-int64(frames)*int64(fastWrite))); {
		was = p.excess.Load()
	}
}

// tick lets some of it be forgotten.
func (p *pace) tick() {
	p.excess.Store(p.excess.Load() / 2)
	if !p.seen.Swap(false) {
		p.watched.Store(false)
	}
}

// writes writes a batch's frames to a workload, in pieces that grow as long as they do
// not take long, and says how many were written or failed: all, or those before the port
// turned out to be slow.
func (w *worker) writes(to *forwarder.Port, queue *queue, all []*packet.Frame) (done int) {
	port := portOf(to)
	for piece := 1; done < len(all) && !port.pace.slow.Load(); {
		frames := all[done:min(done+piece, len(all))]
		var before threadTime
		watched := port.pace.watched.Load()
		if watched {
			before = readThreadTime()
		}
		w.write(port, queue, frames)
		done += len(frames)
		piece *= 2
		if w.lap() <= time.Duration(len(frames))*SlowWrite {
			port.pace.under(len(frames))
			continue
		}
		piece = 1
		port.pace.seen.Store(true)
		port.pace.watched.Store(true)
		if watched && port.pace.over(before.since(), len(frames)) && w.router.lane.admit(to, queue.link, w.now()) {
			w.router.saySlow(to.Name)
		}
	}
	return done
}

// threadTime is how long a thread has had a processor.
type threadTime struct {
	thread int // 0: it is not known whose time it is
	time   time.Duration
}

// readThreadTime asks which thread it is before and after: this goroutine may be moved to another one at
// any of the calls.
func readThreadTime() threadTime {
	var t unix.Timespec
	thread := unix.Gettid()
	if unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t) != nil || unix.Gettid() != thread {
		return threadTime{}
	}
	return threadTime{thread, time.Duration(t.Nano())}
}

// since is how much it has had since then; 0 if it is another thread by now.
func (t threadTime) since() time.Duration {
	if now := readThreadTime(); now.thread == t.thread && t.thread != 0 {
		return now.time - t.time
	}
	return 0
}
