package main

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

// commandsOf are the calls of vrouter in a document: those of its blocks, and those in the text between backquotes. Where a block
// has prompts, its other lines are what the commands print.
func commandsOf(text string) (list []string) {
	inline := regexp.MustCompile("`(vrouter [a-z][^`]+)`")
	called := regexp.MustCompile(`(?:^|[|;(&] ?|-- |do |until )(vrouter [a-z-].*)$`)
	for i, part := range strings.Split(text, "```") {
		for line := range strings.Lines(part) {
			line, prompt := strings.CutPrefix(strings.TrimSpace(line), "$ ")
			switch {
			case strings.Contains(line, "vrouter made"): // of a trace
			case i%2 == 0:
				for _, m := range inline.FindAllStringSubmatch(line, -1) {
					list = append(list, m[1])
				}
			case prompt || !strings.Contains(part, "\n$ "):
				if m := called.FindStringSubmatch(line); m != nil {
					list = append(list, m[1])
				}
			}
		}
	}
	return list
}

// shellWords are the words of the first command of a line, as a shell takes them.
func shellWords(line string) (words []string) {
	word, quote, in := "", rune(0), false
	end := func() {
		if in {
			words = append(words, word)
		}
		word, in = "", false
	}
	for _, r := range line {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote == 0 && (r == '\'' || r == '"'):
			quote, in = r, true
		case quote == 0 && (r == ' ' || strings.ContainsRune("|;&<>()", r) || r == '#' && !in):
			end()
			if r != ' ' {
				return words
			}
		default:
			word, in = word+string(r), true
		}
	}
	end()
	return words
}

// Whatever vrouter command a document shows is one, with flags and words that it takes.
func TestCommandsOfTheDocuments(t *testing.T) {
	files, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	more, _ := filepath.Glob("../../examples/*/README.md")
	all := 0
	for _, file := range append(append(files, more...), "../../README.md") {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range commandsOf(string(b)) {
			all++
			if problem := calls(shellWords(line)[1:]); problem != "" {
				t.Errorf("%s: %s: %s", filepath.Base(file), line, problem)
			}
		}
	}
	if all < 200 {
		t.Errorf("only %d commands were found", all)
	}
}

// calls says what is wrong with the words of a command; of what it runs itself, too.
func calls(words []string) string {
	for i, w := range words { // what stands for words
		if strings.Contains(w, "…") || w == "X" {
			words = words[:i]
			break
		}
	}
	cmd, rest, err := newRoot().Find(words)
	if err != nil {
		return err.Error()
	}
	for i, w := range rest {
		if cmd.Name() == "exec" && w == "--" && i+2 < len(rest) && rest[i+1] == "vrouter" {
			return calls(rest[i+2:])
		}
	}
	if err := cmd.ParseFlags(rest); err != nil && !errors.Is(err, pflag.ErrHelp) && !strings.Contains(err.Error(), "needs an argument") { // the text speaks of the flag
		return err.Error()
	}
	if args := cmd.Flags().Args(); cmd.HasSubCommands() && len(args) > 0 && cmd.Args != nil {
		if err := cmd.Args(cmd, args); err != nil {
			return err.Error()
		}
	}
	return ""
}
