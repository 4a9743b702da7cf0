package engine

import (
	"testing"

	"github.com/vrouter/vrouter/internal/trace"
)

// A full table tells no more ways apart, and loses no packet.
func TestWaysThatFindNoRoom(t *testing.T) {
	const all = 3 * MaxWays
	var a, sum Ways
	for range 2 {
		for w := range trace.Way(all) {
			a.add(w+1, 1)
		}
	}
	sum.addAll(&a)
	for _, table := range []*Ways{&a, &sum} {
		counted, ways := table.Other, 0
		for _, n := range table.All {
			counted, ways = counted+n, ways+1
		}
		if counted != 2*all || ways != MaxWays || table.Other != 2*(all-MaxWays) {
			t.Errorf("%d packets, %d ways, %d of others; want %d, %d and the rest", counted, ways, table.Other, 2*all, MaxWays)
		}
	}
}
