package conformance

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const docFile = moduleRoot + "/docs/conformance.md"

const docHead = `# Conformance

What the router must show on the wire, rule by rule. Each row is a test of ` + "`internal/conformance`" + `: raw frames go into
a workload's ` + "`eth0`" + ` and into the far end of the uplink, and the test requires what comes out where, that nothing comes
out anywhere else, and that the packet is counted under the one reason named here.

The same rows run with the Linux kernel in the router's place: a veth pair with ` + "`proxy_arp`" + ` and strict ` + "`rp_filter`" + ` for each
workload, ` + "`ip_forward`" + `, host routes and a default route, without redirects and (but for I3) without a rate limit for ICMP. For IPv6 (N, V, R) it has
what Calico has there: ` + "`forwarding`" + `, host routes, and the gateway's address as the link-local one of the host's end.
Where the kernel differs, it is required to, and the last column says why. ` + "`make conformance`" + ` prints this table with what was seen.

This file is generated: ` + "`go test ./internal/conformance -update`" + `.

`

// document is docs/conformance.md as the table would have it.
func document() string {
	var d strings.Builder
	d.WriteString(docHead)
	d.WriteString("| # | rule | source | counted as | vrouter | Linux | why they differ |\n|---|---|---|---|---|---|---|\n")
	for _, r := range rows {
		differs, asked := 0, 0
		for _, c := range r.cases {
			if c.notHere == "" {
				asked++
			}
			if c.differs != "" {
				differs++
			}
		}
		fmt.Fprintf(&d, "| %s | %s | %s | %s | %s | %s | %s |\n", r.id, r.rule, r.source, counted(r.counted),
			cases(len(r.cases), 0), cases(asked, differs), reasons(r.cases))
	}
	return d.String()
}

func counted(s string) string {
	if s == "" {
		return ""
	}
	return "`" + strings.ReplaceAll(s, " ", "` `") + "`"
}

// cases is how a contender does in a row.
func cases(n, differs int) string {
	switch {
	case n == 0:
		return "–"
	case differs == 0 && n == 1:
		return "yes"
	case differs == 0:
		return fmt.Sprintf("yes (%d cases)", n)
	case differs == n:
		return "no"
	}
	return fmt.Sprintf("%d of %d cases", n-differs, n)
}

func reasons(list []testCase) string {
	var all []string
	for _, c := range list {
		for _, why := range []string{c.differs, c.notHere} {
			if why != "" && !slices.Contains(all, why) {
				all = append(all, why)
			}
		}
	}
	return strings.Join(all, ". ")
}

// TestDocument requires that docs/conformance.md says what the table says.
func TestDocument(t *testing.T) {
	want := document()
	if *update {
		if err := os.WriteFile(filepath.FromSlash(docFile), []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(docFile)
	if err != nil || string(got) != want {
		t.Errorf("docs/conformance.md is stale (%v): go test ./internal/conformance -update", err)
	}
}

// printTable prints the table with what was seen in this run.
func printTable(w io.Writer) {
	fmt.Fprintf(w, "%-4s %-12s %-12s %s\n", "#", "vrouter", "Linux", "rule")
	for _, r := range rows {
		fmt.Fprintf(w, "%-4s %-12s %-12s %s\n", r.id, seen(r.id, false), seen(r.id, true), r.rule)
	}
}

func seen(id string, linux bool) string {
	resultM.Lock()
	defer resultM.Unlock()
	r := results[key(id, linux)]
	if r == nil || r.ran == 0 {
		return "–"
	}
	return fmt.Sprintf("%d of %d", r.ran-len(r.failures), r.ran)
}
