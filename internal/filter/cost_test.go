package filter

import (
	"strings"
	"testing"
	"time"
)

// A filter has so many words and no more; what is longer is refused before it is read as a whole.
func TestFilterIsBounded(t *testing.T) {
	longest := strings.TrimSuffix(strings.Repeat("tcp or ", MaxWords/2), " or ")
	if _, err := Parse(longest); err != nil {
		t.Errorf("%d words: %v", len(strings.Fields(longest)), err)
	}
	for name, expr := range map[string]string{
		"terms": longest + " or tcp or tcp", "205,000 terms": strings.Repeat("arp||", 205_000),
		"not": strings.Repeat("not ", MaxWords+1) + "tcp", "parentheses": strings.Repeat("(", MaxWords+1), "ports": "port (1" + strings.Repeat(" or 1", MaxWords/2) + ")",
	} {
		began := time.Now()
		_, err := Parse(expr)
		if err == nil || !strings.Contains(err.Error(), "it goes on after 1000 words") {
			t.Errorf("%s: %v", name, err)
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("%s: refused after %v", name, took)
		}
	}
}

// The cost of a filter is the nodes that it looks at, and its answer is that of Match.
func TestCost(t *testing.T) {
	frame := frames(t)["ping"]
	for expr, want := range map[string]int{
		"icmp": 1, "not icmp": 2, "icmp or tcp": 2, "tcp or icmp": 3, "tcp and (udp or arp)": 2, "icmp and (udp or arp)": 5,
		"(icmp or tcp) and not udp": 5,
	} {
		f := parse(t, expr)
		if got := f.Cost(frame, true) - decodeCost; got != want {
			t.Errorf("%q looks at %d nodes, want %d", expr, got, want)
		}
	}
	if n := parse(t, "").Cost(frame, false); n != 0 {
		t.Errorf("no filter costs %d", n)
	}
	f := parse(t, every)
	for name, frame := range frames(t) {
		for inner, match := range map[bool]func([]byte) bool{false: f.Match, true: f.MatchInner} {
			var v view
			unwrap := 0
			if inner {
				unwrap = maxLayers
			}
			v.decode(frame, unwrap)
			if matches, _ := f.root.cost(&v); matches != match(frame) {
				t.Errorf("%s, inner %v: cost says %v", name, inner, matches)
			}
		}
	}
}

// BenchmarkNode shows what a node takes, which trace.nodesPerSecond is made of.
func BenchmarkNode(b *testing.B) {
	f, frame := parse(b, strings.TrimSuffix(strings.Repeat("host 1.2.3.4 or ", 300), " or ")), frames(b)["tcp"]
	n := f.Cost(frame, true)
	for b.Loop() {
		f.MatchInner(frame)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/node")
}
