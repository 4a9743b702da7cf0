package link

import (
	"os"
	"testing"

	"github.com/vrouter/vrouter/internal/packet"
)

// fed is a port whose frames a test puts in.
type fed struct {
	r, w  *os.File
	left  int                  // frames to be read
	frame func() *packet.Frame // as they are; nil: an empty packet
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
		if f.frame != nil {
			g := f.frame()
			frames[i].Reset(g.Len)
			copy(frames[i].Bytes(), g.Bytes())
			frames[i].Offload = g.Offload
		}
	}
	return n, nil
}

func (f *fed) acquire() (int, error)                     { return int(f.r.Fd()), nil }
func (f *fed) release()                                  {}
func (f *fed) Write(frames []*packet.Frame) (int, error) { return len(frames), nil }
func (f *fed) Lost() uint64                              { return 0 }
func (f *fed) CanOffload() bool                          { return false }
func (f *fed) Close() error                              { return nil }

var _ descriptor = (*fed)(nil)
