package timeline_test

import (
	"strings"
	"testing"

	"github.com/vrouter/vrouter/internal/timeline"
	"github.com/vrouter/vrouter/internal/trace"
)

// met is a way over some hosts and back.
func met(there, back string) *timeline.Way {
	w := &timeline.Way{Summary: "a packet", Outcome: timeline.Delivered, Reply: timeline.ReplyArrived}
	for part, hosts := range map[string]string{timeline.PartPacket: there, timeline.PartReply: back} {
		from := ""
		for _, h := range strings.Fields(hosts) {
			w.Packets = append(w.Packets, timeline.Packet{Packet: trace.Packet{Host: h, Outcome: trace.Forwarded}, Part: part, From: from})
			from = h
		}
	}
	return w
}

// The headline names a reply's other way, and a loop; what is known of one of them in part says nothing.
func TestHeadlineOfWays(t *testing.T) {
	for _, c := range []struct {
		there, back string
		want, never string
	}{
		{"a b", "b a", "delivered", "another way"},
		{"a b", "b c a", "by another way: b > c > a", "loop"},
		{"a c b", "b a", "by another way: b > a", "loop"},
		{"a b", "b", "delivered", "another way"},
		{"a b a b a", "", "loop: a ↔ b, 4 passes", "another way"},
		{"a b c b c b", "", "loop: b ↔ c, 4 passes", "another way"},
	} {
		out := text(t, met(c.there, c.back))
		head, _, _ := strings.Cut(out, "\n")
		if !strings.Contains(head, c.want) || strings.Contains(head, c.never) {
			t.Errorf("%s, back %s: %s", c.there, c.back, head)
		}
	}
	if out := text(t, met("a b a b a b", "")); strings.Count(out, "#0 a") != 1 || strings.Count(out, "#0 b") != 2 || !strings.Contains(out, "\n… loop: a ↔ b, 5 passes\n") {
		t.Errorf("a loop is not folded:\n%s", out)
	}
}
