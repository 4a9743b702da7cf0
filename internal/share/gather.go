package share

import (
	"context"
	"sync"
	"time"
)

// Gather makes a value for all who ask for it at the same time: one that was begun after each of them
// asked. It keeps a processor busy for its share at most.
type Gather[T any] struct {
	Time float64 // of a processor
	// Make makes the value, of those parts that somebody wants: bits.
	Make func(parts uint) T

	mu      sync.Mutex
	coming  *coming[T] // for those who wait; nil: nobody does
	running bool
	budget  bucket
}

type coming[T any] struct {
	parts uint
	made  chan struct{}
	value T
}

// saveGather is how much of its time a gather may save up.
const saveGather = 2 * time.Second

// Get waits for the value.
func (g *Gather[T]) Get(ctx context.Context, parts uint) (v T, err error) {
	g.mu.Lock()
	if g.coming == nil {
		g.coming = &coming[T]{made: make(chan struct{})}
	}
	c := g.coming
	c.parts |= parts
	if !g.running {
		g.running = true
		go g.run()
	}
	g.mu.Unlock()
	select {
	case <-c.made:
		return c.value, nil
	case <-ctx.Done():
		return v, ctx.Err()
	}
}

// Charge adds what somebody's answer of so many bytes takes, once it is made.
func (g *Gather[T]) Charge(bytes int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.budget.left -= (requestTime + time.Duration(bytes)*byteTime).Seconds()
}

// run makes values until nobody waits for one.
func (g *Gather[T]) run() {
	for {
		g.mu.Lock()
		left := g.budget.fill(time.Now(), g.Time, g.Time*saveGather.Seconds())
		g.mu.Unlock()
		if left <= 0 {
			time.Sleep(time.Duration(-left/g.Time*float64(time.Second)) + time.Millisecond)
		}
		g.mu.Lock()
		c := g.coming
		g.coming = nil
		g.running = c != nil
		g.mu.Unlock()
		if c == nil {
			return
		}
		took := timed(func() { c.value = g.Make(c.parts) })
		g.mu.Lock()
		g.budget.left -= took.Seconds()
		g.mu.Unlock()
		close(c.made)
	}
}
