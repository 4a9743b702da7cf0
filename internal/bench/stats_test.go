package main

import (
	"math"
	"testing"
)

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		samples []float64
		want    float64
	}{
		{nil, 0},
		{[]float64{3}, 3},
		{[]float64{9, 1, 5}, 5},
		{[]float64{4, 1, 2, 3}, 2.5},
	} {
		if got := median(c.samples); got != c.want {
			t.Errorf("median(%v) = %v, want %v", c.samples, got, c.want)
		}
	}
}

func TestPercentile(t *testing.T) {
	var s []int
	for i := 1; i <= 5000; i++ {
		s = append(s, i)
	}
	for p, want := range map[int]int{1: 50, 50: 2500, 99: 4950, 100: 5000} {
		if got := percentile(s, p); got != want {
			t.Errorf("percentile %d of 1…5000 is %d, want %d", p, got, want)
		}
	}
	if got := percentile([]int{7}, 99); got != 7 {
		t.Errorf("percentile 99 of one value is %d", got)
	}
}

func TestBisect(t *testing.T) {
	for _, limit := range []float64{0, 1, 333, 999, 1000} {
		tries := 0
		got := bisect(0, 1000, 10, func(x float64) bool { tries++; return x <= limit })
		if got > limit || math.Abs(got-limit) > 1 || tries > 11 {
			t.Errorf("the limit %v was found at %v in %d tries", limit, got, tries)
		}
	}
}
