package neigh

import (
	"testing"
	"time"
)

// RFC 1122 2.3.2.2: the latest packets are kept, so the oldest makes room.
func TestQueueIsBounded(t *testing.T) {
	n := NewTable[int]()
	for i := range MaxQueue + 3 {
		h := n.Hold(at(0), ens160, peer, i, 100)
		if i < MaxQueue && h.Evicted != nil || i >= MaxQueue && (len(h.Evicted) != 1 || h.Evicted[0] != i-MaxQueue) {
			t.Fatalf("packet %d: evicted %v", i, h.Evicted)
		}
	}
	_, released := n.Learn(at(tick), ens160, peer, mac1, false)
	if len(released) != MaxQueue || released[0] != 3 || released[MaxQueue-1] != MaxQueue+2 {
		t.Errorf("released %v", released)
	}
}

func TestWaitingBytesAreBounded(t *testing.T) {
	n := NewTable[int]()
	const size = MaxWaitingBytes / 10
	for i := range 10 {
		if h := n.Hold(at(0), ens160, host(i/5), i, size); h.Refused || h.Evicted != nil {
			t.Fatalf("packet %d: %+v", i, h)
		}
	}
	want(t, "one more of the same", n.Hold(at(0), ens160, host(1), 10, size).Evicted, []int{5})
	want(t, "one more of another", n.Hold(at(0), ens160, host(9), 11, size), Held[int]{Refused: true, Ask: true})
	want(t, "too big for ever", n.Hold(at(0), ens160, host(8), 12, MaxWaitingBytes+1), Held[int]{Refused: true, Ask: true})
	if n.waiting > MaxWaitingBytes {
		t.Errorf("%d bytes wait", n.waiting)
	}
	// One that cannot fit in any case costs nobody else his place.
	want(t, "nothing gained by evicting", n.Hold(at(0), ens160, host(0), 13, MaxWaitingBytes), Held[int]{Refused: true})
	_, released := n.Learn(at(tick), ens160, host(0), mac1, false)
	want(t, "released", released, []int{0, 1, 2, 3, 4})
	want(t, "room again", n.Hold(at(0), ens160, host(9), 14, 5*size).Refused, false)
}

func TestIncompleteAreBounded(t *testing.T) {
	n := NewTable[int]()
	n.Hold(at(0), ens160, peer, -1, 1)
	run(n, tick, 3*time.Second)
	want(t, "state", state(n), "failed")
	for i := range MaxIncomplete {
		if h := n.Hold(at(4*time.Second), ens160, host(i), i, 1); h.Refused || !h.Ask {
			t.Fatalf("target %d: %+v", i, h)
		}
	}
	want(t, "one target more", n.Hold(at(4*time.Second), ens160, host(MaxIncomplete), 0, 1), Held[int]{Refused: true})
	want(t, "a failed one", n.Hold(at(4*time.Second), ens160, peer, 0, 1), Held[int]{Refused: true})
	want(t, "a known target", n.Hold(at(4*time.Second), ens160, host(0), 0, 1), Held[int]{})
	n.Learn(at(4*time.Second), ens160, host(0), mac1, false)
	want(t, "room again", n.Hold(at(5*time.Second), ens160, peer, 0, 1), Held[int]{Ask: true})
}

// An entry that no packet goes by makes room, whatever its age; one that is used does not.
func TestNeighborsAreBounded(t *testing.T) {
	n := NewTable[int]()
	for i := range MaxNeighbors {
		n.Learn(at(0), ens160, host(i), mac1, true)
		n.Snapshot().Lookup(ens160, host(i)).Use()
	}
	known, _ := n.Learn(at(0), ens160, peer, mac1, true)
	want(t, "all of them in use", known, false)
	want(t, "nor asked for", n.Hold(at(0), ens160, peer, 1, 1), Held[int]{Refused: true})
	n.Tick(at(ReachableTime)) // now they are stale, and used no more
	want(t, "asked for", n.Hold(at(ReachableTime), ens160, peer, 1, 1), Held[int]{Ask: true})
	known, _ = n.Learn(at(ReachableTime), ens160, host(MaxNeighbors), mac1, true)
	want(t, "learnt", known, true)
	for i := range MaxNeighbors {
		if e := n.Snapshot().Lookup(ens160, host(i)); e != nil {
			n.Learn(at(ReachableTime), ens160, host(i), mac1, false)
			e.Use()
		}
	}
	want(t, "instead of the one that was only learnt", n.Hold(at(ReachableTime), ens160, host(MaxNeighbors+1), 2, 1), Held[int]{Ask: true})
	want(t, "which is gone", n.Snapshot().Lookup(ens160, host(MaxNeighbors)) == nil, true)
	want(t, "entries", len(n.List(start)), MaxNeighbors)
	want(t, "seen by the packet path", n.Snapshot().ports[ens160].Size(), MaxNeighbors-2)
}

// Workloads take no next hop's place, however many there are.
func TestPermanentAreNotBounded(t *testing.T) {
	n := NewTable[int]()
	const workloads = MaxNeighbors + 10
	for i := range workloads {
		n.SetPermanent(ns1, host(i), mac1, at(0))
		n.SetPermanent(ns1, host(i), mac2, at(0)) // once more
	}
	want(t, "asked for", n.Hold(at(0), ens160, peer, 1, 1), Held[int]{Ask: true})
	for i := range MaxNeighbors - 1 {
		if known, _ := n.Learn(at(0), ens160, host(workloads+i), mac1, true); !known {
			t.Fatalf("the next hop %d finds no room", i)
		}
		n.Snapshot().Lookup(ens160, host(workloads+i)).Use()
	}
	want(t, "one too many", n.Hold(at(0), ens160, host(3*workloads), 1, 1), Held[int]{Refused: true})
	n.Forget(ns1, host(0))
	want(t, "a workload less is no room", n.Hold(at(0), ens160, host(3*workloads), 1, 1), Held[int]{Refused: true})
	n.RemovePort(ns1)
	want(t, "nor are all", n.Hold(at(0), ens160, host(3*workloads), 1, 1), Held[int]{Refused: true})
	n.SetPermanent(ens160, peer, mac1, at(0)) // one that was asked for
	want(t, "room again", n.Hold(at(0), ens160, host(3*workloads), 1, 1), Held[int]{Ask: true})
}
