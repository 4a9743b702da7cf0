package filter

import "encoding/binary"

const (
	etherLen = 14
	ipLen    = 20 // without options
	arpLen   = 28 // RFC 826, Ethernet and IPv4

	etherIPv4 = 0x0800
	etherARP  = 0x0806
	etherRARP = 0x8035

	protoICMP = 1
	protoIPIP = 4
	protoTCP  = 6
	protoUDP  = 17
	protoSCTP = 132
)

// maxLayers bounds the work that nested IP-in-IP headers can ask for.
const maxLayers = 4

// view is what primitives ask of a packet, read from the frame once.
type view struct {
	frame            []byte
	body             []byte // of IPv4 or ARP; without the outer headers
	length           int
	etherType        uint16
	proto            uint8
	tunnelled        bool // outer headers were taken off
	hasIP            bool
	hasAddrs         bool
	hasPorts         bool
	src, dst         uint32
	srcPort, dstPort uint16
}

func (v *view) decode(frame []byte, unwrap int) {
	v.frame, v.length = frame, len(frame)
	if len(frame) < etherLen {
		return
	}
	v.etherType = binary.BigEndian.Uint16(frame[12:])
	body := frame[etherLen:]
	switch v.etherType {
	case etherIPv4:
		body = v.decap(body, unwrap)
		v.decodeIP(body)
	case etherARP, etherRARP:
		v.decodeARP(body)
	}
	v.body, v.length = body, etherLen+len(body)
}

func (v *view) decap(b []byte, unwrap int) []byte {
	for range unwrap {
		inner := payload(b)
		if inner == nil {
			break
		}
		b, v.tunnelled = inner, true
	}
	return b
}

// payload is the IPv4 packet in an IP-in-IP packet (RFC 2003), or nil. Only
// the first fragment has the inner header.
func payload(b []byte) []byte {
	if len(b) < ipLen || b[9] != protoIPIP || fragment(b) {
		return nil
	}
	n := headerLen(b)
	if n < ipLen || len(b) < n+ipLen || b[n]>>4 != 4 {
		return nil
	}
	return b[n:]
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
	v.hasIP, v.hasAddrs = true, true
	v.proto = b[9]
	v.src = binary.BigEndian.Uint32(b[12:])
	v.dst = binary.BigEndian.Uint32(b[16:])
	n := headerLen(b)
	if fragment(b) || n < ipLen || len(b) < n+4 {
		return
	}
	switch v.proto {
	case protoTCP, protoUDP, protoSCTP:
		v.hasPorts = true
		v.srcPort = binary.BigEndian.Uint16(b[n:])
		v.dstPort = binary.BigEndian.Uint16(b[n+2:])
	}
}

func (v *view) decodeARP(b []byte) {
	if len(b) < arpLen {
		return
	}
	v.hasAddrs = true
	v.src = binary.BigEndian.Uint32(b[14:])
	v.dst = binary.BigEndian.Uint32(b[24:])
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
	case arp:
		return v.etherType == etherARP
	case ipProto:
		return v.hasIP && v.proto == p.proto || v.tunnelled && p.proto == protoIPIP
	}
	return true
}

func (v *view) hasValue(p *prim) bool {
	switch p.typ {
	case host:
		return v.hasAddrs && p.dir.test(v.src&p.mask == p.addr, v.dst&p.mask == p.addr)
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
