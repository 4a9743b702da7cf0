package walk

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/trace"
)

// place is HOST, or HOST/PORT of a workload.
func (e *End) place() string {
	if e.Outcome == Delivered {
		return e.Host + "/" + e.Port
	}
	return e.Host
}

// Words say how a way ends, in part of a line.
func (e *End) Words() string {
	var text string
	switch e.Outcome {
	case Delivered:
		return fmt.Sprintf("delivered to %s with ttl %d", e.place(), e.TTL)
	case trace.Consumed:
		return "taken by the router of " + e.Host
	case trace.LeftToHost:
		return fmt.Sprintf("left to %s's own stack", e.Host)
	case trace.Waits:
		text = "waits at " + e.Host
	case Left:
		text = fmt.Sprintf("leaves %s by %s", e.Host, e.Port)
	case Lost:
		text = fmt.Sprintf("lost between %s and %s", e.Host, e.Next)
	default:
		text = fmt.Sprintf("%s at %s", e.Outcome, e.Host)
	}
	if e.Reason != "" {
		text += ": " + e.Reason
	}
	if e.Detail != "" {
		text += ": " + e.Detail
	}
	return text
}

// verdict is all of it in one line.
func (w *Walk) verdict() string {
	parts := []string{}
	if w.Loop != nil {
		parts = append(parts, w.loopWords())
	}
	parts = append(parts, w.End.Words())
	told := func() {
		if len(w.Told) > 0 {
			parts = append(parts, w.Told[0])
		}
	}
	if w.Reply == nil {
		told()
	}
	switch {
	case w.Reply == nil:
	case w.Reply.Outcome == Delivered:
		text := fmt.Sprintf("the reply comes back with ttl %d", w.Reply.TTL)
		if way := slices.Clone(w.Back); len(way) > 1 {
			if slices.Reverse(way); !slices.Equal(way, w.Path) {
				text += ", by another way: " + strings.Join(w.Back, " > ")
			}
		}
		parts = append(parts, text)
	default:
		parts = append(parts, "the reply is "+w.Reply.Words())
		told()
	}
	return strings.Join(parts, "; ")
}

func (w *Walk) loopWords() string {
	return trace.LoopWords(w.Loop, w.Passes)
}

// Source is who has sent the frame whose way ended, the outer packet's where it is in a tunnel; zero where that is not known.
func (e *End) Source() netip.Addr {
	if len(e.frame) < packet.EthernetLen+packet.IPv4MinLen {
		return netip.Addr{}
	}
	return packet.IP(e.frame[packet.EthernetLen:]).Src()
}
