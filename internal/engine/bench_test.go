package engine_test

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/trace"
	"github.com/vrouter/vrouter/rib"
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
		{"ipv6_to_uplink", "ns1", ping6(ns1IP6, farIP6)},
		{"ipv6_to_workload", "ns1", ping6(ns1IP6, ns2IP6)},
		{"ipv6_from_uplink", "ens160", fromFar()},
		{"ipv6_encap", "ns1", ping6(ns1IP6, "fd00:80::1")},
		{"ipv6_decap", "ens160", tunnelKinds[0].around(peerIP, hostIP, fromFar(), 0)},
	} {
		for _, size := range []int{1, 64} {
			b.Run(fmt.Sprintf("%s/batch=%d", c.name, size), func(b *testing.B) {
				bed := newBenchBed(b)
				if packet.IP(c.send.Payload()).Version() == 6 || c.name == "ipv6_decap" {
					dual(bed)
					routes6(bed)
					bed.router.Configure(bed.settings)
				}
				forward(bed, b, c.from, c.send, size)
			})
		}
	}
	b.Run("many_routes/batch=64", func(b *testing.B) {
		bed := newBenchBed(b)
		sends := manyRoutes(bed, 1<<20)
		b.ReportAllocs()
		b.ResetTimer()
		for n := 0; n < b.N; n += 64 {
			at := n % len(sends)
			bed.ns1.Send(sends[at : at+64]...)
		}
	})
	b.Run("superframe/batch=64", func(b *testing.B) {
		bed := newBenchBed(b)
		bed.offloads(bed.ns2)
		forward(bed, b, "ns1", fromNS1(ns2IP), 64)
	})
	b.Run("listener_elsewhere/batch=64", func(b *testing.B) {
		bed := newBenchBed(b)
		bed.listen(trace.Options{}, "port 7")
		forward(bed, b, "ns1", ping(farIP), 64)
	})
}

// manyRoutes gives the bed so many routes, and returns packets that each take another
// one of them.
func manyRoutes(bed *bed, n int) (sends []*packet.Frame) {
	routes := make([]rib.Route, n)
	for i := range routes {
		to := packet.IPv4Addr([]byte{byte(11 + i>>16), byte(i >> 8), byte(i), 0})
		routes[i] = rib.Route{
			Prefix: netip.PrefixFrom(to, 24), Via: addr(peerIP), Dev: "ens160", Port: bed.uplinkID, Protocol: "bird", Source: rib.Kernel,
		}
	}
	if err := bed.rib.SetSource(rib.Kernel, routes); err != nil {
		bed.t.Fatal(err)
	}
	const taken = 1 << 13
	for i := range taken {
		at := i * 40503 % n // here and there
		sends = append(sends, ping(routes[at].Prefix.Addr().Next().String()))
	}
	return sends
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
