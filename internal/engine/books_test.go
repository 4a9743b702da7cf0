package engine_test

import (
	"errors"
	"runtime"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vrouter/vrouter/forwarder"
	"github.com/vrouter/vrouter/internal/engine"
	"github.com/vrouter/vrouter/internal/link"
	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/trace"
	"github.com/vrouter/vrouter/internal/verdict"
	"github.com/vrouter/vrouter/rib"
)

// books is the bottom line: what was received is what was forwarded, consumed,
// dropped, or waits. Packets of ports that are gone are in it.
type books struct{ received, forwarded, consumed, dropped, waiting uint64 }

func (b *bed) books() books {
	b.t.Helper()
	s := b.router.Stats()
	forwarded, consumed, dropped := s.Ended()
	k := books{s.Packets, forwarded, consumed, dropped, s.Waiting()}
	if k.received != k.forwarded+k.consumed+k.dropped+k.waiting || s.Imbalance != 0 {
		b.t.Errorf("out of balance by %d: %+v", s.Imbalance, k)
	}
	ended := map[string]uint64{}
	for w, n := range s.Ways.All {
		ended[w.Outcome()] += n
	}
	if s.Ways.Other != 0 || ended[trace.Forwarded] != forwarded || ended[trace.Consumed] != consumed || ended[trace.Dropped] != dropped {
		b.t.Errorf("the packets' ways, %v and %d others, do not add up to %+v", ended, s.Ways.Other, k)
	}
	return k
}

func (b *bed) booksAre(want books) {
	b.t.Helper()
	if d := cmp.Diff(want, b.books(), cmp.AllowUnexported(books{})); d != "" {
		b.t.Errorf("books (-want +got):\n%s", d)
	}
}

// A port that cannot send costs the packet, with the reason of the port's answer.
func TestPortFails(t *testing.T) {
	for _, c := range []struct {
		err    error
		reason string
	}{
		{errors.New("no such device"), "tx_error"},
		{link.ErrQueueFull, "tx_queue_full"},
	} {
		t.Run(c.reason, func(t *testing.T) {
			b := newBed(t)
			b.uplink.Fail, b.ns2.Fail = c.err, c.err
			b.router.SetNeighbor(b.uplinkID, addr(peerIP), peerMAC)
			b.setMTU("ens160", 1000)
			b.ns1.Send(ping(farIP), ping(ns2IP), ping(gateway), sized(ns1MAC, ns1IP, farIP, 1500), fromNS1(ns2IP))
			one(t, b.ns1) // the others are not held up
			b.silent("ns2")
			b.silent("ens160")
			b.dropsAre("ns1", c.reason, 3+segments)
			b.booksAre(books{received: 4 + segments, consumed: 1, dropped: 3 + segments})
			for _, p := range b.router.Stats().Ports {
				if p.Name != "ns1" && p.TxPackets != 0 {
					t.Errorf("%s: %d packets are counted as sent", p.Name, p.TxPackets)
				}
			}
		})
	}
}

// What the router makes is counted apart, and so is what of it is lost.
func TestMadeIsCountedApart(t *testing.T) {
	b := newBed(t)
	b.resolve()
	b.ns1.Send(asks(ns1IP, gateway), ping(gateway), withTTL(ping(farIP), 1))
	b.ns1.Fail = link.ErrQueueFull
	b.ns1.Send(asks(ns1IP, gateway), ping(gateway), withTTL(ping(farIP), 1))
	s := b.router.Stats()
	want := [forwarder.NumOrigins]uint64{forwarder.ARPReply: 2, forwarder.EchoReply: 2, forwarder.ICMPError: 2}
	if s.Made != want {
		t.Errorf("made %v, want %v", s.Made, want)
	}
	want = [forwarder.NumOrigins]uint64{forwarder.ARPReply: 1, forwarder.EchoReply: 1, forwarder.ICMPError: 1}
	if s.MadeLost != want {
		t.Errorf("lost %v, want %v", s.MadeLost, want)
	}
	b.booksAre(books{received: 7, consumed: 5, dropped: 2})
}

func TestLookupsAreCounted(t *testing.T) {
	b := newBed(t)
	b.resolve()
	b.route(rib.Route{Prefix: prefix("10.70.2.0/24"), Type: rib.Blackhole, Port: rib.NoPort, Source: rib.Static})
	b.ns1.Send(ping(farIP), ping(ns2IP), ping("10.70.2.2"), ping("10.99.0.1"), ping(gateway))
	got := b.router.Stats().Lookups
	if want := [engine.NumLookups]uint64{engine.LookupHit: 2, engine.LookupMiss: 1, engine.LookupBlackhole: 1}; got != want {
		t.Errorf("%v: got %v, want %v", engine.LookupWords, got, want)
	}
}

func TestRemovePortWhilePacketsWait(t *testing.T) {
	inTime(t, "the_port_they_wait_for", func(b *bed) {
		b.ns1.Send(ping(farIP), ping(farIP))
		b.booksAre(books{received: 2, waiting: 2})
		b.requests()
		b.router.RemovePort(b.uplinkID)
		sent := b.ns1.Sent()
		if len(sent) != 2 {
			b.t.Fatalf("%d errors, want 2", len(sent))
		}
		tellsOf(3, 1)(b.t, ping(farIP), sent[0])
		b.dropsAre("ns1", "neighbor_unresolved", 2)
		b.booksAre(books{received: 2, dropped: 2})
	})
	inTime(t, "the_port_they_came_by_then_an_answer", func(b *bed) {
		b.ns1.Send(ping(farIP), ping(farIP))
		b.requests()
		b.router.RemovePort(b.portID("ns1"))
		b.booksAre(books{received: 2, waiting: 2})
		b.reply(peerMAC)
		if n := len(b.uplink.Sent()); n != 2 {
			b.t.Errorf("%d packets were sent on, want 2", n)
		}
		b.booksAre(books{received: 3, forwarded: 2, consumed: 1})
	})
	inTime(t, "the_port_they_came_by_then_none", func(b *bed) {
		b.ns1.Send(ping(farIP))
		b.router.RemovePort(b.portID("ns1"))
		pass(4 * time.Second)
		b.booksAre(books{received: 1, dropped: 1})
		if n := b.router.Stats().Drop("neighbor_unresolved"); n != 1 {
			b.t.Errorf("neighbor_unresolved counts %d, want 1", n)
		}
	})
	inTime(t, "another_port_in_its_place", func(b *bed) {
		b.ns1.Send(ping(farIP))
		id := b.portID("ns1")
		b.router.RemovePort(id)
		b.ns1 = b.again("ns3", "10.70.1.3", packet.MAC{2, 0, 0, 0, 1, 3})
		if got := b.portID("ns3"); got != id {
			b.t.Errorf("the new port has ID %d, want %d", got, id)
		}
		b.reply(peerMAC)
		b.dropsAre("ns3", "", 0)
		b.booksAre(books{received: 2, forwarded: 1, consumed: 1})
	})
}

// again adds a workload whose port takes the place of one that is gone.
func (b *bed) again(name, ip string, mac packet.MAC) *link.Memory {
	for _, r := range b.rib.Routes() {
		if r.Dev == "ns1" {
			_ = b.rib.Delete(r.Prefix, r.Source, r.Metric)
		}
	}
	return b.workload(name, ip, mac)
}

// What is for a port that is gone, while its route is still there, has no route.
func TestRouteToPortThatIsGone(t *testing.T) {
	b := newBed(t)
	b.router.RemovePort(b.portID("ns2"))
	b.ns1.Send(ping(ns2IP))
	tellsOf(3, 0)(t, ping(ns2IP), one(t, b.ns1))
	b.dropsAre("ns1", "no_route", 1)
}

func TestPortNamesAreUnique(t *testing.T) {
	b := newBed(t)
	if _, err := b.router.AddPort(forwarder.PortConfig{Name: "ns1"}, link.NewMemory()); err == nil {
		t.Error("there are two ports called ns1")
	}
}

// Errors that are held back are not built: a thousand packets that nobody
// answers for must not cost a thousand buffers.
func TestHeldBackErrorsCostNothing(t *testing.T) {
	inTime(t, "many_unresolved", func(b *bed) {
		b.route(rib.Route{Prefix: prefix("192.168.0.0/16"), Dev: "ens160", Port: b.uplinkID, Source: rib.Connected})
		for i := range 900 {
			to := packet.IPv4Addr([]byte{192, 168, byte(1 + i>>8), byte(i)}).String()
			b.ns1.Send(ping(to), ping(to))
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		pass(4 * time.Second)
		runtime.ReadMemStats(&after)
		if n := (after.TotalAlloc - before.TotalAlloc) >> 20; n > 80 { // 1800 buffers are 118 MB
			b.t.Errorf("%d MB were allocated", n)
		}
		if n := len(b.ns1.Sent()); n < 200 || n > 400 { // in one tick, or two
			b.t.Errorf("%d errors, want about 200", n)
		}
		b.dropsAre("ns1", "neighbor_unresolved", 1800)
		if n := b.router.Stats().Steps[forwarder.Neigh.Number()][verdict.Drop]; n != 1800 {
			b.t.Errorf("neigh dropped %d, want 1800", n)
		}
	})
}
