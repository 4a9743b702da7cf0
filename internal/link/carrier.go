package link

import (
	"fmt"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/tunnelgso"
)

// carrier is the program by which superframes in tunnels leave a packet socket whole. Unless it sees them,
// the kernel takes them for something else: from the first one that went past it, no other is sent.
type carrier struct {
	program *tunnelgso.Program
	socket  int // among those of the program
	missed  atomic.Bool
}

// Cookie tells the socket from all others.
func (p *AFPacket) Cookie() (uint64, error) {
	fd, err := p.acquire()
	if err != nil {
		return 0, err
	}
	defer p.release()
	c, err := unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_COOKIE)
	if err != nil {
		return 0, fmt.Errorf("packet socket: its cookie: %w", err)
	}
	return c, nil
}

// Carry has superframes in tunnels sent whole by way of a program that was attached for this socket, or no longer.
func (p *AFPacket) Carry(program *tunnelgso.Program, socket int) {
	if program == nil {
		p.carrier.Store(nil)
		return
	}
	p.carrier.Store(&carrier{program: program, socket: socket})
}

// accepts are the frames of a batch, from the first one on, that can be sent.
func (c *carrier) accepts(batch []*packet.Frame) []*packet.Frame {
	if c != nil && !c.missed.Load() {
		return batch
	}
	for i, f := range batch {
		if f.InTunnel() {
			return batch[:i]
		}
	}
	return batch
}

// seen is what the program has seen so far.
func (c *carrier) seen() uint64 {
	if c == nil {
		return 0
	}
	return c.program.Took(c.socket)
}

// check compares what was sent of a batch with what the program has seen since. One that was not seen may have
// been refused with ENOMEM: the kernel could not cut it.
func (c *carrier) check(batch []*packet.Frame, sent int, err error, seen uint64) {
	if err == unix.ENOMEM {
		sent++
	}
	n := uint64(0)
	for _, f := range batch[:sent] {
		if f.InTunnel() {
			n++
		}
	}
	if n > 0 && c.program.Took(c.socket)-seen < n {
		c.missed.Store(true)
		c.program.Miss()
	}
}
