package layers_test

import (
	"fmt"
	"io/fs"
	"maps"
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

// Each promise names a test that holds it, which exists, and where a package is named is there.
func TestPromisesHaveTests(t *testing.T) {
	tests := map[string][]string{} // by package
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, "_test.go") {
			name := strings.TrimPrefix(path, root)
			pkg := filepath.ToSlash(filepath.Dir(strings.TrimPrefix(name, "/")))
			tests[pkg] = append(tests[pkg], firsts(`(?m)^func ((?:Test|Fuzz)\w+)\(`, content(t, name))...)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	has := func(list []string, name string) bool { return slices.Contains(list, name) }
	all := slices.Concat(slices.Collect(maps.Values(tests))...)
	// `TestA`, `TestB`, `package`
	together := regexp.MustCompile("((?:`(?:Test|Fuzz)\\w+`, )+)`([a-z0-9/]+)`")
	for _, doc := range []string{"docs/security.md", "docs/reliability.md", "docs/dependencies.md"} {
		text := content(t, doc)
		named := firsts("`((?:Test|Fuzz)\\w+)`", text)
		if len(named) == 0 {
			t.Errorf("%s names no test", doc)
		}
		for _, name := range named {
			if !has(all, name) {
				t.Errorf("%s names %s, which is no test", doc, name)
			}
		}
		for _, m := range together.FindAllStringSubmatch(text, -1) {
			for _, name := range firsts("`(\\w+)`", m[1]) {
				if !has(tests[m[2]], name) {
					t.Errorf("%s names %s of %s, which has no such test", doc, name, m[2])
				}
			}
		}
	}
}
