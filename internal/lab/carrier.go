package lab

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/vrouter/vrouter/internal/impair"
	"github.com/vrouter/vrouter/internal/link"
	"github.com/vrouter/vrouter/internal/packet"
)

// countEvery is how often a carrier writes down what it has counted, if it changed.
const countEvery = 50 * time.Millisecond

// carrier takes the frames of an impaired link from each of its ports to the others, as
// a switch does. A superframe is cut into the packets that it stands for: each has a
// fate of its own.
type carrier struct {
	file   string // its plan
	poller link.Poller
	ports  []*link.AFPacket
	macs   map[packet.MAC]int // the port that a station is behind
	start  time.Time
	alarm  *time.Timer     // for the next frame that is due
	pieces []*packet.Frame // that a superframe is cut into, reused
	whole  [1]*packet.Frame

	mu    sync.Mutex
	plan  int            // that holds, by its number
	lines []*impair.Line // to each port
}

// Carry is a carrier's life, in the namespace of its ports: until ctx ends. SIGHUP has
// it read its plan again. counts is the file it counts in.
func Carry(ctx context.Context, planFile, counts string) error {
	c, err := newCarrier(planFile)
	if err != nil {
		return err
	}
	defer c.close()
	again := make(chan os.Signal, 1)
	signal.Notify(again, syscall.SIGHUP)
	defer signal.Stop(again)
	if err := writeJSON(counts, c.count()); err != nil {
		return err
	}
	var side sync.WaitGroup
	side.Go(func() { c.attend(ctx, again, counts) })
	defer side.Wait()
	defer context.AfterFunc(ctx, c.poller.Wake)()
	for ctx.Err() == nil {
		frames, from, failed := c.poller.Read()
		if failed != nil && failed.Err != link.ErrFrameLost {
			return fmt.Errorf("a cable cannot be read: %w", failed.Err)
		}
		c.mu.Lock()
		now := time.Since(c.start)
		for i := range frames {
			c.take(now, &frames[i], from[i])
		}
		c.deliver()
		c.mu.Unlock()
	}
	return nil
}

func newCarrier(planFile string) (c *carrier, err error) {
	var p plan
	if err := readJSON(planFile, &p); err != nil {
		return nil, err
	}
	c = &carrier{file: planFile, plan: p.Number, macs: map[packet.MAC]int{}, start: time.Now()}
	if c.poller, err = link.NewPoller(); err != nil {
		return nil, err
	}
	c.alarm = time.AfterFunc(time.Hour, c.poller.Wake)
	for i, name := range p.Ports {
		iface, err := net.InterfaceByName(name)
		if err != nil {
			return nil, fmt.Errorf("cable %s: %w", name, err)
		}
		sockets, err := link.OpenAFPacket(iface.Index, 1, nil, 0)
		if err != nil {
			return nil, fmt.Errorf("cable %s: %w", name, err)
		}
		c.ports = append(c.ports, sockets[0])
		c.lines = append(c.lines, impair.NewLine(p.Impair, i))
		if err := c.poller.Add(i, sockets[0]); err != nil {
			return nil, fmt.Errorf("cable %s: %w", name, err)
		}
	}
	return c, nil
}

func (c *carrier) close() {
	c.alarm.Stop()
	for _, p := range c.ports {
		p.Close()
	}
	c.poller.Close()
}

// attend does what is asked for meanwhile: it reads the plan again, and counts.
func (c *carrier) attend(ctx context.Context, again <-chan os.Signal, file string) {
	tick := time.NewTicker(countEvery)
	defer tick.Stop()
	written := c.count()
	for ctx.Err() == nil {
		select {
		case <-again:
			c.reload()
		case <-tick.C:
		case <-ctx.Done():
		}
		if now := c.count(); now != written && writeJSON(file, now) == nil {
			written = now
		}
	}
}

func (c *carrier) reload() {
	var p plan
	if err := readJSON(c.file, &p); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.plan = p.Number
	for i, l := range c.lines {
		l.Change(p.Impair, i)
	}
}

func (c *carrier) count() tally {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := tally{Plan: c.plan}
	for _, l := range c.lines {
		t.Add(l.Counts)
	}
	return t
}

// take puts the packets of a frame on the lines to where they go: to the port of their
// station, or while that is not known, or where they are for all, to every other one.
func (c *carrier) take(now time.Duration, f *packet.Frame, from int) {
	if f.Len < packet.EthernetLen {
		return
	}
	c.macs[f.SrcMAC()] = from
	to, known := c.macs[f.DstMAC()]
	for _, p := range c.packets(f) {
		for i, l := range c.lines {
			if i != from && (i == to || !known) {
				l.Send(now, p.Bytes())
			}
		}
	}
}

// packets are those that a frame stands for, as they are on a wire. They are valid
// until the next call.
func (c *carrier) packets(f *packet.Frame) []*packet.Frame {
	if !f.Admit() {
		return nil
	}
	if !f.Offload.IsGSO() {
		f.FinishChecksum()
		c.whole[0] = f
		return c.whole[:]
	}
	c.pieces = c.pieces[:0]
	packet.Segment(f, func() *packet.Frame {
		if len(c.pieces) < cap(c.pieces) {
			c.pieces = c.pieces[:len(c.pieces)+1]
		} else {
			c.pieces = append(c.pieces, nil)
		}
		last := &c.pieces[len(c.pieces)-1]
		if *last == nil {
			*last = &packet.Frame{}
		}
		return *last
	})
	return c.pieces
}

// deliver sends what is due, and sets the alarm for what is due next.
func (c *carrier) deliver() {
	now := time.Since(c.start)
	next := time.Hour
	for i, l := range c.lines {
		for b := l.Take(now); b != nil; b = l.Take(now) {
			if _, err := c.ports[i].Write([]*packet.Frame{packet.FrameOf(b)}); err != nil {
				l.Refused()
			}
		}
		if due, ok := l.Next(); ok {
			next = min(next, due-now)
		}
	}
	c.alarm.Reset(next)
}
