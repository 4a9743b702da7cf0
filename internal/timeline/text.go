package timeline

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/vrouter/vrouter/internal/trace"
)

// Text prints ways for people.
type Text struct {
	trace.Text
	Within time.Duration // as of the Joiner
	Fold   bool          // a line for each host
}

// foldFrom is from how many like packets on only the first is shown.
const foldFrom = 4

// Write prints a way: a line for all of it, and a block for each host.
func (t Text) Write(w io.Writer, way *Way) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "── %s: %s\n", way.Summary, way.InOneLine(t.Within))
	for _, note := range way.Notes {
		fmt.Fprintf(&b, "   %s\n", note)
	}
	loop, passes, shown := way.round()
	for i, met := 0, 0; i < len(way.Packets); {
		if way.Packets[i].Part == PartPacket && shown > 0 {
			if met++; met > shown && met < shown+passes-len(loop)+1 {
				if met == shown+1 {
					fmt.Fprintf(&b, "\n… %s\n", trace.LoopWords(loop, passes))
				}
				i++
				continue
			}
		}
		n := way.like(i)
		t.block(&b, way, i)
		if n >= foldFrom {
			last := &way.Packets[i+n-1]
			fmt.Fprintf(&b, "\n… %d more like this one on %s, the last at %+.3f ms\n", n-1, last.Host, float64(last.AtNS)/1e6)
			i += n
			continue
		}
		i++
	}
	b.WriteByte('\n')
	_, err := w.Write(b.Bytes())
	return err
}

// block is what one host did, with the wire before and behind it.
func (t Text) block(b *bytes.Buffer, way *Way, i int) {
	p := &way.Packets[i]
	if p.WireNS != nil && !t.Fold {
		fmt.Fprintf(b, "\n  wire   %s > %s  %s\n", p.From, p.Host, p.wire())
	}
	label := ""
	switch {
	case p.Part == PartReply && (i == 0 || way.Packets[i-1].Part != PartReply):
		label = "\nreply\n"
	case p.Part == PartCaused && (i == 0 || way.Packets[i-1].Part != PartCaused):
		label = "\ncaused by it\n"
	}
	if t.Fold {
		fmt.Fprintf(b, "%s%+.3f ms  %s: %s\n", strings.TrimPrefix(label, "\n"), float64(p.AtNS)/1e6, p.Head(), p.End())
		return
	}
	fmt.Fprintf(b, "%s\n%+.3f ms  ", label, float64(p.AtNS)/1e6)
	_ = t.Text.Write(b, &p.Packet) // into memory
	if p.Unseen != "" {
		fmt.Fprintf(b, "  wire   %s > %s  not seen at %s within %v\n", p.Host, p.Unseen, p.Unseen, t.Within)
	}
}

// wire is the delay, and what it can be trusted for.
func (p *Packet) wire() string {
	text := fmt.Sprintf("%+.3f ms", float64(*p.WireNS)/1e6)
	switch p.Clocks {
	case ClocksAgree:
		return text + fmt.Sprintf(", give or take %s", milliseconds(time.Duration(p.WireErrorNS)))
	case ClocksCorrected:
		return text + fmt.Sprintf(", corrected, give or take %s", milliseconds(time.Duration(p.WireErrorNS)))
	case ClocksUnchecked:
		return text + " by clocks that nothing checks"
	}
	return text
}

// like is how many packets from i on went the same way on the same host.
func (w *Way) like(i int) int {
	n := 1
	for i+n < len(w.Packets) && w.Packets[i].isLike(&w.Packets[i+n]) {
		n++
	}
	return n
}

func (p *Packet) isLike(o *Packet) bool {
	if p.Host != o.Host || p.In != o.In || p.Out != o.Out || p.Outcome != o.Outcome || p.Reason != o.Reason ||
		p.Part != o.Part || p.From != o.From || p.Unseen != o.Unseen || o.Lost > 0 || len(p.Steps) != len(o.Steps) {
		return false
	}
	for i := range p.Steps {
		if p.Steps[i].Step != o.Steps[i].Step || p.Steps[i].Verdict != o.Steps[i].Verdict {
			return false
		}
	}
	return true
}

// InOneLine is where the packet went, and what became of it.
func (w *Way) InOneLine(within time.Duration) string {
	text := strings.Join(w.Hosts, " > ") + ", " + w.Outcome
	if loop, passes, _ := w.round(); loop != nil {
		text = trace.LoopWords(loop, passes) + ", " + w.Outcome
	}
	if w.Reason != "" {
		text += " (" + w.Reason + ")"
	}
	text += " after " + milliseconds(time.Duration(w.NS))
	switch w.Reply {
	case ReplyArrived:
		text += ", reply after " + milliseconds(time.Duration(w.ReplyNS))
		if way := w.otherWay(); way != "" {
			text += " by another way: " + way
		}
	case ReplyLost:
		text += ", its reply was lost"
	case ReplyNone:
		text += fmt.Sprintf(", no reply within %v", within)
	}
	return text
}

// path are the hosts that a part of the way met, each from the one before; one that it came to again is there each time.
func (w *Way) path(part string) (hosts []string) {
	for i := range w.Packets {
		p := &w.Packets[i]
		if p.Part == part && (len(hosts) == 0 || p.From == hosts[len(hosts)-1]) {
			hosts = append(hosts, p.Host)
		}
	}
	return hosts
}

// round is the loop of the packet, and how many of its records are shown before the loop is folded; 0 where it is in none,
// or more than one packet is in it.
func (w *Way) round() (loop []string, passes, shown int) {
	path := w.path(PartPacket)
	if loop, passes = trace.Loop(path); loop == nil {
		return nil, 0, 0
	}
	for i := range w.Packets {
		if w.Packets[i].Part == PartPacket {
			shown++
		}
	}
	if shown != len(path) {
		return loop, passes, 0
	}
	return loop, passes, len(path) - 1 - passes + len(loop)
}

// otherWay are the hosts of the reply, where they are not those of the packet.
func (w *Way) otherWay() string {
	there, back := w.path(PartPacket), w.path(PartReply)
	slices.Reverse(there)
	if len(there) == 0 || len(back) == 0 || there[0] != back[0] || there[len(there)-1] != back[len(back)-1] || slices.Equal(there, back) {
		return ""
	}
	return strings.Join(back, " > ")
}
