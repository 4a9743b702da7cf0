package filter

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// names are pcap-filter(7)'s for what stands in a packet: offsets and values.
var names = map[string]uint32{
	"icmptype": 0, "icmpcode": 1, "tcpflags": 13,
	"icmp-echoreply": 0, "icmp-unreach": 3, "icmp-sourcequench": 4, "icmp-redirect": 5, "icmp-echo": 8,
	"icmp-timxceed": 11, "icmp-paramprob": 12, "icmp-tstamp": 13, "icmp-tstampreply": 14,
	"icmp6type": 0, "icmp6code": 1,
	"icmp6-destinationunreach": 1, "icmp6-packettoobig": 2, "icmp6-timeexceeded": 3, "icmp6-parameterproblem": 4,
	"icmp6-echo": 128, "icmp6-echoreply": 129, "icmp6-multicastlistenerquery": 130, "icmp6-multicastlistenerreportv1": 131,
	"icmp6-multicastlistenerdone": 132, "icmp6-routersolicit": 133, "icmp6-routeradvert": 134, "icmp6-neighborsolicit": 135,
	"icmp6-neighboradvert": 136, "icmp6-redirect": 137, "icmp6-routerrenum": 138, "icmp6-nodeinformationquery": 139,
	"icmp6-nodeinformationresponse": 140, "icmp6-ineighbordiscoverysolicit": 141, "icmp6-ineighbordiscoveryadvert": 142,
	"icmp6-multicastlistenerreportv2": 143, "icmp6-homeagentdiscoveryrequest": 144, "icmp6-homeagentdiscoveryreply": 145,
	"icmp6-mobileprefixsolicit": 146, "icmp6-mobileprefixadvert": 147, "icmp6-certpathsolicit": 148, "icmp6-certpathadvert": 149,
	"icmp6-multicastrouteradvert": 151, "icmp6-multicastroutersolicit": 152, "icmp6-multicastroutertermination": 153,
	"tcp-fin": 1, "tcp-syn": 2, "tcp-rst": 4, "tcp-push": 8, "tcp-ack": 16, "tcp-urg": 32, "tcp-ece": 64, "tcp-cwr": 128,
}

// bytesPrimitive reads "[OFFSET:SIZE] & MASK RELATION VALUE" behind a protocol.
func (p *parser) bytesPrimitive(layer token, q qual) (*node, error) {
	if q.proto == protoIPIP || q.layer == vxlan {
		return nil, layer.errorf("%s", haveBytes)
	}
	p.take() // "["
	p.last = qual{}
	q.typ = octets
	v := prim{qual: q, bits: math.MaxUint32}
	if err := p.place(&v); err != nil {
		return nil, err
	}
	if p.peek().text == "&" {
		p.take()
		m, err := p.constant()
		if err != nil {
			return nil, err
		}
		v.bits = m
	}
	return p.comparison(v)
}

// place reads which bytes: the offset is from where the protocol's header begins.
func (p *parser) place(v *prim) (err error) {
	t := p.take()
	offset, size, sized := strings.Cut(t.text, ":")
	v.off, err = constant(offset, math.MaxUint16)
	if t.kind != word || err != nil {
		return t.errorf(`expected an offset such as 8, 6:2 or tcpflags after "["`)
	}
	v.size = 1
	if sized {
		if v.size, err = number(size, 4); err != nil || v.size != 1 && v.size != 2 && v.size != 4 {
			return t.errorf("1, 2 or 4 bytes can be compared")
		}
	}
	if p.peek().text != "]" {
		return p.peek().errorf(`expected "]"`)
	}
	p.take()
	return nil
}

// comparison reads a relation and what it is to, as a range that the value is in, or
// not in.
func (p *parser) comparison(v prim) (*node, error) {
	relation := p.take()
	at := p.peek()
	n, err := p.constants()
	v.lo, v.hi = 0, math.MaxUint32
	switch relation.text {
	case "=", "==":
		v.lo, v.hi = n, n
	case "!=":
		v.lo, v.hi, v.outside = n, n, true
	case "<=":
		v.hi = n
	case ">=":
		v.lo = n
	case "<":
		v.hi = n - 1
	case ">":
		v.lo = n + 1
	default:
		return nil, relation.errorf("expected =, !=, <, <=, > or >=")
	}
	if err != nil {
		return nil, err
	}
	if relation.text == "<" && n == 0 || relation.text == ">" && n == math.MaxUint32 {
		return nil, at.errorf("no number is %s that", map[string]string{"<": "less than", ">": "greater than"}[relation.text])
	}
	return &node{op: word, prim: v}, nil
}

// constants reads one constant, or several joined by "|".
func (p *parser) constants() (uint32, error) {
	all, err := p.constant()
	for err == nil && p.peek().text == "|" {
		p.take()
		var n uint32
		n, err = p.constant()
		all |= n
	}
	return all, err
}

// constant reads a number, a name, or constants in parentheses.
func (p *parser) constant() (uint32, error) {
	t := p.take()
	if t.kind == open {
		if p.depth++; p.depth > maxDepth {
			return 0, t.errorf("nested more than %d deep", maxDepth)
		}
		defer func() { p.depth-- }()
		n, err := p.constants()
		if err == nil && p.peek().kind != shut {
			return 0, p.peek().errorf(`expected "|", or ")" for the "(" in column %d`, t.col)
		}
		p.take()
		return n, err
	}
	n, err := constant(t.text, math.MaxUint32)
	if t.kind != word || err != nil {
		return 0, t.errorf("expected a number, or a name such as icmp-echo or tcp-syn")
	}
	return n, nil
}

func constant(text string, limit uint32) (uint32, error) {
	if n, ok := names[text]; ok {
		return n, nil
	}
	return number(text, limit)
}

// field is what a bytes primitive compares; false where the packet does not have it.
func (v *view) field(p *prim) (uint32, bool) {
	b := v.header(p)
	if uint64(len(b)) < uint64(p.off)+uint64(p.size) {
		return 0, false
	}
	b = b[p.off:]
	switch p.size {
	case 1:
		return uint32(b[0]) & p.bits, true
	case 2:
		return uint32(binary.BigEndian.Uint16(b)) & p.bits, true
	}
	return binary.BigEndian.Uint32(b) & p.bits, true
}

// header is the packet from a layer's header on; only a first fragment has the one
// behind IPv4's, and none has the one behind IPv6's. Those of tcp and udp are IPv4's.
func (v *view) header(p *prim) []byte {
	switch {
	case p.layer == ether:
		return v.frame
	case p.layer == ip6Proto && v.family == v6 && v.proto == p.proto:
		return v.body[ip6Len:]
	case p.layer != ipProto && p.layer != ip4Proto && p.layer != ip6Proto:
		return v.body
	case v.family != v4 || len(v.body) < ipLen || fragment(v.body):
		return nil
	}
	n := headerLen(v.body)
	if n < ipLen || n > len(v.body) {
		return nil
	}
	return v.body[n:]
}

// bytesWords is the primitive without its protocol.
func (p *prim) bytesWords() string {
	place := strconv.Itoa(int(p.off))
	if p.size > 1 {
		place += fmt.Sprintf(":%d", p.size)
	}
	text := "[" + place + "]"
	if p.bits != math.MaxUint32 {
		text += fmt.Sprintf(" & 0x%x", p.bits)
	}
	return text + " " + p.relation()
}

func (p *prim) relation() string {
	switch {
	case p.outside:
		return fmt.Sprintf("!= %d", p.lo)
	case p.lo == p.hi:
		return fmt.Sprintf("== %d", p.lo)
	case p.hi == math.MaxUint32:
		return fmt.Sprintf(">= %d", p.lo)
	}
	return fmt.Sprintf("<= %d", p.hi)
}
