package e2e

import (
	"encoding/binary"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vrouter/vrouter/internal/workload"
)

// numbered is a flow of UDP with a packet each millisecond, each with its number: what
// is missing tells how long the way was interrupted.
type numbered struct {
	sent atomic.Uint64 // the number of the last one
	to   *net.UDPConn
}

// sendNumbered sends until the end of the test.
func sendNumbered(t *testing.T, from, to workload.Namespace, address string) *numbered {
	t.Helper()
	f := &numbered{}
	in(t, to, func() error {
		c, err := net.ListenPacket("udp4", address+":9")
		if err == nil {
			f.to = c.(*net.UDPConn)
		}
		return err
	})
	t.Cleanup(func() { f.to.Close() })
	var out net.Conn
	in(t, from, func() (err error) {
		out, err = net.Dial("udp4", address+":9")
		return err
	})
	stop, stopped := make(chan struct{}), make(chan struct{})
	t.Cleanup(func() {
		close(stop)
		<-stopped
		out.Close()
	})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C: // a write fails while nobody reads the TAP: that packet is lost too
				_, _ = out.Write(binary.BigEndian.AppendUint64(nil, f.sent.Add(1)))
			case <-stop:
				return
			}
		}
	}()
	return f
}

// came waits until at least that number came, and returns it with the time.
func (f *numbered) came(t *testing.T, least uint64) (uint64, time.Time) {
	t.Helper()
	b := make([]byte, 8)
	for {
		if err := f.to.SetReadDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(f.to, b); err != nil {
			t.Fatalf("packet %d and those after it did not come: %v", least, err)
		}
		if n := binary.BigEndian.Uint64(b); n >= least {
			return n, time.Now()
		}
	}
}

// resumes waits until something comes that was not sent yet, and says after how long.
func (f *numbered) resumes(t *testing.T) time.Duration {
	t.Helper()
	begin := time.Now()
	_, at := f.came(t, f.sent.Load()+1)
	return at.Sub(begin)
}
