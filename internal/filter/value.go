package filter

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// protocols are the names that "proto" takes. RFC 2003 calls protocol 4
// IP-in-IP and so do we; /etc/protocols has ipencap for it.
var protocols = map[string]uint8{
	"icmp": protoICMP, "igmp": 2, "ipip": protoIPIP, "ipencap": protoIPIP, "tcp": protoTCP,
	"udp": protoUDP, "gre": 47, "esp": 50, "ah": 51, "ospf": 89, "pim": 103, "vrrp": 112, "sctp": protoSCTP,
}

// value reads the word that q qualifies.
func (p *parser) value(q qual) (prim, error) {
	switch q.typ {
	case network:
		return p.network(q)
	case port, portRange:
		return ports(p.take(), q)
	case proto:
		return protocol(p.take())
	case mac:
		return hardware(p.take(), q)
	}
	return address(p.take(), q)
}

func address(t token, q qual) (prim, error) {
	a, err := netip.ParseAddr(t.text)
	if err != nil || !a.Is4() {
		return prim{}, notAddress(t, host)
	}
	return prim{qual: q, addr: ipv4(a), mask: math.MaxUint32}, nil
}

func ipv4(a netip.Addr) uint32 {
	b := a.As4()
	return binary.BigEndian.Uint32(b[:])
}

// network reads "A/LEN", "A mask M", or A alone, where A may be short:
// "10.70" is 10.70.0.0/16.
func (p *parser) network(q qual) (prim, error) {
	t := p.take()
	text, suffix, hasLen := strings.Cut(t.text, "/")
	addr, n, ok := dotted(text)
	if !ok {
		return prim{}, notAddress(t, network)
	}
	mask := prefixMask(n)
	if hasLen {
		n, err := number(suffix, 32)
		if err != nil {
			return prim{}, t.errorf("the prefix length is %v", err)
		}
		mask = prefixMask(int(n))
	} else if p.peek().text == "mask" {
		p.take()
		if mask, _, ok = dotted(p.peek().text); !ok {
			return prim{}, expected(p.peek(), `a netmask such as 255.255.0.0 after "mask"`)
		}
		p.take()
	}
	if addr&^mask != 0 {
		return prim{}, t.errorf("it has bits outside its mask; the network is %s", quad(addr&mask))
	}
	q.typ = host
	return prim{qual: q, addr: addr, mask: mask}, nil
}

// dotted reads one to four numbers and says how many bits they are.
func dotted(s string) (addr uint32, n int, ok bool) {
	dots := strings.Count(s, ".")
	if dots > 3 {
		return 0, 0, false
	}
	a, err := netip.ParseAddr(s + strings.Repeat(".0", 3-dots))
	if err != nil || !a.Is4() {
		return 0, 0, false
	}
	return ipv4(a), 8 * (dots + 1), true
}

func prefixMask(n int) uint32 { return ^uint32(0) << (32 - n) }

// prefixLen is the inverse of prefixMask, and false of a mask with holes.
func prefixLen(mask uint32) (int, bool) {
	n := bits.LeadingZeros32(^mask)
	return n, prefixMask(n) == mask
}

func quad(a uint32) netip.Addr {
	return netip.AddrFrom4([4]byte{byte(a >> 24), byte(a >> 16), byte(a >> 8), byte(a)})
}

func ports(t token, q qual) (prim, error) {
	first, last, ranged := strings.Cut(t.text, "-")
	if ranged && q.typ == port && isNumber(first) {
		return prim{}, t.errorf(`a range; write "portrange %s"`, t.text)
	}
	if !ranged {
		last = first
	}
	lo, err := number(first, math.MaxUint16)
	hi, err2 := number(last, math.MaxUint16)
	switch {
	case isName(t.text):
		return prim{}, t.errorf("service names are not looked up; a port is %v", err)
	case net.ParseIP(t.text) != nil:
		return prim{}, t.errorf(`an address, not a port; write "host %s"`, t.text)
	case err != nil:
		return prim{}, t.errorf("a port is %v", err)
	case err2 != nil:
		return prim{}, t.errorf("a port is %v", err2)
	}
	q.typ = port
	return prim{qual: q, lo: min(lo, hi), hi: max(lo, hi)}, nil
}

func protocol(t token) (prim, error) {
	name := strings.TrimPrefix(t.text, `\`)
	n, known := protocols[name]
	if !known {
		v, err := number(name, math.MaxUint8)
		if err != nil {
			return prim{}, t.errorf("not a protocol name that is known here; or it is %v", err)
		}
		n = uint8(v)
	}
	return prim{qual: qual{layer: ipProto, proto: n}}, nil
}

func hardware(t token, q qual) (prim, error) {
	a, err := net.ParseMAC(t.text)
	if err != nil || len(a) != 6 {
		return prim{}, t.errorf("not a MAC address such as 00:11:22:33:44:55")
	}
	return prim{qual: q, mac: [6]byte(a)}, nil
}

// number reads decimal and 0x. It refuses a leading zero, which C reads as
// octal and people do not.
func number(s string, limit uint32) (uint32, error) {
	base, digits := 10, s
	if hex, ok := strings.CutPrefix(s, "0x"); ok {
		base, digits = 16, hex
	}
	n, err := strconv.ParseUint(digits, base, 32)
	if err != nil || uint32(n) > limit || base == 10 && len(s) > 1 && s[0] == '0' {
		return 0, fmt.Errorf("a number from 0 to %d", limit)
	}
	return uint32(n), nil
}

func isNumber(s string) bool {
	_, err := number(s, math.MaxUint32)
	return err == nil
}
