package config

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

const (
	maxBytes = 16 << 20 // of what the library reads: a hundred thousand routes and room to spare
	maxDepth = 16       // of brackets; a lab file needs 5
)

var start = place{line: 1, column: 1}

// parse returns the one document of the file, or nil where it is empty.
func (r *report) parse(text string) ast.Node {
	// The parser is a large piece of code for a small language: a bug there is a bad file, not the
	// end of a router that is to keep its old configuration.
	defer func() {
		if cause := recover(); cause != nil {
			r.fail(start, "the YAML parser failed (%s): write the file in a simpler way", quote(fmt.Sprint(cause)))
		}
	}()
	text = strings.TrimPrefix(text, "\ufeff")
	if !r.isText(text) {
		return nil
	}
	tokens := lexer.Tokenize(text)
	if !r.isPlain(tokens) {
		return nil
	}
	// Duplicate keys are found by the reader, which can say where the first one is.
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		r.failSyntax(err)
		return nil
	}
	if len(file.Docs) > 1 {
		r.fail(documentStart(file.Docs[1]), "a second document starts here: put each configuration into a file of its own")
		return nil
	}
	if len(file.Docs) == 0 {
		return nil
	}
	return file.Docs[0].Body
}

func (r *report) isText(text string) bool {
	if len(text) > maxBytes {
		r.fail(start, "the file has %d bytes, more than the %d that are read: give the path of a configuration file", len(text), maxBytes)
		return false
	}
	return r.isUTF8(text)
}

func (r *report) isUTF8(text string) bool {
	if utf8.ValidString(text) {
		return true
	}
	line, lineStart, at := 1, 0, 0
	for {
		char, size := utf8.DecodeRuneInString(text[at:])
		if char == utf8.RuneError && size == 1 {
			break
		}
		at += size
		if char == '\n' {
			line, lineStart = line+1, at
		}
	}
	column := utf8.RuneCountInString(text[lineStart:at]) + 1
	r.fail(place{line: line, column: column}, "byte 0x%02x is not UTF-8: save the file as UTF-8 text", text[at])
	return false
}

// isPlain refuses what no configuration needs, before the parser descends into it: it recurses once
// a level, and a file of a million brackets would take the whole stack.
func (r *report) isPlain(tokens token.Tokens) bool {
	depth := 0
	for i, t := range tokens {
		at := place{line: t.Position.Line, column: t.Position.Column}
		switch t.Type {
		case token.TagType:
			r.fail(at, "tag %s has no meaning here: remove it", quote(strings.TrimSpace(t.Value)))
		case token.MappingKeyType:
			r.fail(at, "the explicit key sign ? has no meaning here: write key: value")
		case token.DirectiveType:
			r.fail(at, "a %%-directive has no meaning here: remove the line")
		case token.SequenceStartType, token.MappingStartType:
			depth++
		case token.SequenceEndType, token.MappingEndType:
			depth--
		case token.SequenceEntryType:
			if i > 0 && tokens[i-1].Type == t.Type && tokens[i-1].Position.Line == t.Position.Line {
				r.fail(at, "a list stands directly in a list: remove one of the dashes")
			}
		}
		if depth > maxDepth {
			r.fail(at, "brackets are nested more than %d deep: remove what is too many", maxDepth)
		}
		if r.err != nil {
			return false
		}
	}
	return true
}

// failSyntax drops the source excerpt that the library prints below its message.
func (r *report) failSyntax(err error) {
	var syntax yaml.Error
	if !errors.As(err, &syntax) || syntax.GetToken() == nil {
		r.fail(start, "not valid YAML: %s: mend the spelling", oneLine(err.Error()))
		return
	}
	at := syntax.GetToken().Position
	r.fail(place{line: at.Line, column: at.Column},
		"not valid YAML: %s: check the indentation, quotes and brackets here", oneLine(syntax.GetMessage()))
}

func oneLine(text string) string {
	quoted := quote(text)
	return quoted[1 : len(quoted)-1]
}

func documentStart(doc *ast.DocumentNode) place {
	t := doc.Start
	if t == nil && doc.Body != nil {
		t = firstToken(doc.Body)
	}
	if t == nil {
		return start
	}
	return place{line: t.Position.Line, column: t.Position.Column}
}
