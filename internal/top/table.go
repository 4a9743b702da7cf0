// Package top shows what a router does at present, on a terminal or line by line:
// rates by port, step, drop reason and route.
package top

import (
	"fmt"
	"net/netip"
	"strings"
	"unicode/utf8"

	"github.com/vrouter/vrouter/internal/control"
	"github.com/vrouter/vrouter/internal/verdict"
)

// section is one table: a name, numbers, and perhaps some words behind them.
type section struct {
	title    string
	headings []string // of the name and of the numbers, with their units
	rows     []row
}

type row struct {
	name    string
	numbers []string
	words   string
	busy    bool
	trace   control.TraceOptions // its packets
}

// sections are the tables of a sample.
func sections(r *control.Rates) []section {
	return []section{ports(r), steps(r), drops(r), routes(r)}
}

func ports(r *control.Rates) section {
	s := section{title: "Ports", headings: []string{"PORT", "RX pps", "RX bit/s", "TX pps", "TX bit/s", "DROP pps", "LOST pps"}}
	for _, p := range r.Ports {
		s.add(p.Port, "", control.TraceOptions{Port: p.Port}, p.RxPPS, p.RxBPS, p.TxPPS, p.TxBPS, p.Drops-p.Noise, p.Lost)
	}
	return s
}

func steps(r *control.Rates) section {
	s := section{title: "Steps", headings: []string{"STEP", "PASS pps", "EDIT pps", "DROP pps", "CONSUME pps"}}
	for _, p := range r.Steps {
		s.add(p.Step, "", control.TraceOptions{Step: p.Step}, p.Pass, p.Edit, p.Drop, p.Consume)
	}
	return s
}

func drops(r *control.Rates) section {
	s := section{title: "Drops", headings: []string{"REASON", "pps", "packets"}}
	for _, d := range r.Drops {
		help := ""
		if reason, ok := verdict.ReasonNamed(d.Reason); ok {
			help = reason.Info().Help
		}
		if d.Noise > 0 && d.Noise == d.PPS {
			help = "noise: " + help
		}
		s.add(d.Reason, help, control.TraceOptions{Reason: d.Reason}, d.PPS, float64(d.Packets))
		s.rows[len(s.rows)-1].busy = d.PPS > 0
	}
	return s
}

func routes(r *control.Rates) section {
	s := section{title: "Routes", headings: []string{"ROUTE", "pps", "bit/s"}}
	for _, x := range r.Routes {
		s.add(x.Text, "", control.TraceOptions{Filter: "dst " + destination(x.Prefix)}, x.PPS, x.BPS)
	}
	return s
}

// destination is a prefix in the language of filters.
func destination(prefix string) string {
	if p, err := netip.ParsePrefix(prefix); err == nil && p.IsSingleIP() {
		return "host " + p.Addr().String()
	}
	return "net " + prefix
}

func (s *section) add(name, words string, o control.TraceOptions, numbers ...float64) {
	r := row{name: name, words: words, trace: o}
	for _, n := range numbers {
		r.numbers = append(r.numbers, amount(n))
		r.busy = r.busy || n > 0
	}
	s.rows = append(s.rows, r)
}

// amount is a number in at most five characters: 0, <0.1, 0.3, 12, 999, 1.5k, 98.1M.
func amount(v float64) string {
	for _, unit := range []string{"", "k", "M", "G"} {
		switch {
		case v == 0:
			return "0"
		case v < 0.05:
			return "<0.1"
		case v < 9.95, unit != "" && v < 99.95:
			return strings.TrimSuffix(fmt.Sprintf("%.1f", v), ".0") + unit
		case v < 999.5:
			return fmt.Sprintf("%.0f%s", v, unit)
		}
		v /= 1000
	}
	return fmt.Sprintf("%.0fT", v)
}

// minName is how many characters of a name stay, however narrow the table is.
const minName = 12

// lines lays the table out for a width: the headings, then the rows. Where it is
// narrow, the last columns are left out; 0 is as wide as it takes.
func (s *section) lines(width int) []string {
	name, numbers, each := utf8.RuneCountInString(s.headings[0]), len(s.headings)-1, 0
	for _, h := range s.headings[1:] {
		each = max(each, len(h)+2)
	}
	for _, r := range s.rows {
		name = max(name, utf8.RuneCountInString(r.name))
	}
	if width > 0 {
		numbers = max(0, min(numbers, (width-minName)/each))
		name = min(name, width-numbers*each)
	}
	layout := func(first string, columns []string, words string) string {
		line := pad(cut(first, name), name)
		for _, c := range columns[:numbers] {
			line += fmt.Sprintf("%*s", each, c)
		}
		return strings.TrimRight(line+"  "+words, " ")
	}
	list := []string{layout(s.headings[0], s.headings[1:], "")}
	for _, r := range s.rows {
		list = append(list, layout(r.name, r.numbers, r.words))
	}
	return list
}

func pad(s string, width int) string {
	return s + strings.Repeat(" ", max(0, width-utf8.RuneCountInString(s)))
}

// cut shortens a line to so many characters. Colours (CSI … m, ECMA-48 8.3.117) take
// no room, and all of them stay, so that the last one is the one that ends them.
func cut(line string, width int) string {
	var b strings.Builder
	room, escape := width, false
	for _, c := range line {
		switch {
		case c == '\x1b':
			escape = true
		case escape:
			escape = c != 'm'
		case room == 0:
			continue
		default:
			room--
			b.WriteRune(c)
			continue
		}
		b.WriteRune(c)
	}
	return b.String()
}
