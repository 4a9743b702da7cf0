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
	"icmp": protoICMP, "icmp6": protoICMP6, "ipv6": protoIPv6, "igmp": 2, "ipip": protoIPIP, "ipencap": protoIPIP, "tcp": protoTCP,
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
		return protocol(p.take(), q)
	case mac:
		return hardware(p.take(), q)
	}
	return address(p.take(), q)
}

func address(t token, q qual) (prim, error) {
	a, err := netip.ParseAddr(t.text)
	if err != nil || a.Zone() != "" {
		return prim{}, notAddress(t, host)
	}
	v, f := bitsOf(a)
	return prim{qual: q, addr: v, mask: prefixMask(a.BitLen()), family: f}, q.has(t, f)
}

// has refuses an address where there are none of its family.
func (q qual) has(t token, f family) error {
	if only, ok := familyOf[q.layer]; ok && only != f {
		return t.errorf("an IPv%d address; %s has those of IPv%d", f, (&prim{qual: q}).layerWord(), only)
	}
	return nil
}

func bitsOf(a netip.Addr) (addr, family) {
	if a.Is4() {
		b := a.As4()
		return addr4(b[:]), v4
	}
	b := a.As16()
	return addr6(b[:]), v6
}

// network reads "A/LEN", "A mask M", or A alone, where A may be short:
// "10.70" is 10.70.0.0/16.
func (p *parser) network(q qual) (prim, error) {
	t := p.take()
	text, suffix, hasLen := strings.Cut(t.text, "/")
	a, n, ok := dotted(text)
	if !ok {
		return prim{}, notAddress(t, network)
	}
	v, f := bitsOf(a)
	mask := prefixMask(n)
	if hasLen {
		n, err := number(suffix, uint32(a.BitLen()))
		if err != nil {
			return prim{}, t.errorf("the prefix length is %v", err)
		}
		mask = prefixMask(int(n))
	} else if p.peek().text == "mask" {
		at := p.take()
		if f == v6 {
			return prim{}, at.errorf("IPv6 has prefix lengths; write %s/64", text)
		}
		m, _, ok := dotted(p.peek().text)
		if !ok || !m.Is4() {
			return prim{}, expected(p.peek(), `a netmask such as 255.255.0.0 after "mask"`)
		}
		mask, _ = bitsOf(m)
		p.take()
	}
	if v.and(mask) != v {
		return prim{}, t.errorf("it has bits outside its mask; the network is %s", v.and(mask).of(f))
	}
	q.typ = host
	return prim{qual: q, addr: v, mask: mask, family: f}, q.has(t, f)
}

// dotted reads one to four numbers, or an IPv6 address, and says how many bits they are.
func dotted(s string) (a netip.Addr, n int, ok bool) {
	if strings.Contains(s, ":") {
		a, err := netip.ParseAddr(s)
		return a, 128, err == nil && a.Zone() == ""
	}
	dots := strings.Count(s, ".")
	if dots > 3 {
		return a, 0, false
	}
	a, err := netip.ParseAddr(s + strings.Repeat(".0", 3-dots))
	return a, 8 * (dots + 1), err == nil
}

func prefixMask(n int) addr {
	if n <= 64 {
		return addr{hi: ^(^uint64(0) >> n)}
	}
	return addr{^uint64(0), ^(^uint64(0) >> (n - 64))}
}

// prefixLen is the inverse of prefixMask, and false of a mask with holes.
func prefixLen(mask addr) (int, bool) {
	n := bits.LeadingZeros64(^mask.hi)
	if n == 64 {
		n += bits.LeadingZeros64(^mask.lo)
	}
	return n, prefixMask(n) == mask
}

// of is the address, of a family.
func (a addr) of(f family) netip.Addr {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:], a.hi)
	binary.BigEndian.PutUint64(b[8:], a.lo)
	if f == v4 {
		return netip.AddrFrom4([4]byte(b[:4]))
	}
	return netip.AddrFrom16(b)
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

func protocol(t token, q qual) (prim, error) {
	name := strings.TrimPrefix(t.text, `\`)
	n, known := protocols[name]
	if !known {
		v, err := number(name, math.MaxUint8)
		if err != nil {
			return prim{}, t.errorf("not a protocol name that is known here; or it is %v", err)
		}
		n = uint8(v)
	}
	return prim{qual: qual{layer: map[layer]layer{anyLayer: ipProto, ip: ip4Proto, ip6: ip6Proto}[q.layer], proto: n}}, nil
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
