package engine

import (
	"runtime"
	"slices"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/vrouter/vrouter/forwarder"
	"github.com/vrouter/vrouter/internal/link"
	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/verdict"
)

const (
	// SlowBytes may wait for a slow port, and SlowBytesAll for all of them.
	SlowBytes    = 256 << 10
	SlowBytesAll = 16 << 20
	// mostRest is how long its thread rests at once.
	mostRest = 100 * time.Millisecond
	// lowest is the priority of the slow lane's thread, as of nice(1).
	lowest = 19
)

// lane writes to slow ports, frame by frame and in turns, by one thread of the lowest
// priority: what their stacks take so, others leave them. A packet has its verdict of tx
// when it is handed over, as it has from a device with a queue.
type lane struct {
	router *Router
	mu     sync.Mutex
	wake   chan struct{} // there is work, or nobody is slow any more
	ports  []*slowPort
	next   int // whose turn it is
	bytes  int // that wait
	runs   bool
	closed bool
}

// slowPort is the place of a port in the lane.
type slowPort struct {
	*portState
	name    string
	link    slowLink
	frames  []*packet.Frame // that wait
	bytes   int             // of them
	writing bool
	until   time.Time // it stays slow
}

// slowLink is a port that can be slow.
type slowLink interface {
	link.Port
	link.SlowWriter
}

// slowPast is what a port remembers of having been slow.
type slowPast struct {
	stay  time.Duration
	ended time.Time
}

func newLane(r *Router) *lane { return &lane{router: r, wake: make(chan struct{}, 1)} }

// rouse has the thread look what there is to do.
func (l *lane) rouse() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// lock is how the thread takes the lock: it never waits in its queue, where it might be
// given the lock long before it is given a processor, and workers would wait for both.
func (l *lane) lock() {
	for !l.mu.TryLock() {
		_, _, _ = syscall.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0)
	}
}

// admit has a port be slow. It refuses one that it cannot write to.
func (l *lane) admit(to *forwarder.Port, by link.Port, now time.Time) bool {
	s, ok := by.(slowLink)
	port := portOf(to)
	l.mu.Lock()
	defer l.mu.Unlock()
	if !ok || l.closed || port.removed || port.pace.slow.Load() {
		return false
	}
	if port.past.stay = min(2*port.past.stay, mostSlow); port.past.stay == 0 || now.Sub(port.past.ended) > slowMemory {
		port.past.stay = leastSlow
	}
	l.ports = append(l.ports, &slowPort{portState: port, name: to.Name, link: s, until: now.Add(port.past.stay)})
	port.pace.slow.Store(true)
	if !l.runs {
		l.runs = true
		l.router.done.Go(l.run)
	}
	return true
}

// take takes over frames for a slow port, as copies, and says how many: all, or those
// before the first one for which there is no room. ok is false if it is not slow any more.
func (l *lane) take(port *portState, frames []*packet.Frame) (n int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.find(port)
	if p == nil {
		return 0, false
	}
	for ; n < len(frames); n++ {
		size := heldSize(frames[n])
		if p.bytes+size > SlowBytes || l.bytes+size > SlowBytesAll {
			break
		}
		p.frames = append(p.frames, frames[n].Clone())
		p.bytes += size
		l.bytes += size
	}
	l.rouse()
	return n, true
}

func (l *lane) find(port *portState) *slowPort {
	if i := slices.IndexFunc(l.ports, func(p *slowPort) bool { return p.portState == port }); i >= 0 {
		return l.ports[i]
	}
	return nil
}

// run is the life of the thread: while some port is slow.
func (l *lane) run() {
	runtime.LockOSThread() // and never unlocked: the thread ends here, with its priority
	_ = unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), lowest)
	l.lock()
	defer l.mu.Unlock()
	for len(l.ports) > 0 && !l.closed {
		if p := l.turn(); p != nil {
			l.write(p)
			continue
		}
		l.mu.Unlock()
		<-l.wake
		l.lock()
	}
	l.runs = false
}

// turn is the next port that something waits for.
func (l *lane) turn() *slowPort {
	for range l.ports {
		l.next = (l.next + 1) % len(l.ports)
		if p := l.ports[l.next]; len(p.frames) > 0 {
			return p
		}
	}
	return nil
}

// write writes the first frame that waits for a port. The lock is held before and after.
func (l *lane) write(p *slowPort) {
	f := p.frames[0]
	p.frames[0], p.frames = nil, p.frames[1:]
	p.writing = true
	l.mu.Unlock()
	began, before := time.Now(), readThreadTime()
	err := p.link.WriteSlowly(f)
	took := before.since()
	p.pace.over(took, 1)
	time.Sleep(rest(took, time.Since(began)))
	l.lock()
	p.writing = false
	l.took(p, f)
	if err != nil {
		p.pace.lost.Add(packetsOf(f))
	}
}

// rest is for how long the thread leaves the processors to others after a write that took so much of one, and so long. What
// a stack does with a packet the kernel does not interrupt, whoever wants the processor; where somebody has made the
// thread wait it takes a tenth of one at the most, where nobody has, as much as there is.
func rest(took, lasted time.Duration) time.Duration {
	if lasted-took <= took/4 {
		return 0
	}
	return min(9*took, mostRest)
}

// took makes room for what was written, or is lost.
func (l *lane) took(p *slowPort, f *packet.Frame) {
	size := heldSize(f)
	p.bytes -= size
	l.bytes -= size
}

// tick lets ports go that were slow for as long as they have to and are so no more. What
// comes next is written behind all that has waited, so a flow keeps its order.
func (l *lane) tick(now time.Time) (gone []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ports = slices.DeleteFunc(l.ports, func(p *slowPort) bool {
		if len(p.frames) > 0 || p.writing || now.Before(p.until) || p.pace.excess.Load() > int64(slowLimit/4) {
			return false
		}
		p.past.ended = now
		p.pace.slow.Store(false)
		gone = append(gone, p.name)
		return true
	})
	if len(gone) > 0 {
		l.rouse()
	}
	return gone
}

// remove forgets a port that is to be closed, and what waits for it.
func (l *lane) remove(port *portState) {
	l.mu.Lock()
	defer l.mu.Unlock()
	port.removed = true
	p := l.find(port)
	if p == nil {
		return
	}
	for _, f := range p.frames {
		port.pace.lost.Add(packetsOf(f))
		l.took(p, f)
	}
	p.frames = nil
	port.pace.slow.Store(false)
	l.ports = slices.DeleteFunc(l.ports, func(q *slowPort) bool { return q == p })
	l.rouse()
}

// close ends the thread.
func (l *lane) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	l.rouse()
}

// heldSize is the memory in bytes that a copy of a frame takes.
func heldSize(f *packet.Frame) int { return int(unsafe.Sizeof(*f)) + f.Off + f.Len }

func packetsOf(f *packet.Frame) uint64 {
	n, _ := f.OnWire()
	return n
}

// hand gives frames to the slow lane, and those for which there is no room a verdict. It
// says whether the port is slow.
func (w *worker) hand(port *portState, frames []*packet.Frame) bool {
	n, ok := w.router.lane.take(port, frames)
	if !ok {
		return false
	}
	w.countSent(port, frames[:n])
	if n < len(frames) {
		first := slices.IndexFunc(w.mine, func(o outgoing) bool { return o.frame == frames[n] })
		for i := range w.mine[first:] {
			w.mine[first+i].t.failed = verdict.TXQueueFull
		}
	}
	return true
}

// saySlow tells the operator of a port that has become slow.
func (r *Router) saySlow(port string) {
	r.log.Warn("a workload's own stack takes long over what is written to it: it is written by a thread of the lowest priority from now on; look for long lists of rules in its namespace",
		"port", port, "longer_than", SlowWrite)
}

// tickSlow lets ports be slow no more.
func (r *Router) tickSlow(now time.Time) {
	for _, p := range r.state.Load().ports {
		if p != nil {
			p.pace.tick()
		}
	}
	for _, name := range r.lane.tick(now) {
		r.log.Info("what is written to a workload takes no longer than usual again", "port", name)
	}
}
