package control

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Batch is a file of routes that is being read: a line for each change, `route add …` or `add …` as
// `ip -batch` takes it, or a route as `ip route show` and `vrouter route list` print it, for
// which op holds. Empty lines and what follows a # count for nothing.
type Batch struct {
	scan     *bufio.Scanner
	name, op string
	line     int
	lines    []int32 // of each change, from 1
	err      error
}

// NewBatch reads from r; errors call it name.
func NewBatch(r io.Reader, name, op string) *Batch {
	return &Batch{scan: bufio.NewScanner(r), name: name, op: op}
}

// Changes yields each change, or at last the error that ends the file.
func (b *Batch) Changes(yield func(RouteChange, error) bool) {
	for b.scan.Scan() {
		b.line++
		text, _, _ := strings.Cut(b.scan.Text(), "#")
		words := strings.Fields(strings.TrimSuffix(text, notUsed))
		if len(words) == 0 {
			continue
		}
		c, err := parseLine(b.op, words)
		if err != nil {
			b.fail(err)
			break
		}
		b.lines = append(b.lines, int32(b.line))
		if !yield(c, nil) {
			return
		}
	}
	if err := b.scan.Err(); err != nil {
		b.line++
		b.fail(err)
	}
	if b.err != nil {
		yield(RouteChange{}, b.err)
	}
}

func (b *Batch) fail(err error) {
	b.err = fmt.Errorf("%s:%d: %w; nothing was changed", b.name, b.line, err)
}

// ops are the words of `ip -batch` for a change.
var ops = map[string]string{"add": "add", "replace": "replace", "del": "del", "delete": "del"}

// notOps are words of ip-route(8) that a line could begin with, and that change something
// else, or nothing.
var notOps = []string{"append", "change", "prepend", "flush", "show", "list", "ls", "get", "save", "restore", "test"}

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

// Explain names the line that is to blame for an error of Client.ChangeRoutes.
func (b *Batch) Explain(err error) error {
	if b.err != nil {
		return b.err
	}
	var f *Failure
	if errors.As(err, &f) && f.Index != nil && *f.Index < len(b.lines) {
		return fmt.Errorf("%s:%d: %w; nothing was changed", b.name, b.lines[*f.Index], err)
	}
	return err
}
