package forwarder_test

import (
	"fmt"
	"testing"

	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/trace"
)

// BenchmarkForward is the packet path without the kernel: ns/op is the time of a
// packet, in batches. A batch of 1 shows the cost of handing a batch over.
func BenchmarkForward(b *testing.B) {
	for _, c := range []struct {
		name string
		from string
		send *packet.Frame
	}{
		{"to_uplink", "ns1", ping(farIP)},
		{"to_workload", "ns1", ping(ns2IP)},
		{"from_uplink", "ens160", fromPeer()},
		{"encap", "ns1", ping(tunnelIP)},
		{"decap", "ens160", ipip(peerIP, hostIP, fromPeer(), nil)},
		{"drop", "ns1", withSrc(ping(farIP), ns2IP)},
	} {
		for _, size := range []int{1, 64} {
			b.Run(fmt.Sprintf("%s/batch=%d", c.name, size), func(b *testing.B) { forward(newBenchBed(b), b, c.from, c.send, size) })
		}
	}
	b.Run("superframe/batch=64", func(b *testing.B) {
		bed := newBenchBed(b)
		bed.ns2.Offload = true
		forward(bed, b, "ns1", fromNS1(ns2IP), 64)
	})
	b.Run("listener_elsewhere/batch=64", func(b *testing.B) {
		bed := newBenchBed(b)
		bed.listen(trace.Options{}, "port 7")
		forward(bed, b, "ns1", ping(farIP), 64)
	})
}

func newBenchBed(b *testing.B) *bed {
	bed := newBed(b)
	bed.resolve()
	tunnel(bed)
	bed.ns1.Discard, bed.ns2.Discard, bed.uplink.Discard = true, true, true
	return bed
}

func forward(bed *bed, b *testing.B, from string, f *packet.Frame, size int) {
	batch := make([]*packet.Frame, size)
	for i := range batch {
		batch[i] = f
	}
	port := bed.port(from)
	port.Send(batch...)
	b.ReportAllocs()
	b.ResetTimer()
	for n := 0; n < b.N; n += size {
		port.Send(batch...)
	}
}
