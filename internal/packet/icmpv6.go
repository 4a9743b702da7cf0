package packet

import "encoding/binary"

// ICMPv6 types (RFC 4443, RFC 4861 4, RFC 2710, RFC 3810).
const (
	ICMPv6Unreachable            = 1
	ICMPv6PacketTooBig           = 2
	ICMPv6TimeExceeded           = 3
	ICMPv6ParameterProblem       = 4
	ICMPv6EchoRequest            = 128
	ICMPv6EchoReply              = 129
	ICMPv6ListenerQuery          = 130
	ICMPv6ListenerReport         = 131
	ICMPv6ListenerDone           = 132
	ICMPv6RouterSolicitation     = 133
	ICMPv6RouterAdvertisement    = 134
	ICMPv6NeighborSolicitation   = 135
	ICMPv6NeighborAdvertisement  = 136
	ICMPv6Redirect               = 137
	ICMPv6ListenerReportVersion2 = 143

	icmpv6Informational = 128 // and up; below are errors
)

// Codes of ICMPv6Unreachable, and of ICMPv6ParameterProblem, that the router speaks of
// by name.
const (
	CodeNoRoute            = 0
	CodeProhibited         = 1
	CodeBeyondScope        = 2
	CodeAddressUnreachable = 3
	CodePortUnreachable6   = 4

	CodeErroneousField    = 0
	CodeUnknownNextHeader = 1
)

const icmpv6Checksum = 2 // where it is in the header

// ICMPv6Sum is the Internet checksum's sum over an ICMPv6 message that begins at a
// place of an IPv6 packet, its pseudo-header included (RFC 4443 2.3): 0xffff if the
// message is as it was sent.
func ICMPv6Sum(ip IPv6, at int) uint16 {
	b := ip[at:max(at, ip.end())]
	return Sum(b, pseudoHeader(ip[8:40], ProtocolICMPv6, len(b)))
}

// SetICMPv6Checksum makes the checksum of the ICMPv6 message at a place of an IPv6
// packet, whose header is written.
func SetICMPv6Checksum(ip IPv6, at int) {
	sum := ip[at+icmpv6Checksum:]
	sum[0], sum[1] = 0, 0
	binary.BigEndian.PutUint16(sum, ^ICMPv6Sum(ip, at))
}

// PutICMPv6Error writes an ICMPv6 error about the packet whose first bytes are quote
// behind an IPv6 header that is written: ip is as long as that, ICMPHeaderLen and the
// quote. rest is the second word: the next hop's MTU in a packet-too-big, the place of
// what is wrong in a parameter problem, else 0.
func PutICMPv6Error(ip IPv6, typ, code byte, rest uint32, quote []byte) {
	b := ip[IPv6MinLen:]
	b[0], b[1] = typ, code
	binary.BigEndian.PutUint32(b[4:], rest)
	copy(b[ICMPHeaderLen:], quote)
	SetICMPv6Checksum(ip, IPv6MinLen)
}

// isICMPv6Error is IsICMPError of IPv6: a type that we do not know is an error if its
// first bit says so, and a redirect counts as one (RFC 4443 2.1, 2.4 (e)).
func isICMPv6Error(ip IPv6) bool {
	u := ip.Upper()
	if !u.OK {
		return true
	}
	if u.Protocol != ProtocolICMPv6 || u.Fragment != 0 && FragmentHeader(ip[u.Fragment:]).Offset() != 0 {
		return false
	}
	return u.At >= ip.end() || ip[u.At] < icmpv6Informational || ip[u.At] == ICMPv6Redirect
}

// quotesV6 is Quotes of IPv6.
func quotesV6(ip IPv6) bool {
	switch ip.NextHeader() {
	case ProtocolTCP, ProtocolUDP:
		return false
	case ProtocolICMPv6:
		return ip.end() > IPv6MinLen && ip[IPv6MinLen] < icmpv6Informational
	}
	u := ip.walk()
	return u.OK && u.Protocol == ProtocolICMPv6 && u.At < ip.end() && ip[u.At] < icmpv6Informational
}

// quotedV6 is Quoted of IPv6. A message of the first two kinds may have extensions
// behind its quote (RFC 4884 4.1 to 4.4).
func quotedV6(ip IPv6) IPv6 {
	u := ip.Upper()
	if !u.OK || u.Protocol != ProtocolICMPv6 || u.Fragment != 0 && FragmentHeader(ip[u.Fragment:]).Offset() != 0 {
		return nil
	}
	b := ip[u.At:max(u.At, ip.end())]
	if len(b) < ICMPHeaderLen+IPv6MinLen {
		return nil
	}
	q := b[ICMPHeaderLen:]
	switch b[0] {
	case ICMPv6Unreachable, ICMPv6TimeExceeded:
		if n := int(b[4]) * 8; n >= minExtended && n < len(q) {
			q = q[:n]
		}
	case ICMPv6PacketTooBig, ICMPv6ParameterProblem:
	default:
		return nil
	}
	if q.Version() != 6 {
		return nil
	}
	return q
}
