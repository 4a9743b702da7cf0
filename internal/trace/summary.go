package trace

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"

	"github.com/vrouter/vrouter/internal/packet"
)

// maxNested is how many IP headers one in the other are told.
const maxNested = 8

// summary is a frame in one line, and the fields of it that people search for.
type summary struct {
	text, src, dst, proto string
}

// Summary is a frame in one line.
func Summary(frame []byte) string { return summarise(frame).text }

// summarise tells the start of a frame, as far as it makes sense.
func summarise(frame []byte) (s summary) {
	s = summary{text: fmt.Sprintf("%d bytes", len(frame)), proto: "unknown"}
	if len(frame) < packet.EthernetLen {
		return s
	}
	s.src, s.dst = packet.MAC(frame[6:]).String(), packet.MAC(frame).String()
	s.text = fmt.Sprintf("ethertype 0x%02x%02x %s > %s", frame[12], frame[13], s.src, s.dst)
	switch body := frame[packet.EthernetLen:]; binary.BigEndian.Uint16(frame[12:]) {
	case packet.EtherTypeARP:
		s.arp(body)
	case packet.EtherTypeIPv4:
		s.ip(body, 4)
	case packet.EtherTypeIPv6:
		s.ip(body, 6)
	}
	return s
}

// arp tells what ParseARP refuses, too, as far as it is there.
func (s *summary) arp(b []byte) {
	if len(b) < 8 || len(b) < 8+2*(int(b[4])+int(b[5])) {
		return
	}
	s.proto = "arp"
	if b[4] != 6 || b[5] != 4 {
		s.text = "arp (not for IPv4)"
		return
	}
	from, to := packet.IPv4Addr(b[14:]), packet.IPv4Addr(b[24:])
	s.src, s.dst = from.String(), to.String()
	if binary.BigEndian.Uint16(b[6:]) == packet.ARPReply {
		s.text = fmt.Sprintf("arp reply %s is at %s", from, packet.MAC(b[8:]))
		return
	}
	s.text = fmt.Sprintf("arp who has %s tell %s", to, from)
}

// ip tells the innermost of several packets one in the other, with "ipip" or the like and
// its ends in front for each outer one.
func (s *summary) ip(b []byte, version int) {
	outer := ""
	for range maxNested {
		p := packetAt(b, version)
		if p == nil {
			return
		}
		s.src, s.dst, s.proto = p.src.String(), p.dst.String(), p.name()
		flow := s.src + " > " + s.dst
		s.text = outer + p.say(flow)
		if p.fragment || p.broken {
			return
		}
		inner := p.upper
		if version = map[byte]int{packet.ProtocolIPIP: 4, packet.ProtocolIPv6: 6}[p.protocol]; version == 0 {
			v := p.vxlan()
			if v == nil {
				return
			}
			inner = v.Inner()
			version = packet.IP(inner).Version()
		}
		outer, b = s.text+" / ", inner
	}
}

// told is an IP packet that is told.
type told struct {
	src, dst netip.Addr
	six      bool
	protocol byte
	upper    []byte // what it carries, as far as it is there
	fragment bool
	id       uint32 // of a fragment
	offset   int
	broken   bool   // its headers do not end well: nothing is told of what it carries
	headers  string // between the first and what it carries
}

// packetAt is nil where no IP header of that version fits. One that makes no sense is told by
// its addresses all the same: people look for what is dropped by them.
func packetAt(b []byte, version int) *told {
	switch {
	case version == 6 && len(b) >= packet.IPv6MinLen:
		return packet6At(b)
	case version == 6 || len(b) < packet.IPv4MinLen:
		return nil
	}
	ip := packet.IPv4(b)
	p := &told{
		src: ip.Src(), dst: ip.Dst(), protocol: ip.Protocol(),
		fragment: ip.IsFragment(), id: uint32(ip.ID()), offset: ip.FragOffset(),
	}
	hl, end := ip.HeaderLen(), min(len(b), ip.TotalLen())
	if p.broken = ip.Version() != 4 || hl < packet.IPv4MinLen || hl > end; !p.broken {
		p.upper = b[hl:end]
	}
	return p
}

// say is the packet without those around it.
func (p *told) say(flow string) string {
	text := ""
	if !p.fragment && !p.broken {
		text = p.sayUpper(flow)
	}
	if text == "" {
		text = p.name() + " " + flow
	}
	if p.fragment {
		text += fmt.Sprintf(" id %d offset %d", p.id, p.offset)
	}
	return text + p.headers
}

// sayUpper is "" where the transport header is not there.
func (p *told) sayUpper(flow string) string {
	b := p.upper
	v := p.vxlan()
	switch {
	case v != nil:
		return fmt.Sprintf("vxlan %s vni %d", flow, v.VNI())
	case p.protocol == packet.ProtocolICMP && len(b) >= packet.ICMPHeaderLen && !p.six:
		return sayICMP(b, flow)
	case p.protocol == packet.ProtocolICMPv6 && len(b) >= packet.ICMPHeaderLen && p.six:
		return sayICMPv6(p, flow)
	case p.protocol == packet.ProtocolTCP && len(b) >= packet.TCPMinLen:
		return fmt.Sprintf("tcp %s %s seq %d", p.ports(), tcpFlags(b[13]), binary.BigEndian.Uint32(b[4:]))
	case (p.protocol == packet.ProtocolTCP || p.protocol == packet.ProtocolUDP) && len(b) >= 4:
		return p.name() + " " + p.ports()
	}
	return ""
}

func (p *told) ports() string {
	return fmt.Sprintf("%s.%d > %s.%d", p.src, binary.BigEndian.Uint16(p.upper), p.dst, binary.BigEndian.Uint16(p.upper[2:]))
}

// vxlan is what it carries, if that is VXLAN; else nil.
func (p *told) vxlan() packet.VXLAN {
	if v := packet.VXLAN(p.upper); p.protocol == packet.ProtocolUDP && !p.fragment && v.Inner() != nil {
		return v
	}
	return nil
}

func (p *told) name() string {
	six := p.six
	switch {
	case six && p.broken:
		return "ip6"
	case p.protocol == packet.ProtocolICMP && !six:
		return "icmp"
	case p.protocol == packet.ProtocolICMPv6 && six:
		return "icmp6"
	case p.protocol == packet.ProtocolTCP:
		return "tcp"
	case p.protocol == packet.ProtocolUDP:
		return "udp"
	case p.protocol == packet.ProtocolIPIP && six:
		return "4in6"
	case p.protocol == packet.ProtocolIPIP:
		return "ipip"
	case p.protocol == packet.ProtocolIPv6 && six:
		return "6in6"
	case p.protocol == packet.ProtocolIPv6:
		return "6in4"
	}
	return fmt.Sprintf("proto %d", p.protocol)
}

func sayICMP(b []byte, flow string) string {
	switch b[0] {
	case packet.ICMPEchoRequest:
		return "icmp echo request " + flow + number(b)
	case packet.ICMPEchoReply:
		return "icmp echo reply " + flow + number(b)
	}
	return fmt.Sprintf("icmp %s %s", icmpName(b[0], b[1]), flow)
}

// number is an echo's.
func number(b []byte) string {
	return fmt.Sprintf(" id %d seq %d", binary.BigEndian.Uint16(b[4:]), binary.BigEndian.Uint16(b[6:]))
}

func icmpName(typ, code uint8) string {
	switch {
	case typ == packet.ICMPTimeExceeded:
		return "time exceeded"
	case typ == packet.ICMPUnreachable:
		return unreachableName(code)
	}
	return fmt.Sprintf("type %d code %d", typ, code)
}

func unreachableName(code uint8) string {
	switch code {
	case packet.CodeNetUnreachable:
		return "net unreachable"
	case packet.CodeHostUnreachable:
		return "host unreachable"
	case packet.CodeProtocolUnreachable:
		return "protocol unreachable"
	case packet.CodePortUnreachable:
		return "port unreachable"
	case packet.CodeFragNeeded:
		return "fragmentation needed"
	case 13:
		return "administratively prohibited"
	}
	return fmt.Sprintf("unreachable (code %d)", code)
}

func tcpFlags(flags byte) string {
	var b strings.Builder
	for _, f := range []struct {
		bit  byte
		word string
	}{{2, "S"}, {1, "F"}, {4, "R"}, {8, "P"}, {16, "."}} {
		if flags&f.bit != 0 {
			b.WriteString(f.word)
		}
	}
	if b.Len() == 0 {
		return "none"
	}
	return b.String()
}
