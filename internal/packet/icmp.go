package packet

import "encoding/binary"

// ICMP types (RFC 792).
const (
	ICMPEchoReply        = 0
	ICMPUnreachable      = 3
	ICMPSourceQuench     = 4
	ICMPRedirect         = 5
	ICMPEchoRequest      = 8
	ICMPTimeExceeded     = 11
	ICMPParameterProblem = 12
	ICMPSecurityFailure  = 40 // RFC 2521
)

// Codes of ICMPUnreachable that the router speaks of by name.
const (
	CodeNetUnreachable      = 0
	CodeHostUnreachable     = 1
	CodeProtocolUnreachable = 2
	CodePortUnreachable     = 3
	CodeFragNeeded          = 4
	CodeSourceRouteFailed   = 5
)

// ICMPHeaderLen is the length in bytes of the part before an ICMP error's quote.
const ICMPHeaderLen = 8

// minExtended is the length in bytes of the shortest quote that extensions follow
// (RFC 4884 4.4).
const minExtended = 128

// IsICMPError says whether a packet is an ICMP error, about which no other
// may be sent (RFC 1812 4.3.2.7). What is cut before its type counts as one; so
// does a type that we do not know, as RFC 1122 3.2.2 asks for caution.
func IsICMPError(ip IP) bool {
	if ip.Version() == 6 {
		return isICMPv6Error(IPv6(ip))
	}
	return isICMPv4Error(IPv4(ip))
}

func isICMPv4Error(ip IPv4) bool {
	if ip.Protocol() != ProtocolICMP || ip.FragOffset() != 0 {
		return false
	}
	p := ip.Payload()
	if len(p) == 0 {
		return true
	}
	query := p[0] == ICMPEchoReply || p[0] == ICMPEchoRequest || p[0] >= 13 && p[0] <= 18 // of RFC 792 and 950
	return !query
}

// Quotes says whether a packet looks like an ICMP error, which quotes another one. It
// is asked of every packet, and so looks at no more than it must.
func Quotes(ip IP) bool {
	return (ip[0]>>4 != 4 || ip[9] == ProtocolICMP) && quotes(ip)
}

func quotes(ip IP) bool {
	if ip.Version() == 6 {
		return quotesV6(IPv6(ip))
	}
	at := IPv4(ip).HeaderLen()
	return at < len(ip) && ip[at] != ICMPEchoRequest && ip[at] != ICMPEchoReply
}

// Quoted is the packet that an ICMP error is about, as far as the error quotes it:
// its whole header at least (RFC 792), of the same family; nil if there is none. Of a
// fragmented error the first fragment has it.
func Quoted(ip IP) IP {
	if ip.Version() == 6 {
		return IP(quotedV6(IPv6(ip)))
	}
	return IP(quotedV4(IPv4(ip)))
}

func quotedV4(ip IPv4) IPv4 {
	b := ip.Payload()
	if ip.Protocol() != ProtocolICMP || ip.FragOffset() != 0 || len(b) < ICMPHeaderLen+IPv4MinLen {
		return nil
	}
	q := IPv4(b[ICMPHeaderLen:])
	switch b[0] {
	case ICMPUnreachable, ICMPTimeExceeded, ICMPParameterProblem:
		if n := int(b[5]) * 4; n >= minExtended && n < len(q) {
			q = q[:n] // extensions follow (RFC 4884 4.1 to 4.4)
		}
	case ICMPSourceQuench, ICMPRedirect, ICMPSecurityFailure:
	default:
		return nil
	}
	if q.Version() != 4 || q.HeaderLen() < IPv4MinLen || q.HeaderLen() > len(q) {
		return nil
	}
	return q
}

// PutICMPError writes an ICMP error about the packet whose first bytes are quote:
// b is as long as ICMPHeaderLen and the quote. rest is the header's second word:
// the next hop's MTU in a fragmentation-needed (RFC 1191 4), else 0.
func PutICMPError(b []byte, typ, code byte, rest uint32, quote []byte) {
	b[0], b[1], b[2], b[3] = typ, code, 0, 0
	binary.BigEndian.PutUint32(b[4:], rest)
	copy(b[ICMPHeaderLen:], quote)
	binary.BigEndian.PutUint16(b[2:], Checksum(b))
}
