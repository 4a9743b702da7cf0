package ping

import "testing"

// Pings of one process at the same time do not take each other's replies: each has an identifier of its own, of 16 bits (RFC 792).
func TestIdentifiers(t *testing.T) {
	seen := map[int]bool{}
	for range 1 << 16 {
		id := nextID()
		if seen[id] || id>>16 != 0 {
			t.Fatalf("%d, after %d others", id, len(seen))
		}
		seen[id] = true
	}
}
