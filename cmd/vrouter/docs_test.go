package main

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"github.com/vrouter/vrouter/arpproxy"
	"github.com/vrouter/vrouter/forwarder"
	"github.com/vrouter/vrouter/internal/engine"
	"github.com/vrouter/vrouter/internal/ipv4"
	"github.com/vrouter/vrouter/internal/ipv6"
	"github.com/vrouter/vrouter/internal/neigh"
	"github.com/vrouter/vrouter/internal/verdict"
	"github.com/vrouter/vrouter/metrics"
	"github.com/vrouter/vrouter/rib"
)

const reference = "../../docs/reference.md"

var update = flag.Bool("update", false, "write docs/reference.md")

// TestReference holds docs/reference.md to what the code says.
func TestReference(t *testing.T) {
	t.Setenv("VROUTER_SOCKET", "") // which is the default of --socket
	want := renderReference()
	if *update {
		if err := os.WriteFile(reference, want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	have, err := os.ReadFile(reference)
	if err != nil {
		t.Fatalf("%v; run `make docs`", err)
	}
	if diff := cmp.Diff(string(have), string(want)); diff != "" {
		t.Errorf("docs/reference.md is not what the code says: run `make docs` and keep what it writes (-file +code):\n%s", diff)
	}
}

func renderReference() []byte {
	var b bytes.Buffer
	b.WriteString("# Reference\n\n" +
		"Generated from the code by `make docs`; a test fails when it is stale. Do not edit.\n\n" +
		"- [Commands](#commands)\n- [Metrics](#metrics)\n- [Steps](#steps)\n- [Drop reasons](#drop-reasons)\n")
	writeCommands(&b)
	writeMetrics(&b)
	writeSteps(&b)
	writeReasons(&b)
	return b.Bytes()
}

func writeCommands(w io.Writer) {
	root := newRoot()
	root.InitDefaultCompletionCmd("completion") // as cobra adds it when the program runs
	fmt.Fprint(w, "\n## Commands\n\nEvery command takes these, --socket those that ask one router; the others refuse it:\n\n")
	writeFlags(w, root)
	fmt.Fprint(w, "\n"+`The environment variable VROUTER_SOCKET is another way to give --socket; `+"`vrouter lab exec`"+` sets it.

| exit status | means |
|---|---|
| 0 | done |
| 1 | it failed; one line on stderr says what, why, and what to do |
| 2 | the words of the command were wrong |
| 130 | interrupted |

`+"`vrouter lab exec` ends with the exit status of the command it runs.\n")
	for _, c := range root.Commands() {
		writeCommand(w, c)
	}
}

// writeCommand writes a command and those below it. A command that only holds
// others has no section of its own, and that of completion says enough.
func writeCommand(w io.Writer, c *cobra.Command) {
	if c.Hidden || c.Name() == "help" {
		return
	}
	if c.HasSubCommands() && c.Name() != "completion" {
		for _, child := range c.Commands() {
			writeCommand(w, child)
		}
		return
	}
	fmt.Fprintf(w, "\n### vrouter %s\n\n%s.\n", strings.TrimSuffix(strings.TrimPrefix(c.UseLine(), "vrouter "), " [flags]"), c.Short)
	if c.Name() == "completion" {
		fmt.Fprint(w, "`vrouter completion --help` lists the shells.\n")
		return
	}
	if c.Long != "" {
		fmt.Fprintf(w, "\n%s\n", c.Long)
	}
	if len(c.Aliases) > 0 {
		fmt.Fprintf(w, "\nOr, for its last word: `%s`.\n", strings.Join(c.Aliases, "`, `"))
	}
	if c.Example != "" {
		fmt.Fprintf(w, "\n```\n%s\n```\n", strings.ReplaceAll(strings.TrimPrefix(c.Example, "  "), "\n  ", "\n"))
	}
	if c.HasAvailableLocalFlags() {
		fmt.Fprintln(w)
		writeFlags(w, c)
	}
}

func writeFlags(w io.Writer, c *cobra.Command) {
	fmt.Fprintf(w, "```\n%s```\n", c.LocalFlags().FlagUsages())
}

func writeMetrics(w io.Writer) {
	fmt.Fprint(w, `
## Metrics

Every series exists at 0 from the start. Packets and bytes are counted as they are on the wire, bytes with their
Ethernet header. Go's and the process's usual metrics (`+"`go_…`, `process_…`"+`) are served beside these.

`)
	table := newDocTable(w, "metric", "kind", "meaning")
	for _, m := range metrics.Table() {
		table.row(code(m.String()), m.Kind, m.Help)
	}
	fmt.Fprint(w, "\nThe values that labels take, where the list is closed:\n\n")
	table = newDocTable(w, "label", "of", "values")
	table.row("`step`", "all metrics", words(forwarder.NumSteps, func(i int) string { return forwarder.Steps()[i].Word }))
	table.row("`verdict`", "`vrouter_step_packets_total`", words(verdict.NumKinds, func(i int) string { return verdict.Kind(i).String() }))
	table.row("`reason`", "`vrouter_drop_packets_total`, `vrouter_lost_packets_total`", "see [Drop reasons](#drop-reasons)")
	table.row("`reason`", "`vrouter_icmp_errors_suppressed_total`", suppressedWords())
	table.row("`kind`", "`vrouter_originated_…`", words(forwarder.NumOrigins-1, func(i int) string { return forwarder.Origin(i + 1).String() }))
	table.row("`kind`", "`vrouter_port_info`", code(forwarder.Workload.String())+" "+code(forwarder.Uplink.String())+" "+code(forwarder.Host.String()))
	table.row("`answer`", "`vrouter_arp_requests_received_total`", words(arpproxy.NumAnswers, func(i int) string { return arpproxy.Answer(i).String() }))
	table.row("`state`", "`vrouter_neighbors`", words(neigh.NumStates, func(i int) string { return neigh.State(i).String() }))
	table.row("`result`", "`vrouter_route_lookups_total`", words(engine.NumLookups, func(i int) string { return engine.LookupWords[i] }))
	table.row("`result`", "`vrouter_reassemblies_total`", words(engine.NumReassemblyResults, func(i int) string { return engine.ReassemblyWords[i] }))
}

// suppressedWords are read off the counters of a router without ports.
func suppressedWords() string {
	r := engine.New(rib.NewTable(), slog.New(slog.DiscardHandler), nil)
	defer r.Close()
	list := slices.Sorted(maps.Keys(r.Stats().Withheld))
	return words(len(list), func(i int) string { return list[i] })
}

func writeSteps(w io.Writer) {
	fmt.Fprint(w, "\n## Steps\n\nIn the order in which a packet meets them. The text trace leaves out a quiet step that passes.\n\n")
	table := newDocTable(w, "step", "what it does", "RFC", "quiet")
	for _, s := range forwarder.Steps() {
		quiet := ""
		if s.Quiet {
			quiet = "quiet"
		}
		table.row(code(s.Word), s.Help, rfcs(s.RFC, s.RFC6)+vxlan(s.RFCVXLAN), quiet)
	}
}

func writeReasons(w io.Writer) {
	fmt.Fprint(w, "\n## Drop reasons\n\nThe ICMP error is what the source is told; without one the drop is silent. Noise is what a link carries for others, in\n"+
		"frames to a group of stations or to another one: nobody sent it to this router, and `vrouter_lost_packets_total` leaves it out.\n\n")
	table := newDocTable(w, "reason", "meaning", "noise", "RFC", "ICMP error", "what to do")
	for _, r := range verdict.Reasons() {
		i := r.Info()
		table.row(code(i.Word), i.Help, i.Noise.String(), rfcs(i.RFC, i.RFC6), icmpError(r), i.Mend)
	}
}

// rfcs are where a rule is written, of IPv6 where that is elsewhere.
func vxlan(rfc string) string {
	if rfc == "" {
		return ""
	}
	return "; VXLAN: " + rfc
}

func rfcs(v4, v6 string) string {
	if v6 == "" {
		return v4
	}
	return v4 + "; IPv6: " + v6
}

func icmpError(r verdict.Reason) string {
	if r.Tells() == verdict.MeansNothing {
		return ""
	}
	v4, v6 := ipv4.ICMPOf(r.Tells()), ipv6.ICMPOf(r.Tells())
	text := fmt.Sprintf("%d/%d", v4.Type, v4.Code)
	switch {
	case r == verdict.LocalUnsupported:
		text += ", for UDP 3/3, for ICMP none"
	case v4 == (ipv4.ICMP{}):
		text = "none"
	}
	text += fmt.Sprintf("; ICMPv6 %d/%d", v6.Type, v6.Code)
	switch r {
	case verdict.LocalUnsupported:
		text += ", for UDP 1/4, for ICMPv6 none"
	case verdict.IP6BadHeader:
		text += " or 4/2, by the router that it is for"
	}
	return text
}

// docTable is a table in Markdown.
type docTable struct{ w io.Writer }

func newDocTable(w io.Writer, headings ...string) docTable {
	t := docTable{w}
	t.row(headings...)
	fmt.Fprintln(w, "|"+strings.Repeat("---|", len(headings)))
	return t
}

func (t docTable) row(cells ...string) {
	for i := range cells {
		cells[i] = strings.ReplaceAll(cells[i], "|", `\|`)
	}
	fmt.Fprintf(t.w, "| %s |\n", strings.Join(cells, " | "))
}

func code(s string) string { return "`" + s + "`" }

func words(n int, word func(int) string) string {
	var list []string
	for i := range n {
		list = append(list, code(word(i)))
	}
	return strings.Join(list, " ")
}
