package config

import "strings"

// plain reads a list of routes without the YAML library, which takes 11 µs and 4 KB for each of
// what may be a million. It knows the small part of YAML that such lists are written in, where
// nothing can mean anything else:
//
//   - to: 10.70.2.0/24       # comments and empty lines anywhere
//     via: "192.168.0.12"    # each further key in a line of its own, below the first
//   - {to: 10.70.3.0/24, via: 192.168.0.12}
//
// What is written in another way it does not accept, rather than guess.
type plain struct {
	text   string
	at     int // offset of what comes next
	line   int // from 1
	start  int // offset of the line
	indent int // of the dashes
}

// pair is a key and its value, as the file spells them.
type pair struct {
	key     string
	keyAt   place
	value   string
	valueAt place
}

// plainEntry is an entry of the list.
type plainEntry struct {
	place
	pairs []pair
}

func (p *plain) here() place { return place{line: p.line, column: p.at - p.start + 1} }

// next is the byte to come; a file ends as a line does.
func (p *plain) next() byte {
	if p.at < len(p.text) {
		return p.text[p.at]
	}
	return '\n'
}

func (p *plain) skip(char byte) bool {
	if p.next() != char || p.at >= len(p.text) {
		return false
	}
	p.at++
	return true
}

func (p *plain) spaces() (n int) {
	for p.skip(' ') {
		n++
	}
	return n
}

// run takes as many of these characters as there are.
func (p *plain) run(ok func(byte) bool) string {
	begin := p.at
	for p.at < len(p.text) && ok(p.text[p.at]) {
		p.at++
	}
	return p.text[begin:p.at]
}

// endLine goes to the next line, if only spaces and a comment are left of this one.
func (p *plain) endLine() bool {
	begins := p.at == p.start
	if (p.spaces() > 0 || begins) && p.next() == '#' {
		p.run(func(c byte) bool { return c >= ' ' && c != 0x7f || c == '\t' })
	}
	if p.next() != '\n' {
		return false
	}
	p.skip('\n')
	p.line, p.start = p.line+1, p.at
	return true
}

// skipEmpty goes to the next line that has more than a comment.
func (p *plain) skipEmpty() {
	for p.at < len(p.text) && p.endLine() {
	}
	p.at = p.start
}

// entry reads one, to the beginning of the line after it.
func (p *plain) entry(e *plainEntry) bool {
	e.pairs = e.pairs[:0]
	if p.spaces() != p.indent || !p.skip('-') || p.spaces() == 0 {
		return false
	}
	e.place = p.here()
	if p.skip('{') {
		return p.flow(e)
	}
	for indent := p.at - p.start; ; {
		if !p.pair(e) || !p.endLine() {
			return false
		}
		p.skipEmpty()
		if p.spaces() != indent || p.at >= len(p.text) {
			p.at = p.start
			return true
		}
	}
}

// flow reads an entry in braces.
func (p *plain) flow(e *plainEntry) bool {
	for {
		p.spaces()
		if !p.pair(e) {
			return false
		}
		p.spaces()
		if p.skip('}') {
			return p.endLine()
		}
		if !p.skip(',') {
			return false
		}
	}
}

func (p *plain) pair(e *plainEntry) bool {
	var t pair
	t.keyAt = p.here()
	t.key = p.run(func(c byte) bool { return 'a' <= c && c <= 'z' })
	if t.key == "" || !p.skip(':') || p.spaces() == 0 {
		return false
	}
	t.valueAt = p.here()
	quote := p.next()
	if quote == '"' || quote == '\'' {
		p.at++
		t.value = p.run(func(c byte) bool { return inWord(c) || c == ':' })
		e.pairs = append(e.pairs, t)
		return p.skip(quote)
	}
	t.value = p.word()
	e.pairs = append(e.pairs, t)
	return t.value != "" && !strings.EqualFold(t.value, "null") && isAlphanumeric(t.value[0])
}

// word is a value without quotes; a colon is part of it if more of it follows.
func (p *plain) word() string {
	begin := p.at
	for p.at < len(p.text) {
		c, last := p.text[p.at], p.at+1 == len(p.text)
		if !inWord(c) && (c != ':' || last || !inWord(p.text[p.at+1]) && p.text[p.at+1] != ':') {
			break
		}
		p.at++
	}
	return p.text[begin:p.at]
}

func inWord(c byte) bool { return isAlphanumeric(c) || c == '.' || c == '/' || c == '-' || c == '_' }

func isAlphanumeric(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}
