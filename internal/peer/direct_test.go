//go:build peer

package peer_test

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/vrouter/vrouter/internal/control"
	"github.com/vrouter/vrouter/internal/peer"
)

const (
	echoReply    = 0
	unreachable  = 3
	timeExceeded = 11
	fragNeeded   = 4
)

// direct is host B on A's link.
var direct = peer.Setup{
	Address: netip.MustParsePrefix("192.168.0.12/24"), Gateway: netip.MustParseAddr("192.168.0.1"),
	Peer: hostA, Remote: netip.MustParsePrefix("10.70.1.0/26"),
	Tunnel: netip.MustParseAddr("10.70.2.0"), Workload: netip.MustParsePrefix("10.70.2.1/24"),
}

func TestLinuxOnTheLink(t *testing.T) {
	namespaces(t, "host-a", "host-b", "ns1", "wide")
	cable(t, "host-a", uplinkA, "host-b", "eth0")
	address(t, "host-a", uplinkA, "192.168.0.11/24")
	b := newBed(t, "always", direct)
	t.Log(strings.TrimSpace(b.readFile("/proc/version")))
	b.run("ping", (*bed).ping)
	b.run("a thousand pings", (*bed).thousandPings)
	b.run("trace", (*bed).trace)
	b.run("fragmented outer", (*bed).fragmentedOuter) // before B has learnt any path MTU
	b.run("traceroute", (*bed).traceroute)
	b.run("full size", (*bed).fullSize)
	b.run("tos", (*bed).tos)
	b.run("tcp", (*bed).tcp)
	b.run("lower mtu at B", (*bed).lowerMTU)
	b.clean()
	b.onlyErrors()
}

// run runs a part of the test.
func (b *bed) run(name string, f func(*bed)) {
	b.Run(name, func(t *testing.T) {
		part := *b
		part.T = t
		f(&part)
	})
}

func (b *bed) ping() {
	for _, p := range []struct {
		from string
		to   netip.Addr
		ttl  int
	}{{"ns1", ns1B, 62}, {"wide", ns1B, 62}, {workloadB, ns1, 62}, {workloadB, wide, 62}, {hostB, ns1, 63}} {
		b.expect(p.from, peer.Probe{To: p.to}, peer.Answer{From: p.to, Type: echoReply, TTL: p.ttl})
	}
}

// thousandPings, one at a time: none is lost, nor lies in the guest until the next one
// comes, as it does with drivers of User-mode Linux other than `raw`.
func (b *bed) thousandPings() {
	for i := range 1000 {
		if got := b.probeFrom("ns1", peer.Probe{To: ns1B}); got.Lost {
			b.Fatalf("ping %d is lost", i+1)
		}
	}
}

// expect sends a probe and compares the answer; a TTL of 0 stands for any.
func (b *bed) expect(from string, p peer.Probe, want peer.Answer) {
	b.Helper()
	got := b.probeFrom(from, p)
	if want.TTL == 0 {
		got.TTL = 0
	}
	if got.Type != echoReply {
		got.TOS = 0 // an error has its own
	}
	if got != want {
		b.Errorf("%+v from %s: got %+v, want %+v", p, from, got, want)
	}
}

// trace reads what the router tells of one ping: encapsulated to B, unpacked back.
func (b *bed) trace() {
	ctx, cancel := context.WithTimeout(b.Context(), callTimeout)
	defer cancel()
	tr, err := b.router.Trace(ctx, control.TraceOptions{Filter: "icmp and host 10.70.2.1"})
	b.must(err)
	defer tr.Close()
	b.expect("ns1", peer.Probe{To: ns1B}, peer.Answer{From: ns1B, Type: echoReply, TTL: 62})
	for _, want := range []struct{ in, out, step string }{{"ns1", uplinkA, "encap"}, {uplinkA, "ns1", "decap"}} {
		p, err := tr.Next()
		for err == nil && p.In == "" {
			p, err = tr.Next() // what the router sent itself on the way: ARP
		}
		b.must(err)
		found := false
		for _, s := range p.Steps {
			found = found || s.Step == want.step && s.Verdict == "edit"
		}
		if p.In != want.in || p.Out != want.out || p.Outcome != "forwarded" || !found {
			b.Errorf("trace: got %+v, want in %s, out %s and %s", p, want.in, want.out, want.step)
		}
	}
}

// traceroute shows the two hosts. B answers from the address of its way back: tunl0's.
func (b *bed) traceroute() {
	for _, p := range []struct {
		from    string
		to, hop netip.Addr
		ttl     int
	}{{"ns1", ns1B, hostA, 1}, {"ns1", ns1B, direct.Tunnel, 2}, {workloadB, ns1, hostA, 2}} {
		b.expect(p.from, peer.Probe{To: p.to, TTL: p.ttl}, peer.Answer{From: p.hop, Type: timeExceeded})
		b.expect(p.from, peer.Probe{To: p.to, TTL: 3}, peer.Answer{From: p.to, Type: echoReply, TTL: 62})
	}
}

// fullSize: what fits into the tunnel passes, one byte more is told.
func (b *bed) fullSize() {
	for _, way := range []struct {
		from    string
		to, hop netip.Addr
	}{{"wide", ns1B, hostA}, {workloadB, wide, netip.Addr{}}} {
		fits := peer.Probe{To: way.to, Size: tunnelMTU, DF: true}
		b.expect(way.from, fits, peer.Answer{From: way.to, Type: echoReply, TTL: 62})
		tooBig := peer.Probe{To: way.to, Size: tunnelMTU + 1, DF: true}
		got := b.probeFrom(way.from, tooBig)
		if got.Type != unreachable || got.Code != fragNeeded || got.MTU != tunnelMTU || way.hop.IsValid() && got.From != way.hop {
			b.Errorf("%+v from %s: got %+v, want 3/4 with %d from %s", tooBig, way.from, got, tunnelMTU, way.hop)
		}
		whole := peer.Probe{To: way.to, Size: 1500}
		b.expect(way.from, whole, peer.Answer{From: way.to, Type: echoReply, TTL: 62})
	}
}

// tos: DSCP and ECN are copied out, and survive the way there and back.
func (b *bed) tos() {
	const efECT0 = 46<<2 | 2
	b.expect("ns1", peer.Probe{To: ns1B, TOS: efECT0}, peer.Answer{From: ns1B, Type: echoReply, TTL: 62, TOS: efECT0})
	b.wire.look(b.T, func() {
		if b.wire.tos[efECT0] == 0 {
			b.Errorf("outer TOS on the wire: %v, want some with %d", b.wire.tos, efECT0)
		}
	})
}

func (b *bed) tcp() {
	b.transfer("ns1", ns1B, 50)
	b.transfer(workloadB, ns1, 50)
	b.transfer("wide", ns1B, 10)
	b.transfer(workloadB, wide, 10)
	if x := b.tunnel(); x.Offload == "kernel" && (x.CutByKernel == 0 || x.CutHere != 0) {
		b.Errorf("superframes have not left whole: %+v", x)
	}
}

// lowerMTU makes B's workload link, and then B's tunnel, narrower than A can know.
func (b *bed) lowerMTU() {
	defer b.setMTU("cali0", 1500)
	b.setMTU("cali0", 1400)
	tooBig := peer.Probe{To: ns1B, Size: 1401, DF: true}
	b.expect("ns1", tooBig, peer.Answer{From: direct.Tunnel, Type: unreachable, Code: fragNeeded, MTU: 1400})
	b.transfer("ns1", ns1B, 10)
	defer b.setMTU("tunl0", tunnelMTU)
	b.setMTU("tunl0", 1300)
	b.transfer(workloadB, ns1, 10)
}

func (b *bed) setMTU(link string, bytes int) {
	b.Helper()
	b.must(b.call("SetMTU", peer.MTU{Link: link, Bytes: bytes}, nil))
}

// fragmentedOuter: a tunnel that is wider than its link makes B send fragments.
func (b *bed) fragmentedOuter() {
	defer b.setMTU("tunl0", tunnelMTU)
	b.setMTU("tunl0", 1500)
	b.expect(workloadB, peer.Probe{To: wide, Size: 1500}, peer.Answer{From: wide, Type: echoReply, TTL: 62})
	b.fragmentsFrom(direct.Address.Addr())
}

// onlyErrors checks which ICMP there was about outer packets. That neither host
// answers IP-in-IP with Protocol Unreachable (3/2) is the least of it.
func (b *bed) onlyErrors(want ...string) {
	b.wire.look(b.T, func() {
		if got := slices.Sorted(maps.Keys(b.wire.errors)); !slices.Equal(got, want) {
			b.Errorf("ICMP about outer packets: %v, want %v", b.wire.errors, want)
		}
	})
}

// clean checks what was on the wire all the time, and what the router dropped.
func (b *bed) clean() {
	for reason, n := range b.drops() {
		if reason != "mtu_exceeded" && reason != "ttl_exceeded" {
			b.Errorf("the router dropped %d packets: %s", n, reason)
		}
	}
	b.wire.look(b.T, func() {
		for _, f := range b.wire.faults {
			b.Errorf("on the wire: %s", f)
		}
		b.Logf("on the wire: IP-in-IP %v, fragments of it %v, ICMP errors about it %v; %d frames not seen",
			b.wire.tunnelled, b.wire.fragments, b.wire.errors, b.wire.missed)
	})
}

// fragmentsFrom checks that a host's outer packets came in fragments.
func (b *bed) fragmentsFrom(a netip.Addr) {
	b.Helper()
	b.wire.look(b.T, func() {
		if b.wire.fragments[a] == 0 {
			b.Errorf("%s sent no fragments", a)
		}
	})
}
