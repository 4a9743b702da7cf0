package filter

import (
	"encoding/binary"

	"github.com/vrouter/vrouter/internal/packet"
)

const (
	etherLen = 14
	ipLen    = 20 // without options
	ip6Len   = 40
	arpLen   = 28 // RFC 826, Ethernet and IPv4

	etherIPv4 = 0x0800
	etherIPv6 = 0x86dd
	etherARP  = 0x0806
	etherRARP = 0x8035

	protoICMP     = 1
	protoIPIP     = 4
	protoTCP      = 6
	protoUDP      = 17
	protoIPv6     = 41
	protoFragment = 44
	protoICMP6    = 58
	protoSCTP     = 132
)

// maxLayers bounds the work that nested IP headers can ask for, and maxExtensions that of
// IPv6's headers before the one in a tunnel.
const (
	maxLayers     = 4
	maxExtensions = 4
)

// view is what primitives ask of a packet, read from the frame once.
type view struct {
	frame            []byte
	body             []byte // of IP or ARP; without the outer headers
	length           int
	etherType        uint16 // of the inner packet
	proto            uint8
	behindFragment   uint8   // of IPv6: what its fragment header says comes next; else proto
	around           [4]bool // outer headers that were taken off, by tunnel
	vxlan            bool    // those of VXLAN were, or are the outermost
	hasIP            bool
	hasPorts         bool
	family           family // of the addresses
	src, dst         addr
	srcPort, dstPort uint16
}

// tunnel is the place in view.around of a header that has another one in it: of IPv4 or
// IPv6, with protocol 4 or 41.
func tunnel(f family, proto uint8) int { return int(f-v4) | int(proto&1) }

func (v *view) decode(frame []byte, unwrap int) {
	v.frame, v.length = frame, len(frame)
	if len(frame) < etherLen {
		return
	}
	v.etherType = binary.BigEndian.Uint16(frame[12:])
	body := frame[etherLen:]
	if v.etherType == etherIPv4 || v.etherType == etherIPv6 {
		body = v.decap(body, unwrap)
	}
	switch v.etherType {
	case etherIPv4:
		v.decodeIP(body)
	case etherIPv6:
		v.decodeIP6(body)
	case etherARP, etherRARP:
		v.decodeARP(body)
	}
	v.body, v.length = body, etherLen+len(body)
}

func (v *view) decap(b []byte, unwrap int) []byte {
	for range unwrap {
		f, proto, n := v4, uint8(0), 0
		if v.etherType == etherIPv4 {
			proto, n = payload(b)
		} else {
			f = v6
			proto, n = payload6(b)
		}
		if proto == protoUDP && n <= len(b) {
			inner := packet.VXLAN(b[n:]).Inner()
			if len(inner) < ipLen || inner.Version() == 6 && len(inner) < ip6Len {
				return b
			}
			v.vxlan, v.etherType, b = true, etherIPv4, inner
			if inner.Version() == 6 {
				v.etherType = etherIPv6
			}
			continue
		}
		switch {
		case proto == protoIPIP && len(b) >= n+ipLen && b[n]>>4 == 4:
			v.etherType = etherIPv4
		case proto == protoIPv6 && len(b) >= n+ip6Len && b[n]>>4 == 6:
			v.etherType = etherIPv6
		default:
			return b
		}
		v.around[tunnel(f, proto)] = true
		b = b[n:]
	}
	return b
}

// payload is what an IPv4 packet has in it (RFC 2003, RFC 4213), and where. Only the first
// fragment has the inner header.
func payload(b []byte) (proto uint8, at int) {
	if len(b) < ipLen || fragment(b) || headerLen(b) < ipLen {
		return 0, 0
	}
	return b[9], headerLen(b)
}

// payload6 is what an IPv6 packet has in it, and where: behind options, as RFC 2473 4.1.1
// has them, too.
func payload6(b []byte) (proto uint8, at int) {
	if len(b) < ip6Len {
		return 0, 0
	}
	next, at := b[6], ip6Len
	for range maxExtensions {
		switch {
		case next != 0 && next != 43 && next != 60 && next != protoFragment || len(b) < at+8:
			return next, at
		case next != protoFragment:
			next, at = b[at], at+8+8*int(b[at+1])
		case binary.BigEndian.Uint16(b[at+2:])&^7 != 0:
			return 0, 0
		default:
			next, at = b[at], at+8
		}
	}
	return next, at
}

func headerLen(b []byte) int { return int(b[0]&0xf) * 4 }

// fragment is true of every fragment but the first.
func fragment(b []byte) bool { return binary.BigEndian.Uint16(b[6:])&0x1fff != 0 }

// decodeIP trusts no more of the header than it needs: a packet that the
// router drops as malformed is one that people look for by its address.
func (v *view) decodeIP(b []byte) {
	if len(b) < ipLen {
		return
	}
	v.hasIP, v.family = true, v4
	v.proto, v.behindFragment = b[9], b[9]
	v.src, v.dst = addr4(b[12:]), addr4(b[16:])
	if n := headerLen(b); !fragment(b) && n >= ipLen && n <= len(b) {
		v.decodePorts(b[n:])
	}
}

// decodeIP6 reads the fixed header and, as libpcap does, a fragment header right behind
// it, and no other extension header.
func (v *view) decodeIP6(b []byte) {
	if len(b) < ip6Len {
		return
	}
	v.hasIP, v.family = true, v6
	v.proto, v.behindFragment = b[6], b[6]
	v.src, v.dst = addr6(b[8:]), addr6(b[24:])
	if v.proto == protoFragment && len(b) > ip6Len {
		v.behindFragment = b[ip6Len]
	}
	v.decodePorts(b[ip6Len:])
}

func (v *view) decodePorts(b []byte) {
	if len(b) < 4 || v.proto != protoTCP && v.proto != protoUDP && v.proto != protoSCTP {
		return
	}
	v.hasPorts = true
	v.srcPort, v.dstPort = binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
	v.vxlan = v.vxlan || v.proto == protoUDP && packet.VXLAN(b).Inner() != nil
}

func addr4(b []byte) addr { return addr{hi: uint64(binary.BigEndian.Uint32(b)) << 32} }

func addr6(b []byte) addr {
	return addr{binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])}
}

func (v *view) decodeARP(b []byte) {
	if len(b) < arpLen {
		return
	}
	v.family = v4
	v.src, v.dst = addr4(b[14:]), addr4(b[24:])
}

func (n *node) match(v *view) bool {
	switch n.op {
	case and:
		return n.left.match(v) && n.right.match(v)
	case or:
		return n.left.match(v) || n.right.match(v)
	case not:
		return !n.left.match(v)
	}
	return v.inLayer(&n.prim) && v.hasValue(&n.prim)
}

func (v *view) inLayer(p *prim) bool {
	switch p.layer {
	case ip:
		return v.etherType == etherIPv4
	case ip6:
		return v.etherType == etherIPv6
	case arp:
		return v.etherType == etherARP
	case ipProto:
		return v.hasProto(v4, p.proto) || v.hasProto(v6, p.proto)
	case ip4Proto:
		return v.hasProto(v4, p.proto)
	case ip6Proto:
		return v.hasProto(v6, p.proto)
	case vxlan:
		return v.vxlan
	}
	return true
}

// hasProto says whether the packet, or one around it, is of a family and a protocol.
func (v *view) hasProto(f family, proto uint8) bool {
	return v.hasIP && v.family == f && (v.proto == proto || v.behindFragment == proto) ||
		(proto == protoIPIP || proto == protoIPv6) && v.around[tunnel(f, proto)]
}

func (v *view) hasValue(p *prim) bool {
	switch p.typ {
	case host:
		return v.family == p.family && p.dir.test(v.src.and(p.mask) == p.addr, v.dst.and(p.mask) == p.addr)
	case port:
		return v.hasPorts && p.dir.test(p.inRange(uint32(v.srcPort)), p.inRange(uint32(v.dstPort)))
	case length:
		return p.inRange(uint32(v.length)) != p.outside
	case octets:
		n, ok := v.field(p)
		return ok && p.inRange(n) != p.outside
	case mac:
		return len(v.frame) >= etherLen && p.dir.test([6]byte(v.frame[6:]) == p.mac, [6]byte(v.frame) == p.mac)
	case broadcast:
		return len(v.frame) >= etherLen && [6]byte(v.frame) == [6]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	case multicast:
		return len(v.frame) >= etherLen && v.frame[0]&1 != 0
	}
	return true
}

func (p *prim) inRange(n uint32) bool { return p.lo <= n && n <= p.hi }
