package layers_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func content(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root, file))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// firsts are what the expression's group matches, sorted, each once.
func firsts(expression, text string) (list []string) {
	for _, m := range regexp.MustCompile(expression).FindAllStringSubmatch(text, -1) {
		list = append(list, m[1])
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// The table of dependencies names the modules that are required directly, and no others;
// the text below it each tool, and how many modules are indirect.
func TestDependencies(t *testing.T) {
	direct := firsts(`(?m)^\t(\S+) v\S+$`, content(t, "go.mod")) // the others end in a comment
	table := firsts("(?m)^\\| `([^`]+)` \\|", content(t, "docs/dependencies.md"))
	if len(direct) == 0 || !slices.Equal(direct, table) {
		t.Errorf("go.mod requires\n%v\ndocs/dependencies.md has\n%v", direct, table)
	}
	for _, file := range []string{"go.mod", "packaging/tools.mod"} {
		mod := content(t, file)
		want := fmt.Sprintf("%d in `%s`", strings.Count(mod, "// indirect"), file)
		if !strings.Contains(content(t, "docs/dependencies.md"), want) {
			t.Errorf("docs/dependencies.md does not say of the indirect modules: %s", want)
		}
		for _, tool := range firsts(`(?m)^tool (\S+)/cmd/\w+$`, mod) {
			if !strings.Contains(content(t, "docs/dependencies.md"), "`"+tool+"`") {
				t.Errorf("docs/dependencies.md does not name %s, a tool of %s", tool, file)
			}
		}
	}
}

// Each promise names a test that holds it, which exists.
func TestPromisesHaveTests(t *testing.T) {
	var sources strings.Builder
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, "_test.go") {
			sources.WriteString(content(t, strings.TrimPrefix(path, root)))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	tests := firsts(`(?m)^func ((?:Test|Fuzz)\w+)\(`, sources.String())
	for _, doc := range []string{"docs/security.md", "docs/reliability.md", "docs/dependencies.md"} {
		named := firsts("`((?:Test|Fuzz)\\w+)`", content(t, doc))
		if len(named) == 0 {
			t.Errorf("%s names no test", doc)
		}
		for _, name := range named {
			if !slices.Contains(tests, name) {
				t.Errorf("%s names %s, which is no test", doc, name)
			}
		}
	}
}
