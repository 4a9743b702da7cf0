// Package sketch reads a packet that a person describes in one line, as for
// `vrouter explain "icmp 10.70.1.1 > 10.70.2.1 ttl 1"`, and builds it.
package sketch

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/vrouter/vrouter/internal/packet"
)

// Syntax is the one line, for people.
const Syntax = "icmp|tcp|udp|ip SRC[:PORT] > DST[:PORT] [ttl N] [length N] [tos N] [id N] [offset N] [df] [mf] [proto N] [in PORT], " +
	"icmp6|tcp|udp|ip6 SRC|[SRC]:PORT > DST|[DST]:PORT [hlim N] [length N] [tclass N] [flow N] [id N] [offset N] [mf] [proto N] [in PORT], " +
	"arp who has ADDRESS tell ADDRESS [in PORT], or nd who has ADDRESS tell ADDRESS [in PORT]"

// Packet is what was described.
type Packet struct {
	ARP      bool // who has Dst tell Src
	ND       bool // the same of IPv6
	Src, Dst netip.Addr
	SrcPort  int
	DstPort  int
	Protocol int
	TTL      int // hop limit in IPv6
	Length   int // bytes of the whole packet; 0: as short as may be
	TOS      int // traffic class in IPv6
	Flow     int // label, of IPv6
	ID       int
	Offset   int // bytes, a multiple of 8
	DF, MF   bool
	Fragment bool   // IPv6: there is a fragment header
	In       string // port; "": the one that the source is behind
}

// kinds are the first words of IP packets, with their protocols; 0 in families is both.
var kinds = map[string]struct{ protocol, family int }{
	"icmp": {packet.ProtocolICMP, 4}, "ip": {0, 4}, "icmp6": {packet.ProtocolICMPv6, 6}, "ip6": {packet.NoNextHeader, 6},
	"tcp": {packet.ProtocolTCP, 0}, "udp": {packet.ProtocolUDP, 0},
}

// Parse reads the line. Errors name the word.
func Parse(line string) (*Packet, error) {
	words := strings.Fields(line)
	if len(words) == 0 {
		return nil, errors.New("no packet; describe one: " + Syntax)
	}
	p := &Packet{TTL: 64}
	var rest []string
	var err error
	switch words[0] {
	case "arp", "nd":
		rest, err = p.parseWhoHas(words[0], words[1:])
	default:
		rest, err = p.parseIP(words)
	}
	if err != nil {
		return nil, err
	}
	if err := p.parseOptions(rest); err != nil {
		return nil, err
	}
	return p, p.check()
}

func (p *Packet) parseWhoHas(word string, words []string) (rest []string, err error) {
	p.ARP, p.ND = word == "arp", word == "nd"
	family, example := 4, "`arp who has 169.254.1.1 tell 10.70.1.1`"
	if p.ND {
		family, example = 6, "`nd who has fe80::ecee:eeff:feee:eeee tell fd00:70:1::1`"
	}
	if len(words) < 5 || !slices.Equal([]string{words[0], words[1], words[3]}, []string{"who", "has", "tell"}) {
		return nil, fmt.Errorf("%s: write %s", word, example)
	}
	if p.Dst, err = parseAddr(words[2], family); err != nil {
		return nil, err
	}
	p.Src, err = parseAddr(words[4], family)
	return words[5:], err
}

func (p *Packet) parseIP(words []string) (rest []string, err error) {
	kind, ok := kinds[words[0]]
	if !ok {
		return nil, fmt.Errorf("%q is no protocol; begin with icmp, icmp6, tcp, udp, ip, ip6, arp or nd", words[0])
	}
	p.Protocol = kind.protocol
	if len(words) < 4 || words[2] != ">" {
		return nil, fmt.Errorf("after %q comes SOURCE > DESTINATION, with blanks around the >", words[0])
	}
	if p.Src, p.SrcPort, err = p.parseEnd(words[1], kind.family); err != nil {
		return nil, err
	}
	family := 4
	if p.six() {
		family = 6
	}
	p.Dst, p.DstPort, err = p.parseEnd(words[3], family)
	return words[4:], err
}

// parseEnd reads ADDRESS or, for TCP and UDP, ADDRESS:PORT or [ADDRESS]:PORT.
func (p *Packet) parseEnd(word string, family int) (netip.Addr, int, error) {
	host, port, found := strings.Cut(word, ":")
	if strings.HasPrefix(word, "[") {
		if host, port, found = strings.Cut(word[1:], "]"); found {
			port, found = strings.CutPrefix(port, ":")
		}
	} else if strings.Contains(port, ":") {
		host, found = word, false
	}
	a, err := parseAddr(host, family)
	switch {
	case err != nil && host != word && family != 4:
		return a, 0, fmt.Errorf("%q is no IPv%d address with a port, such as [fd00:70:1::1]:53", word, max(family, 4))
	case err != nil:
		return a, 0, fmt.Errorf("%w%s", err, p.instead(host, family))
	case strings.HasPrefix(word, "[") && !found:
		return a, 0, fmt.Errorf("%q: write %s, or [%s]:PORT", word, a, a)
	case !found:
		return a, 0, nil
	}
	if p.Protocol != packet.ProtocolTCP && p.Protocol != packet.ProtocolUDP {
		return a, 0, fmt.Errorf("%q: only tcp and udp have ports", word)
	}
	n, err := number(word, port, 65535)
	return a, n, err
}

// instead is what to write where an address is of the other family.
func (p *Packet) instead(host string, family int) string {
	a, err := netip.ParseAddr(host)
	switch {
	case err != nil || a.Zone() != "":
		return ""
	case p.Src.IsValid():
		return fmt.Sprintf(", as the source is (%s)", p.Src)
	case a.Is6() && family == 4:
		return map[int]string{packet.ProtocolICMP: "; write icmp6", 0: "; write ip6"}[p.Protocol]
	}
	return map[int]string{packet.ProtocolICMPv6: "; write icmp", packet.NoNextHeader: "; write ip"}[p.Protocol]
}

// parseAddr reads one of a family, or of either if it is 0.
func parseAddr(word string, family int) (netip.Addr, error) {
	a, err := netip.ParseAddr(word)
	switch {
	case err == nil && a.Zone() != "":
		return a, fmt.Errorf("%q: write the address alone, and `in PORT` behind all", word)
	case err == nil && (family != 4 && a.Is6() || family != 6 && a.Is4()):
		return a, nil
	case family == 0:
		return a, fmt.Errorf("%q is no IP address", word)
	}
	return a, fmt.Errorf("%q is no IPv%d address", word, family)
}

func (p *Packet) six() bool { return p.Src.Is6() }

func (p *Packet) check() error {
	least := p.headers()
	switch {
	case p.Offset%8 != 0:
		return fmt.Errorf("offset: fragments begin at a multiple of 8 bytes, not at %d", p.Offset)
	case p.Length != 0 && p.Length < least:
		return fmt.Errorf("length: the headers alone are %d bytes, more than %d", least, p.Length)
	}
	return nil
}

// headers is the length in bytes of the headers of IP and of what it carries.
func (p *Packet) headers() int {
	n := packet.IPv4MinLen
	if p.six() {
		n = packet.IPv6MinLen
	}
	if p.Fragment {
		n += packet.FragmentHeaderLen
	}
	if p.Offset > 0 {
		return n
	}
	switch {
	case p.Protocol == packet.ProtocolICMP && !p.six(), p.Protocol == packet.ProtocolICMPv6 && p.six(), p.Protocol == packet.ProtocolUDP:
		n += 8
	case p.Protocol == packet.ProtocolTCP:
		n += packet.TCPMinLen
	}
	return n
}
