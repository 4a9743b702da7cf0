package link

import (
	"fmt"
	"sync"
	"time"

	"github.com/vrouter/vrouter/internal/packet"
)

// Memory is a port for tests: what the router reads is given to it by Send, what
// it writes is kept for Sent.
type Memory struct {
	Offload bool  // takes frames with pending offloads
	Fail    error // what Write answers, if not nil; set before use
	Discard bool  // keep nothing of what is written
	// OnWrite is called for each frame that is written, if not nil: what the receiver's
	// own stack does with it.
	OnWrite func()

	id     int
	poller *MemoryPoller // that reads it
	frames []*packet.Frame
	closed chan struct{}
	once   sync.Once

	mu   sync.Mutex
	sent []*packet.Frame
}

// NewMemory makes a port with nothing in it.
func NewMemory() *Memory { return &Memory{closed: make(chan struct{})} }

// Send gives the router a batch of frames and returns when it is done with them.
func (m *Memory) Send(frames ...*packet.Frame) {
	m.frames = frames
	select {
	case m.poller.in <- m:
	case <-m.closed:
		return
	case <-m.poller.closed:
		return
	}
	select {
	case <-m.poller.done:
	case <-m.poller.closed:
	}
}

// Sent takes what the router has written since the last call.
func (m *Memory) Sent() []*packet.Frame {
	m.mu.Lock()
	defer m.mu.Unlock()
	sent := m.sent
	m.sent = nil
	return sent
}

// Read implements Port.
func (m *Memory) Read(frames []packet.Frame) (int, error) {
	n := min(len(m.frames), len(frames))
	for i, f := range m.frames[:n] {
		frames[i].Reset(f.Len)
		frames[i].Offload = f.Offload
		copy(frames[i].Bytes(), f.Bytes())
	}
	m.frames = nil
	return n, nil
}

// Write implements Port.
func (m *Memory) Write(frames []*packet.Frame) (int, error) {
	if m.Fail != nil {
		return 0, m.Fail
	}
	if m.OnWrite != nil {
		for range frames {
			m.OnWrite()
		}
	}
	if m.Discard {
		return len(frames), nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, f := range frames {
		m.sent = append(m.sent, f.Clone())
	}
	return len(frames), nil
}

// WriteSlowly implements SlowWriter.
func (m *Memory) WriteSlowly(f *packet.Frame) error {
	_, err := m.Write([]*packet.Frame{f})
	return err
}

// Lost implements Port.
func (m *Memory) Lost() uint64 { return 0 }

// CanOffload implements Port.
func (m *Memory) CanOffload() bool { return m.Offload }

// Close implements Port.
func (m *Memory) Close() error {
	m.once.Do(func() { close(m.closed) })
	return nil
}

// memory is a Memory, or what a test makes of one.
func (m *Memory) memory() *Memory { return m }

// MemoryPoller is a Poller for ports of type Memory.
type MemoryPoller struct {
	// Now is a clock, if not nil; set before use. Without one nothing takes time.
	Now func() time.Duration

	lap    time.Duration
	costs  []time.Duration // by id
	in     chan *Memory    // that was given frames
	done   chan struct{}   // the router is done with them
	wake   chan struct{}
	closed chan struct{}
	busy   bool // the router works on what it was given last
	frames []packet.Frame
	from   []int
}

// NewMemoryPoller makes one without ports.
func NewMemoryPoller() *MemoryPoller {
	p := &MemoryPoller{
		in: make(chan *Memory), done: make(chan struct{}), wake: make(chan struct{}, 1), closed: make(chan struct{}),
		frames: make([]packet.Frame, BatchSize), from: make([]int, BatchSize),
	}
	for i := range p.frames {
		p.frames[i] = packet.NewFrame()
	}
	return p
}

// Add implements Poller.
func (p *MemoryPoller) Add(id int, port Port) error {
	m, ok := port.(interface{ memory() *Memory })
	if !ok {
		return fmt.Errorf("a %T is no port in memory", port)
	}
	m.memory().id, m.memory().poller = id, p
	for id >= len(p.costs) {
		p.costs = append(p.costs, 0)
	}
	p.costs[id] = 0
	return nil
}

// Remove implements Poller.
func (p *MemoryPoller) Remove(int) {}

// Read implements Poller. Being called again is how the router says that it is
// done with the batch before.
func (p *MemoryPoller) Read() ([]packet.Frame, []int, *ReadError) {
	if p.busy {
		p.busy = false
		p.done <- struct{}{}
	}
	select {
	case m := <-p.in:
		p.busy = true
		p.Lap()
		n, err := m.Read(p.frames)
		for i := range n {
			p.from[i] = m.id
		}
		if err != nil {
			return p.frames[:n], p.from[:n], &ReadError{ID: m.id, Err: err}
		}
		return p.frames[:n], p.from[:n], nil
	case <-p.wake:
		return nil, nil, nil
	}
}

// Lap implements Poller.
func (p *MemoryPoller) Lap() time.Duration {
	if p.Now == nil {
		return 0
	}
	was := p.lap
	p.lap = p.Now()
	return p.lap - was
}

// Charge implements Poller.
func (p *MemoryPoller) Charge(id int, d time.Duration) { p.costs[id] += d }

// Cost implements Poller.
func (p *MemoryPoller) Cost(id int) time.Duration { return p.costs[id] }

// Wake implements Poller.
func (p *MemoryPoller) Wake() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// Sleeps implements Poller.
func (p *MemoryPoller) Sleeps() uint64 { return 0 }

// Close implements Poller.
func (p *MemoryPoller) Close() error {
	close(p.closed)
	return nil
}
