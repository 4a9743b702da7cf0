package filter

import (
	"fmt"
	"net"
	"strconv"
	"strings"
)

// String is the expression in full: every primitive with its own qualifiers,
// and parentheses only where they are needed. It parses to the same filter.
func (f *Filter) String() string {
	var b strings.Builder
	if f.root != nil {
		f.root.write(&b)
	}
	return b.String()
}

func (n *node) write(b *strings.Builder) {
	switch n.op {
	case and, or:
		n.left.write(b)
		b.WriteString(map[kind]string{and: " and ", or: " or "}[n.op])
		n.right.operand(b)
	case not:
		b.WriteString("not ")
		n.left.operand(b)
	default:
		b.WriteString(n.prim.String())
	}
}

// operand is what binds tighter than and/or.
func (n *node) operand(b *strings.Builder) {
	if n.op != and && n.op != or {
		n.write(b)
		return
	}
	b.WriteByte('(')
	n.write(b)
	b.WriteByte(')')
}

func (p *prim) String() string {
	if p.typ == octets {
		return p.layerWord() + p.bytesWords()
	}
	words := []string{p.layerWord(), [...]string{src: "src", dst: "dst", both: "src and dst"}[p.dir], p.valueWords()}
	return strings.Join(strings.Fields(strings.Join(words, " ")), " ")
}

func (p *prim) layerWord() string {
	switch p.layer {
	case ether:
		return "ether"
	case ip:
		return "ip"
	case ip6:
		return "ip6"
	case arp:
		return "arp"
	case vxlan:
		return "vxlan"
	case ipProto, ip4Proto, ip6Proto:
		return p.protoWord()
	}
	return ""
}

func (p *prim) protoWord() string {
	for word, q := range layers {
		if q.layer == p.layer && q.proto == p.proto {
			return word
		}
	}
	return map[layer]string{ipProto: "proto ", ip4Proto: "ip proto ", ip6Proto: "ip6 proto "}[p.layer] + strconv.Itoa(int(p.proto))
}

func (p *prim) valueWords() string {
	switch p.typ {
	case host:
		return p.addrWords()
	case mac:
		return "host " + net.HardwareAddr(p.mac[:]).String()
	case port:
		if p.lo == p.hi {
			return fmt.Sprintf("port %d", p.lo)
		}
		return fmt.Sprintf("portrange %d-%d", p.lo, p.hi)
	case length:
		return "len " + p.relation()
	case broadcast:
		return "broadcast"
	case multicast:
		return "multicast"
	}
	return ""
}

func (p *prim) addrWords() string {
	n, ok := prefixLen(p.mask)
	switch {
	case !ok:
		return fmt.Sprintf("net %s mask %s", p.addr.of(p.family), p.mask.of(p.family))
	case p.family == v4 && n == 32 || n == 128:
		return fmt.Sprintf("host %s", p.addr.of(p.family))
	}
	return fmt.Sprintf("net %s/%d", p.addr.of(p.family), n)
}
