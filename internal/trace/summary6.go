package trace

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"

	"github.com/vrouter/vrouter/internal/packet"
)

// packet6At needs a whole header.
func packet6At(b []byte) *told {
	ip := packet.IPv6(b)
	p := &told{src: ip.Src(), dst: ip.Dst(), six: true, protocol: ip.NextHeader()}
	if p.broken = ip.Version() != 6; p.broken {
		return p
	}
	u := ip.Upper()
	p.protocol, p.broken, p.headers = u.Protocol, !u.OK, extensions(ip, u)
	if end := min(len(b), packet.IPv6MinLen+ip.PayloadLen()); u.At < end {
		p.upper = b[u.At:end]
	}
	if u.Fragment != 0 {
		h := packet.FragmentHeader(b[u.Fragment:])
		p.fragment, p.id, p.offset = h.IsFragment(), h.ID(), h.Offset()
	}
	return p
}

var extensionNames = map[byte]string{
	packet.HeaderHopByHop: "hop-by-hop", packet.HeaderRouting: "routing", packet.HeaderFragment: "fragment",
	packet.HeaderAH: "ah", packet.HeaderDestination: "destination",
}

// extensions names the headers between IPv6's and what the packet carries; a fragment's
// own is told otherwise.
func extensions(ip packet.IPv6, u packet.Upper) string {
	var names []string
	for next, at := ip.NextHeader(), packet.IPv6MinLen; at < u.At && at+4 <= len(ip); {
		n := 8 + 8*int(ip[at+1])
		switch next {
		case packet.HeaderRouting:
			names = append(names, fmt.Sprintf("routing type %d left %d", ip[at+2], ip[at+3]))
		case packet.HeaderFragment:
			n = packet.FragmentHeaderLen
			if at+n <= len(ip) && !packet.FragmentHeader(ip[at:]).IsFragment() {
				names = append(names, "fragment (of one)")
			}
		default:
			if next == packet.HeaderAH {
				n = 8 + 4*int(ip[at+1])
			}
			names = append(names, extensionNames[next])
		}
		next, at = ip[at], at+n
	}
	text := ""
	if len(names) > 0 {
		text = " with " + strings.Join(names, ", ")
	}
	if !u.OK {
		text += ", headers that end badly"
		if u.Named == 6 {
			text = " with headers that end badly"
		}
	}
	return text
}

func sayICMPv6(p *told, flow string) string {
	b := p.upper
	rest := binary.BigEndian.Uint32(b[4:])
	switch b[0] {
	case packet.ICMPv6EchoRequest:
		return "icmp6 echo request " + flow + number(b)
	case packet.ICMPv6EchoReply:
		return "icmp6 echo reply " + flow + number(b)
	case packet.ICMPv6PacketTooBig:
		return fmt.Sprintf("icmp6 packet too big %s mtu %d", flow, rest)
	case packet.ICMPv6ParameterProblem:
		return fmt.Sprintf("icmp6 parameter problem (code %d) %s at byte %d", b[1], flow, rest)
	case packet.ICMPv6NeighborSolicitation, packet.ICMPv6NeighborAdvertisement, packet.ICMPv6Redirect:
		if text := sayND(p, flow); text != "" {
			return text
		}
	}
	return fmt.Sprintf("icmp6 %s %s", icmpv6Name(b[0], b[1]), flow)
}

// sayND is of a message that is about a target; "" where that is cut off.
func sayND(p *told, flow string) string {
	b := p.upper
	if len(b) < 24 {
		return ""
	}
	target := netip.AddrFrom16([16]byte(b[8:24]))
	switch {
	case b[0] == packet.ICMPv6Redirect:
		return fmt.Sprintf("icmp6 redirect %s to %s", flow, target)
	case b[0] == packet.ICMPv6NeighborSolicitation && p.src.IsUnspecified():
		return fmt.Sprintf("icmp6 neighbor solicitation is %s taken?", target)
	case b[0] == packet.ICMPv6NeighborSolicitation:
		return fmt.Sprintf("icmp6 neighbor solicitation who has %s tell %s", target, p.src)
	}
	text := fmt.Sprintf("icmp6 neighbor advertisement %s is ", target)
	if len(b) >= 32 && b[24] == 2 { // the target's link-layer address
		text += "at " + packet.MAC(b[26:]).String()
	} else {
		text += "there"
	}
	for i, word := range []string{"router", "solicited", "override"} {
		if b[4]&(0x80>>i) != 0 {
			text += " " + word
		}
	}
	return text
}

func icmpv6Name(typ, code uint8) string {
	switch typ {
	case packet.ICMPv6Unreachable:
		return unreachableName6(code)
	case packet.ICMPv6TimeExceeded:
		if code == 1 {
			return "reassembly time exceeded"
		}
		return "time exceeded"
	case packet.ICMPv6ListenerQuery:
		return "multicast listener query"
	case packet.ICMPv6ListenerReport, packet.ICMPv6ListenerReportVersion2:
		return "multicast listener report"
	case packet.ICMPv6ListenerDone:
		return "multicast listener done"
	case packet.ICMPv6RouterSolicitation:
		return "router solicitation"
	case packet.ICMPv6RouterAdvertisement:
		return "router advertisement"
	}
	return fmt.Sprintf("type %d code %d", typ, code)
}

func unreachableName6(code uint8) string {
	switch code {
	case packet.CodeNoRoute:
		return "no route"
	case packet.CodeProhibited:
		return "administratively prohibited"
	case packet.CodeBeyondScope:
		return "beyond scope"
	case packet.CodeAddressUnreachable:
		return "address unreachable"
	case packet.CodePortUnreachable6:
		return "port unreachable"
	}
	return fmt.Sprintf("unreachable (code %d)", code)
}
