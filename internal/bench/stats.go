package main

import (
	"cmp"
	"slices"
)

// median of samples in any order; 0 for none.
func median(samples []float64) float64 {
	if len(samples) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(samples))
	if n := len(s); n%2 == 0 {
		return (s[n/2-1] + s[n/2]) / 2
	}
	return s[len(s)/2]
}

// percentile is the least of the sorted values that p of 100 do not exceed.
func percentile[T cmp.Ordered](sorted []T, p int) T {
	return sorted[max(0, (len(sorted)*p+99)/100-1)]
}

// bisect looks for the highest value from low to high that passes, where whatever
// is below one that passes passes too. It tries high first.
func bisect(low, high float64, steps int, passes func(float64) bool) float64 {
	if passes(high) {
		return high
	}
	for range steps {
		if middle := (low + high) / 2; passes(middle) {
			low = middle
		} else {
			high = middle
		}
	}
	return low
}
