package control

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// RouteHelp says which words ParseRoute knows.
const RouteHelp = "[unicast|blackhole|unreachable|prohibit] PREFIX|default [via ADDRESS] [dev PORT] [metric N] [proto NAME|N] [encap ipip|vxlan|none]"

// WordError points at the word that is wrong.
type WordError struct{ Word, Reason string }

func (e *WordError) Error() string { return strconv.Quote(e.Word) + ": " + e.Reason }

// ParseRoute reads a route in the words of ip-route(8), as its commands take it and
// its lists show it. What the router has no use for is an error, save for what
// changes nothing: `src`, which is for packets that the host itself sends; the
// main table; a scope that follows from the rest; and `pref`, which chooses among routers by their advertisements.
// `default` is IPv6's if its next hop is, as `ip -6 route` shows it; `via inet6` is the next hop of an IPv4 route.
func ParseRoute(op string, words []string) (RouteChange, error) {
	p := routeParser{change: RouteChange{Op: op}, words: words, seen: make([]string, 0, 8)}
	for len(p.words) > 0 && p.err == nil {
		word := p.words[0]
		p.words = p.words[1:]
		p.word(word)
	}
	p.end()
	return p.change, p.err
}

type routeParser struct {
	change RouteChange
	scope  string
	words  []string // those to come
	all    bool     // the destination is `default`
	other  bool     // the next hop is of another family than the destination
	seen   []string
	err    error
}

func (p *routeParser) fail(word, format string, args ...any) {
	if p.err == nil {
		p.err = &WordError{word, fmt.Sprintf(format, args...)}
	}
}

// synonyms are ip-route(8)'s.
var synonyms = map[string]string{"protocol": "proto", "preference": "metric", "priority": "metric", "oif": "dev"}

func (p *routeParser) word(w string) {
	if s, ok := synonyms[w]; ok {
		w = s
	}
	switch w {
	case "unicast", "blackhole", "unreachable", "prohibit":
		p.once("type", w)
		p.change.Type = w
	case "to":
		p.destination(p.value(w))
	case "via":
		p.change.Via = p.via()
	case "dev":
		p.change.Dev = p.value(w)
	case "proto":
		p.change.Proto = p.value(w)
	case "metric":
		p.metric(p.value(w))
	case "encap":
		p.change.Encap = p.oneOf(w, "no such encapsulation here", "ipip", "vxlan", "none")
	case "scope":
		p.scope = p.oneOf(w, "no scope of a route here", "link", "global")
	case "table":
		p.oneOf(w, "there is one table here", "main", "254")
	case "src":
		if a := p.value(w); p.err == nil && !isAddress(a) {
			p.fail(a, "not an IP address")
		}
	case "pref":
		p.oneOf(w, "no such preference", "low", "medium", "high")
	default:
		p.destination(w)
	}
}

// value is the word after a keyword.
func (p *routeParser) value(keyword string) string {
	p.once(keyword, keyword)
	if len(p.words) == 0 {
		p.fail(keyword, "its value is missing")
		return ""
	}
	v := p.words[0]
	p.words = p.words[1:]
	return v
}

func (p *routeParser) once(what, word string) {
	if slices.Contains(p.seen, what) {
		p.fail(word, "%s was said already", what)
	}
	p.seen = append(p.seen, what)
}

func (p *routeParser) oneOf(keyword, otherwise string, words ...string) string {
	v := p.value(keyword)
	if !slices.Contains(words, v) {
		p.fail(v, "%s: write %s", otherwise, strings.Join(words, " or "))
	}
	return v
}

func (p *routeParser) via() string {
	v := p.value("via")
	if (v == "inet" || v == "inet6") && len(p.words) > 0 {
		p.other = v == "inet6"
		v, p.words = p.words[0], p.words[1:]
	}
	if p.err == nil && !isAddress(v) {
		p.fail(v, "not the address of a next hop")
	}
	return v
}

func (p *routeParser) metric(v string) {
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil {
		p.fail(v, "not a metric: write a whole number from 0 to 4294967295")
	}
	p.change.Metric = &n
}

func (p *routeParser) destination(w string) {
	if p.err != nil {
		return
	}
	_, err := netip.ParsePrefix(w)
	address, _, _ := strings.Cut(w, "/")
	switch {
	case w == "default":
		w, p.all = anywhere, true
	case err != nil && isAddress(address) && address != w && !strings.Contains(w, "%"):
		p.fail(w, "the length of a prefix is a whole number from 0 to %d", netip.MustParseAddr(address).BitLen())
	case err != nil && !isAddress(w):
		p.fail(w, "neither a destination nor a word that is known here; a route is %s", RouteHelp)
	}
	if p.change.To != "" {
		p.fail(w, "a second destination; the first is %s", p.change.To)
	}
	p.change.To = w
}

func isAddress(s string) bool {
	_, err := netip.ParseAddr(s)
	return err == nil
}

const anywhere = "0.0.0.0/0"

func (p *routeParser) end() {
	if via, err := netip.ParseAddr(p.change.Via); err == nil && via.Is6() && !p.other && p.all {
		p.change.To = "::/0"
	}
	switch {
	case p.change.To == "":
		p.fail(p.change.Op, "the destination is missing; a route is %s", RouteHelp)
	case p.scope == "link" && p.change.Via != "":
		p.fail("scope", "a next hop is not of scope link: leave it out")
	}
}
