package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// gap is what stands between two columns of a table, and cut in place of what does not fit into one.
const (
	gap = "  "
	cut = "…"
)

// table is a list for people: each row has as many cells as there are headings.
type table struct {
	headings []string
	rows     [][]string
	// spare are the headings of the columns that a narrow terminal does without first, in this order; then comes the last one.
	spare []string
}

func (t *table) add(cells ...any) {
	row := make([]string, len(cells))
	for i, c := range cells {
		if row[i] = fmt.Sprint(c); row[i] == "" {
			row[i] = "-"
		}
	}
	t.rows = append(t.rows, row)
}

func (t *table) write(w io.Writer) error {
	widths := t.widths()
	for _, row := range append([][]string{t.headings}, t.rows...) {
		var line strings.Builder
		for i, cell := range row {
			line.WriteString(cell)
			if i < len(row)-1 {
				line.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)) + gap)
			}
		}
		if _, err := fmt.Fprintln(w, strings.TrimRight(line.String(), " ")); err != nil {
			return err
		}
	}
	return nil
}

// widths are those of the columns.
func (t *table) widths() []int {
	widths := make([]int, len(t.headings))
	for _, row := range append([][]string{t.headings}, t.rows...) {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	return widths
}

// least is what is left of a column at the least: its heading, and enough of a cell to tell it from others. A number is
// not cut, nor a hardware address: what is left of one is another one.
func (t *table) least(column int) int {
	const enough = 12
	width, whole := utf8.RuneCountInString(t.headings[column]), true
	for _, row := range t.rows {
		n := utf8.RuneCountInString(row[column])
		width = max(width, n)
		whole = whole && !strings.ContainsAny(row[column], " ,") && !strings.HasPrefix(row[column], "/")
	}
	if whole {
		return width
	}
	return min(width, max(utf8.RuneCountInString(t.headings[column]), enough))
}

// fit makes the table as wide as a terminal: it leaves out columns until the others fit, and cuts the widest.
func (t *table) fit(width int) {
	left := false
	for len(t.headings) > 1 {
		need := len(gap) * (len(t.headings) - 1)
		for i := range t.headings {
			need += t.least(i)
		}
		if left {
			need += len(gap) + utf8.RuneCountInString(cut)
		}
		if need <= width {
			break
		}
		t.drop()
		left = true
	}
	if left { // a heading says that there are more
		t.headings = append(t.headings, cut)
		for i := range t.rows {
			t.rows[i] = append(t.rows[i], "")
		}
	}
	widths := t.widths()
	over := len(gap)*(len(widths)-1) - width
	for _, n := range widths {
		over += n
	}
	least := make([]int, len(widths))
	for i := range least {
		least[i] = t.least(i)
	}
	for ; over > 0; over-- {
		widest := -1
		for i := range widths {
			if widths[i] > least[i] && (widest < 0 || widths[i] > widths[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			break
		}
		widths[widest]--
	}
	for _, row := range t.rows {
		for i, cell := range row {
			row[i] = shortened(cell, widths[i])
		}
	}
}

// drop leaves out the column that one can do without best.
func (t *table) drop() {
	column := len(t.headings) - 1
	if len(t.spare) > 0 {
		column, t.spare = slices.Index(t.headings, t.spare[0]), t.spare[1:]
	}
	t.headings = slices.Delete(slices.Clone(t.headings), column, column+1)
	for i := range t.rows {
		t.rows[i] = slices.Delete(t.rows[i], column, column+1)
	}
}

// shortened is a text that is not wider than that; 0: as it is.
func shortened(text string, width int) string {
	if width == 0 || utf8.RuneCountInString(text) <= width {
		return text
	}
	return string([]rune(text)[:width-1]) + cut
}
