package compare

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// Write tells a result.
func (r *Result) Write(w io.Writer) error {
	var b strings.Builder
	verdict := "alike"
	switch n := len(r.Differences); {
	case n > 0 && r.Explained():
		verdict = "differs, with a reason"
	case n > 0:
		verdict = "differs"
	}
	fmt.Fprintf(&b, "── %s, from %s: %s\n", r.Packet, r.From, verdict)
	if len(r.Differences) == 0 {
		tell(&b, "both", r.Vrouter)
	} else {
		tell(&b, "vrouter", r.Vrouter)
		tell(&b, "kernel", r.Kernel)
	}
	for _, d := range r.Differences {
		why := d.Reason
		if why == "" {
			why = "NO REASON KNOWN"
		}
		fmt.Fprintf(&b, "  %s at %s: vrouter %s, kernel %s\n    %s\n", d.Field, d.At, short(d.Vrouter), short(d.Kernel), why)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func tell(b *strings.Builder, who string, list []Out) {
	if len(list) == 0 {
		fmt.Fprintf(b, "  %-7s nothing came out\n", who)
	}
	for _, o := range list {
		fmt.Fprintf(b, "  %-7s %-22s %s\n", who, o.At, o.Summary)
	}
}

// short is a value that fits on a line.
func short(s string) string {
	const room = 72
	if s == "" {
		return "none"
	}
	if len(s) > room {
		return s[:room] + "…"
	}
	return s
}

// Write tells the results without a reason, and how many packets came out how.
func (m *Summary) Write(w io.Writer) error {
	var b strings.Builder
	for _, r := range m.Results {
		if err := r.Write(&b); err != nil {
			return err
		}
	}
	if m.Packets == 1 && len(m.Results) == 1 {
		_, err := io.WriteString(w, b.String())
		return err
	}
	bad := m.Unexplained()
	fmt.Fprintf(&b, "%d packets: %d came out alike, %d otherwise with a reason, %d without one\n", m.Packets, m.Alike, m.Packets-m.Alike-bad, bad)
	for _, name := range slices.SortedFunc(maps.Keys(m.Reasons), func(x, y string) int { return m.Reasons[y] - m.Reasons[x] }) {
		fmt.Fprintf(&b, "%7d  %s\n", m.Reasons[name], name)
	}
	_, err := io.WriteString(w, b.String())
	return err
}
