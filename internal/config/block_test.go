package config

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// byBlock reads a host file as if it were large; taken is false where it would be
// left to the library.
func byBlock(text string) (h *Host, err error, taken bool) {
	problem := &report{file: "f.yaml"}
	b, _ := findBlock(text)
	if !problem.isUTF8(text) || b == nil {
		return nil, nil, false
	}
	body := problem.parse(b.rest())
	if problem.err != nil || !b.isIn(body) {
		return nil, nil, false
	}
	h, err = problem.host(body, b)
	return h, err, true
}

// checkBlock wants of the block what the library makes of the whole file, and says
// whether there was a block.
func checkBlock(t interface {
	Helper()
	Fatalf(string, ...any)
}, text string) bool {
	t.Helper()
	got, gotErr, taken := byBlock(text)
	if !taken {
		return false
	}
	problem := &report{file: "f.yaml"}
	want, wantErr := problem.host(problem.parse(text), nil)
	if fmt.Sprint(gotErr) != fmt.Sprint(wantErr) {
		t.Fatalf("as a block: %v\nas a whole: %v\nin\n%s", gotErr, wantErr, text)
	}
	if diff := cmp.Diff(want, got, equateNetip); diff != "" {
		t.Fatalf("a block gives something else (-whole +block):\n%s\nof\n%s", diff, text)
	}
	return true
}

// What a list may look like and still be read as a block.
var plainLists = []string{
	"  - to: 10.1.0.0/16\n    via: 192.168.0.12\n",
	"  - {to: 10.2.0.0/16, via: 192.168.0.12}\n",
	"  - { via: '192.168.0.12',to: \"10.3.0.0/16\" } # why\n",
	"  -   encap: ipip\n      via: 192.168.0.12  # who\n\n# between\n      to: 10.4.0.0/16\n",
	"  - to: 10.5.0.0/16\n    type: blackhole\n    metric: 7 \n    proto: \"bird\"\n   \n",
	"  - {to: 10.6.0.0/16, type: prohibit, metric: 4294967295, proto: 12}\n",
	"# zürich\n  - to: 10.7.0.1\n    via: 192.168.0.12\n",
	// What is wrong with an entry is for both to say.
	"  - to: 10.1.0.0/16\n    via: 192.168.0.99\n",
	"  - {to: 10.1.0.0/15, via: 192.168.0.12}\n",
	"  - {to: 10.8.0.0/33, via: 192.168.0.12}\n",
	"  - {to: 'fd00::/64', via: 192.168.0.12}\n",
	"  - {to: 'fd00::/64', via: 192.168.0.12, encap: ipip}\n",
	"  - {to: fd00:1::/64, via: fd00:192::12}\n",
	"  - to: fd00:2::1\n    via: fe80::1\n",
	"  - {to: fd00:3::/64, via: 0::1}\n",
	"  - {to: 1:2:3, via: fe80::1}\n",
	"  - {to: fd00:4:5:6:7:8:9:a, via: fd00:192::12, metric: 1:2}\n",
	"  - {to: 10.70.0.0/16, via: 192.168.0.12, metric: 5}\n",
	"  - {via: 192.168.0.12}\n",
	"  - to: 10.8.0.0/33   \n    via: 192.168.0.12\n",
	"  - {to: 10.8.0.0/33   , via: 192.168.0.12}\n",
	"  - to: 10.8.0.0/16\n",
	"  - to: 10.8.0.0/16\n    via: 224.0.0.1\n",
	"  - to: 10.8.0.0/16\n    to: 10.9.0.0/16\n    via: 192.168.0.12\n",
	"  - to: 10.8.0.0/16\n    vai: 192.168.0.12\n",
	"  - {to: 10.8.0.0/16, true: 192.168.0.12}\n",
	"  - {to: 10.8.0.0/16, null: 192.168.0.12}\n",
	"  - {to: 10.8.0.0/16, via: 192.168.0.12, metric: 010}\n",
	"  - {to: 10.8.0.0/16, via: 192.168.0.12, metric: 1_000}\n",
	"  - {to: 10.8.0.0/16, via: 192.168.0.12, metric: 1e3}\n",
	"  - {to: 10.8.0.0/16, via: 0x10, encap: 1.5}\n",
	"  - {to: 10.8.0.0/16, via: yes}\n",
	"  - {to: 10.8.0.0/16, via: \"\"}\n",
	"  - {to: 10.8.0.0/16, type: blackhole, via: 192.168.0.12}\n",
	"  - {to: 10.8.0.0/16, via: 192.168.0.12, encap: gre}\n",
}

const plainHead, plainTail = minimal + "routes:\n", "log: {level: warn}\n"

// Each way to write an entry, between two others, is read as a block.
func TestBlockIsTaken(t *testing.T) {
	const before, after = "  - {to: 10.70.0.0/16, via: 192.168.0.12}\n", "  - {to: 10.71.0.0/16, via: 192.168.0.12}\n"
	for _, entry := range plainLists {
		for _, text := range []string{
			plainHead + before + entry + after + plainTail,
			plainHead + entry + before + after,
			plainHead + before + after + strings.TrimSuffix(entry, "\n"),
			strings.ReplaceAll(plainHead+before+entry+after, "\n  ", "\n") + plainTail,
		} {
			if !checkBlock(t, text) {
				t.Errorf("not read as a block:\n%s", text)
			}
		}
	}
}

// What is not plain is not read as a block.
func TestBlockIsLeft(t *testing.T) {
	const plain = "  - {to: 10.70.0.0/16, via: 192.168.0.12}\n"
	for _, entry := range []string{
		"  - &a {to: 10.1.0.0/16, via: 192.168.0.12}\n", "  - *a\n", "  - {to: *a}\n", "  - <<: {}\n", "  - {}\n", "  -\n", "  - a\n", "  - - a\n",
		"  - to: 10.1.0.0/16\n     via: 192.168.0.12\n", "  - to: 10.1.0.0/16\n   via: 192.168.0.12\n", "   - {to: 10.1.0.0/16, via: 192.168.0.12}\n",
		"  - to:\n", "  - to: null\n", "  - to: |\n", "  - to: a b\n", "  - to: a\n     b\n", "  - to: 'a\n", "  - to: 'a''b'\n", "  - to: \"a\\n\"\n",
		"  - {to: a,}\n", "  - {to: a\n", "  - {to: a}}\n", "  - {to:a}\n", "\t- to: a\n", "  - to: a\r\n", "  - !!str to: a\n", "  - to: !!str a\n",
		"  - to : a\n", "  - ? to\n", "...\n", "---\n", "  - to: a#\n", "x\n", "routes2: a\n  - {to: a}\n", "  - TO: a\n", "  - 'to': a\n", "  - to: -1\n",
	} {
		text := plainHead + plain + entry + plain + plain + plainTail
		if checkBlock(t, text) && entry != "x\n" {
			t.Errorf("read as a block:\n%s", text)
		}
	}
	for _, head := range []string{"log: {\n", "node: '\n", "node: \"\n", "# \r", "---\n- |\n", "--- |\n", "&a\n", "log: [\n", "control: &r\n", "log: >\n\n", "? \n", "ROUTES:\n"} {
		checkBlock(t, head+"routes:\n"+plain+plain+plain+plainTail)
	}
}

// A large file is read in the same words, and what is wrong in it is said as of any
// other; only where the library would have to read it all must it be plain.
func TestLargeFile(t *testing.T) {
	var list strings.Builder
	for i := range 400_000 {
		fmt.Fprintf(&list, "  - {to: %d.%d.%d.0/24, via: 192.168.0.12}\n", 11+i>>16, i>>8&255, i&255)
	}
	routes := plainHead + list.String()
	h, err := Parse("f.yaml", []byte(routes+plainTail))
	if err != nil {
		t.Fatal(err)
	}
	if h.Routes.Len() != 400_000 || h.Log.Level != LogWarn {
		t.Errorf("%d routes, log level %s", h.Routes.Len(), h.Log.Level)
	}
	checkHostErrors(t, routes, [][2]string{
		{"rfp: off\n", "400004:1: rfp: unknown key: remove it, or use one of " + hostKeys},
		{"rpf: [\n", "400004:6: not valid YAML: sequence end token ']' not found: check the indentation, quotes and brackets here"},
		{"# \xff\n", "400004:3: byte 0xff is not UTF-8: save the file as UTF-8 text"},
		{"  - {to: 11.0.1.0/24, via: 192.168.0.12}\n", "400004:10: routes[400000].to: 11.0.1.0/24 with metric 0 is already taken by routes[1].to in line 5: " + routeAdvice},
		{"  - {to: 10.0.0.0/8, via: x}\n", `400004:27: routes[400000].via: "x" is not an IP address: write it like 192.168.0.12 or fd00:192::12`},
		{"  - &a {to: 10.0.0.0/8}\n", "400004:5: in a file of more than 16777216 bytes the routes must be written plainly, and here they are not: " +
			"write `- to: 10.70.2.0/24`, and below it `via: 192.168.0.12`"},
	})
}

// Lists of all kinds of entries, whole and with a few bytes changed, mean the same
// to both ways of reading.
func TestBlockModel(t *testing.T) {
	taken, all := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		entries := rapid.SliceOfN(rapid.SampledFrom(plainLists), 0, 6).Draw(t, "entries")
		text := rapid.SampledFrom([]string{plainHead, "routes: # all\n", "rpf: of\n" + plainHead, "log: {level: info}\n" + plainHead}).Draw(t, "head") +
			strings.Join(entries, "") + rapid.SampledFrom([]string{"", plainTail, "rfp: off\n", "rpf: [\n", "node: n\n"}).Draw(t, "tail")
		for range rapid.SampledFrom([]int{0, 0, 1, 2, 3}).Draw(t, "edits") {
			at := rapid.IntRange(0, len(text)).Draw(t, "at")
			cut := rapid.IntRange(0, min(3, len(text)-at)).Draw(t, "cut")
			put := rapid.SampledFrom([]string{"", " ", "\n", "-", "- ", "#", " #", ":", ": ", "'", "\"", "{", "}", ",", "[", "]", "&a", "*a", "|", ">", "\t", "\r", "\\", "!", "%", "?", "~", "0", "é", "\xff", "---\n", "  ", "::", ":0", "fd00::"}).Draw(t, "put")
			text = text[:at] + put + text[at+cut:]
		}
		all++
		if checkBlock(t, text) {
			taken++
		}
	})
	if taken == 0 { // a fifth of them, but by chance sometimes a twentieth
		t.Errorf("none of %d files was read as a block: they are too odd to say anything", all)
	}
}

// FuzzBlock is TestBlockModel for any bytes.
func FuzzBlock(f *testing.F) {
	f.Add(plainHead + strings.Join(plainLists[:7], "") + plainTail)
	for _, entry := range plainLists {
		f.Add(plainHead + plainLists[0] + entry + plainLists[1] + plainTail)
	}
	f.Fuzz(func(t *testing.T, text string) { checkBlock(t, text) })
}
