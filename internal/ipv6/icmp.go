// Package ipv6 is what is IPv6's own: how its ICMP says what a source is told.
package ipv6

import (
	"net/netip"

	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/verdict"
)

const (
	// ErrorMax is the length in bytes of the largest ICMPv6 error: what every link
	// carries (RFC 4443 2.4 (c)).
	ErrorMax = MinMTU
	// MinMTU in bytes is what every link carries (RFC 8200 5).
	MinMTU = 1280
	// OwnHopLimit is the hop limit of what this router sends itself (RFC 1700, "ASSIGNED NUMBERS").
	OwnHopLimit       = 64
	codeReassembly    = 1
	codeUnknownOption = 2
	// codePolicy and codeReject are Unreachables that say why more narrowly than
	// "prohibited" does (RFC 4443 3.1).
	codePolicy = 5
	codeReject = 6
)

// ICMP is the type and code of a message.
type ICMP struct{ Type, Code byte }

// errors are how the meanings are said (RFC 4443 3).
var errors = [verdict.NumMeanings]ICMP{
	verdict.MeansNoRoute:      {packet.ICMPv6Unreachable, packet.CodeNoRoute},
	verdict.MeansNoHost:       {packet.ICMPv6Unreachable, packet.CodeAddressUnreachable},
	verdict.MeansNoProtocol:   {packet.ICMPv6ParameterProblem, packet.CodeUnknownNextHeader},
	verdict.MeansNoPort:       {packet.ICMPv6Unreachable, packet.CodePortUnreachable6},
	verdict.MeansTooBig:       {packet.ICMPv6PacketTooBig, 0},
	verdict.MeansProhibited:   {packet.ICMPv6Unreachable, packet.CodeProhibited},
	verdict.MeansTTLExceeded:  {packet.ICMPv6TimeExceeded, 0},
	verdict.MeansNotAssembled: {packet.ICMPv6TimeExceeded, codeReassembly},
	verdict.MeansBeyondScope:  {packet.ICMPv6Unreachable, packet.CodeBeyondScope},
	verdict.MeansBadField:     {packet.ICMPv6ParameterProblem, packet.CodeErroneousField},
	verdict.MeansBadOption:    {packet.ICMPv6ParameterProblem, codeUnknownOption},
}

// ICMPOf is how a meaning is said.
func ICMPOf(m verdict.Meaning) ICMP { return errors[m] }

// MeaningOf is what an ICMPv6 error says about a packet on its way. An Unreachable of a
// code that we don't know says that the host is; what speaks of a field of the header
// alone, or is no such error, means nothing to its source's source.
func MeaningOf(e ICMP) verdict.Meaning {
	switch e.Type {
	case packet.ICMPv6PacketTooBig:
		return verdict.MeansTooBig // whatever the code is (RFC 4443 3.2)
	case packet.ICMPv6TimeExceeded:
		if e.Code == codeReassembly {
			return verdict.MeansNotAssembled
		}
		return verdict.MeansTTLExceeded
	case packet.ICMPv6ParameterProblem:
		if e.Code == packet.CodeUnknownNextHeader {
			return verdict.MeansNoProtocol
		}
	case packet.ICMPv6Unreachable:
		return unreachable(e)
	}
	return verdict.MeansNothing
}

func unreachable(e ICMP) verdict.Meaning {
	if e.Code == codePolicy || e.Code == codeReject {
		return verdict.MeansProhibited
	}
	for _, m := range verdict.Meanings() {
		if errors[m] == e {
			return m
		}
	}
	return verdict.MeansNoHost
}

// PutError makes f the error that tells the source of a packet, of which about is the
// start, from src. rest is what MeansTooBig says, in bytes, and where in the packet is what
// MeansNoProtocol, MeansBadField and MeansBadOption speak of. The quote is the packet as it
// came: where its hop limit was lowered since, it is put right.
func PutError(f *packet.Frame, src netip.Addr, m verdict.Meaning, rest int, about packet.IPv6, lowered bool) {
	quote := about[:min(packet.IPv6MinLen+about.PayloadLen(), len(about), ErrorMax-packet.IPv6MinLen-packet.ICMPHeaderLen)]
	f.Reset(packet.EthernetLen + packet.IPv6MinLen + packet.ICMPHeaderLen + len(quote))
	b := packet.IPv6(f.Payload())
	packet.PutIPv6(b, &packet.Header6{
		PayloadLen: len(b) - packet.IPv6MinLen, NextHeader: packet.ProtocolICMPv6, HopLimit: OwnHopLimit,
		Src: src, Dst: about.Src(),
	})
	e := errors[m]
	switch m {
	case verdict.MeansTooBig, verdict.MeansNoProtocol, verdict.MeansBadField, verdict.MeansBadOption:
	default:
		rest = 0
	}
	quoted := packet.IPv6(b[packet.IPv6MinLen+packet.ICMPHeaderLen:])
	copy(quoted, quote)
	if lowered {
		quoted.SetHopLimit(quoted.HopLimit() + 1)
	}
	packet.PutICMPv6Error(b, e.Type, e.Code, uint32(rest), quoted)
}
