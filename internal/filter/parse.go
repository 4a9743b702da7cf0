package filter

import (
	"math"
	"slices"
)

// maxDepth bounds the recursion that an expression can ask for.
const maxDepth = 64

var layers = map[string]qual{
	"ether": {layer: ether},
	"ip":    {layer: ip},
	"ip6":   {layer: ip6},
	"arp":   {layer: arp},
	"icmp":  {layer: ip4Proto, proto: protoICMP},
	"icmp6": {layer: ip6Proto, proto: protoICMP6},
	"ipip":  {layer: ip4Proto, proto: protoIPIP},
	"vxlan": {layer: vxlan},
	"tcp":   {layer: ipProto, proto: protoTCP},
	"udp":   {layer: ipProto, proto: protoUDP},
}

var types = map[string]typ{
	"host": host, "net": network, "port": port, "portrange": portRange, "proto": proto,
}

var directions = map[string]dir{"src": src, "dst": dst}

type parser struct {
	toks  []token
	depth int
	last  qual // the most recent qualifiers, for an identifier that has none
}

func (p *parser) peek() token { return p.toks[0] }

// take never runs out: the end stays.
func (p *parser) take() token {
	t := p.toks[0]
	if t.kind != end {
		p.toks = p.toks[1:]
	}
	return t
}

// chain reads operands joined by and/or. "Alternation and concatenation have
// equal precedence and associate left to right."
func (p *parser) chain(operand func() (*node, error)) (*node, error) {
	left, err := operand()
	for err == nil && (p.peek().kind == and || p.peek().kind == or) {
		n := &node{op: p.take().kind, left: left}
		n.right, err = operand()
		left = n
	}
	return left, err
}

// nested reads what "not" or an opening parenthesis starts.
func (p *parser) nested(operand func() (*node, error)) (*node, error) {
	t := p.take()
	if p.depth++; p.depth > maxDepth {
		return nil, t.errorf("nested more than %d deep", maxDepth)
	}
	defer func() { p.depth-- }()
	if t.kind == not {
		n, err := operand()
		return &node{op: not, left: n}, err
	}
	n, err := p.chain(operand)
	if err == nil && p.peek().kind != shut {
		return nil, unclosed(p.peek(), t)
	}
	p.take()
	return n, err
}

func (p *parser) term() (*node, error) {
	switch p.peek().kind {
	case not:
		return p.nested(p.term)
	case open:
		// What is said in parentheses qualifies nothing after them.
		before := p.last
		n, err := p.nested(p.term)
		p.last = before
		return n, err
	case word:
		return p.primitive()
	}
	return nil, expected(p.peek(), `a host, net, port or protocol`)
}

func (p *parser) primitive() (*node, error) {
	t := p.peek()
	if q, ok := layers[t.text]; ok {
		p.take()
		if p.peek().text == "[" {
			return p.bytesPrimitive(t, q)
		}
		return p.qualified(t, q)
	}
	if _, ok := types[t.text]; ok {
		return p.qualified(t, qual{})
	}
	if _, ok := directions[t.text]; ok {
		return p.qualified(t, qual{})
	}
	switch t.text {
	case "less", "greater":
		return p.lengthPrimitive()
	case "len":
		p.take()
		p.last = qual{}
		return p.comparison(prim{qual: qual{typ: length}})
	case "broadcast", "multicast":
		return p.castPrimitive()
	}
	return p.bare()
}

// qualified reads the qualifiers from the direction on, then what they
// qualify. A protocol with neither direction nor type stands alone.
func (p *parser) qualified(at token, q qual) (*node, error) {
	directed := p.direction(&q)
	t, ok := types[p.peek().text]
	switch {
	case ok:
		at = p.take()
		q.typ = t
	case directed:
		q.typ = host
	case q.layer == ether:
		return p.castPrimitive()
	default:
		p.last = qual{}
		return &node{op: word, prim: prim{qual: q}}, nil
	}
	if err := q.check(at, directed); err != nil {
		return nil, err
	}
	if q.layer == ether {
		q.typ = mac
	}
	p.last = q
	return p.id(q)
}

// direction reads src, dst, "src or dst" and "src and dst", either way round.
func (p *parser) direction(q *qual) bool {
	first, ok := directions[p.peek().text]
	if !ok {
		return false
	}
	p.take()
	q.dir = first
	op := p.peek().kind
	if op != and && op != or {
		return true
	}
	if second, ok := directions[p.toks[1].text]; ok && second != first {
		p.take()
		p.take()
		q.dir = either
		if op == and {
			q.dir = both
		}
	}
	return true
}

// check refuses qualifiers that do not go together.
func (q qual) check(at token, directed bool) error {
	switch {
	case q.layer == ether && q.typ != host:
		return at.errorf(`"ether" goes with "src", "dst" and "host"`)
	case q.typ == proto && (directed || q.layer != anyLayer && q.layer != ip && q.layer != ip6):
		return at.errorf(`only "ip" or "ip6" can stand before it`)
	case q.typ != port && q.typ != portRange || q.layer == anyLayer:
		return nil
	case q.layer != ipProto: // tcp and udp
		return at.errorf("only tcp and udp have ports")
	}
	return nil
}

// id reads what the qualifiers qualify; "port (80 or 443)" repeats them.
func (p *parser) id(q qual) (*node, error) {
	t := p.peek()
	switch {
	case t.kind == not || t.kind == open:
		return p.nested(func() (*node, error) { return p.id(q) })
	case t.kind != word || q.typ != proto && slices.Contains(keywords, t.text):
		return nil, expected(t, wanted[q.typ])
	}
	v, err := p.value(q)
	return &node{op: word, prim: v}, err
}

// bare reads an identifier without keywords: "the most recent keyword is
// assumed", or host where there was none.
func (p *parser) bare() (*node, error) {
	t := p.peek()
	q := p.last
	if q.typ == none {
		q.typ = host
	}
	n, err := p.id(q)
	switch {
	case err == nil:
		p.last = q
		return n, nil
	case isName(t.text):
		return nil, unknown(t)
	case p.last.typ == none && isNumber(t.text):
		return nil, t.errorf(`a number needs a word before it, such as "port"`)
	}
	return nil, err
}

// lengthPrimitive reads less and greater, which mean "or equal" too.
func (p *parser) lengthPrimitive() (*node, error) {
	p.last = qual{}
	v := prim{qual: qual{typ: length}, hi: math.MaxUint32}
	bound := &v.hi
	if p.take().text == "greater" {
		bound = &v.lo
	}
	t := p.peek()
	if t.kind != word {
		return nil, expected(t, wanted[length])
	}
	p.take()
	n, err := number(t.text, math.MaxUint32)
	if err != nil {
		return nil, t.errorf("the length is %v", err)
	}
	*bound = n
	return &node{op: word, prim: v}, nil
}

func (p *parser) castPrimitive() (*node, error) {
	p.last = qual{}
	t := p.peek()
	v := prim{}
	switch t.text {
	case "broadcast":
		v.typ = broadcast
	case "multicast":
		v.typ = multicast
	default:
		return nil, expected(t, `"src", "dst", "host", "broadcast" or "multicast" after "ether"`)
	}
	p.take()
	return &node{op: word, prim: v}, nil
}
