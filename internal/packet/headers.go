package packet

import (
	"encoding/binary"
	"math/bits"
)

const (
	// maxHeaders in bytes is how far the headers of a superframe may reach: those of
	// a tunnel with all its options, and TCP's. Each segment gets a copy of them, so
	// this bounds what a frame can make of itself.
	maxHeaders = 512
	// maxNested is how many headers there may be one in the other.
	maxNested = 8
	// maxGuesses is how often an IP header is believed to have been found.
	maxGuesses = 4
)

// headerKind is a kind of header in which something differs from segment to segment.
type headerKind uint8

const (
	ipv4Header headerKind = iota
	ipv6Header
	udpHeader // a tunnel's
	greHeader // RFC 2784, RFC 2890
)

// header is one of them, and where it begins in the frame.
type header struct {
	kind headerKind
	at   uint16
}

// headers are those that lead from the Ethernet header to the transport header,
// the outermost first.
type headers struct {
	nested    [maxNested]header
	n         int
	transport int  // where the transport header begins
	protocol  byte // of it
	len       int  // of a superframe: all that comes before the data
}

// innermost is the IP header that the transport header follows.
func (h *headers) innermost() header { return h.nested[h.n-1] }

// pseudoHeader is the sum of the pseudo-header that an IP header in b makes.
func (x header) pseudoHeader(b []byte, protocol byte, length int) uint16 {
	if b = b[x.at:]; x.kind == ipv4Header {
		return pseudoHeader(b[12:20], protocol, length)
	}
	return pseudoHeader(b[8:40], protocol, length)
}

// finder looks for headers. It reads nothing beyond maxHeaders.
type finder struct {
	*headers
	b       []byte
	whole   int  // bytes of the frame
	start   int  // where the transport header is, if that has been said; else 0
	wanted  byte // the transport protocol
	guesses int
}

// find finds the way to the transport header, at start or, if that is 0, the first
// one of the wanted protocol.
func (h *headers) find(f *Frame, start int, wanted byte) bool {
	w := finder{headers: h, b: f.Bytes()[:min(f.Len, maxHeaders)], whole: f.Len, start: start, wanted: wanted}
	return w.etherType(f.EtherType(), EthernetLen)
}

func (w *finder) add(kind headerKind, at int) bool {
	if w.n == maxNested {
		return false
	}
	w.nested[w.n] = header{kind, uint16(at)}
	w.n++
	return true
}

// etherType goes on with what is at a place, by its Ethernet type.
func (w *finder) etherType(t uint16, at int) bool {
	switch t {
	case EtherTypeIPv4:
		return w.ipv4(at)
	case EtherTypeIPv6:
		return w.ipv6(at)
	}
	return w.search(at)
}

func (w *finder) ipv4(at int) bool {
	if at+IPv4MinLen > len(w.b) {
		return false
	}
	ip := IPv4(w.b[at:])
	if ip.Version() != 4 || ip.HeaderLen() < IPv4MinLen || ip.IsFragment() || !w.add(ipv4Header, at) {
		return false
	}
	return w.ipProtocol(ip.Protocol(), at+ip.HeaderLen())
}

func (w *finder) ipv6(at int) bool {
	if at+IPv6MinLen > len(w.b) || w.b[at]>>4 != 6 || !w.add(ipv6Header, at) {
		return false
	}
	next, at := w.b[at+6], at+IPv6MinLen
	for isExtension(next) && at+8 <= len(w.b) {
		next, at = w.b[at], at+8+8*int(w.b[at+1])
	}
	return w.ipProtocol(next, at)
}

// isExtension says whether a header of IPv6 is followed by another one: hop-by-hop
// options, routing, destination options (RFC 8200 4). A fragment is no superframe.
func isExtension(next byte) bool { return next == 0 || next == 43 || next == 60 }

// ipProtocol goes on with what follows an IP header.
func (w *finder) ipProtocol(p byte, at int) bool {
	if at == w.start || w.start == 0 && p == w.wanted {
		w.transport, w.protocol = at, p
		return p == w.wanted
	}
	if w.start != 0 && at > w.start {
		return false
	}
	switch p {
	case ProtocolIPIP:
		return w.ipv4(at)
	case ProtocolIPv6:
		return w.ipv6(at)
	case ProtocolGRE:
		return w.gre(at)
	case ProtocolUDP:
		return w.add(udpHeader, at) && w.search(at+UDPLen)
	case ProtocolTCP:
		return false // nothing is in it
	}
	return w.search(at)
}

func (w *finder) gre(at int) bool {
	if at+greMinLen > len(w.b) {
		return false
	}
	flags := binary.BigEndian.Uint16(w.b[at:])
	if flags&(greRouting|greVersion) != 0 {
		return w.search(at + greMinLen)
	}
	return w.add(greHeader, at) && w.etherType(binary.BigEndian.Uint16(w.b[at+2:]), at+greLen(w.b[at:]))
}

// greLen is the length of a header of GRE: checksum, key and sequence number, in this
// order, are there or are not (RFC 2890 2).
func greLen(b []byte) int {
	return greMinLen + 4*bits.OnesCount8(b[0]&((greChecksum|greKey|greSequence)>>8))
}

// search looks for the IP header inside something about which nothing else needs to
// be known (VXLAN, Geneve, GUE, MPLS, Ethernet …): it is repeated as it is.
func (w *finder) search(at int) bool {
	for ; at+IPv4MinLen <= len(w.b) && w.guesses < maxGuesses; at += 2 {
		n := w.n
		if w.ipAt(at) {
			w.guesses++
			if w.b[at]>>4 == 4 && w.ipv4(at) || w.b[at]>>4 == 6 && w.ipv6(at) {
				return true
			}
		}
		w.n = n
	}
	return false
}

// ipAt says whether an IP header is at a place by all appearances: it speaks of the
// rest of the frame, and IPv4's checksum is right.
func (w *finder) ipAt(at int) bool {
	rest := w.whole - at
	switch b := w.b[at:]; b[0] >> 4 {
	case 4:
		ip := IPv4(b)
		hl := ip.HeaderLen()
		return hl >= IPv4MinLen && hl <= len(b) && says(ip.TotalLen(), rest) && Sum(b[:hl], 0) == 0xffff
	case 6:
		return len(b) >= IPv6MinLen && says(int(binary.BigEndian.Uint16(b[4:])), rest-IPv6MinLen)
	}
	return false
}

// says compares a length field with what it is about: one that is too long for 16
// bits is said to be 0.
func says(field, n int) bool { return field == n || field == 0 && n > IPv4MaxLen }

const (
	UDPLen    = 8
	greMinLen = 4

	greChecksum = 0x8000
	greRouting  = 0x4000
	greKey      = 0x2000
	greSequence = 0x1000
	greVersion  = 0x0007
)
