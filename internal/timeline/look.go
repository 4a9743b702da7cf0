package timeline

import (
	"bytes"
	"encoding/binary"
	"net/netip"

	"github.com/vrouter/vrouter/internal/packet"
)

// look is a packet as it is at one place: what it can be told by at another one.
// MAC addresses, TTL, checksums that a device completes, and outer headers may differ
// between the two.
type look struct {
	inner piece // of IP, or of ARP
	outer piece // the IP header around it; not valid if there is none, or several
}

// piece is one IP header, or a message that asks for a hardware address or tells it, and what
// is kept behind it.
type piece struct {
	src, dst netip.Addr
	proto    int    // of IP, behind all extension headers; isARP, isND
	id       uint32 // of IPv4's datagram, of IPv6's where it is cut, else what piece6 makes of it; of a message its kind
	ttl      byte
	fragment bool
	lo, hi   int    // which bytes of the datagram's payload it carries
	l4       []byte // the start of that payload, as far as the record has it; nil for a fragment but the first
	packets  int    // that a frame stands for
}

// isARP and isND stand in the place of a protocol: of messages from who asks or tells to
// whom is asked for or told.
const (
	isARP = -1
	isND  = -2
)

// resolves says whether it is such a message.
func (p *piece) resolves() bool { return p.proto == isARP || p.proto == isND }

func (p *piece) valid() bool { return p.src.IsValid() }

// lookAt reads the start of a frame that stands for some packets on the wire.
func lookAt(frame []byte, packets int) (l look) {
	if len(frame) < packet.EthernetLen {
		return l
	}
	body := frame[packet.EthernetLen:]
	switch binary.BigEndian.Uint16(frame[12:]) {
	case packet.EtherTypeARP:
		if m, ok := packet.ParseARP(body); ok {
			l.inner = piece{src: m.SenderIP, dst: m.TargetIP, proto: isARP, id: uint32(m.Op), hi: packet.ARPLen, l4: body[:packet.ARPLen]}
		}
	case packet.EtherTypeIPv4, packet.EtherTypeIPv6:
		l.inner = pieceOf(body, packets)
		for range maxTunnels {
			inside := l.inner.inside()
			if inside == nil {
				break
			}
			l.outer = l.inner
			l.inner = pieceOf(inside, packets)
		}
	}
	return l
}

// maxTunnels is how many headers around a packet are looked through.
const maxTunnels = 8

// inside is the packet in a packet; nil: it is not in a tunnel, or too little of it is there.
func (p *piece) inside() []byte {
	if v := packet.VXLAN(p.l4); p.proto == packet.ProtocolUDP && !p.fragment && len(v.Inner()) >= packet.IPv4MinLen {
		return v.Inner()
	}
	if isTunnel(p.proto) && len(p.l4) >= packet.IPv4MinLen {
		return p.l4
	}
	return nil
}

func isTunnel(proto int) bool { return proto == packet.ProtocolIPIP || proto == packet.ProtocolIPv6 }

func pieceOf(b []byte, packets int) (p piece) {
	if len(b) >= packet.IPv6MinLen && b[0]>>4 == 6 {
		return piece6(b, packets)
	}
	if len(b) < packet.IPv4MinLen || b[0]>>4 != 4 {
		return p
	}
	ip := packet.IPv4(b)
	p = piece{
		src: ip.Src(), dst: ip.Dst(), proto: int(ip.Protocol()), id: uint32(ip.ID()), ttl: ip.TTL(),
		fragment: ip.IsFragment(), lo: ip.FragOffset(), packets: max(1, packets),
	}
	hl := ip.HeaderLen()
	p.hi = p.lo + max(0, ip.TotalLen()-hl)
	if p.lo == 0 && hl >= packet.IPv4MinLen && hl <= len(b) {
		p.l4 = b[hl:min(len(b), max(hl, ip.TotalLen()))]
	}
	return p
}

// key is what both looks of one packet have in common. A packet has several: by its
// identification, and by its flow, as the segments of a superframe are numbered anew.
type key struct {
	src, dst netip.Addr
	proto    int
	id       uint32
	ports    uint32 // 0: by identification
}

func (l *look) keys() (list []key) {
	for _, p := range []*piece{&l.inner, &l.outer} {
		list = append(list, p.keys()...)
	}
	return list
}

func (p *piece) keys() (list []key) {
	if !p.valid() {
		return nil
	}
	ports, ok := p.ports()
	if ok {
		list = append(list, key{src: p.src, dst: p.dst, proto: p.proto, ports: ports})
	}
	if !ok || p.numbered() {
		list = append(list, key{src: p.src, dst: p.dst, proto: p.proto, id: p.id})
	}
	return list
}

// numbered says whether the segments of a superframe have identifications that count on.
func (p *piece) numbered() bool { return p.src.Is4() }

// ports are those of a whole TCP segment or UDP datagram.
func (p *piece) ports() (uint32, bool) {
	if p.fragment || len(p.l4) < 8 || p.proto != packet.ProtocolTCP && p.proto != packet.ProtocolUDP {
		return 0, false
	}
	return binary.BigEndian.Uint32(p.l4), true
}

// overlap is how much two looks have in common, and how much each of them is: in bytes,
// or in sequence numbers. Nothing in common: they are not the same packet.
type overlap struct{ common, left, came int }

// all is for what is there or not, and has no length.
var all = overlap{1, 1, 1}

// ofLeft and ofCame are shares: 1 is all of it.
func (o overlap) ofLeft() float64 { return float64(o.common) / float64(o.left) }
func (o overlap) ofCame() float64 { return float64(o.common) / float64(o.came) }

// overlap says what of a packet that left one host is in one that came to another.
func (left *look) overlap(came *look) overlap {
	l, c := &left.inner, &came.inner
	if o := &left.outer; o.valid() { // the same tunnel: its header tells equal packets apart
		switch {
		case o.src == came.outer.src && o.dst == came.outer.dst:
			l, c = o, &came.outer
		case isTunnel(c.proto), c.fragment && c.proto == o.proto && c.src == o.src && c.dst == o.dst: // a fragment of it
			l = o
		}
	}
	switch {
	case !l.valid() || l.src != c.src || l.dst != c.dst || l.proto != c.proto || c.ttl > l.ttl:
		return overlap{}
	case l.isTCP() && c.isTCP():
		return l.overlapTCP(c)
	case l.packets > 1 || c.packets > 1:
		return l.overlapSegment(c)
	case l.id != c.id || !l.sameStart(c):
		return overlap{}
	}
	return between(l.lo, l.hi, c.lo, c.hi)
}

// between compares two ranges. Two that are empty are the same if they begin alike.
func between(a, aEnd, b, bEnd int) overlap {
	if a == aEnd && b == bEnd && a == b {
		return all
	}
	common := min(aEnd, bEnd) - max(a, b)
	if common <= 0 {
		return overlap{}
	}
	return overlap{common, aEnd - a, bEnd - b}
}

func (p *piece) isTCP() bool {
	return p.proto == packet.ProtocolTCP && !p.fragment && len(p.l4) >= packet.TCPMinLen
}

// near says whether the identifications that two frames stand for have one in common.
func (p *piece) near(c *piece) bool {
	return !p.numbered() || uint16(c.id-p.id) < uint16(p.packets) || uint16(p.id-c.id) < uint16(c.packets)
}

// overlapTCP compares by sequence numbers: a superframe is cut, and segments are joined,
// on the way.
func (p *piece) overlapTCP(c *piece) overlap {
	a, b := p.l4, c.l4
	if !bytes.Equal(a[:4], b[:4]) || !bytes.Equal(a[8:12], b[8:12]) || !p.near(c) || !p.numbered() && !sameOptions(a, b) {
		return overlap{}
	}
	from := int(int32(binary.BigEndian.Uint32(b[4:]) - binary.BigEndian.Uint32(a[4:])))
	o := between(0, p.sequence(), from, from+c.sequence())
	if o == all && p.sequence() == 0 && a[13] != b[13] {
		return overlap{}
	}
	return o
}

// sequence is how many sequence numbers a segment takes (RFC 9293 3.4).
func (p *piece) sequence() int {
	const fin, syn = 1, 2
	n := p.hi - p.lo - int(p.l4[12]>>4)*4
	if p.l4[13]&fin != 0 {
		n++
	}
	if p.l4[13]&syn != 0 {
		n++
	}
	return max(0, n)
}

// overlapSegment compares a UDP superframe with a datagram that was cut from it, or the
// other way round: by the identifications alone, as UDP has no sequence numbers.
func (p *piece) overlapSegment(c *piece) overlap {
	const header = 8
	if len(p.l4) < header || len(c.l4) < header || !bytes.Equal(p.l4[:4], c.l4[:4]) || !p.near(c) {
		return overlap{}
	}
	return between(header, p.hi, header, c.hi)
}

// sameStart compares the start of the payload, as far as both have it, without the
// checksum of UDP, which a device may complete. A fragment but the first has none.
func (p *piece) sameStart(c *piece) bool {
	n := min(len(p.l4), len(c.l4))
	if p.proto != packet.ProtocolUDP || n < 8 {
		return bytes.Equal(p.l4[:n], c.l4[:n])
	}
	return bytes.Equal(p.l4[:6], c.l4[:6]) && bytes.Equal(p.l4[8:n], c.l4[8:n])
}

// quoted is the packet that an ICMP error is about.
func (p *piece) quoted() (q piece, ok bool) {
	if p.fragment || len(p.l4) < packet.ICMPHeaderLen+packet.IPv4MinLen {
		return q, false
	}
	kind := p.l4[0]
	switch p.proto {
	case packet.ProtocolICMP:
		ok = kind == packet.ICMPUnreachable || kind == packet.ICMPTimeExceeded || kind == packet.ICMPParameterProblem
	case packet.ProtocolICMPv6:
		ok = kind >= packet.ICMPv6Unreachable && kind <= packet.ICMPv6ParameterProblem
	}
	if ok {
		q = pieceOf(p.l4[packet.ICMPHeaderLen:], 1)
	}
	return q, q.valid()
}

// about says whether an ICMP error's quote is of this packet. The quote's TTL is what
// was left of it.
func (p *piece) about(q *piece) bool {
	n := min(len(p.l4), len(q.l4), 8)
	if p.proto == packet.ProtocolUDP {
		n = min(n, 6)
	}
	return p.valid() && p.src == q.src && p.dst == q.dst && p.proto == q.proto && p.numberedAs(q) &&
		q.ttl <= p.ttl && (p.packets > 1 || bytes.Equal(p.l4[:n], q.l4[:n]))
}

func (p *piece) numberedAs(q *piece) bool {
	if p.numbered() {
		return uint16(q.id-p.id) < uint16(p.packets)
	}
	return p.id == q.id || p.packets > 1
}
