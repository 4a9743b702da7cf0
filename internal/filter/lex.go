package filter

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

type kind uint8

const (
	end kind = iota
	word
	and
	or
	not
	open
	shut
	symbol // any other character, and the relations
)

type token struct {
	kind kind
	text string
	col  int // counted in characters from 1
}

// lex never fails: what it does not know becomes a symbol, which the parser
// refuses where it stands. It reads one word more than a filter may have.
func lex(expr string) []token {
	var out []token
	col := 1
	for expr != "" && len(out) <= MaxWords {
		text := next(expr)
		if strings.TrimSpace(text) != "" {
			out = append(out, token{kindOf(text), text, col})
		}
		col += utf8.RuneCountInString(text)
		expr = expr[len(text):]
	}
	return append(out, token{kind: end, col: col})
}

// next cuts one word, operator or other character off the start of s.
func next(s string) string {
	for _, op := range []string{"&&", "||", "==", "!=", "<=", ">="} {
		if strings.HasPrefix(s, op) {
			return op
		}
	}
	if n := strings.IndexFunc(s, notInWord); n > 0 {
		return s[:n]
	} else if n < 0 {
		return s
	}
	_, size := utf8.DecodeRuneInString(s)
	return s[:size]
}

// notInWord keeps addresses, prefixes, port ranges and the backslash of
// "ip proto \tcp" in one word.
func notInWord(r rune) bool {
	return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune(`._:/-\`, r)
}

func kindOf(text string) kind {
	switch text {
	case "and", "&&":
		return and
	case "or", "||":
		return or
	case "not", "!":
		return not
	case "(":
		return open
	case ")":
		return shut
	}
	if r, _ := utf8.DecodeRuneInString(text); notInWord(r) {
		return symbol
	}
	return word
}
