package engine_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vrouter/vrouter/forwarder"
	"github.com/vrouter/vrouter/internal/engine"
	"github.com/vrouter/vrouter/internal/filter"
	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/trace"
	"github.com/vrouter/vrouter/rib"
)

// stop has packets wait before a step.
func (b *bed) stop(step *forwarder.Step, expr string, d time.Duration) engine.Stop {
	b.t.Helper()
	f, err := filter.Parse(expr)
	if err != nil {
		b.t.Fatal(err)
	}
	s, err := b.router.StopBefore(step, f, d)
	if err != nil {
		b.t.Fatal(err)
	}
	return s
}

// A packet that is stopped, before whichever step, goes its way when it is let go as if it had not been: the
// same leaves, and the same is counted.
func TestStoppedGoesItsWay(t *testing.T) {
	rows := slices.Concat(answerRows(), ttlRows(), routeRows(), localRows(), encapRows(), decapRows(),
		onBoth(slices.Concat(route6Rows(), local6Rows(), solicitationRows())))
	for _, step := range forwarder.Steps()[1:] {
		t.Run(step.Word, func(t *testing.T) {
			stopped := 0
			for i, r := range rows {
				t.Run(fmt.Sprintf("%d_%s", i, r.name), func(t *testing.T) {
					plain, b := r.bed(t), r.bed(t)
					plain.port(r.from).Send(r.send.Clone())
					s := b.stop(step, "", time.Minute)
					b.port(r.from).Send(r.send)
					if n := b.books().waiting; n > 0 {
						stopped++
						for _, name := range []string{"ns1", "ns2", "ens160"} {
							b.silent(name)
						}
					}
					if !b.router.LetGo(s.ID) {
						t.Error("there is no stop")
					}
					r.judge(b)
					if d := cmp.Diff(plain.tally(), b.tally()); d != "" {
						t.Errorf("counted (-not stopped +stopped):\n%s", d)
					}
				})
			}
			if stopped < 10 {
				t.Errorf("%d packets were stopped", stopped)
			}
		})
	}
}

// tally is what the router has counted.
func (b *bed) tally() []string {
	s := b.router.Stats()
	all := []string{fmt.Sprint(b.books()), fmt.Sprint(b.ways()), fmt.Sprint(b.byRoute())}
	for _, t := range s.Tunnels {
		all = append(all, fmt.Sprint(t.Peer, t.Tx, t.Rx, t.Refused, t.Superframes))
	}
	for _, p := range s.Ports {
		all = append(all, fmt.Sprint(p.Name, p.TxPackets, p.TxBytes, p.ARPRequests))
	}
	return append(all, fmt.Sprint(s.Made, s.Told))
}

// Only what the filter asks for is stopped: the others go on, in their order. Those that are stopped leave in theirs.
func TestStop(t *testing.T) {
	inTime(t, "let go by hand", func(b *bed) {
		b.resolve()
		l := b.listen(trace.Options{}, "icmp")
		s := b.stop(forwarder.TTL, "icmp", 20*time.Second)
		if _, err := b.router.StopBefore(forwarder.TTL, s.Filter, time.Second); !errors.Is(err, engine.ErrStopped) {
			b.t.Errorf("a second stop: %v", err)
		}
		b.ns1.Send(numbered(1), fromNS1(farIP), numbered(2), fromNS1(farIP))
		if n := len(b.uplink.Sent()); n != 2*segments {
			b.t.Errorf("%d packets have left, want %d", n, 2*segments)
		}
		pass(8 * time.Second)
		want := []engine.Held{{For: engine.ForLetGo, Port: "ns1", Before: "ttl", Packets: 2, Age: 8 * time.Second, Missing: "to be let go, in 12 s at the latest"}}
		got := b.router.Held()
		if len(got) == 1 && got[0].Bytes > 100 {
			got[0].Bytes = 0
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			b.t.Errorf("%+v, want %+v", got, want)
		}
		b.booksAre(books{received: 3 + 2*segments, forwarded: 2 * segments, consumed: 1, waiting: 2})
		if b.router.LetGo(s.ID+1) || !b.router.LetGo(s.ID) || b.router.LetGo(s.ID) {
			b.t.Error("it is let go by another number, or not by its own, or twice")
		}
		b.leave(1, 2)
		b.booksAre(books{received: 3 + 2*segments, forwarded: 2 + 2*segments, consumed: 1})
		all := records(l)
		if len(all) != 2 || all[0].Outcome != trace.Forwarded || len(all[0].Consequences) == 0 || all[0].Consequences[0].Detail != "stopped before ttl" {
			b.t.Errorf("the trace has %+v", all)
		}
		for _, st := range all[0].Steps {
			if late := st.NS >= int64(8*time.Second); late != (forwarder.StepNamed(st.Step).Number() >= forwarder.TTL.Number()) {
				b.t.Errorf("%s ended after %d ns", st.Step, st.NS)
			}
		}
		b.ns1.Send(ping(farIP))
		one(b.t, b.uplink)
	})
	inTime(t, "when the time is over", func(b *bed) {
		b.resolve()
		b.stop(forwarder.Neigh, "", 3*time.Second)
		b.ns1.Send(numbered(1), numbered(2))
		pass(2900 * time.Millisecond)
		b.silent("ens160")
		pass(200 * time.Millisecond)
		b.leave(1, 2)
		if s := b.router.Stopped(); s != nil {
			b.t.Errorf("%+v is in force", s)
		}
	})
	inTime(t, "too many", func(b *bed) {
		b.resolve()
		s := b.stop(forwarder.TX, "", time.Minute)
		for range engine.MaxStopped + 3 {
			b.ns1.Send(ping(farIP))
		}
		if n := len(b.uplink.Sent()); n != 3 {
			b.t.Errorf("%d went on, want 3", n)
		}
		if s := b.router.Stopped(); s.Packets != engine.MaxStopped || s.Passed != 3 {
			b.t.Errorf("%+v", s)
		}
		if h := b.router.Held(); len(h) != 1 || !strings.Contains(h[0].Missing, "3 more went on") {
			b.t.Errorf("%+v", h)
		}
		b.router.LetGo(s.ID)
		if n := len(b.uplink.Sent()); n != engine.MaxStopped {
			b.t.Errorf("%d are let go", n)
		}
	})
	inTime(t, "at the router's end", func(b *bed) {
		b.resolve()
		b.stop(forwarder.Route, "", time.Minute)
		b.ns1.Send(ping(farIP))
		b.booksAre(books{received: 2, consumed: 1, waiting: 1})
	})
}

// What is stopped may have to wait for something else before, or then.
func TestStoppedAndWaits(t *testing.T) {
	inTime(t, "for a neighbour, then stopped", func(b *bed) {
		b.stop(forwarder.TX, "icmp", time.Minute)
		b.ns1.Send(ping(farIP))
		b.requests()
		b.reply(peerMAC)
		b.silent("ens160")
		b.waitsFor(engine.ForStop)
		b.router.LetGo(1)
		one(b.t, b.uplink)
		b.booksAre(books{received: 2, forwarded: 1, consumed: 1})
	})
	inTime(t, "stopped, then for a neighbour", func(b *bed) {
		b.stop(forwarder.Route, "icmp", time.Second)
		b.ns1.Send(ping(farIP))
		b.waitsFor(engine.ForStop)
		pass(1100 * time.Millisecond)
		b.waitsFor(engine.ForNeighbor)
		b.requests()
		b.reply(peerMAC)
		one(b.t, b.uplink)
		b.booksAre(books{received: 2, forwarded: 1, consumed: 1})
	})
	inTime(t, "stopped, then for fragments", func(b *bed) {
		b.stop(forwarder.Local, "icmp", time.Minute)
		b.ns1.Send(split(icmpOf(gateway, 8, 0, make([]byte, 2000)), 1500)...)
		b.waitsFor(engine.ForStop)
		b.router.LetGo(1)
		if n := len(b.ns1.Sent()); n != 2 {
			b.t.Errorf("%d fragments of the answer, want 2", n)
		}
		b.booksAre(books{received: 2, consumed: 2})
	})
	inTime(t, "stopped, then for a fragment that never comes", func(b *bed) {
		b.stop(forwarder.Local, "icmp", time.Second)
		b.ns1.Send(split(icmpOf(gateway, 8, 0, make([]byte, 2000)), 1500)[0])
		pass(2 * time.Second)
		b.waitsFor(engine.ForFragments)
		pass(engine.ReassemblyTimeout)
		b.dropsAre("ns1", "reassembly_timeout", 1)
		b.booksAre(books{received: 1, dropped: 1})
	})
}

// waitsFor says that one thing is waited for, and nothing else.
func (b *bed) waitsFor(what int) {
	b.t.Helper()
	b.books()
	for i, w := range b.router.Stats().Waits {
		if (w.Now() > 0) != (i == what) {
			b.t.Errorf("%d packets wait for %d", w.Now(), i)
		}
	}
}

// A port that goes lets those go that came in by it, or are to leave by it, while it is still there.
func TestRemovePortWhilePacketsAreStopped(t *testing.T) {
	for _, name := range []string{"ns1", "ens160"} {
		inTime(t, name, func(b *bed) {
			b.resolve()
			b.stop(forwarder.MTU, "icmp", time.Minute)
			b.ns1.Send(ping(farIP))
			b.ns2.Send(withSrc(ping(ns1IP), ns2IP))
			b.router.RemovePort(b.portID(name))
			if name == "ens160" {
				one(b.t, b.uplink)
				b.booksAre(books{received: 3, forwarded: 1, consumed: 1, waiting: 1})
				b.router.LetGo(1)
				one(b.t, b.ns1)
				return
			}
			one(b.t, b.uplink)
			one(b.t, b.ns1)
			b.booksAre(books{received: 3, forwarded: 2, consumed: 1})
		})
	}
}

// What is stopped keeps to what the host is when it goes on: here the next hop's route has gone.
func TestStoppedMeetsWhatIsThen(t *testing.T) {
	b := newBed(t)
	b.resolve()
	s := b.stop(forwarder.Route, "icmp", time.Minute)
	b.ns1.Send(ping(farIP))
	if err := b.rib.Delete(prefix(farIP+"/32"), rib.Static, 0); err != nil {
		t.Fatal(err)
	}
	b.router.LetGo(s.ID)
	tellsOf(3, 0)(t, ping(farIP), one(t, b.ns1))
	b.dropsAre("ns1", "no_route", 1)
}

// numbered is a ping with an identification.
func numbered(id uint16) *packet.Frame {
	return edited(ping(farIP), func(ip packet.IPv4) { ip[4], ip[5] = byte(id>>8), byte(id) })
}

// leave says which pings have left by the uplink, in this order.
func (b *bed) leave(ids ...uint16) {
	b.t.Helper()
	var got []uint16
	for _, f := range b.uplink.Sent() {
		got = append(got, packet.IPv4(f.Payload()).ID())
		if ttl := packet.IPv4(f.Payload()).TTL(); ttl != 63 {
			b.t.Errorf("a packet leaves with TTL %d", ttl)
		}
	}
	if !slices.Equal(got, ids) {
		b.t.Errorf("%v have left, want %v", got, ids)
	}
}

// So it is with a superframe, wherever it is cut, in a tunnel or not.
func TestStoppedSuperframe(t *testing.T) { inEachTunnel(t, stoppedSuperframe) }

func stoppedSuperframe(t *testing.T, e rib.Encap) {
	for _, step := range forwarder.Steps()[1:] {
		for _, whole := range []bool{true, false} {
			for _, to := range []string{tunnelIP, farIP} {
				plain, b := tunnelBed(t, e, 1500, whole), tunnelBed(t, e, 1500, whole)
				plain.ns1.Send(fromNS1(to))
				s := b.stop(step, "tcp", time.Minute)
				b.ns1.Send(fromNS1(to))
				b.silent("ens160")
				b.router.LetGo(s.ID)
				want, _ := cutFrames(t, plain.uplink.Sent())
				got, _ := cutFrames(t, b.uplink.Sent())
				if len(got) != segments || !slices.EqualFunc(want, got, bytes.Equal) {
					t.Errorf("before %s, whole %v, to %s: %d packets have left, or others than if it had not been stopped", step, whole, to, len(got))
				}
				if d := cmp.Diff(plain.tally(), b.tally()); d != "" {
					t.Errorf("before %s, whole %v, to %s: counted (-not stopped +stopped):\n%s", step, whole, to, d)
				}
			}
		}
	}
}

// Stops that come and go under traffic, and ports that do, lose nothing.
func TestStopsUnderTraffic(t *testing.T) {
	b := newBed(t)
	b.resolve()
	const each = 300
	var all sync.WaitGroup
	all.Go(func() {
		for range each {
			b.ns1.Send(ping(farIP), ping(gateway))
		}
	})
	all.Go(func() {
		for range each {
			b.uplink.Send(fromPeer(), withTTL(fromPeer(), 1))
		}
	})
	steps := forwarder.Steps()[1:]
	for i := range each {
		s := b.stop(steps[i%len(steps)], "icmp", time.Minute)
		if i%10 == 0 {
			port := b.workload(fmt.Sprint("w", i), "10.70.1.9", packet.MAC{2, 0, 0, 0, 1, 9})
			port.Send(withSrc(ping(farIP), "10.70.1.9"))
			b.router.RemovePort(b.portID(fmt.Sprint("w", i)))
			if err := b.rib.Delete(prefix("10.70.1.9/32"), rib.Workload, 0); err != nil {
				t.Fatal(err)
			}
		}
		if !b.router.LetGo(s.ID) {
			t.Error("the stop has gone")
		}
	}
	all.Wait()
	if k := b.books(); k.received != 4*each+each/10+1 || k.waiting != 0 {
		t.Errorf("%+v", k)
	}
}
