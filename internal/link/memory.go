package link

import (
	"os"
	"sync"

	"github.com/vrouter/vrouter/internal/packet"
)

// Memory is a port for tests: what the router reads is given to it by Send, what
// it writes is kept for Sent.
type Memory struct {
	Offload bool  // takes frames with pending offloads
	Fail    error // what Write answers, if not nil; set before use
	Discard bool  // keep nothing of what is written

	in     chan []*packet.Frame
	done   chan struct{}
	closed chan struct{}
	once   sync.Once
	busy   bool // the reader works on what it was given last

	mu   sync.Mutex
	sent []*packet.Frame
}

// NewMemory makes a port with nothing in it.
func NewMemory() *Memory {
	return &Memory{in: make(chan []*packet.Frame), done: make(chan struct{}), closed: make(chan struct{})}
}

// Send gives the router a batch of frames and returns when it is done with them.
func (m *Memory) Send(frames ...*packet.Frame) {
	select {
	case m.in <- frames:
	case <-m.closed:
		return
	}
	select {
	case <-m.done:
	case <-m.closed:
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

// Read implements Port. Being called again is how the router says that it is
// done with the batch before.
func (m *Memory) Read(frames []packet.Frame) (int, error) {
	if m.busy {
		m.busy = false
		select {
		case m.done <- struct{}{}:
		case <-m.closed:
		}
	}
	select {
	case batch := <-m.in:
		m.busy = true
		n := min(len(batch), len(frames))
		for i, f := range batch[:n] {
			frames[i].Reset(f.Len)
			frames[i].Offload = f.Offload
			copy(frames[i].Bytes(), f.Bytes())
		}
		return n, nil
	case <-m.closed:
		return 0, os.ErrClosed
	}
}

// Write implements Port.
func (m *Memory) Write(frames []*packet.Frame) (int, error) {
	if m.Fail != nil {
		return 0, m.Fail
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

// Lost implements Port.
func (m *Memory) Lost() uint64 { return 0 }

// CanOffload implements Port.
func (m *Memory) CanOffload() bool { return m.Offload }

// Close implements Port.
func (m *Memory) Close() error {
	m.once.Do(func() { close(m.closed) })
	return nil
}
