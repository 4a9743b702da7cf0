package dissect

import (
	"encoding/binary"
	"fmt"

	"github.com/vrouter/vrouter/internal/packet"
)

var protocols = map[uint64]string{
	packet.ProtocolICMP: "ICMP", packet.ProtocolIPIP: "IPv4 in it", packet.ProtocolTCP: "TCP", packet.ProtocolUDP: "UDP",
	packet.ProtocolIPv6: "IPv6 in it", packet.ProtocolGRE: "GRE", packet.ProtocolICMPv6: "ICMPv6",
	packet.HeaderHopByHop: "hop-by-hop options", packet.HeaderRouting: "routing header", packet.HeaderFragment: "fragment header",
	packet.HeaderESP: "ESP", packet.HeaderAH: "AH", packet.NoNextHeader: "nothing more", packet.HeaderDestination: "destination options",
}

var ecn = [...]string{"not ECN-capable", "ECT(1)", "ECT(0)", "congestion experienced"}

// trafficClass is DSCP and ECN, RFC 2474 and RFC 3168.
func trafficClass(b byte) string { return fmt.Sprintf("DSCP %d, %s", b>>2, ecn[b&3]) }

// ipv4 is RFC 791.
func (r *reader) ipv4() {
	if !r.enter("IPv4") {
		return
	}
	begin := r.at
	first := r.take(1, "version and header length", func(b []byte) string {
		return fmt.Sprintf("version %d, %d bytes", b[0]>>4, b[0]&15*4)
	})
	r.take(1, "type of service", func(b []byte) string { return trafficClass(b[0]) })
	r.take(2, "total length", decimal)
	r.take(2, "identification", decimal)
	fragment := r.take(2, "flags and fragment offset", func(b []byte) string {
		n := number(b)
		return fmt.Sprintf("%s, offset %d", flags(n>>13, "reserved", "DF", "MF"), n&0x1fff*8)
	})
	r.u8("TTL")
	protocol := r.take(1, "protocol", named(protocols))
	r.take(2, "header checksum", hex)
	r.take(4, "source", address)
	if r.take(4, "destination", address) == nil || first[0]>>4 != 4 {
		return
	}
	r.upTo(begin+int(first[0]&15)*4, "options")
	if binary.BigEndian.Uint16(fragment)&0x1fff == 0 {
		r.upper(protocol[0])
	}
}

// ipv6 is RFC 8200, with its extension headers.
func (r *reader) ipv6() {
	if !r.enter("IPv6") {
		return
	}
	r.take(4, "version, traffic class, flow label", func(b []byte) string {
		n := number(b)
		return fmt.Sprintf("version %d, %s, flow %05x", n>>28, trafficClass(byte(n>>20)), n&0xfffff)
	})
	r.take(2, "payload length", decimal)
	next := r.take(1, "next header", named(protocols))
	r.u8("hop limit")
	r.take(16, "source", address)
	if r.take(16, "destination", address) == nil {
		return
	}
	protocol := next[0]
	for r.isExtension(protocol) {
		var ok bool
		if protocol, ok = r.extension(protocol); !ok {
			return
		}
	}
	r.upper(protocol)
}

func (r *reader) isExtension(next byte) bool {
	switch next {
	case packet.HeaderHopByHop, packet.HeaderRouting, packet.HeaderFragment, packet.HeaderAH, packet.HeaderDestination:
		return r.left > 0
	}
	return false
}

// extension is one of them. Behind a fragment but the first there is no header.
func (r *reader) extension(kind byte) (next byte, ok bool) {
	r.enter("IPv6 " + protocols[uint64(kind)])
	begin := r.at
	named := r.take(1, "next header", named(protocols))
	length, ok := r.u8("header length")
	if !ok {
		return 0, false
	}
	n := 8 + 8*int(length)
	switch kind {
	case packet.HeaderFragment:
		r.list = r.list[:len(r.list)-1]
		r.also(1, 1, "reserved", fmt.Sprint(length))
		place := r.take(2, "fragment offset and flags", func(b []byte) string {
			n := number(b)
			return fmt.Sprintf("offset %d, %s", n&^7, flags(n&1, "more fragments"))
		})
		if place == nil || r.take(4, "identification", decimal) == nil {
			return 0, false
		}
		return named[0], number(place)&^7 == 0
	case packet.HeaderAH:
		n = 8 + 4*int(length) // RFC 4302 2.2
	case packet.HeaderRouting:
		r.u8("routing type")
		r.u8("segments left")
	}
	r.upTo(begin+n, "data of it")
	return named[0], r.at == begin+n
}
