package control

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Batch is a file of routes, read.
type Batch struct {
	Changes []RouteChange
	lines   []int // of each change, from 1
	name    string
}

// ops are the words of `ip -batch` for a change.
var ops = map[string]string{"add": "add", "replace": "replace", "del": "del", "delete": "del"}

// notOps are words of ip-route(8) that a line could begin with, and that change something
// else, or nothing.
var notOps = []string{"append", "change", "prepend", "flush", "show", "list", "ls", "get", "save", "restore", "test"}

// ReadBatch reads a line for each change: `route add …` or `add …` as `ip -batch` takes it, or a
// route as `ip route show` and `vrouter route list` print it, for which op holds. Empty
// lines and what follows a # count for nothing.
func ReadBatch(r io.Reader, name, op string) (*Batch, error) {
	b := &Batch{name: name}
	scan, line := bufio.NewScanner(r), 1
	for ; scan.Scan(); line++ {
		text, _, _ := strings.Cut(scan.Text(), "#")
		words := strings.Fields(strings.TrimSuffix(text, notUsed))
		if len(words) == 0 {
			continue
		}
		c, err := parseLine(op, words)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", name, line, err)
		}
		b.Changes, b.lines = append(b.Changes, c), append(b.lines, line)
	}
	if err := scan.Err(); err != nil {
		return nil, fmt.Errorf("%s:%d: %w", name, line, err)
	}
	return b, nil
}

// notUsed is what `vrouter route list` says of a route that loses.
const notUsed = "  (not used: another one is preferred)"

// Line is the route in the words of `ip route`, and whether it loses.
func (r *Route) Line() string {
	if r.Used {
		return r.Text
	}
	return r.Text + notUsed
}

func parseLine(op string, words []string) (RouteChange, error) {
	if words[0] == "route" && len(words) > 1 {
		words = words[1:]
	}
	if own, ok := ops[words[0]]; ok {
		return ParseRoute(own, words[1:])
	}
	if slices.Contains(notOps, words[0]) {
		return RouteChange{}, &WordError{words[0], "there is add, replace and del"}
	}
	return ParseRoute(op, words)
}

// Explain names the line that the router refused.
func (b *Batch) Explain(err error) error {
	var f *Failure
	if errors.As(err, &f) && f.Index != nil && *f.Index < len(b.lines) {
		return fmt.Errorf("%s:%d: %w; nothing was changed", b.name, b.lines[*f.Index], err)
	}
	return err
}
