package neigh

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/vrouter/vrouter/internal/packet"
)

func host6(i int) netip.Addr {
	return netip.AddrFrom16([16]byte{0: 0xfd, 13: byte(i >> 16), 14: byte(i >> 8), 15: byte(i)})
}

// before brings an entry of peer on ens160 into a state, as mac1 where it has one, 1 s
// before the moment 40 s, and has a packet go by it.
func before(t *testing.T, s State) *Table[int] {
	n := NewTable[int]()
	const then = 39 * time.Second
	switch s {
	case Incomplete, Failed:
		n.Hold(at(then), ens160, peer, 7, 100)
		if s == Failed {
			run(n, then, then)
			n.Tick(at(then + time.Second))
			n.Tick(at(then + 2*time.Second))
			n.Tick(at(then + 3*time.Second))
		}
	case Reachable, Stale, Probe:
		n.Learn(at(0), ens160, peer, mac1, true)
		n.Tick(at(ReachableTime))
		if s == Reachable {
			n.Learn(at(then), ens160, peer, mac1, false)
		}
		if n.Snapshot().Lookup(ens160, peer).Use(); s == Probe {
			n.Tick(at(then))
		}
	case Permanent:
		n.SetPermanent(ens160, peer, mac1, at(0))
	}
	if s != numStates && state(n) != s.String() {
		t.Fatalf("the entry is %s, want %s", state(n), s)
	}
	return n
}

// RFC 4861 7.2.5 and its appendix C: what an advertisement changes, by what it says.
func TestAdvertised(t *testing.T) {
	const none = numStates
	var no packet.MAC
	for _, c := range []struct {
		before              State
		mac                 packet.MAC // zero: it does not say
		override, solicited bool
		after               State
		now                 packet.MAC
	}{
		{none, mac1, true, true, none, no}, // nobody is entered
		{Failed, mac1, true, true, Failed, no},
		{Incomplete, no, true, true, Incomplete, no},
		{Incomplete, mac1, false, false, Stale, mac1}, {Incomplete, mac1, true, false, Stale, mac1},
		{Incomplete, mac1, false, true, Reachable, mac1}, {Incomplete, mac1, true, true, Reachable, mac1},

		{Reachable, mac2, false, true, Stale, mac1}, {Reachable, mac2, false, false, Stale, mac1},
		{Stale, mac2, false, true, Stale, mac1}, {Probe, mac2, false, true, Probe, mac1}, {Permanent, mac2, false, true, Permanent, mac1},

		{Reachable, mac1, false, true, Reachable, mac1}, {Stale, mac1, false, true, Reachable, mac1}, {Probe, mac1, false, true, Reachable, mac1},
		{Reachable, no, true, true, Reachable, mac1}, {Stale, no, false, true, Reachable, mac1}, {Probe, no, true, true, Reachable, mac1},
		{Stale, mac2, true, true, Reachable, mac2}, {Probe, mac2, true, true, Reachable, mac2}, {Reachable, mac2, true, true, Reachable, mac2},

		{Reachable, mac1, true, false, Reachable, mac1}, {Stale, mac1, true, false, Stale, mac1}, {Probe, mac1, false, false, Probe, mac1},
		{Reachable, no, false, false, Reachable, mac1}, {Probe, no, true, false, Probe, mac1},
		{Reachable, mac2, true, false, Stale, mac2}, {Stale, mac2, true, false, Stale, mac2}, {Probe, mac2, true, false, Stale, mac2},
		{Permanent, mac2, true, false, Permanent, mac2}, {Permanent, mac1, true, true, Permanent, mac1},
	} {
		name := "none"
		if c.before != none {
			name = c.before.String()
		}
		t.Run(fmt.Sprintf("%s, %s, override %t, solicited %t", name, c.mac, c.override, c.solicited), func(t *testing.T) {
			n := before(t, c.before)
			const now = 40 * time.Second
			known, released := n.Advertised(at(now), ens160, peer, c.mac, c.mac != no, c.override, c.solicited)
			want(t, "known", known, c.before != none && c.before != Failed)
			wantState, wantReleased := "none", []int(nil)
			if c.after != none {
				wantState = c.after.String()
			}
			if c.before == Incomplete && c.after != Incomplete {
				wantReleased = []int{7}
			}
			want(t, "state", state(n), wantState)
			want(t, "released", released, wantReleased)
			seen := n.Snapshot().Lookup(ens160, peer)
			if (seen != nil) != (c.now != no) || seen != nil && seen.MAC != c.now {
				t.Errorf("seen as %+v, want %s", seen, c.now)
			}
			if _, other := n.Advertised(at(now), ns1, peer, mac2, true, true, true); other != nil || n.Snapshot().Lookup(ns1, peer) != nil {
				t.Error("a neighbour on another port was heard")
			}
		})
	}
}

// RFC 4861 7.2.3: a solicitation tells where its sender is, and not that it hears us.
func TestSolicited(t *testing.T) {
	for _, c := range []struct {
		before, after State
		mac, now      packet.MAC
		create        bool
	}{
		{numStates, Stale, mac1, mac1, true}, {numStates, numStates, mac1, packet.MAC{}, false},
		{Failed, Stale, mac1, mac1, true}, {Failed, Failed, mac1, packet.MAC{}, false},
		{Incomplete, Stale, mac1, mac1, true}, {Incomplete, Stale, mac1, mac1, false},
		{Reachable, Reachable, mac1, mac1, true}, {Reachable, Stale, mac2, mac2, false}, {Probe, Probe, mac1, mac1, true}, {Probe, Stale, mac2, mac2, true},
		{Stale, Stale, mac1, mac1, true}, {Permanent, Permanent, mac2, mac2, true},
	} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			n := before(t, c.before)
			known, _ := n.Solicited(at(40*time.Second), ens160, peer, c.mac, c.create)
			wantState := "none"
			if c.after != numStates {
				wantState = c.after.String()
			}
			want(t, "state", state(n), wantState)
			want(t, "known", known, c.now != packet.MAC{})
			if seen := n.Snapshot().Lookup(ens160, peer); seen != nil && seen.MAC != c.now || seen == nil && known {
				t.Errorf("seen as %+v, want %s", seen, c.now)
			}
		})
	}
}

// Who was heard and has not answered is asked at his own address as soon as a packet goes
// by, and not before (RFC 4861 7.3.3).
func TestStaleIsProbed(t *testing.T) {
	n := NewTable[int]()
	n.Solicited(at(0), ens160, peer, mac1, true)
	asks, _ := run(n, tick, 10*time.Second)
	want(t, "nobody goes by", asks, nil)
	n.Snapshot().Lookup(ens160, peer).Use()
	asks, _ = run(n, 10*time.Second, 10*time.Second+tick)
	want(t, "probe", asks, []string{"10s 192.168.0.12 to 02:00:00:00:00:01 by 1"})
	n.Advertised(at(11*time.Second), ens160, peer, mac1, true, true, true)
	n.Snapshot().Lookup(ens160, peer).Use()
	asks, _ = run(n, 11*time.Second, 40*time.Second)
	want(t, "while it is reachable", asks, nil)
}

// Who asks for all addresses of a /64 that nobody has takes no known neighbour's place,
// and on one link none of what may be asked for on another.
func TestScanPushesNobodyOut(t *testing.T) {
	n := NewTable[int]()
	const known = 1000
	for i := range known {
		n.Learn(at(0), ens160, host6(i), mac1, true)
	}
	refused, next := 0, known
	for d := time.Duration(0); d < ReachableTime; d += 500 * time.Millisecond {
		for range 2000 {
			if h := n.Hold(at(d), ens160, host6(next), next, 100); h.Refused {
				refused++
			}
			next++
		}
		n.Tick(at(d))
	}
	for i := range known {
		if n.Snapshot().Lookup(ens160, host6(i)) == nil {
			t.Fatalf("neighbour %d is gone, %d entries", i, len(n.entries))
		}
	}
	if refused == 0 || n.all.incomplete > MaxIncomplete || n.all.learnt > MaxNeighbors {
		t.Errorf("%d refused, %+v", refused, n.all)
	}
	want(t, "on another link", n.Hold(at(ReachableTime), ns1, peer, 1, 100), Held[int]{Ask: true})
}

// Who speaks from all addresses of a /64 takes the place of his own link's neighbours, not
// of another's.
func TestFloodStaysOnItsLink(t *testing.T) {
	n := NewTable[int]()
	const others = MaxNeighbors / 4
	for i := range others {
		n.Learn(at(0), ens160, host6(i), mac1, true)
	}
	for i := range 3 * MaxNeighbors {
		if known, _ := n.Solicited(at(tick), ns1, host6(others+i), mac2, true); !known {
			t.Fatalf("the %dth is not taken", i)
		}
	}
	for i := range others {
		if n.Snapshot().Lookup(ens160, host6(i)) == nil {
			t.Fatalf("neighbour %d of the other link is gone", i)
		}
	}
	want(t, "entries", len(n.entries), MaxNeighbors)
	want(t, "asked for on the other link", n.Hold(at(tick), ens160, peer, 1, 100), Held[int]{Ask: true})
}
