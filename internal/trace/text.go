package trace

import (
	"fmt"
	"io"
	"strings"

	"github.com/vrouter/vrouter/forwarder"
	"github.com/vrouter/vrouter/internal/verdict"
)

// Text is how packets are printed for people.
type Text struct {
	Colour  bool // for a terminal
	Verbose bool // passes of quiet steps too, and why each of them passed
}

// Write prints a packet as a block of lines, the last one its outcome.
func (t Text) Write(w io.Writer, p *Packet) error {
	var b strings.Builder
	b.WriteString(p.Gap())
	b.WriteString(t.paint(bold, p.Head()) + "\n")
	for i := range p.Steps {
		if line := t.line(&p.Steps[i]); line != "" {
			b.WriteString("  " + line + "\n")
		}
	}
	for i := range p.Consequences {
		if c := &p.Consequences[i]; t.Verbose || p.Outcome == Waits {
			b.WriteString("  " + c.line() + "\n")
		}
	}
	b.WriteString("  " + t.paint(colours[p.Outcome], p.End()) + "\n")
	_, err := io.WriteString(w, b.String())
	return err
}

const bold = "1"

// colours, as ECMA-48 8.3.117 (SGR) numbers them, of verdicts and outcomes.
var colours = map[string]string{
	verdict.Edit.String(): "33", verdict.Drop.String(): "31", verdict.Consume.String(): "36",
	Forwarded: "32", Consumed: "36", Dropped: "31", Waits: "33", LeftToHost: "36",
}

func (t Text) paint(colour, s string) string {
	if !t.Colour || colour == "" {
		return s
	}
	return "\x1b[" + colour + "m" + s + "\x1b[0m"
}

// Gap says what is missing before the packet, a line each; "" is nothing.
func (p *Packet) Gap() (lines string) {
	if p.Lost > 0 {
		lines = fmt.Sprintf("… %d records lost here: the trace fell behind\n", p.Lost)
	}
	if p.Skipped > 0 {
		lines += fmt.Sprintf("… %d packets left out here: they were more than the rate asked for, or than a trace's share\n", p.Skipped)
	}
	return lines
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
	if p.When != "" {
		head += ", " + p.When
	}
	return head
}

// line is one step, or "" if it passed and has nothing to say.
func (t Text) line(s *Step) string {
	detail := s.Detail
	if !t.Verbose && s.Verdict == verdict.Pass.String() {
		if quiet(s.Step) {
			return ""
		}
		if s.Step == forwarder.Check.Word {
			detail = "" // it says what one sees in the head
		}
	}
	head := fmt.Sprintf("%-5s  ", s.Step)
	if s.NS != 0 {
		head += fmt.Sprintf("+%.1fµs  ", float64(s.NS)/1000)
	}
	line := fmt.Sprintf("%s%-4s", head, s.Verdict)
	if detail != "" {
		line += "  " + detail
	}
	if s.RFC != "" {
		line = fmt.Sprintf("%-72s  %s", line, s.RFC)
	}
	line = strings.TrimRight(line, " ")
	return head + strings.Replace(line[len(head):], s.Verdict, t.paint(colours[s.Verdict], s.Verdict), 1)
}

func quiet(word string) bool {
	s := forwarder.StepNamed(word)
	return s != nil && s.Quiet
}

// line is a consequence: "then, if nobody answers: tells 10.70.1.1: host unreachable".
func (c *Consequence) line() string {
	if c.When != "" {
		return "then, " + c.When + ": " + c.Detail
	}
	return "then: " + c.Detail
}

// End is the outcome; for a drop, with its reason and what would mend it.
func (p *Packet) End() string {
	if p.Outcome != Dropped {
		return p.Outcome
	}
	line := Dropped + "  " + p.Reason
	if p.Mend != "" {
		line += ": " + p.Mend
	}
	return line
}
