package main

import "testing"

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
