package main

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func someTable() *table {
	t := &table{headings: []string{"PORT", "MAC", "PACKETS", "MEANS"}, spare: []string{"MAC"}}
	t.add("ns1", "ee:ee:ee:ee:ee:ee", 123456789, "the time to live ran out here, and the source was told so")
	t.add("ens160", "ee:ee:ee:ee:ee:ee", 1, "ähnlich")
	return t
}

// A table is as wide as the terminal: long words are cut, then columns are left out, and no number is ever cut.
func TestTableFits(t *testing.T) {
	for width := 1; width < 120; width++ {
		var b strings.Builder
		fitted := someTable()
		fitted.fit(width)
		if err := fitted.write(&b); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(b.String()) {
			if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > width && width >= 9 { // PORT and …
				t.Errorf("at %d, %d wide:\n%s", width, n, b.String())
			}
		}
		has := func(word string) bool { return strings.Contains(b.String(), word) }
		if has("PACKETS") && !has("123456789") || has("MAC") && !has("ee:ee:ee:ee:ee:ee") {
			t.Errorf("at %d:\n%s", width, b.String())
		}
		if has("MAC") && !has("MEANS") {
			t.Errorf("at %d a spare column is there, and another is not:\n%s", width, b.String())
		}
	}
	for width, want := range map[int]string{
		200: "PORT    MAC                PACKETS    MEANS\n" +
			"ns1     ee:ee:ee:ee:ee:ee  123456789  the time to live ran out here, and the source was told so\n" +
			"ens160  ee:ee:ee:ee:ee:ee  1          ähnlich\n",
		60: "PORT    MAC                PACKETS    MEANS\n" +
			"ns1     ee:ee:ee:ee:ee:ee  123456789  the time to live ran …\n" +
			"ens160  ee:ee:ee:ee:ee:ee  1          ähnlich\n",
		40: "PORT    PACKETS    MEANS               …\n" +
			"ns1     123456789  the time to live …\n" +
			"ens160  1          ähnlich\n",
	} {
		var b strings.Builder
		fitted := someTable()
		fitted.fit(width)
		if err := fitted.write(&b); err != nil || b.String() != want {
			t.Errorf("at %d: %v\n%s, want\n%s", width, err, b.String(), want)
		}
	}
}
