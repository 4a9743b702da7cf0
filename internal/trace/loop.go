package trace

import (
	"fmt"
	"slices"
	"strings"
)

// Loop finds the hosts that a packet comes to again and again, and how often it goes from one of them to the next; nil and 0 if it
// is in no loop.
func Loop(path []string) (hosts []string, passes int) {
	for i, h := range path {
		if n := slices.Index(path[i+1:], h); n >= 0 {
			return path[i : i+1+n], len(path) - 1 - i
		}
	}
	return nil, 0
}

// LoopWords are "loop: a ↔ b, 63 passes".
func LoopWords(hosts []string, passes int) string {
	return fmt.Sprintf("loop: %s, %d passes", strings.Join(hosts, " ↔ "), passes)
}
