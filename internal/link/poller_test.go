package link

import (
	"os"
	"slices"
	"testing"

	"github.com/vrouter/vrouter/internal/packet"
)

// fed is a port whose frames a test puts in.
type fed struct {
	r, w *os.File
	left int // frames to be read
}

func newFed(t *testing.T) *fed {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	return &fed{r: r, w: w}
}

// feed puts frames in, and makes the event that tells of them.
func (f *fed) feed(t *testing.T, n int) {
	t.Helper()
	f.left += n
	if _, err := f.w.Write([]byte{0}); err != nil {
		t.Fatal(err)
	}
}

func (f *fed) Read(frames []packet.Frame) (int, error) {
	n := min(f.left, len(frames))
	f.left -= n
	for i := range n {
		frames[i].Reset(packet.EthernetLen + packet.IPv4MinLen)
	}
	return n, nil
}

func (f *fed) acquire() (int, error)                     { return int(f.r.Fd()), nil }
func (f *fed) release()                                  {}
func (f *fed) Write(frames []*packet.Frame) (int, error) { return len(frames), nil }
func (f *fed) Lost() uint64                              { return 0 }
func (f *fed) CanOffload() bool                          { return false }
func (f *fed) Close() error                              { return nil }

// A frame of one port waits for one batch of each flooded port at most, and a port
// that has many is given as many as a flooded one.
func TestServiceIsFair(t *testing.T) {
	p, err := NewPoller()
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	const floods, honest = 3, 3 // the ids of the flooded ports are those below
	var ports [floods + 1]*fed
	for id := range ports {
		ports[id] = newFed(t)
		if err := p.Add(id, ports[id]); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range ports[:floods] {
		f.feed(t, 1<<30)
	}
	read := func() []int {
		_, from, e := p.Read()
		if e != nil {
			t.Fatal(e.Err)
		}
		return from
	}
	for range 100 { // they are at full speed
		read()
	}
	for round := range 50 {
		ports[honest].feed(t, 1)
		batches := 1
		for !slices.Contains(read(), honest) {
			if batches++; batches > floods+1 {
				t.Fatalf("round %d: one frame has waited for more than %d batches", round, floods)
			}
		}
	}
	ports[honest].feed(t, 1<<30)
	counts := make([]int, len(ports))
	for range 4000 {
		for _, id := range read() {
			counts[id]++
		}
	}
	if least := slices.Min(counts); 10*least < 9*slices.Max(counts) {
		t.Errorf("frames by port: %v", counts)
	}
}

var _ descriptor = (*fed)(nil)
