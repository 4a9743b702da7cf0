package engine_test

import (
	"encoding/binary"
	"runtime"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"golang.org/x/sys/unix"

	"github.com/vrouter/vrouter/internal/engine"
	"github.com/vrouter/vrouter/internal/link"
	"github.com/vrouter/vrouter/internal/packet"
)

// patience is how long something may take that is due sooner.
const patience = 20 * time.Second

// slowBed is a bed with one worker, which has a clock, and a second workload whose own
// stack is as slow as the test wants.
type slowBed struct {
	*bed
	stack  atomic.Pointer[func()] // what ns2's own one does with a frame
	number uint32                 // of datagrams sent
	came   []uint32               // numbers of those that ns2 got
}

func newSlowBed(t *testing.T) *slowBed {
	t.Helper()
	start, p := time.Now(), link.NewMemoryPoller()
	p.Now = func() time.Duration { return time.Since(start) }
	b := &slowBed{bed: newBedOn(t, p)}
	b.resolve()
	b.burns(0)
	b.ns2.OnWrite = func() { (*b.stack.Load())() }
	return b
}

// does says what happens to a frame for ns2.
func (b *slowBed) does(what func()) { b.stack.Store(&what) }

// burns has it take so much of a processor's time.
func (b *slowBed) burns(d time.Duration) {
	b.does(func() {
		for start := time.Now(); time.Since(start) < d; {
		}
	})
}

// numbered is a datagram from ns1 to ns2.
func (b *slowBed) numbered() *packet.Frame {
	data := binary.BigEndian.AppendUint32(nil, b.number)
	b.number++
	ip := ip4(ns1IP, ns2IP, layers.IPProtocolUDP)
	l4 := &layers.UDP{SrcPort: 1, DstPort: 2}
	_ = l4.SetNetworkLayerForChecksum(ip)
	return frame(ether(ns1MAC, gatewayMAC), ip, l4, gopacket.Payload(data))
}

// send sends some to ns2.
func (b *slowBed) send(n int) {
	var all []*packet.Frame
	for range n {
		all = append(all, b.numbered())
	}
	b.ns1.Send(all...)
}

// take looks at what has come.
func (b *slowBed) take() {
	for _, f := range b.ns2.Sent() {
		ip := packet.IPv4(f.Payload())
		b.came = append(b.came, binary.BigEndian.Uint32(ip.Payload()[8:]))
	}
}

func (b *slowBed) stats() (p engine.PortStats) {
	b.t.Helper()
	return b.sentBy("ns2")
}

func (b *slowBed) eventually(what string, ok func() bool) {
	b.t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			b.t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// becomesSlow sends until the port is in the slow lane.
func (b *slowBed) becomesSlow() {
	b.t.Helper()
	b.eventually("the port is slow", func() bool {
		b.send(8)
		b.take()
		return b.stats().Slow
	})
}

// wantInOrder wants all that ns2 got to have come once and in the order in which it was
// sent, and as much as the books say.
func (b *slowBed) wantInOrder() {
	b.t.Helper()
	b.take()
	if !slices.IsSorted(b.came) || len(slices.Compact(slices.Clone(b.came))) != len(b.came) {
		b.t.Errorf("the order is not kept: %v", b.came)
	}
	if p := b.stats(); uint64(len(b.came)) != p.TxPackets-p.SlowLost {
		b.t.Errorf("%d came; %d were sent, of which %d were lost", len(b.came), p.TxPackets, p.SlowLost)
	}
}

// arrived waits until all that was sent is there.
func (b *slowBed) arrived() {
	b.t.Helper()
	b.eventually("all that was sent arrives", func() bool {
		b.take()
		p := b.stats()
		return uint64(len(b.came)) == p.TxPackets-p.SlowLost
	})
}

// A workload that takes long over what it gets is written by another thread, and by its
// worker again when it takes no longer than usual; each flow keeps its order all the time.
func TestSlowPort(t *testing.T) {
	b := newSlowBed(t)
	b.send(64)
	if b.stats().Slow {
		t.Fatal("it is slow from the start")
	}
	b.burns(time.Millisecond)
	b.becomesSlow()
	if w := b.router.Stats().Workers[0]; !slices.Equal(w.SlowPorts, []string{"ns2"}) {
		t.Errorf("its worker says that slow are %v", w.SlowPorts)
	}
	for range 20 {
		b.send(3)
	}
	b.burns(0)
	b.eventually("it is slow no more", func() bool {
		b.send(1)
		b.take()
		return !b.stats().Slow
	})
	b.send(64)
	b.arrived()
	b.wantInOrder()
	if n := b.dropped("ns1", "tx_queue_full"); n != 0 {
		t.Errorf("%d were dropped", n)
	}
}

// A write that now and then takes long, as the kernel does in it what others are waiting for, makes no port slow.
func TestSlowNowAndThen(t *testing.T) {
	const every, times = 1000, 20
	b, n := newSlowBed(t), 0
	b.does(func() {
		if n++; n%every == 0 {
			for start := time.Now(); time.Since(start) < 5*time.Millisecond; {
			}
		}
	})
	for range every * times / 50 {
		b.send(50)
		b.eventually("they arrive", func() bool {
			b.take()
			return len(b.came) == int(b.number)
		})
	}
	if b.stats().Slow {
		t.Error("the port is slow")
	}
}

// What waits for a slow port is bounded, what finds no room has a reason, and others do
// not wait for it.
func TestSlowPortHoldsUpNobody(t *testing.T) {
	b := newSlowBed(t)
	b.burns(time.Millisecond)
	b.becomesSlow()
	b.arrived()
	before, sent := b.dropped("ns1", "tx_queue_full"), b.stats().TxPackets
	var stuck atomic.Bool
	blocked, free := make(chan struct{}), make(chan struct{})
	b.does(func() {
		if !stuck.Swap(true) {
			close(blocked)
		}
		<-free
	})
	b.send(1)
	<-blocked
	const frames = 64
	for b.dropped("ns1", "tx_queue_full") == before {
		b.send(frames) // would not return if the worker waited
	}
	b.ns1.Send(ping(farIP))
	one(t, b.uplink)
	if waits := (b.stats().TxPackets - sent) * 46; waits > engine.SlowBytes {
		t.Errorf("%d bytes wait", waits)
	}
	if n := b.router.Stats().Imbalance; n != 0 {
		t.Errorf("an imbalance of %d", n)
	}
	close(free)
	b.arrived()
	b.wantInOrder()
}

// The thread that writes to slow ports leaves the processors to others, where they have made it wait: a tenth is left to it, as what
// a stack does with a packet is not interrupted.
func TestSlowLaneRests(t *testing.T) {
	const frames, takes = 8, 2 * time.Millisecond
	b := newSlowBed(t)
	b.burns(time.Millisecond)
	b.becomesSlow()
	b.arrived()
	b.does(func() {
		threadTime := func() time.Duration {
			var t unix.Timespec
			_ = unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t)
			return time.Duration(t.Nano())
		}
		for start := threadTime(); threadTime()-start < takes; {
		}
		t := unix.NsecToTimespec(int64(takes)) // as if somebody else had the processor
		_, _, _ = syscall.RawSyscall(unix.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&t)), 0, 0)
	})
	start := time.Now()
	b.send(frames)
	b.arrived()
	if took, least := time.Since(start), (frames-1)*10*takes; took < least {
		t.Errorf("%d frames that take %v each came within %v, of which the thread has had more than a tenth", frames, takes, took)
	}
}

// A slow port can be removed while something waits for it: that is counted as lost, and
// what comes later has no route.
func TestSlowPortIsRemoved(t *testing.T) {
	b := newSlowBed(t)
	b.burns(time.Millisecond)
	b.becomesSlow()
	b.send(64)
	b.router.RemovePort(b.portID("ns2"))
	b.send(1)
	if w := b.router.Stats().Workers[0]; len(w.SlowPorts) != 0 {
		t.Errorf("slow are %v", w.SlowPorts)
	}
}

// Who has to wait for a processor is not slow: it is the time on one that counts.
func TestPreemptionIsNotSlow(t *testing.T) {
	b := newSlowBed(t)
	b.does(func() { // nothing of which Go's scheduler is told
		t := unix.NsecToTimespec(int64(2 * time.Millisecond))
		_, _, _ = syscall.RawSyscall(unix.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&t)), 0, 0)
	})
	for range 50 {
		b.send(2)
	}
	if b.stats().Slow {
		t.Error("a port is slow whose writes take no time of a processor")
	}
}

// A port that is slow again is so for longer.
func TestSlowPortThatRelapses(t *testing.T) {
	b := newSlowBed(t)
	var times [2]time.Duration
	for i := range times {
		b.burns(time.Millisecond)
		b.becomesSlow()
		b.burns(0)
		start := time.Now()
		b.eventually("it is slow no more", func() bool { return !b.stats().Slow })
		times[i] = time.Since(start)
	}
	if times[1] < 3*times[0]/2 {
		t.Errorf("slow for %v, then for %v", times[0], times[1])
	}
}

// The threads that forward come before other programs, those of the same process too, where they may.
func TestPriorityOfWorkers(t *testing.T) {
	runtime.LockOSThread() // and never unlocked: the thread ends with the test
	nice := func() int {
		n, _ := unix.Getpriority(unix.PRIO_PROCESS, unix.Gettid())
		return 20 - n // of the system call, as the library's is another one
	}
	normal := nice()
	got := newBed(t).router.Stats().Workers[0].Nice
	_ = unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), normal-10)
	if want := nice(); got != want {
		t.Errorf("a worker's thread has %d, others have %d, and may have %d", got, normal, want)
	}
}
