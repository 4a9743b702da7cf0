package config

import (
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// block is the list of routes of a host file, read by plain. The rest of the file is for the YAML
// library, with the first and the last route in it: so what stands before and after the block
// means to the library what it would in the whole file, and it says whether the block is the list
// of routes indeed.
type block struct {
	text                string // the whole file
	indent, count       int
	first, second, last mark
}

// mark is where an entry begins.
type mark struct{ offset, line int }

const (
	largeFile = 1 << 20   // bytes: from here on the library takes longer than people like to wait
	maxFile   = 256 << 20 // bytes: five million routes
)

// parseLarge reads a large host file: its list of routes as a block, if it can be.
func parseLarge(name, text string) (*Host, error) {
	problem := &report{file: name}
	if len(text) > maxFile {
		problem.fail(start, "the file has more than the %d bytes that are read: give the path of a configuration file", maxFile)
		return nil, problem.err
	}
	if !problem.isUTF8(text) {
		return nil, problem.err
	}
	routes, at := findBlock(text)
	if routes != nil {
		body := problem.parse(routes.rest())
		if problem.err == nil && routes.isIn(body) {
			return problem.host(body, routes)
		}
		at = place{line: routes.first.line, column: 1}
	}
	if len(text) <= maxBytes {
		problem = &report{file: name}
		return problem.host(problem.parse(text), nil)
	}
	if at != start {
		problem.fail(at, "in a file of more than %d bytes the routes must be written plainly, and here they are not: "+
			"write `- to: 10.70.2.0/24`, and below it `via: 192.168.0.12`", maxBytes)
	}
	problem.isText(text)
	return nil, problem.err
}

// findBlock returns the list under a key routes that stands at the beginning of a line; or else nil, and
// where the list is not plain, if there is one.
func findBlock(text string) (*block, place) {
	const key = "routes:"
	at := strings.Index(text, "\n"+key) + 1
	if at == 0 && !strings.HasPrefix(text, key) {
		return nil, start
	}
	p := plain{text: text, at: at + len(key), start: at, line: 1 + strings.Count(text[:at], "\n")}
	if !p.endLine() {
		return nil, p.here()
	}
	p.skipEmpty()
	p.indent = p.spaces()
	p.at = p.start
	b := &block{text: text, indent: p.indent}
	for e := (plainEntry{}); !p.afterList(); b.count++ {
		b.first, b.second, b.last = b.marks(mark{p.at, p.line})
		if !p.entry(&e) {
			return nil, p.here()
		}
		p.skipEmpty()
	}
	if b.count < 3 {
		return nil, start // nothing to leave out
	}
	return b, start
}

func (b *block) marks(now mark) (first, second, last mark) {
	switch b.count {
	case 0:
		return now, mark{}, now
	case 1:
		return b.first, now, now
	}
	return b.first, b.second, now
}

// afterList says whether the file ends here, or its next key begins.
func (p *plain) afterList() bool {
	c := p.next()
	return p.at >= len(p.text) || 'a' <= c && c <= 'z'
}

// rest is the file without the routes between the first and the last, which are empty lines.
func (b *block) rest() string {
	return b.text[:b.second.offset] + strings.Repeat("\n", b.last.line-b.second.line) + b.text[b.last.offset:]
}

// each hands over the routes one by one, until one fails; it returns the index of that one, or -1.
// The routes' places name only the key in the entry: to name a million entries takes longer than
// all the rest.
func (b *block) each(do func(*report, *rawRoute)) int {
	p, e, raw, r := b.entries(), plainEntry{}, newRawEntry(), &report{}
	for i := range b.count {
		p.entry(&e)
		p.skipEmpty()
		if do(r, raw.fill(r, &e, place{})); r.err != nil {
			return i
		}
	}
	return -1
}

// route is one of the routes, with its whole places.
func (b *block) route(r *report, i int) *rawRoute {
	p, e := b.entries(), plainEntry{}
	for range i + 1 {
		p.entry(&e)
		p.skipEmpty()
	}
	return newRawEntry().fill(r, &e, place{key: "routes"}.entry(i))
}

func (b *block) entries() plain {
	return plain{text: b.text, at: b.first.offset, start: b.first.offset, line: b.first.line, indent: b.indent}
}

// rawEntry is a route to be filled again and again.
type rawEntry struct {
	route rawRoute
	known keys
	lines []int
}

func newRawEntry() *rawEntry {
	e := &rawEntry{}
	e.known = e.route.keys()
	e.lines = make([]int, len(e.known))
	return e
}

// fill does what reader.mapping does.
func (t *rawEntry) fill(r *report, e *plainEntry, at place) *rawRoute {
	at.line, at.column = e.line, e.column
	clear(t.lines)
	for _, p := range e.pairs {
		here := place{at.key, p.keyAt.line, p.keyAt.column}
		if i := r.key(here, p.key, t.known, t.lines); i >= 0 {
			*t.known[i].into.(*scalar) = scalar{place{here.child(p.key).key, p.valueAt.line, p.valueAt.column}, p.value, true}
		}
	}
	for i, line := range t.lines {
		if line == 0 {
			*t.known[i].into.(*scalar) = scalar{place: at.child(t.known[i].name)}
		}
	}
	return &t.route
}

// isIn says whether the list of routes in the parsed rest is what the block leaves of it.
func (b *block) isIn(body ast.Node) bool {
	host, ok := body.(ast.MapNode)
	if !ok {
		return false
	}
	for entry := host.MapRange(); entry.Next(); {
		if list, ok := entry.Value().(*ast.SequenceNode); ok && entry.Key().GetToken().Value == "routes" {
			return len(list.Values) == 2 &&
				positionOf(list.Values[0], start).line == b.first.line && positionOf(list.Values[1], start).line == b.last.line
		}
	}
	return false
}

// read does what reader.sequence does for the whole list.
func (b *block) read(r *report) {
	if i := b.each(func(*report, *rawRoute) {}); i >= 0 {
		b.route(r, i)
	}
}

// block checks the routes of a block.
func (c *checker) block(b *block) Routes {
	routes := Routes{list: make([]packedRoute, 0, b.count)}
	failed := b.each(func(r *report, raw *rawRoute) {
		one := checker{report: r, mode: c.mode}
		if t := one.route(raw); r.err == nil {
			routes.append(t)
		}
	})
	if first, again, ok := routes.duplicate(); ok {
		t := routes.at(again)
		c.taken(routeKey(&t), b.route(c.report, again).to.place, b.route(c.report, first).to.place, routeAdvice)
	}
	if failed >= 0 {
		c.route(b.route(c.report, failed))
	}
	return routes
}
