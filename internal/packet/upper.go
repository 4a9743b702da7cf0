package packet

import "encoding/binary"

// Next headers of IPv6 that are no transport protocol (RFC 8200 4, RFC 4302).
const (
	HeaderHopByHop    = 0
	HeaderRouting     = 43
	HeaderFragment    = 44
	HeaderESP         = 50
	HeaderAH          = 51
	NoNextHeader      = 59
	HeaderDestination = 60
)

const (
	// FragmentHeaderLen is the length in bytes of a fragment header.
	FragmentHeaderLen = 8
	// MaxExtensions is how many extension headers a packet may have: each is at most
	// once in an honest one, destination options twice (RFC 8200 4.1).
	MaxExtensions = 16
)

// Upper is what is behind the extension headers of an IPv6 packet, and which of those
// matter to a router.
type Upper struct {
	Protocol byte // of it; that of an extension header that is not known, or not there, too, and NoNextHeader
	At       int  // where it begins; of a fragment but the first, that fragment's data
	Named    int  // where the byte is that names Protocol
	Fragment int  // where the fragment header is; 0: there is none
	Routing  int  // where the first routing header is; 0: there is none
	OK       bool // all headers lie inside the packet, and are not too many
}

// Upper walks the extension headers (RFC 8200 4), as far as the packet goes or is
// quoted. Behind the header of a fragment that is not the first, none is left.
func (p IPv6) Upper() Upper {
	if p.IsPlain() {
		return Upper{Protocol: p.NextHeader(), At: IPv6MinLen, Named: 6, OK: true}
	}
	return p.walk()
}

// IsPlain says whether TCP, UDP or ICMPv6 follows the header, as it does in nearly every
// packet: then there is no more to walk.
func (p IPv6) IsPlain() bool {
	next := p.NextHeader()
	return next == ProtocolTCP || next == ProtocolUDP || next == ProtocolICMPv6
}

func (p IPv6) walk() Upper {
	u := Upper{Protocol: p.NextHeader(), At: IPv6MinLen, Named: 6}
	b := p[:max(p.end(), IPv6MinLen)]
	for range MaxExtensions + 1 {
		if !isWalked(u.Protocol, u.At) {
			u.OK = u.At <= len(b)
			return u
		}
		if u.At+8 > len(b) {
			return u
		}
		n, later := 8+8*int(b[u.At+1]), false
		switch u.Protocol {
		case HeaderFragment:
			if u.Fragment != 0 {
				return u
			}
			n, later = FragmentHeaderLen, FragmentHeader(b[u.At:]).Offset() != 0
			u.Fragment = u.At
		case HeaderAH:
			n = 8 + 4*int(b[u.At+1]) // RFC 4302 2.2
		case HeaderRouting:
			if u.Routing == 0 {
				u.Routing = u.At
			}
		}
		u.Protocol, u.Named, u.At = b[u.At], u.At, u.At+n
		if later {
			u.OK = true
			return u
		}
	}
	return u
}

// isWalked says whether a next header, which is at a place, is one that says what follows
// it. Options for each hop come first, and are not known anywhere else (RFC 8200 4).
func isWalked(next byte, at int) bool {
	switch next {
	case HeaderHopByHop:
		return at == IPv6MinLen
	case HeaderRouting, HeaderFragment, HeaderAH, HeaderDestination:
		return true
	}
	return false
}

// FragmentHeader is a view on a fragment header's bytes (RFC 8200 4.5).
type FragmentHeader []byte

// NextHeader is that of the first header of the part that is cut.
func (h FragmentHeader) NextHeader() byte { return h[0] }

// Offset is where this fragment's data belongs, in bytes.
func (h FragmentHeader) Offset() int { return int(binary.BigEndian.Uint16(h[2:]) &^ 7) }

// More: more fragments follow.
func (h FragmentHeader) More() bool { return h[3]&1 != 0 }

// ID of the packet, for reassembly.
func (h FragmentHeader) ID() uint32 { return binary.BigEndian.Uint32(h[4:]) }

// IsFragment says whether the packet is a part of one; else it is all of it, and the
// header says nothing (RFC 6946).
func (h FragmentHeader) IsFragment() bool { return binary.BigEndian.Uint16(h[2:])&^6 != 0 }

// PutFragmentHeader writes one; offset is in bytes, a multiple of 8.
func PutFragmentHeader(b []byte, next byte, offset int, more bool, id uint32) {
	b[0], b[1] = next, 0
	field := uint16(offset)
	if more {
		field |= 1
	}
	binary.BigEndian.PutUint16(b[2:], field)
	binary.BigEndian.PutUint32(b[4:], id)
}
