package share

import (
	"fmt"
	"sync"
	"sync/atomic"
)

// Places are so many for each party, and so many for all of them.
type Places struct {
	What      string // they are for, such as "streams"
	Each, All int

	mu      sync.Mutex
	taken   map[Party]int
	n       int
	refused atomic.Uint64
}

// Take takes one; Leave gives it back. Root needs none.
func (p *Places) Take(who Party) error {
	if who == Root {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.full(who); err != nil {
		p.refused.Add(1)
		return err
	}
	if p.taken == nil {
		p.taken = map[Party]int{}
	}
	p.taken[who]++
	p.n++
	return nil
}

func (p *Places) full(who Party) error {
	switch {
	case p.taken[who] >= p.Each:
		return fmt.Errorf("%s has %d %s at once, and may have no more: end one of them", who, p.taken[who], p.What)
	case p.n >= p.All:
		return fmt.Errorf("there are %d %s at once, and no more for those who may only look: try again later", p.n, p.What)
	}
	return nil
}

// Leave gives a place back.
func (p *Places) Leave(who Party) {
	if who == Root {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.n--
	if p.taken[who]--; p.taken[who] == 0 {
		delete(p.taken, who)
	}
}

// Taken is how many there are, and Refused how many were not to be had so far.
func (p *Places) Taken() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.n
}

// Refused is how many were not to be had so far.
func (p *Places) Refused() uint64 { return p.refused.Load() }
