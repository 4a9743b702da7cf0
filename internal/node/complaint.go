package node

import (
	"fmt"
	"log/slog"
)

// complaint is a warning about something that stays wrong until somebody mends it.
type complaint struct {
	text string
	args []any
}

// varying is a value of a complaint that is told with it, and does not make it another one.
type varying func() any

func (v varying) LogValue() slog.Value { return slog.AnyValue(v()) }
func (v varying) String() string       { return "" }

// complain logs what of this topic was not logged the last time the topic was
// looked at: a thing that stays wrong is told once, and again if it comes back.
func (n *Node) complain(topic string, all ...complaint) {
	told := n.told[topic]
	now := map[string]bool{}
	for _, c := range all {
		line := fmt.Sprint(append([]any{c.text}, c.args...)...)
		if !told[line] && !now[line] {
			n.log.Warn(c.text, c.args...)
		}
		now[line] = true
	}
	n.told[topic] = now
}
