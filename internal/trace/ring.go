package trace

import (
	"sync"
	"unsafe"
)

const (
	// RingSize is how many records one listener may fall behind, of some 4 KB each, and AllRings all
	// together.
	RingSize = 4096
	AllRings = maxChunks * chunkLen
	// chunkLen is how many of them are in one piece of memory, some 230 KB.
	chunkLen = 64
	// maxChunks is how many pieces there are for all listeners together, some 29 MiB. Each of them may
	// have leastChunks, whoever else falls behind: the one that is read from, and two that fill.
	maxChunks   = 128
	leastChunks = 3
)

type chunk [chunkLen]Record

// chunks are the memory of all rings. What a ring gives back is for the next one, so that traces
// that come and go leave nothing to be collected; when nobody listens any more, it goes.
type chunks struct {
	mu   sync.Mutex
	free []*chunk
	used int // by rings and by who reads them
}

// bytes are what all of them take.
func (c *chunks) bytes() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return (c.used + len(c.free)) * int(unsafe.Sizeof(chunk{}))
}

// get is one more chunk for a ring that has some; nil if it has its share.
func (c *chunks) get(has int) *chunk {
	c.mu.Lock()
	defer c.mu.Unlock()
	if has >= RingSize/chunkLen || has >= leastChunks-1 && c.used >= maxChunks-MaxListeners*leastChunks {
		return nil
	}
	c.used++
	if n := len(c.free); n > 0 {
		last := c.free[n-1]
		c.free = c.free[:n-1]
		return last
	}
	return new(chunk)
}

func (c *chunks) put(list ...*chunk) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.used -= len(list)
	c.free = append(c.free, list...)
}

// forget lets the collector have what nobody uses.
func (c *chunks) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.free = nil
}

// ring is records in the order in which they came, as many as there is room for: then the oldest go.
type ring struct {
	from   *chunks
	chunks []*chunk
	first  int // the oldest record, in the first chunk
	n      int
}

// at is the i-th record, from the oldest.
func (r *ring) at(i int) *Record {
	i += r.first
	return &r.chunks[i/chunkLen][i%chunkLen]
}

// grow makes room for one more behind the youngest, and says how many had to go for it.
func (r *ring) grow() (lost int) {
	if r.first+r.n == len(r.chunks)*chunkLen {
		next := r.from.get(len(r.chunks))
		if next == nil {
			lost = chunkLen - r.first
			next = r.shift()
		}
		r.chunks = append(r.chunks, next)
	}
	r.n++
	return lost
}

// shift takes the first chunk out of the ring, and what records there are in it.
func (r *ring) shift() *chunk {
	c := r.chunks[0]
	r.n -= min(r.n, chunkLen-r.first)
	r.first = 0
	r.chunks = r.chunks[:copy(r.chunks, r.chunks[1:])]
	return c
}

// pop copies the oldest record out.
func (r *ring) pop(to *Record) {
	*to = *r.at(0)
	r.first++
	r.n--
	if r.first == chunkLen {
		r.from.put(r.shift())
	}
}

// end gives all memory back.
func (r *ring) end() {
	r.from.put(r.chunks...)
	r.chunks, r.first, r.n = nil, 0, 0
}
