package engine_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/vrouter/vrouter/internal/link"
	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/trace"
	"github.com/vrouter/vrouter/rib"
)

// kept are the recorded drops, in text.
func (b *bed) kept(last bool) (all []string) {
	for _, r := range b.router.Trace().Kept(last) {
		p := r.View("k8s-master-1")
		all = append(all, text(b.t, []trace.Packet{p}))
	}
	return all
}

// The first packet of each port and reason is recorded though nobody listens, with
// what is known when it is dropped, and no times.
func TestDropsAreRecorded(t *testing.T) { inTime(t, "recorded", dropsAreRecorded) }

func dropsAreRecorded(b *bed) {
	t := b.t
	b.resolve()
	tunnel(b)
	for range 3 {
		b.ns1.Send(withTTL(ping(farIP), 1), withSrc(ping(farIP), ns2IP), ping(farIP))
	}
	b.uplink.Fail = link.ErrQueueFull
	b.ns1.Send(ping(tunnelIP))
	want := []string{`#1 k8s-master-1  ns1 > -  icmp echo request 10.70.1.1 > 10.70.2.1 id 41 seq 1  38 bytes
  rx     pass  ns1  02:00:00:00:01:01 > ee:ee:ee:ee:ee:ee
  check  pass
  route  pass  10.70.2.1/32 via 192.168.0.12 dev ens160 proto static
  ttl    drop  ttl_exceeded: the time to live ran out here                  RFC 1812 5.3.1
  dropped  ttl_exceeded: raise the TTL, or look for a routing loop
`, `#2 k8s-master-1  ns1 > -  icmp echo request 10.70.1.2 > 10.70.2.1 id 41 seq 1  38 bytes
  rx     pass  ns1  02:00:00:00:01:01 > ee:ee:ee:ee:ee:ee
  check  pass
  rpf    drop  rpf_failed: the workload is 10.70.1.1                        RFC 3704 2.2
  dropped  rpf_failed: send from the workload's address, or set ` + "`rpf: off`" + `
`, `#3 k8s-master-1  ns1 > -  ipip 192.168.0.11 > 192.168.0.12 / icmp echo request 10.70.1.1 > 10.70.3.1 id 41 seq 1  58 bytes
  rx     pass  ns1
  check  pass
  route  pass  10.70.3.0/24 via 192.168.0.12 dev ens160 proto static encap ipip
  ttl    edit                                                               RFC 1812 5.3.1
  encap  edit                                                               RFC 2003 3.1
  neigh  edit  192.168.0.12 is 02:00:00:00:00:0c                            RFC 826, RFC 1122 2.3.2
  tx     drop  tx_queue_full: the port's queue is full: in the kernel, or before the slow lane
  dropped  tx_queue_full: the receiver is slower than the sender, who is to slow down; ` + "`vrouter show workers`" + ` names workloads whose own stack is slow
`}
	if d := cmp.Diff(want, b.kept(false)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// One that somebody watches is kept as he sees it, and has the same number.
func TestTracedDropIsRecordedWithItsTimes(t *testing.T) {
	b := newBed(t)
	b.resolve()
	l := b.listen(trace.Options{}, "icmp")
	b.ns1.Send(withTTL(ping(farIP), 1))
	want := text(t, records(l)[:1])
	if got := b.kept(false); len(got) != 1 || got[0] != want || !strings.Contains(want, "µs") {
		t.Errorf("kept %q, want %q", got, want)
	}
}

func TestRecordedDropsAreLimited(t *testing.T) {
	inTime(t, "one_a_second", func(b *bed) {
		b.resolve()
		for range 50 { // 5 s
			b.ns1.Send(withTTL(ping(farIP), 1), withTTL(ping(farIP), 1))
			b.ns2.Send(withSrc(ping(farIP), ns1IP))
			pass(100 * time.Millisecond)
		}
		counts := map[string]int{}
		for _, r := range b.router.Trace().Kept(false) {
			counts[fmt.Sprint(r.In, " ", r.Outcome.Reason)]++
		}
		for _, key := range []string{"ns1 ttl_exceeded", "ns2 rpf_failed"} {
			if n := counts[key]; n < 5 || n > 6 {
				b.t.Errorf("%s: %d records in 5 s, want one a second; all: %v", key, n, counts)
			}
		}
		if n := len(b.router.Trace().Kept(true)); n != 2 {
			b.t.Errorf("%d last ones, want one of each port and reason", n)
		}
	})
	inTime(t, "bounded", func(b *bed) {
		b.ns1.Send(withSrc(ping(farIP), ns2IP)) // once, long ago
		for range trace.MaxKept + 10 {
			b.ns2.Send(withSrc(ping(farIP), ns1IP))
			pass(time.Second)
		}
		kept := b.router.Trace().Kept(false)
		if len(kept) != trace.MaxKept {
			b.t.Errorf("%d are kept, want %d", len(kept), trace.MaxKept)
		}
		if kept[0].In != "ns1" {
			b.t.Errorf("the last one of ns1 has made room for many of ns2")
		}
	})
}

// A packet that waited in vain, for its next hop or for its other fragments.
func TestDropsAfterWaitingAreRecorded(t *testing.T) {
	inTime(t, "neighbour", func(b *bed) {
		b.route(rib.Route{Prefix: prefix("10.70.9.0/24"), Via: addr("192.168.0.99"), Dev: "ens160", Port: b.uplinkID, Source: rib.Static})
		b.ns1.Send(ping("10.70.9.1"))
		pass(4 * time.Second)
		kept := b.kept(false)
		if len(kept) != 1 || !strings.Contains(kept[0], "neigh  drop  neighbor_unresolved: next hop 192.168.0.99") || !strings.Contains(kept[0], "10.70.1.1 > 10.70.9.1") {
			b.t.Errorf("kept %q", kept)
		}
	})
	inTime(t, "fragments", func(b *bed) {
		b.ns1.Send(edited(frame(ether(ns1MAC, gatewayMAC), ip4(ns1IP, gateway, layers.IPProtocolICMPv4), echo(1), gopacket.Payload("01234567")), func(ip packet.IPv4) { ip[6] = 0x20 }))
		pass(31 * time.Second)
		if kept := b.kept(false); len(kept) != 1 || !strings.Contains(kept[0], "local  drop  reassembly_timeout") {
			b.t.Errorf("kept %q", kept)
		}
	})
}

// What explain drops is not recorded, and what the router made is not either.
func TestOnlyReceivedDropsAreRecorded(t *testing.T) {
	b := newBed(t)
	b.ns1.Fail = link.ErrQueueFull
	b.ns1.Send(ping(gateway)) // the reply cannot be sent
	if _, err := b.router.DryRun().Explain("ns1", withTTL(ping(farIP), 1)); err != nil {
		t.Fatal(err)
	}
	if kept := b.kept(false); len(kept) != 0 {
		t.Errorf("kept %q", kept)
	}
}
