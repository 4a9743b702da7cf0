package engine_test

import (
	"runtime"
	"testing"

	"github.com/vrouter/vrouter/internal/packet"
)

// A workload may hand over a frame of thousands of segments: what the router takes for
// them is in proportion to what they hold, not to the largest that there may be.
func TestMemoryOfManySegments(t *testing.T) {
	const size, most = 16, 24 << 20
	b := newBed(t)
	b.resolve()
	tunnel(b)
	f := fromNS1(tunnelIP)
	f.Offload.GSOSize = size
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	b.ns1.Send(f)
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > most {
		t.Errorf("%d bytes allocated for a frame of %d, want at most %d", n, f.Len, most)
	}
	out := b.uplink.Sent()
	if want := (segment*segments + size - 1) / size; len(out) != want {
		t.Fatalf("%d segments, want %d", len(out), want)
	}
	if n := packet.IPv4(out[0].Payload()).TotalLen(); n != 20+20+32+size {
		t.Errorf("segments of %d bytes", n)
	}
}
