package main

import (
	"strings"
	"testing"
)

// A ratio of what only sender and receiver limit would be one of these.
func TestRatioOfTheEnds(t *testing.T) {
	of := func(name string, v float64) *column {
		return &column{Contender: name, Samples: map[string][]float64{udpLossless: {v}, rttMedian: {v}}}
	}
	kernel, fast, slow := of(linuxName, 120), of("vrouter", 150), of("vrouter ipip", 60)
	r := &report{columns: []*column{kernel, fast, slow}}
	for _, c := range []struct {
		ends            float64 // 0: nobody has looked
		of              *column
		measure, wanted string
	}{
		{0, fast, udpLossless, "150 (1.25)"},
		{600, fast, udpLossless, "150 (1.25)"},
		{160, fast, udpLossless, "150 (ends)"},
		{130, slow, udpLossless, "60.0 (ends)"},
		{140, slow, udpLossless, "60.0 (0.50)"},
		{160, fast, rttMedian, "150 (1.25)"},
	} {
		r.columns = r.columns[:3]
		if c.ends > 0 {
			r.columns = append(r.columns, of(noRouterName, c.ends))
		}
		if got := r.cell(c.of, c.measure); got != c.wanted {
			t.Errorf("%s of %s, where the ends make %v: %s, want %s", c.measure, c.of.Contender, c.ends, got, c.wanted)
		}
	}
}

// What fails with somebody is said in its place; what was not measured makes no ratio.
func TestReportOfFailures(t *testing.T) {
	slirp := &column{Contender: "slirp4netns (one hop)", Samples: map[string][]float64{tcpOne: {2}}, Failed: map[string]int{tcpMany: 2, tcpOne: 1}}
	r := &report{columns: []*column{slirp}}
	for measure, want := range map[string]string{tcpMany: "failed", tcpOne: "failed in 1 of 2 rounds, else 2.00 (-)", rttMedian: "-"} {
		if got := r.cell(slirp, measure); got != want {
			t.Errorf("%s: %q, want %q", measure, got, want)
		}
	}
}

func TestGoals(t *testing.T) {
	ours := &column{Contender: vrouterName, Samples: map[string][]float64{tcpMany: {9}, tcpSixteen: {10}, six(tcpOne): {19}, tcpOne: {20}}}
	kernel := &column{Contender: linuxName, Samples: map[string][]float64{tcpOne: {40}}}
	ends := &column{Contender: noRouterName, Samples: map[string][]float64{tcpOne: {42}, tcpSixteen: {90}, tcpMany: {90}, six(tcpOne): {90}}}
	var b strings.Builder
	(&report{columns: []*column{ours, kernel, ends}}).printGoals(&b)
	const want = `
| ratio                        | is   | wanted  |
| ---------------------------- | ---- | ------- |
| TCP, 1 stream, to the kernel | ends | >= 0.72 |
| 64 TCP streams to 16         | 0.90 | >= 0.9  |
| IPv6 to IPv4: TCP, 1 stream  | 0.95 | >= 0.95 |
`
	if b.String() != want {
		t.Errorf("%s\nwant%s", b.String(), want)
	}
}
