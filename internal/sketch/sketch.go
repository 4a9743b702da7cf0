// Package sketch reads a packet that a person describes in one line, as for
// `vrouter explain "icmp 10.70.1.1 > 10.70.2.1 ttl 1"`, and builds it.
package sketch

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Syntax is the one line, for people.
const Syntax = "icmp|tcp|udp|ip SRC[:PORT] > DST[:PORT] [ttl N] [length N] [tos N] [id N] [offset N] [df] [mf] [proto N] [in PORT], " +
	"or arp who has ADDRESS tell ADDRESS [in PORT]"

// Packet is what was described.
type Packet struct {
	ARP      bool // who has Dst tell Src
	Src, Dst netip.Addr
	SrcPort  int
	DstPort  int
	Protocol int
	TTL      int
	Length   int // bytes of the whole IPv4 packet; 0: as short as may be
	TOS      int
	ID       int
	Offset   int // bytes, a multiple of 8
	DF, MF   bool
	In       string // port; "": the one that the source is behind
}

var protocols = map[string]int{"icmp": 1, "tcp": 6, "udp": 17, "ip": 0}

// Parse reads the line. Errors name the word.
func Parse(line string) (*Packet, error) {
	words := strings.Fields(line)
	if len(words) == 0 {
		return nil, errors.New("no packet; describe one: " + Syntax)
	}
	p := &Packet{TTL: 64}
	var rest []string
	var err error
	if words[0] == "arp" {
		rest, err = p.parseARP(words[1:])
	} else {
		rest, err = p.parseIPv4(words)
	}
	if err != nil {
		return nil, err
	}
	if err := p.parseOptions(rest); err != nil {
		return nil, err
	}
	return p, p.check()
}

func (p *Packet) parseARP(words []string) (rest []string, err error) {
	p.ARP = true
	if len(words) < 5 || !slices.Equal([]string{words[0], words[1], words[3]}, []string{"who", "has", "tell"}) {
		return nil, errors.New("arp: write `arp who has 169.254.1.1 tell 10.70.1.1`")
	}
	if p.Dst, err = parseAddr(words[2]); err != nil {
		return nil, err
	}
	p.Src, err = parseAddr(words[4])
	return words[5:], err
}

func (p *Packet) parseIPv4(words []string) (rest []string, err error) {
	protocol, ok := protocols[words[0]]
	if !ok {
		return nil, fmt.Errorf("%q is no protocol; begin with icmp, tcp, udp, ip or arp", words[0])
	}
	p.Protocol = protocol
	if len(words) < 4 || words[2] != ">" {
		return nil, fmt.Errorf("after %q comes SOURCE > DESTINATION, with blanks around the >", words[0])
	}
	if p.Src, p.SrcPort, err = p.parseEnd(words[1]); err != nil {
		return nil, err
	}
	p.Dst, p.DstPort, err = p.parseEnd(words[3])
	return words[4:], err
}

// parseEnd reads ADDRESS or, for TCP and UDP, ADDRESS:PORT.
func (p *Packet) parseEnd(word string) (netip.Addr, int, error) {
	host, port, found := strings.Cut(word, ":")
	a, err := parseAddr(host)
	if err != nil {
		return a, 0, fmt.Errorf("%q is no IPv4 address", word)
	}
	if !found {
		return a, 0, nil
	}
	if p.Protocol != protocols["tcp"] && p.Protocol != protocols["udp"] {
		return a, 0, fmt.Errorf("%q: only tcp and udp have ports", word)
	}
	n, err := number(word, port, 65535)
	return a, n, err
}

func parseAddr(word string) (netip.Addr, error) {
	a, err := netip.ParseAddr(word)
	if err != nil || !a.Is4() {
		return a, fmt.Errorf("%q is no IPv4 address", word)
	}
	return a, nil
}

func number(word, digits string, most int) (int, error) {
	n, err := strconv.Atoi(digits)
	if err != nil || n < 0 || n > most {
		return 0, fmt.Errorf("%s: want a number from 0 to %d, not %q", word, most, digits)
	}
	return n, nil
}

func (p *Packet) parseOptions(words []string) error {
	fields := map[string]struct {
		to   *int
		most int
	}{
		"ttl": {&p.TTL, 255}, "length": {&p.Length, 65535}, "tos": {&p.TOS, 255}, "id": {&p.ID, 65535},
		"offset": {&p.Offset, 65528}, "proto": {&p.Protocol, 255},
	}
	for len(words) > 0 {
		word := words[0]
		words = words[1:]
		switch f, known := fields[word]; {
		case word == "df":
			p.DF = true
		case word == "mf":
			p.MF = true
		case !known && word != "in":
			return fmt.Errorf("unknown word %q; the whole is %s", word, Syntax)
		case len(words) == 0:
			return fmt.Errorf("%s: what? nothing comes behind it", word)
		case word == "in":
			p.In, words = words[0], words[1:]
		default:
			n, err := number(word, words[0], f.most)
			if err != nil {
				return err
			}
			*f.to, words = n, words[1:]
		}
	}
	return nil
}

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

// headers is the length in bytes of the IPv4 and transport headers.
func (p *Packet) headers() int {
	if p.Offset > 0 {
		return 20
	}
	return 20 + map[int]int{1: 8, 6: 20, 17: 8}[p.Protocol]
}
