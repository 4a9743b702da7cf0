package config

import (
	"fmt"
	"strconv"
	"strings"
)

// place is where a value stands in the file, and the keys that lead there: routes[0].via.
type place struct {
	key          string
	line, column int // from 1
}

func (p place) child(key string) place {
	if p.key != "" {
		key = p.key + "." + key
	}
	return place{key, p.line, p.column}
}

func (p place) entry(i int) place {
	return place{p.key + "[" + strconv.Itoa(i) + "]", p.line, p.column}
}

// FieldError is a value that was refused and did not come from a file.
type FieldError struct{ Field, Reason string }

// Error is one line: the field, the reason, what to do.
func (e *FieldError) Error() string {
	if e.Field == "" {
		return e.Reason
	}
	return e.Field + ": " + e.Reason
}

// report keeps the first problem found in a file, or in what has no file ("").
// Reading and checking go on after it, on zero values, so neither has to test for
// an error after each step.
type report struct {
	file string
	err  error
}

func (r *report) fail(at place, format string, args ...any) {
	if r.err != nil {
		return
	}
	message := fmt.Sprintf(format, args...)
	if r.file == "" {
		r.err = &FieldError{Field: at.key, Reason: message}
		return
	}
	if at.key != "" {
		message = at.key + ": " + message
	}
	r.err = fmt.Errorf("%s:%d:%d: %s", r.file, at.line, at.column, message)
}

// quote shows what the file says; the file may say anything, and the error is one short line.
func quote(text string) string {
	const most = 64
	if runes := []rune(text); len(runes) > most {
		text = string(runes[:most]) + "…"
	}
	return strconv.Quote(text)
}

// list puts words into a sentence: a, b or c.
func list(words []string, last string) string {
	n := len(words) - 1
	if n < 1 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:n], ", ") + " " + last + " " + words[n]
}
