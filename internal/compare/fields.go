package compare

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"

	"github.com/vrouter/vrouter/internal/packet"
)

// field is a field of a frame, as it is told.
type field struct{ name, value string }

// Names of fields that reasons ask for. What an error quotes has "quoted " in front.
const (
	fieldPacket = "packet" // whether there is one at all
	fieldID     = "identification"
	fieldTOS    = "tos"
	fieldTTL    = "ttl"
	fieldHops   = "hop limit"
	fieldFlow   = "flow label"
	fieldEncap  = "encapsulation"
	fieldCode   = "code"
	fieldData   = "data"
	quotedField = "quoted "
)

// fields of a frame. Stations are called by their names: MAC addresses differ between the two.
func (s *side) fields(f *frame) (list []field) {
	add := func(name, format string, args ...any) { list = append(list, field{name, fmt.Sprintf(format, args...)}) }
	add("from station", "%s", s.station(f.bytes[6:12]))
	add("to station", "%s", s.station(f.bytes[:6]))
	if f.ip == nil {
		add("ethertype", "0x%x", f.bytes[12:14])
		add(fieldData, "%x", s.masked(f.bytes[packet.EthernetLen:]))
		return list
	}
	ip, tunnel := tunnelled(f.ip)
	if ip != nil {
		add(fieldEncap, "%s %s > %s", tunnel, f.ip.Src(), f.ip.Dst())
	} else {
		ip = f.ip
		add(fieldEncap, "none")
	}
	return append(list, fieldsOf(ip, "", f.pending && tunnel == "")...)
}

func (s *side) station(mac []byte) string {
	m := packet.MAC(mac)
	if name, ok := s.names[m]; ok {
		return name
	}
	return m.String()
}

// masked is a message in hex digits with MAC addresses by what they are.
func (s *side) masked(b []byte) []byte {
	c := append([]byte{}, b...)
	for i := 0; i+6 <= len(c); i++ {
		if name, ok := s.names[packet.MAC(c[i:])]; ok {
			n := len(name)
			copy(c[i:i+6], []byte{0, 0, 0, 0, byte(n), name[n-1]})
		}
	}
	return c
}

// fieldsOf are those of an IP packet, or of what is quoted of one.
func fieldsOf(ip packet.IP, prefix string, pending bool) (list []field) {
	add := func(name, format string, args ...any) {
		list = append(list, field{prefix + name, fmt.Sprintf(format, args...)})
	}
	if ip.Version() == 4 {
		p := packet.IPv4(ip)
		hl := p.HeaderLen()
		add(fieldTOS, "0x%02x", p.TOS())
		add("length", "%d", p.TotalLen())
		add(fieldID, "%d", p.ID())
		add("flags", "%03b", ip[6]>>5)
		add("offset", "%d", p.FragOffset())
		add(fieldTTL, "%d", p.TTL())
		add("protocol", "%d", p.Protocol())
		add("header checksum", "%s", goodOr(packet.Checksum(ip[:hl]) == 0, p.HeaderChecksum()))
		add("options", "%x", []byte(ip[packet.IPv4MinLen:hl]))
	} else {
		p := packet.IPv6(ip)
		add("traffic class", "0x%02x", p.TrafficClass())
		add(fieldFlow, "0x%05x", p.FlowLabel())
		add("length", "%d", p.PayloadLen())
		add("next header", "%d", p.NextHeader())
		add(fieldHops, "%d", p.HopLimit())
	}
	add("source", "%s", ip.Src())
	add("destination", "%s", ip.Dst())
	protocol, at, fragment := packet.Transport(ip)
	first := packet.IPv4MinLen
	if ip.Version() == 4 {
		first = packet.IPv4(ip).HeaderLen()
	} else if first = packet.IPv6MinLen; at > first && at <= len(ip) {
		add("extension headers", "%x", []byte(ip[first:at]))
	}
	if at > len(ip) {
		add(fieldData, "%x", []byte(ip[first:]))
		return list
	}
	upper := ip[at:]
	if fragment || protocol != packet.ProtocolICMP && protocol != packet.ProtocolICMPv6 || len(upper) < packet.ICMPHeaderLen {
		if pending && !fragment {
			upper = finished(ip, protocol, upper)
		}
		add(fieldData, "%s", hex.EncodeToString(upper))
		return list
	}
	add("type", "%d", upper[0])
	add(fieldCode, "%d", upper[1])
	if prefix == "" {
		sum := packet.Checksum(upper)
		if ip.Version() == 6 {
			sum = ^packet.ICMPv6Sum(packet.IPv6(ip), at)
		}
		add("checksum", "%s", goodOr(sum == 0, binary.BigEndian.Uint16(upper[2:])))
	}
	add("rest", "%x", upper[4:8])
	if q := quoted(ip); prefix == "" && q != nil {
		return append(list, fieldsOf(q, quotedField, false)...)
	}
	add(fieldData, "%x", []byte(upper[8:]))
	return list
}

// finished is what a packet carries with the checksum that a device would make.
func finished(ip packet.IP, protocol byte, upper []byte) []byte {
	at := map[byte]int{packet.ProtocolTCP: 16, packet.ProtocolUDP: 6}[protocol]
	if at == 0 || len(upper) < at+2 {
		return upper
	}
	b := append([]byte{}, upper...)
	b[at], b[at+1] = 0, 0
	binary.BigEndian.PutUint16(b[at:], ^packet.Sum(b, pseudo(ip.Src(), ip.Dst(), protocol, len(b))))
	return b
}

// goodOr tells a checksum by its number only where it is wrong: else it follows from the rest.
func goodOr(good bool, sum uint16) string {
	if good {
		return "good"
	}
	return fmt.Sprintf("wrong, 0x%04x", sum)
}
