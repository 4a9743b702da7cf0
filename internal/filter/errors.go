package filter

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// wanted says what should have come after the qualifiers.
var wanted = map[typ]string{
	host:      "an IP address",
	network:   "a network such as 10.70.0.0/16 or fd00:70::/32",
	port:      "a port number",
	portRange: "a port range such as 6000-6008",
	proto:     "a protocol number or name",
	mac:       "a MAC address",
	length:    "a length in bytes",
}

// unsupported are the words of pcap-filter(7) that people may try.
var unsupported = map[string]string{
	"vlan": onlyIP, "mpls": onlyIP, "rarp": onlyIP, "pppoed": onlyIP, "pppoes": onlyIP, "geneve": onlyIP, "decnet": onlyIP,
	"gateway": "not supported", "inbound": "not supported", "outbound": "not supported",
	"protochain": `not supported: extension headers are not walked; "proto" looks at the fixed header, and behind a fragment header`,
}

const onlyIP = "not supported: IPv4, IPv6 and ARP only"

// familyOf says which addresses there are where a layer has those of one family alone.
var familyOf = map[layer]family{ip: v4, arp: v4, ip4Proto: v4, ip6: v6, ip6Proto: v6}

// keywords are what a misspelt word may have meant.
var keywords = []string{
	"host", "net", "port", "portrange", "proto", "src", "dst", "ip", "ip6", "arp", "icmp", "icmp6", "tcp", "udp", "ipip", "vxlan",
	"ether", "broadcast", "multicast", "less", "greater", "len", "mask", "and", "or", "not",
}

// Error is what is wrong with a filter, and where.
type Error struct {
	Column int    // in characters, from 1
	Word   string // that stands there; "": the end
	Reason string
}

func (e *Error) Error() string {
	what := "end"
	if e.Word != "" {
		what = fmt.Sprintf("%q", e.Word)
	}
	return fmt.Sprintf("filter: column %d: %s: %s", e.Column, what, e.Reason)
}

func (t token) errorf(format string, args ...any) error {
	return &Error{t.col, t.text, fmt.Sprintf(format, args...)}
}

func expected(t token, what string) error {
	if why, ok := symbols[t.text]; ok && t.kind == symbol {
		return t.errorf("%s", why)
	}
	return t.errorf("expected %s", what)
}

const haveBytes = "bytes are those of ether, ip, ip6, arp, icmp, icmp6, tcp or udp"

const nothingToCompare = "a comparison needs bytes or a length before it, such as ip[8] or len"

var symbols = map[string]string{
	"[": haveBytes,
	"=": nothingToCompare, "==": nothingToCompare, "!=": nothingToCompare,
	"<": nothingToCompare, ">": nothingToCompare, "<=": nothingToCompare, ">=": nothingToCompare,
	"&": `write "and" or "&&"`, "|": `write "or" or "||"`,
}

func unclosed(t, opening token) error {
	return expected(t, fmt.Sprintf(`"and", "or", or ")" for the "(" in column %d`, opening.col))
}

// leftover is for what follows a whole expression: "explicit and tokens, not
// juxtaposition, are now required for concatenation".
func leftover(t token) error {
	switch {
	case t.kind == shut:
		return t.errorf(`there is no "(" for it`)
	case t.kind == word && !slices.Contains(keywords, t.text) && isName(t.text):
		return unknown(t)
	}
	return expected(t, `"and" or "or" before it`)
}

func unknown(t token) error {
	if why, ok := unsupported[t.text]; ok {
		return t.errorf("%s", why)
	}
	if _, ok := protocols[t.text]; ok {
		return t.errorf(`write "ip proto %s"`, t.text)
	}
	if meant := nearest(t.text); meant != "" {
		return t.errorf("unknown word; did you mean %q?", meant)
	}
	return t.errorf("unknown word")
}

// notAddress explains what a word is instead of the host or net it had to be.
func notAddress(t token, want typ) error {
	_, _, isNet := dotted(strings.Split(t.text, "/")[0])
	_, err := net.ParseMAC(t.text)
	switch {
	case want == host && isNet && !isNumber(t.text):
		return t.errorf(`a network, not a host; write "net %s"`, t.text)
	case err == nil:
		return t.errorf(`a MAC address; write "ether host %s"`, t.text)
	case isName(t.text):
		return t.errorf("names are not looked up; write the address")
	}
	return t.errorf("not %s", wanted[want])
}

// isName is false of MAC and IPv6 addresses that start with a letter.
func isName(s string) bool {
	r, _ := utf8.DecodeRuneInString(s)
	return unicode.IsLetter(r) && !strings.Contains(s, ":")
}

// nearest is the keyword at most a third of the word away from it, or "".
func nearest(s string) string {
	s = strings.ToLower(s)
	best, least := "", max(1, len(s)/3)+1
	for _, k := range keywords {
		d := distance(s, k)
		if sorted(s) == sorted(k) {
			d = 1 // letters in the wrong order
		}
		if d < least {
			best, least = k, d
		}
	}
	return best
}

func sorted(s string) string {
	letters := []byte(s)
	slices.Sort(letters)
	return string(letters)
}

// distance is the number of letters to insert, drop or change (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}
