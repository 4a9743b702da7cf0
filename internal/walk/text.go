package walk

import (
	"bytes"
	"fmt"
	"io"

	"github.com/vrouter/vrouter/internal/trace"
)

// Text prints walks for people.
type Text struct {
	trace.Text
}

// Write prints the verdict, then a block for each host. Of a loop the first round is shown, and the last host.
func (t Text) Write(w io.Writer, walk *Walk) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "── %s: %s\n", walk.Summary, walk.Verdict)
	for _, note := range walk.Notes {
		fmt.Fprintf(&b, "   %s\n", note)
	}
	part, n, last := PartPacket, 0, countPart(walk.Hops, PartPacket)-1
	before := len(walk.Path) - 1 - walk.Passes + len(walk.Loop) // hops up to the end of the first round
	for i := range walk.Hops {
		h := &walk.Hops[i]
		if h.Part == PartPacket && walk.Loop != nil {
			n++
			if n == before+1 && n <= last {
				fmt.Fprintf(&b, "\n  … %s\n", walk.loopWords())
			}
			if n > before && n <= last {
				continue
			}
		}
		if h.Part != part {
			part = h.Part
			fmt.Fprintf(&b, "\n%s\n", map[string]string{PartError: "caused by it", PartReply: "reply", PartPacket: "the packet again"}[part])
		}
		t.block(&b, h)
	}
	b.WriteByte('\n')
	_, err := w.Write(b.Bytes())
	return err
}

func countPart(hops []Hop, part string) (n int) {
	for i := range hops {
		if hops[i].Part == part {
			n++
		}
	}
	return n
}

func (t Text) block(b *bytes.Buffer, h *Hop) {
	if h.From != "" {
		fmt.Fprintf(b, "\n  wire   %s > %s", h.From, h.Host)
		if h.Via != "" {
			fmt.Fprintf(b, "  by %s, which is no vrouter", h.Via)
		}
		b.WriteByte('\n')
	}
	b.WriteByte('\n')
	_ = t.Text.Write(b, &h.Packet) // into memory
	if h.Part == PartError {
		return
	}
	for _, line := range h.Why {
		fmt.Fprintln(b, "  why: "+line)
	}
}
