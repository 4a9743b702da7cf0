package e2e

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/vrouter/vrouter/internal/ping"
	"github.com/vrouter/vrouter/internal/timeline"
)

// Of several hosts' traces a sample is the same packets at each of them, with their replies.
func TestTraceHostsSample(t *testing.T) {
	const pings, shown = 120, 8
	hosts := labUp(t, "")
	wantEcho(t, hosts[0].ns1, there, 62) // ARP is over
	r := start(t, command(t, "trace", "--hosts", hosts[0].Name+","+hosts[1].Name, "--sample", "1/4", "-c", fmt.Sprint(shown), "-o", "json", "icmp"), outsideOfAll)
	eventually(t, "both are traced", func() bool { return listening(t, hosts, 1) == 2 })
	in(t, hosts[0].ns1, func() error {
		_, err := ping.Run(t.Context(), io.Discard, ping.Options{To: netip.MustParseAddr(there), Count: pings, Timeout: patience})
		return err
	})
	n, first, last := 0, 0, 0
	out := r.wait(t).wantOK(t)
	for dec := json.NewDecoder(strings.NewReader(out)); dec.More(); n++ {
		var w timeline.Way
		if err := dec.Decode(&w); err != nil {
			t.Fatal(err)
		}
		if m := regexp.MustCompile(` seq (\d+) `).FindStringSubmatch(w.Summary); m != nil {
			last, _ = strconv.Atoi(m[1])
			first = cmp.Or(first, last)
		}
		if len(w.Hosts) != 2 || w.Reply != timeline.ReplyArrived {
			t.Errorf("%s: hosts %v, reply %q: %v", w.Summary, w.Hosts, w.Reply, w.Notes)
		}
	}
	if n != shown || last-first < shown {
		t.Errorf("%d are shown, from request %d to %d: want about a quarter of them", n, first, last)
	}
}
