package sketch

import (
	"fmt"
	"math"
	"strconv"
)

// field is a number that may be given.
type field struct {
	to       *int
	most     int
	fragment bool // where it is given to an IPv6 packet, that has a fragment header
}

// fields are those of the packet's family.
func (p *Packet) fields() map[string]field {
	if p.ARP || p.ND {
		return nil
	}
	if p.six() {
		return map[string]field{
			"hlim": {to: &p.TTL, most: 255}, "length": {to: &p.Length, most: 40 + 65535}, "tclass": {to: &p.TOS, most: 255}, "flow": {to: &p.Flow, most: 1<<20 - 1},
			"id": {to: &p.ID, most: min(math.MaxUint32, math.MaxInt), fragment: true}, "offset": {to: &p.Offset, most: 65528, fragment: true}, "proto": {to: &p.Protocol, most: 255},
		}
	}
	return map[string]field{
		"ttl": {to: &p.TTL, most: 255}, "length": {to: &p.Length, most: 65535}, "tos": {to: &p.TOS, most: 255}, "id": {to: &p.ID, most: 65535},
		"offset": {to: &p.Offset, most: 65528}, "proto": {to: &p.Protocol, most: 255},
	}
}

// others are words of the one family, and what they are in the other.
var others = map[string]string{"ttl": "hlim", "tos": "tclass", "hlim": "ttl", "tclass": "tos"}

func (p *Packet) parseOptions(words []string) error {
	fields := p.fields()
	for len(words) > 0 {
		word := words[0]
		words = words[1:]
		f, known := fields[word]
		other, isOther := fields[others[word]]
		switch {
		case word == "df" && !p.six() && fields != nil:
			p.DF = true
		case word == "df" && fields != nil:
			return fmt.Errorf("df: no IPv6 packet is cut on its way, none says so")
		case word == "mf" && fields != nil:
			p.MF, p.Fragment = true, p.six()
		case isOther && other.to != nil:
			return fmt.Errorf("%s: in this family it is %s", word, others[word])
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
			p.Fragment = p.Fragment || f.fragment
		}
	}
	return nil
}

func number(word, digits string, most int) (int, error) {
	n, err := strconv.Atoi(digits)
	if err != nil || n < 0 || n > most {
		return 0, fmt.Errorf("%s: want a number from 0 to %d, not %q", word, most, digits)
	}
	return n, nil
}
