package dissect

import (
	"fmt"

	"github.com/vrouter/vrouter/internal/packet"
)

var icmpTypes = map[uint64]string{
	packet.ICMPEchoReply: "echo reply", packet.ICMPUnreachable: "destination unreachable", 5: "redirect",
	packet.ICMPEchoRequest: "echo request", packet.ICMPTimeExceeded: "time exceeded", packet.ICMPParameterProblem: "parameter problem",
}

var unreachables = map[uint64]string{
	packet.CodeNetUnreachable: "net", packet.CodeHostUnreachable: "host", packet.CodeProtocolUnreachable: "protocol",
	packet.CodePortUnreachable: "port", packet.CodeFragNeeded: "fragmentation needed and DF set", 13: "administratively prohibited",
}

// icmp is RFC 792; an error quotes the packet that it is about.
func (r *reader) icmp() {
	if !r.enter("ICMP") {
		return
	}
	kind := r.take(1, "type", named(icmpTypes))
	codes := map[uint64]string{}
	if kind != nil && kind[0] == packet.ICMPUnreachable {
		codes = unreachables
	}
	code := r.take(1, "code", named(codes))
	if r.take(2, "checksum", hex) == nil {
		return
	}
	switch kind[0] {
	case packet.ICMPEchoRequest, packet.ICMPEchoReply:
		r.echo()
		return
	case packet.ICMPUnreachable:
		if code[0] == packet.CodeFragNeeded { // RFC 1191 4
			r.take(2, "unused", hex)
			r.quote(r.take(2, "next-hop MTU", decimal) != nil)
			return
		}
	case packet.ICMPTimeExceeded:
	case packet.ICMPParameterProblem:
		r.u8("pointer")
		r.quote(r.take(3, "unused", hex) != nil)
		return
	default:
		return
	}
	r.quote(r.take(4, "unused", hex) != nil)
}

func (r *reader) echo() {
	r.take(2, "identifier", decimal)
	r.take(2, "sequence number", decimal)
}

// quote is the start of the packet that an error is about.
func (r *reader) quote(there bool) {
	if !there || r.at == len(r.b) {
		return
	}
	from := len(r.list)
	if r.b[r.at]>>4 == 6 {
		r.ipv6()
	} else {
		r.ipv4()
	}
	for i := from; i < len(r.list); i++ {
		r.list[i].Layer = "quoted " + r.list[i].Layer
	}
}

var icmpv6Types = map[uint64]string{
	packet.ICMPv6Unreachable: "destination unreachable", packet.ICMPv6PacketTooBig: "packet too big",
	packet.ICMPv6TimeExceeded: "time exceeded", packet.ICMPv6ParameterProblem: "parameter problem",
	packet.ICMPv6EchoRequest: "echo request", packet.ICMPv6EchoReply: "echo reply",
	packet.ICMPv6RouterSolicitation: "router solicitation", packet.ICMPv6RouterAdvertisement: "router advertisement",
	packet.ICMPv6NeighborSolicitation: "neighbor solicitation", packet.ICMPv6NeighborAdvertisement: "neighbor advertisement",
	packet.ICMPv6Redirect: "redirect",
}

// icmpv6 is RFC 4443, and the messages of Neighbor Discovery, RFC 4861.
func (r *reader) icmpv6() {
	if !r.enter("ICMPv6") {
		return
	}
	kind := r.take(1, "type", named(icmpv6Types))
	r.u8("code")
	if r.take(2, "checksum", hex) == nil {
		return
	}
	switch kind[0] {
	case packet.ICMPv6EchoRequest, packet.ICMPv6EchoReply:
		r.echo()
	case packet.ICMPv6PacketTooBig:
		r.quote(r.take(4, "MTU", decimal) != nil)
	case packet.ICMPv6ParameterProblem:
		r.quote(r.take(4, "pointer", decimal) != nil)
	case packet.ICMPv6Unreachable, packet.ICMPv6TimeExceeded:
		r.quote(r.take(4, "unused", hex) != nil)
	case packet.ICMPv6NeighborSolicitation:
		r.take(4, "reserved", hex)
		r.target()
	case packet.ICMPv6NeighborAdvertisement:
		r.take(4, "flags", func(b []byte) string { return flags(uint64(b[0])>>5, "router", "solicited", "override") })
		r.target()
	}
}

func (r *reader) target() {
	if r.take(16, "target address", address) == nil {
		return
	}
	for r.at+2 <= len(r.b) {
		kind, n := r.b[r.at], int(r.b[r.at+1])*8
		if n == 0 || r.at+n > len(r.b) {
			return
		}
		name := map[byte]string{1: "source link-layer address", 2: "target link-layer address"}[kind]
		r.take(n, "option", func(b []byte) string {
			if name != "" && n == 8 {
				return name + " " + mac(b[2:])
			}
			return fmt.Sprintf("kind %d, %d bytes", kind, n)
		})
	}
}
