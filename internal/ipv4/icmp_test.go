package ipv4

import (
	"testing"

	"github.com/vrouter/vrouter/internal/verdict"
)

// What is said with a number is understood as what was meant.
func TestMeanings(t *testing.T) {
	want := map[verdict.Meaning]ICMP{
		verdict.MeansNoRoute: {3, 0}, verdict.MeansNoHost: {3, 1}, verdict.MeansNoProtocol: {3, 2}, verdict.MeansNoPort: {3, 3},
		verdict.MeansTooBig: {3, 4}, verdict.MeansProhibited: {3, 13}, verdict.MeansTTLExceeded: {11, 0}, verdict.MeansNotAssembled: {11, 1},
	}
	for m := range want {
		if got := ICMPOf(m); got != want[m] || MeaningOf(got) != m {
			t.Errorf("%q is said as %v, want %v, and understood as %q", m, got, want[m], MeaningOf(got))
		}
	}
	for e, m := range map[ICMP]verdict.Meaning{
		{3, 5}: verdict.MeansNothing, {3, 9}: verdict.MeansNoHost, {3, 200}: verdict.MeansNoHost, {11, 7}: verdict.MeansTTLExceeded,
		{12, 0}: verdict.MeansNothing, {8, 0}: verdict.MeansNothing, {4, 0}: verdict.MeansNothing,
	} {
		if got := MeaningOf(e); got != m {
			t.Errorf("%v means %q, want %q", e, got, m)
		}
	}
}
