package neigh

import (
	"fmt"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"github.com/vrouter/vrouter/internal/packet"
)

const (
	ens160 = 1
	ns1    = 2
	tick   = 100 * time.Millisecond
)

var (
	start = time.Unix(1_000_000, 0)
	peer  = netip.MustParseAddr("192.168.0.12")
	mac1  = packet.MAC{2, 0, 0, 0, 0, 1}
	mac2  = packet.MAC{2, 0, 0, 0, 0, 2}
)

func at(d time.Duration) time.Time { return start.Add(d) }

func host(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}) }

// state is that of the only entry, or "none".
func state(t *Table[int]) string {
	list := t.List(start)
	if len(list) == 0 {
		return "none"
	}
	return list[0].State.String()
}

// run lets time pass from one moment to another, tick by tick, and notes when
// which requests were due and what failed.
func run(t *Table[int], from, to time.Duration) (asks []string, failed []int) {
	for d := from; d <= to; d += tick {
		a, f := t.Tick(at(d))
		for _, x := range a {
			asks = append(asks, fmt.Sprintf("%s %s to %s by %d", d, x.Target, x.To, x.Port))
		}
		failed = append(failed, f...)
	}
	return asks, failed
}

func want[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// RFC 1122 2.3.2.1: one request a second, three of them; then all that waited
// comes out, in order.
func TestNobodyAnswers(t *testing.T) {
	n := NewTable[int]()
	want(t, "first", n.Hold(at(0), ens160, peer, 1, 100), Held[int]{Ask: true})
	want(t, "second", n.Hold(at(10*time.Millisecond), ens160, peer, 2, 100), Held[int]{})
	asks, failed := run(n, tick, 2900*time.Millisecond)
	want(t, "requests", asks, []string{"1s 192.168.0.12 to ff:ff:ff:ff:ff:ff by 1", "2s 192.168.0.12 to ff:ff:ff:ff:ff:ff by 1"})
	want(t, "failed early", failed, nil)
	want(t, "state", state(n), "incomplete")
	asks, failed = run(n, 3*time.Second, 4*time.Second)
	want(t, "more requests", asks, nil)
	want(t, "failed", failed, []int{1, 2})
	want(t, "state", state(n), "failed")
	want(t, "forgotten", func() string { run(n, 5*time.Second, 63*time.Second+tick); return state(n) }(), "none")
}

// A packet for a neighbour that has failed starts over, not before its second is up.
func TestFailedIsAskedAgain(t *testing.T) {
	n := NewTable[int]()
	n.Hold(at(0), ens160, peer, 1, 100)
	run(n, tick, 3*time.Second)
	want(t, "next", n.Hold(at(3*time.Second+tick), ens160, peer, 2, 100), Held[int]{Ask: true})
	want(t, "state", state(n), "incomplete")
	_, failed := run(n, 4*time.Second, 6*time.Second)
	want(t, "failed early", failed, nil)
	_, failed = run(n, 6*time.Second+tick, 6*time.Second+tick)
	want(t, "failed", failed, []int{2})
}

func TestAnswerReleases(t *testing.T) {
	n := NewTable[int]()
	for i := range 3 {
		n.Hold(at(0), ens160, peer, i, 100)
	}
	if n.Snapshot().Lookup(ens160, peer) != nil {
		t.Error("resolved before the answer")
	}
	known, released := n.Learn(at(time.Second), ens160, peer, mac1, false)
	want(t, "known", known, true)
	want(t, "released", released, []int{0, 1, 2})
	if got := n.Snapshot().Lookup(ens160, peer); got == nil || got.MAC != mac1 {
		t.Errorf("the packet path sees %+v", got)
	}
	// Until they are sent, others queue up behind them, and then behind those.
	for i := 3; i < 6; i++ {
		want(t, "before they are sent", n.Snapshot().Lookup(ens160, peer).Queued(), true)
		want(t, "behind them", n.Hold(at(time.Second), ens160, peer, i, 100), Held[int]{})
		_, again := n.Learn(at(time.Second), ens160, peer, mac1, false)
		want(t, "released once more", again, nil)
		want(t, "behind", n.Behind(ens160, peer), []int{i})
	}
	want(t, "behind", n.Behind(ens160, peer), nil)
	want(t, "when they are sent", n.Snapshot().Lookup(ens160, peer).Queued(), false)
	// Whoever held a snapshot from before the answer is told so.
	want(t, "late", n.Hold(at(time.Second), ens160, peer, 9, 100), Held[int]{Known: true})
	want(t, "waiting", n.waiting, 0)
}

// None is lost for the sake of order: what would be more than may wait goes ahead of them.
func TestQueueBehindIsBounded(t *testing.T) {
	n := NewTable[int]()
	n.Hold(at(0), ens160, peer, 0, 100)
	n.Learn(at(tick), ens160, peer, mac1, false)
	queue := func(packets int) {
		for i := range packets {
			want(t, "behind", n.Hold(at(tick), ens160, peer, i, 100), Held[int]{})
		}
	}
	overtakes := func() {
		want(t, "one more", n.Hold(at(tick), ens160, peer, MaxQueue, 100), Held[int]{Known: true})
	}
	for range maxLate / MaxQueue {
		queue(MaxQueue)
		overtakes()
		want(t, "behind", len(n.Behind(ens160, peer)), MaxQueue)
	}
	overtakes() // so who sends them comes to an end
}

// RFC 1122 2.3.2.1 (2): an entry in use is confirmed by a unicast request 30 s
// after it was last known to be right.
func TestConfirmation(t *testing.T) {
	for _, c := range []struct {
		name  string
		used  time.Duration // after the answer; 0: not at all
		asks  []string
		state string // 34 s later
	}{
		{"not used", 0, nil, "stale"},
		{"used while it was fresh", 10 * time.Second, nil, "stale"},
		{"in use", 30 * time.Second, []string{"30.1s 192.168.0.12 to 02:00:00:00:00:01 by 1",
			"31.1s 192.168.0.12 to 02:00:00:00:00:01 by 1", "32.1s 192.168.0.12 to 02:00:00:00:00:01 by 1"}, "failed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := NewTable[int]()
			n.Learn(at(0), ens160, peer, mac1, true)
			want(t, "state at first", state(n), "reachable")
			var asks []string
			for d := tick; d <= 34*time.Second; d += tick {
				a, _ := run(n, d, d)
				asks = append(asks, a...)
				if d == c.used {
					n.Snapshot().Lookup(ens160, peer).Use()
				}
			}
			want(t, "requests", asks, c.asks)
			want(t, "state", state(n), c.state)
			if gone := n.Snapshot().Lookup(ens160, peer) == nil; gone != (c.state == "failed") {
				t.Errorf("seen by the packet path: %v", !gone)
			}
		})
	}
}

func TestConfirmed(t *testing.T) {
	n := NewTable[int]()
	n.Learn(at(0), ens160, peer, mac1, true)
	run(n, tick, 30*time.Second)
	seen := n.Snapshot().Lookup(ens160, peer)
	seen.Use()
	run(n, 30*time.Second+tick, 31*time.Second)
	want(t, "while asked", state(n), "probe")
	n.Learn(at(31*time.Second), ens160, peer, mac1, false)
	want(t, "answered", state(n), "reachable")
	if n.Snapshot().Lookup(ens160, peer) != seen {
		t.Error("an answer that changes nothing published a new snapshot")
	}
	asks, _ := run(n, 31*time.Second+tick, 60*time.Second)
	want(t, "asked again", asks, nil)
}

func TestUnusedIsForgotten(t *testing.T) {
	n := NewTable[int]()
	n.Learn(at(0), ens160, peer, mac1, true)
	run(n, tick, 90*time.Second-tick)
	want(t, "state", state(n), "stale")
	run(n, 90*time.Second, 90*time.Second)
	want(t, "state", state(n), "none")
	if n.Snapshot().Lookup(ens160, peer) != nil {
		t.Error("the packet path still sees it")
	}
}

// RFC 826: a known sender's address is always taken over; a stranger's only if
// the packet was for us. Nobody speaks for a neighbour on another port.
func TestLearn(t *testing.T) {
	for _, c := range []struct {
		name    string
		before  bool // known already, as mac1 on ens160
		port    int
		create  bool
		known   bool
		entries int
		mac     packet.MAC
	}{
		{"stranger, for somebody else", false, ens160, false, false, 0, packet.MAC{}},
		{"stranger, for us", false, ens160, true, true, 1, mac2},
		{"known, for somebody else", true, ens160, false, true, 1, mac2},
		{"known, for us", true, ens160, true, true, 1, mac2},
		{"from another port, for somebody else", true, ns1, false, false, 1, mac1},
		{"from another port, where it is another one", true, ns1, true, true, 2, mac1},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := NewTable[int]()
			if c.before {
				n.Learn(at(0), ens160, peer, mac1, true)
			}
			known, _ := n.Learn(at(time.Second), c.port, peer, mac2, c.create)
			want(t, "known", known, c.known)
			want(t, "entries", len(n.List(start)), c.entries)
			if c.entries > 0 {
				want(t, "MAC", n.Snapshot().Lookup(ens160, peer).MAC, c.mac)
			}
		})
	}
}

func TestPermanent(t *testing.T) {
	n := NewTable[int]()
	n.SetPermanent(ns1, peer, mac1, at(0))
	n.Snapshot().Lookup(ns1, peer).Use()
	asks, failed := run(n, time.Hour, time.Hour+2*time.Minute)
	if asks != nil || failed != nil || state(n) != "permanent" {
		t.Errorf("asked %v, failed %v, %s", asks, failed, state(n))
	}
	n.Learn(at(2*time.Hour), ns1, peer, mac2, false)
	want(t, "state after a new address", state(n), "permanent")
	want(t, "MAC", n.Snapshot().Lookup(ns1, peer).MAC, mac2)
	n.RemovePort(ns1)
	want(t, "state without its port", state(n), "none")
}

// What waited before somebody told the address must not wait for ever.
func TestPermanentReleases(t *testing.T) {
	n := NewTable[int]()
	n.Hold(at(0), ns1, peer, 1, 100)
	want(t, "released", n.SetPermanent(ns1, peer, mac1, at(tick)), []int{1})
	want(t, "incomplete", n.all.incomplete, 0)
	want(t, "waiting", n.waiting, 0)
}

// An address is another neighbour on each port: who has it on one of them says nothing
// about the other one.
func TestOneAddressOnTwoPorts(t *testing.T) {
	n := NewTable[int]()
	n.SetPermanent(ns1, peer, mac1, at(0))
	want(t, "known elsewhere", n.Hold(at(0), ens160, peer, 1, 100), Held[int]{Ask: true})
	known, released := n.Learn(at(tick), ens160, peer, mac2, false)
	want(t, "learnt", known, true)
	want(t, "released", released, []int{1})
	want(t, "MAC", n.Snapshot().Lookup(ns1, peer).MAC, mac1)
	want(t, "MAC on the other port", n.Snapshot().Lookup(ens160, peer).MAC, mac2)
	n.RemovePort(ns1)
	if n.Snapshot().Lookup(ns1, peer) != nil || n.Snapshot().Lookup(ens160, peer) == nil {
		t.Error("the port that is gone took the other one's neighbour along, or left its own")
	}
}

func TestRemovePort(t *testing.T) {
	n := NewTable[int]()
	n.Hold(at(0), ens160, host(1), 1, 100)
	n.Hold(at(0), ens160, host(1), 2, 100)
	n.Hold(at(0), ns1, host(2), 3, 100)
	n.Learn(at(0), ens160, peer, mac1, true)
	want(t, "failed", n.RemovePort(ens160), []int{1, 2})
	list := n.List(at(0))
	if len(list) != 1 || list[0].Addr != host(2) || n.waiting != 100 || n.all.incomplete != 1 {
		t.Errorf("left are %v, %d bytes, %d incomplete", list, n.waiting, n.all.incomplete)
	}
	if n.Snapshot().Lookup(ens160, peer) != nil {
		t.Error("the packet path sees a neighbour on a port that is gone")
	}
}

func TestList(t *testing.T) {
	n := NewTable[int]()
	n.Hold(at(time.Second), ens160, host(2), 1, 100)
	n.SetPermanent(ns1, host(1), mac1, at(0))
	want(t, "list", n.List(at(3*time.Second)), []Info{
		{Addr: host(1), Port: ns1, MAC: mac1, State: Permanent, Age: 3 * time.Second},
		{Addr: host(2), Port: ens160, State: Incomplete, Age: 2 * time.Second, Waiting: 1, Bytes: 100, Tries: 1},
	})
}
