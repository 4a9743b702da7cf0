// Package ipv4 is what is IPv4's own: how its ICMP says what a source is told.
package ipv4

import (
	"net/netip"

	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/verdict"
)

const (
	// ErrorMax is the length in bytes of the largest ICMP error (RFC 1812 4.3.2.3).
	ErrorMax = 576
	// OwnTTL is the TTL of what this router sends itself (RFC 1700, "ASSIGNED NUMBERS").
	OwnTTL = 64
	// internetworkControl is the precedence of ICMP errors (RFC 1812 4.3.2.5).
	internetworkControl = 0xc0
	codeProhibited      = 13
	codeReassembly      = 1
)

// ICMP is the type and code of a message.
type ICMP struct{ Type, Code byte }

// errors are how the meanings are said (RFC 792, RFC 1812 5.2.7, RFC 1191 4), those that
// IPv4 has.
var errors = [verdict.NumMeanings]ICMP{
	verdict.MeansNoRoute:      {packet.ICMPUnreachable, packet.CodeNetUnreachable},
	verdict.MeansNoHost:       {packet.ICMPUnreachable, packet.CodeHostUnreachable},
	verdict.MeansNoProtocol:   {packet.ICMPUnreachable, packet.CodeProtocolUnreachable},
	verdict.MeansNoPort:       {packet.ICMPUnreachable, packet.CodePortUnreachable},
	verdict.MeansTooBig:       {packet.ICMPUnreachable, packet.CodeFragNeeded},
	verdict.MeansProhibited:   {packet.ICMPUnreachable, codeProhibited},
	verdict.MeansTTLExceeded:  {packet.ICMPTimeExceeded, 0},
	verdict.MeansNotAssembled: {packet.ICMPTimeExceeded, codeReassembly},
	verdict.MeansBadField:     {packet.ICMPParameterProblem, 0},
}

// ICMPOf is how a meaning is said; zero if it is not.
func ICMPOf(m verdict.Meaning) ICMP { return errors[m] }

// MeaningOf is what an ICMP error says about a packet on its way. An Unreachable of a
// code that we don't know says that the host is (RFC 1122 3.2.2.1); what speaks of a
// field of the header alone, or is no such error, means nothing to its source's source.
func MeaningOf(e ICMP) verdict.Meaning {
	switch {
	case e.Type == packet.ICMPTimeExceeded && e.Code == codeReassembly:
		return verdict.MeansNotAssembled
	case e.Type == packet.ICMPTimeExceeded:
		return verdict.MeansTTLExceeded
	case e.Type != packet.ICMPUnreachable, e.Code == packet.CodeSourceRouteFailed:
		return verdict.MeansNothing
	}
	for _, m := range verdict.Meanings() {
		if errors[m] == e {
			return m
		}
	}
	return verdict.MeansNoHost
}

// PutError makes f the error that tells the source of a packet, of which about is the
// start, from src. fits is what MeansTooBig says, in bytes. The quote is the packet as it
// came: where its TTL was lowered since, it is put right.
func PutError(f *packet.Frame, id uint16, src netip.Addr, m verdict.Meaning, fits int, about packet.IPv4, lowered bool) {
	quote := about[:min(about.TotalLen(), len(about), ErrorMax-packet.IPv4MinLen-packet.ICMPHeaderLen)]
	f.Reset(packet.EthernetLen + packet.IPv4MinLen + packet.ICMPHeaderLen + len(quote))
	b := f.Payload()
	packet.PutIPv4(b, &packet.Header{
		TOS: internetworkControl, TotalLen: len(b), ID: id, TTL: OwnTTL,
		Protocol: packet.ProtocolICMP, Src: src, Dst: about.Src(),
	})
	e, rest := errors[m], uint32(0)
	if m == verdict.MeansTooBig {
		rest = uint32(fits)
	}
	quoted := packet.IPv4(b[packet.IPv4MinLen+packet.ICMPHeaderLen:])
	copy(quoted, quote)
	if lowered {
		quoted.SetTTL(quoted.TTL() + 1)
	}
	packet.PutICMPError(b[packet.IPv4MinLen:], e.Type, e.Code, rest, quoted)
}
