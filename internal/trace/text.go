package trace

import (
	"fmt"
	"io"
	"strings"

	"github.com/vrouter/vrouter/internal/verdict"
)

// WriteText prints a packet as a block of lines, the last one its outcome.
func (p *Packet) WriteText(w io.Writer) error {
	var b strings.Builder
	if p.Lost > 0 {
		fmt.Fprintf(&b, "… %d records lost here: the trace fell behind\n", p.Lost)
	}
	b.WriteString(p.Head() + "\n")
	for i := range p.Steps {
		if line := p.Steps[i].Line(); line != "" {
			b.WriteString("  " + line + "\n")
		}
	}
	b.WriteString("  " + p.Last() + "\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// Head is the first line: who, from where to where, what, how long.
func (p *Packet) Head() string {
	in, out := p.In, p.Out
	if in == "" {
		in = "vrouter"
	}
	if out == "" {
		out = "-"
	}
	head := fmt.Sprintf("#%d %s  %s > %s  %s  %d bytes", p.ID, p.Host, in, out, p.Summary, p.Length)
	if p.Packets > 1 {
		head += fmt.Sprintf(" in %d packets", p.Packets)
	}
	if p.Cause != 0 {
		head += fmt.Sprintf("  because of #%d", p.Cause)
	}
	return head
}

// Line is one step, or "" if it passed and has nothing to say.
func (s *Step) Line() string {
	if s.Verdict == verdict.Pass.String() && s.Detail == "" && quiet(s.Step) {
		return ""
	}
	line := fmt.Sprintf("%-5s  +%.1fµs  %-4s", s.Step, float64(s.NS)/1000, s.Verdict)
	if s.Detail != "" {
		line += "  " + s.Detail
	}
	if s.RFC != "" {
		line = fmt.Sprintf("%-72s  %s", line, s.RFC)
	}
	return strings.TrimRight(line, " ")
}

func quiet(word string) bool {
	for s := verdict.RX; s <= verdict.TX; s++ {
		if s.String() == word {
			return s.Info().Quiet
		}
	}
	return false
}

// Last is the outcome; for a drop, with its reason and what would mend it.
func (p *Packet) Last() string {
	if p.Outcome != Dropped {
		return p.Outcome
	}
	line := Dropped + "  " + p.Reason
	for _, r := range verdict.Reasons() {
		if info := r.Info(); info.Word == p.Reason && info.Mend != "" {
			line += ": " + info.Mend
		}
	}
	return line
}
