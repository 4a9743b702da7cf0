package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// column is all that is known of a contender.
type column struct {
	Contender string               `json:"contender"`
	Missing   string               `json:"missing,omitempty"` // what it needs that is not installed
	Medians   map[string]float64   `json:"medians"`
	Samples   map[string][]float64 `json:"samples"`          // of each measure, one a round
	Failed    map[string]int       `json:"failed,omitempty"` // how often it could not be taken
}

type report struct {
	options options
	columns []*column
	load    string // of the machine by others, before the start
}

func newReport(o options) *report {
	r := &report{options: o, load: loadAverage()}
	for _, c := range o.only {
		r.columns = append(r.columns, &column{Contender: c.name, Missing: c.missing(), Samples: map[string][]float64{}, Failed: map[string]int{}})
	}
	return r
}

// column finds a contender's; nil if it was not asked for.
func (r *report) column(name string) *column {
	i := slices.IndexFunc(r.columns, func(c *column) bool { return c.Contender == name })
	if i < 0 {
		return nil
	}
	return r.columns[i]
}

func (r *report) print(w io.Writer) {
	fmt.Fprintf(w, "%s; load average before the start %s.\nMedian of %d rounds, %v a measurement; in parentheses the ratio to %s / to %s, or \"ends\" where sender and receiver make no more.\n\n",
		machine(), r.load, r.options.rounds, r.options.measure, linuxName, ovsName)
	heading := []string{"measure"}
	for _, c := range r.columns {
		heading = append(heading, c.Contender)
	}
	rows := [][]string{heading}
	for _, m := range measures {
		row := []string{m}
		for _, c := range r.columns {
			row = append(row, r.cell(c, m))
		}
		if slices.ContainsFunc(row[1:], func(cell string) bool { return cell != "-" }) {
			rows = append(rows, row)
		}
	}
	writeTable(w, rows)
	r.printGoals(w)
}

func (r *report) cell(c *column, measure string) string {
	switch {
	case c.Missing != "":
		return "not installed"
	case len(c.Samples[measure]) == 0 && c.Failed[measure] > 0:
		return "failed"
	case len(c.Samples[measure]) == 0:
		return "-"
	}
	v := median(c.Samples[measure])
	text := short(v)
	if n := c.Failed[measure]; n > 0 {
		text = fmt.Sprintf("failed in %d of %d rounds, else %s", n, n+len(c.Samples[measure]), text)
	}
	if c.Contender == linuxName || c.Contender == noRouterName {
		return text
	}
	text += " (" + r.ratio(v, r.column(linuxName), measure)
	if ovs := r.column(ovsName); ovs != nil && ovs != c && len(ovs.Samples[measure]) > 0 {
		text += " / " + r.ratio(v, ovs, measure)
	}
	return text + ")"
}

// ratio is refused where one of the two is as much as the ends can make: then they were measured.
func (r *report) ratio(v float64, to *column, measure string) string {
	if to == nil || median(to.Samples[measure]) == 0 {
		return "-"
	}
	of := median(to.Samples[measure])
	if r.limited(max(v, of), measure) {
		return "ends"
	}
	return fmt.Sprintf("%.2f", v/of)
}

// limitShare of what the ends make without a router is as good as all of it.
const limitShare = 0.9

// limited says whether a value is one of the ends, not of what is between them.
func (r *report) limited(v float64, measure string) bool {
	c := r.column(noRouterName)
	return c != nil && slices.Contains(generated, strings.TrimPrefix(measure, six(""))) && v >= limitShare*median(c.Samples[measure])
}

// short has three digits that count, or more before the point.
func short(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

func machine() string {
	var u unix.Utsname
	_ = unix.Uname(&u)
	return fmt.Sprintf("Linux %s, %d CPUs, %s", unix.ByteSliceToString(u.Release[:]), runtime.NumCPU(), runtime.Version())
}

// loadAverage is that of the last minute: how busy others keep the machine.
func loadAverage() string {
	b, _ := os.ReadFile("/proc/loadavg")
	first, _, _ := strings.Cut(string(b), " ")
	return first
}

func (r *report) writeJSON(file string) error {
	for _, c := range r.columns {
		c.Medians = map[string]float64{}
		for m, s := range c.Samples {
			c.Medians[m] = median(s)
		}
	}
	b, err := json.MarshalIndent(map[string]any{
		"machine": machine(), "load_average_before": r.load, "rounds": r.options.rounds, "seconds": r.options.measure.Seconds(),
		"measures": measures, "contenders": r.columns,
	}, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(b, '\n'), 0o644)
}
