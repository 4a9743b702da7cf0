package main

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/vrouter/vrouter/internal/filter"
	"github.com/vrouter/vrouter/internal/share"
	"github.com/vrouter/vrouter/internal/trace"
	"github.com/vrouter/vrouter/metrics"
)

// thousands is a number as the documentation writes it.
func thousands(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// part is a share of a processor, in words.
func part(f float64) string {
	return map[float64]string{0.05: "a twentieth", 0.1: "a tenth", 0.2: "a fifth"}[f]
}

// The table of what strangers can make grow, and what the other documents say of the shares, has the
// numbers that the code has; the metrics that it names exist.
func TestLimitsAreDocumented(t *testing.T) {
	read := func(name string) string {
		b, err := os.ReadFile("../../docs/" + name)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	places := func(each, all int) string { return fmt.Sprintf("%d an address, %d in all", each, all) }
	inTime := fmt.Sprintf("%d new ones a second", share.EachRate)
	architecture := read("architecture.md")
	for _, row := range []string{
		fmt.Sprintf("| words of a filter | %s; nested ", thousands(filter.MaxWords)),
		fmt.Sprintf("| time that filters take | %s nodes a second for who traces, %s for all:", thousands(trace.OwnerNodes), thousands(trace.AllNodes)),
		fmt.Sprintf("| records that are made | %s a second,", thousands(trace.AllRecords)),
		fmt.Sprintf("| time of a processor that those take who may only look | %s of one a party, %s in all,", part(share.EachTime), part(share.AllTime)),
		fmt.Sprintf("| traces, tops, replays, plans and long lists of those who may only look | %d a party, %d in all |", share.EachStreams, share.AllStreams),
		fmt.Sprintf("| reading all counters; putting them into words for Prometheus | %s of a processor; %s.", part(share.CountersTime), part(share.ScrapeTime)),
		fmt.Sprintf("| connections to the control socket | %d of root's; %d of a user who may only look, %d of all such, %s |", share.RootConnections, share.EachLookers, share.AllLookers, inTime),
		fmt.Sprintf("| connections to `control.listen` without a certificate | %s, %s, %.0f s from the first byte on |", places(share.EachStrangers, share.AllStrangers), inTime, share.StrangerTime.Seconds()),
		fmt.Sprintf("| connections to `control.listen` | %s |", places(share.EachLookers, share.AllLookers)),
		fmt.Sprintf("| connections to the metrics | %s, %s |", places(share.EachScrapers, share.AllScrapers), inTime),
		fmt.Sprintf("| connections that a listener takes from the kernel | %s a second |", thousands(share.TakeRate)),
		fmt.Sprintf("| connections on which nothing was said, or that wait | %s a listener, as many of root's, and of each a quarter of the descriptors; %.0f s,", thousands(share.MaxWaiting), share.WaitTime.Seconds()),
		fmt.Sprintf("the metrics are to be read in %.0f s |", share.ScrapeWrite.Seconds()),
	} {
		if !strings.Contains(architecture, row) {
			t.Errorf("docs/architecture.md has no %q", row)
		}
	}
	var names []string
	for _, m := range metrics.Table() {
		names = append(names, m.Name)
	}
	_, table, _ := strings.Cut(architecture, "## What strangers can make grow")
	table, _, _ = strings.Cut(table, "\n## ")
	for _, m := range regexp.MustCompile("`(vrouter_[a-z0-9_]+)").FindAllStringSubmatch(table, -1) {
		if !slices.ContainsFunc(names, func(name string) bool {
			return name == m[1] || strings.HasPrefix(name, m[1]) && strings.HasSuffix(m[1], "_")
		}) {
			t.Errorf("docs/architecture.md names %s, which is no metric", m[1])
		}
	}
	security := read("security.md")
	for _, claim := range []string{
		fmt.Sprintf("%s of one a party, %s in all, at the lowest priority", part(share.EachTime), part(share.AllTime)),
		fmt.Sprintf("it has %s words at most", thousands(filter.MaxWords)),
		fmt.Sprintf("%s records a second are made", thousands(trace.AllRecords)),
		fmt.Sprintf("%s and %s of a processor's time", part(share.CountersTime), part(share.ScrapeTime)),
		fmt.Sprintf("more than %d traces, tops, replays, plans and long lists a party, %d in all; %d traces with root's", share.EachStreams, share.AllStreams, trace.MaxListeners),
		fmt.Sprintf("more than %d connections a party, %d in all, to each listener; a new one makes an idle one go, or waits for %.0f s", share.EachLookers, share.AllLookers, share.WaitTime.Seconds()),
		fmt.Sprintf("hung up on after %.0f s; who says something has %s, and %.0f s", share.WaitTime.Seconds(), strings.Replace(places(share.EachStrangers, share.AllStrangers), "an address", "places an address", 1), share.StrangerTime.Seconds()),
		fmt.Sprintf("%s records for a trace that falls behind, %s for all", thousands(trace.RingSize), thousands(trace.AllRings)),
		fmt.Sprintf("the metrics are to be read in %.0f s", share.ScrapeWrite.Seconds()),
	} {
		if !strings.Contains(security, claim) {
			t.Errorf("docs/security.md has no %q", claim)
		}
	}
}
