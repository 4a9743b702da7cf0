package config

import (
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// maxValues bounds what a small file can grow into by aliases of lists of aliases.
const maxValues = 1 << 20

// A value reads itself from a node of the file; a nil node is a key that is absent or null.
type value interface {
	read(r *reader, n ast.Node, at place)
}

// reader turns the nodes of a file into raw values.
type reader struct {
	*report
	anchors map[string]ast.Node
	values  int
}

// read fills a raw value with what a parsed file says.
func (r *report) read(body ast.Node, into value) {
	if r.err != nil {
		return
	}
	in := &reader{report: r, anchors: map[string]ast.Node{}}
	into.read(in, body, start)
}

// resolve finds what a node stands for: null is nil, an alias its anchor's node.
func (r *reader) resolve(n ast.Node, at place) (ast.Node, place) {
	if r.values++; r.values > maxValues {
		r.fail(at, "more than %d values from here on: use fewer aliases (*name)", maxValues)
	}
	if r.err != nil {
		return nil, at
	}
	if anchor, ok := n.(*ast.AnchorNode); ok {
		n = anchor.Value
		r.anchors[anchor.Name.GetToken().Value] = n
	}
	if n == nil || n.Type() == ast.NullType {
		return nil, at
	}
	at = positionOf(n, at)
	if alias, ok := n.(*ast.AliasNode); ok {
		name := alias.Value.GetToken().Value
		if n, ok = r.anchors[name]; !ok {
			r.fail(at, "no anchor &%s stands above: write the value itself", oneLine(name))
		}
		if n == nil || n.Type() == ast.NullType {
			return nil, at
		}
	}
	return n, at
}

// positionOf is the place at with the position of n.
func positionOf(n ast.Node, at place) place {
	if t := firstToken(n); t != nil && t.Position != nil {
		at.line, at.column = t.Position.Line, t.Position.Column
		// To the library, spaces after a word without quotes stand before it; but not if it is the next line's.
		if p := t.Prev; p != nil && p.Type == token.MappingValueType && p.Position.Line == at.line {
			at.column = p.Position.Column + 1 + len(t.Origin) - len(strings.TrimLeft(t.Origin, " "))
		}
	}
	return at
}

// firstToken is where a reader sees a node begin; the library takes a block mapping to begin at the
// colon after its first key.
func firstToken(n ast.Node) *token.Token {
	if m, ok := n.(*ast.MappingNode); ok && !m.IsFlowStyle && len(m.Values) > 0 {
		return m.Values[0].Key.GetToken()
	}
	return n.GetToken()
}

// scalar is a single value, as the file spells it.
type scalar struct {
	place
	text  string
	given bool // false: absent or null
}

// or is the value, or a default where the file has none.
func (s scalar) or(text string) scalar {
	if !s.given {
		s.text, s.given = text, true
	}
	return s
}

func (s *scalar) read(r *reader, n ast.Node, at place) {
	n, s.place = r.resolve(n, at)
	switch n := n.(type) {
	case nil:
		return
	case *ast.LiteralNode:
		s.text = n.Value.Value
	case *ast.StringNode:
		s.text = n.Value
	case ast.MapNode, ast.ArrayNode:
		if m, ok := n.(*ast.MappingNode); ok && strings.HasSuffix(s.key, "]") && !m.IsFlowStyle { // that is what the library makes of fd00::1 in brackets
			r.fail(s.place, "a mapping stands where one value is expected: put an IPv6 address in quotes here")
		}
		r.fail(s.place, "%s stands where one value is expected: write it after the colon", kindOf(n))
	default:
		// A number stays as it is spelled: what it means is for its key to say.
		s.text = n.GetToken().Value
	}
	s.given = true
}

// sequence reads a list; next makes room for one more entry.
type sequence struct {
	begin func()
	next  func() value
}

// each reads a list into a slice, which is nil where the file has no list.
func each[T any, P interface {
	*T
	value
}](into *[]T) sequence {
	return sequence{
		begin: func() { *into = []T{} },
		next: func() value {
			*into = append(*into, *new(T))
			return P(&(*into)[len(*into)-1])
		},
	}
}

func (s sequence) read(r *reader, n ast.Node, at place) {
	n, at = r.resolve(n, at)
	if n == nil {
		return
	}
	nodes, ok := n.(*ast.SequenceNode)
	if !ok {
		r.fail(at, "%s stands where a list is expected: start each entry with \"- \"", kindOf(n))
		return
	}
	s.begin()
	for i, entry := range nodes.Values {
		if r.err != nil {
			return
		}
		s.next().read(r, entry, positionOf(entry, at.entry(i)))
	}
}

// keys is the closed set of keys of a mapping.
type keys []struct {
	name string
	into value
}

func (k keys) find(name string) int {
	for i := range k {
		if k[i].name == name {
			return i
		}
	}
	return -1
}

func (k keys) String() string {
	names := make([]string, len(k))
	for i := range k {
		names[i] = k[i].name
	}
	return list(names, "and")
}

func (r *reader) mapping(n ast.Node, at place, known keys) {
	n, at = r.resolve(n, at)
	lines := make([]int, len(known)) // 0: not given
	if n != nil {
		r.entries(n, at, known, lines)
	}
	for i := range known {
		if lines[i] == 0 {
			known[i].into.read(r, nil, at.child(known[i].name))
		}
	}
}

// entries reads in the order of the file, as an anchor stands before its aliases.
func (r *reader) entries(n ast.Node, at place, known keys, lines []int) {
	m, ok := n.(ast.MapNode)
	if !ok {
		r.fail(at, "%s stands where keys are expected: write key: value, with the keys %v", kindOf(n), known)
		return
	}
	for entry := m.MapRange(); entry.Next() && r.err == nil; {
		t := entry.Key().GetToken()
		here := place{at.key, t.Position.Line, t.Position.Column}
		if t.Type == token.MergeKeyType {
			r.fail(here, "merging mappings with << is not supported: write the keys out")
			return
		}
		if i := r.key(here, t.Value, known, lines); i >= 0 {
			known[i].into.read(r, entry.Value(), here.child(t.Value))
		}
	}
}

// key finds a key of a mapping, and notes its line; -1 if it cannot stand there.
func (r *report) key(at place, name string, known keys, lines []int) int {
	i := known.find(name)
	switch {
	case i < 0:
		r.fail(at.child(keyText(name)), "unknown key: remove it, or use one of %v", known)
		return -1
	case lines[i] != 0:
		r.fail(at.child(name), "this key is already in line %d: remove one of them", lines[i])
		return -1
	}
	lines[i] = at.line
	return i
}

func keyText(key string) string {
	if nameForm.MatchString(key) {
		return key
	}
	return quote(key)
}

func kindOf(n ast.Node) string {
	switch n.(type) {
	case ast.MapNode:
		return "a mapping"
	case ast.ArrayNode:
		return "a list"
	}
	return "a single value"
}
