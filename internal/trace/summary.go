package trace

import (
	"fmt"
	"strings"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/vrouter/vrouter/internal/packet"
)

// summary is a frame in one line, and the fields of it that people search for.
type summary struct {
	text, src, dst, proto string
	outer                 string // what is around the packet that the rest is about
}

// summarise decodes the start of a frame. A decoder may panic on hostile bytes;
// then the packet is told by what is known so far.
func summarise(frame []byte) (s summary) {
	s = summary{text: fmt.Sprintf("%d bytes", len(frame)), proto: "unknown"}
	if len(frame) < packet.EthernetLen {
		return s
	}
	s.src, s.dst = packet.MAC(frame[6:]).String(), packet.MAC(frame).String()
	s.text = fmt.Sprintf("ethertype 0x%02x%02x %s > %s", frame[12], frame[13], s.src, s.dst)
	defer func() { _ = recover() }()
	decoded := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.DecodeOptions{NoCopy: true, Lazy: true})
	for _, l := range decoded.Layers() {
		s.add(l)
	}
	return s
}

// add tells one more layer; of several IPv4 headers the innermost is told last
// and stays, with "ipip" in front for each outer one.
func (s *summary) add(l gopacket.Layer) {
	switch l := l.(type) {
	case *layers.ARP:
		s.addARP(l)
	case *layers.IPv4:
		if s.proto == "ipip" {
			s.outer = s.text + " / "
		}
		s.src, s.dst, s.proto = l.SrcIP.String(), l.DstIP.String(), protoName(byte(l.Protocol))
		s.text = fmt.Sprintf("%s%s %s > %s", s.outer, s.proto, s.src, s.dst)
		if l.FragOffset > 0 || l.Flags&layers.IPv4MoreFragments != 0 {
			s.text += fmt.Sprintf(" id %d offset %d", l.Id, int(l.FragOffset)*8)
		}
	case *layers.ICMPv4:
		s.addICMP(l)
	case *layers.TCP:
		s.text = s.outer + fmt.Sprintf("tcp %s.%d > %s.%d %s seq %d", s.src, l.SrcPort, s.dst, l.DstPort, tcpFlags(l), l.Seq)
	case *layers.UDP:
		s.text = s.outer + fmt.Sprintf("udp %s.%d > %s.%d", s.src, l.SrcPort, s.dst, l.DstPort)
	}
}

func (s *summary) addARP(l *layers.ARP) {
	s.proto = "arp"
	if len(l.SourceProtAddress) != 4 || len(l.DstProtAddress) != 4 {
		s.text = "arp (not for IPv4)"
		return
	}
	from, to := packet.IPv4Addr(l.SourceProtAddress), packet.IPv4Addr(l.DstProtAddress)
	s.src, s.dst = from.String(), to.String()
	if l.Operation == packet.ARPReply {
		s.text = fmt.Sprintf("arp reply %s is at %s", from, packet.MAC(l.SourceHwAddress))
		return
	}
	s.text = fmt.Sprintf("arp who has %s tell %s", to, from)
}

func (s *summary) addICMP(l *layers.ICMPv4) {
	flow := s.src + " > " + s.dst
	switch l.TypeCode.Type() {
	case packet.ICMPEchoRequest:
		s.text = s.outer + fmt.Sprintf("icmp echo request %s id %d seq %d", flow, l.Id, l.Seq)
	case packet.ICMPEchoReply:
		s.text = s.outer + fmt.Sprintf("icmp echo reply %s id %d seq %d", flow, l.Id, l.Seq)
	default:
		s.text = s.outer + fmt.Sprintf("icmp %s %s", icmpName(l.TypeCode.Type(), l.TypeCode.Code()), flow)
	}
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

func protoName(p byte) string {
	switch p {
	case packet.ProtocolICMP:
		return "icmp"
	case packet.ProtocolTCP:
		return "tcp"
	case packet.ProtocolUDP:
		return "udp"
	case packet.ProtocolIPIP:
		return "ipip"
	}
	return fmt.Sprintf("proto %d", p)
}

func tcpFlags(l *layers.TCP) string {
	var b strings.Builder
	for _, f := range []struct {
		on   bool
		word string
	}{{l.SYN, "S"}, {l.FIN, "F"}, {l.RST, "R"}, {l.PSH, "P"}, {l.ACK, "."}} {
		if f.on {
			b.WriteString(f.word)
		}
	}
	if b.Len() == 0 {
		return "none"
	}
	return b.String()
}
