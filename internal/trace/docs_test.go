package trace

import (
	"fmt"
	"math"
	"os"
	"strings"
	"testing"
)

// The numbers in docs/architecture.md are those of the code.
func TestNumbersInDocs(t *testing.T) {
	if math.MaxInt == math.MaxInt32 {
		t.Skip("sizes are those of 64 bits")
	}
	doc, err := os.ReadFile("../../docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	const KiB, MiB = 1 << 10, 1 << 20
	for _, says := range []string{
		fmt.Sprintf("A record is fixed memory of %.1f KB: up to %d steps", float64(RecordSize)/KiB, maxSteps),
		fmt.Sprintf("and the first %d bytes of the frame", snapLen),
		fmt.Sprintf("| traces at once | %d |", MaxListeners),
		fmt.Sprintf("| records that a trace may fall behind | %d,%03d, %.1f MiB; of all traces %d,%03d, %.1f MiB |",
			RingSize/1000, RingSize%1000, float64(RingSize*RecordSize)/MiB, AllRings/1000, AllRings%1000, float64(AllRings*RecordSize)/MiB),
		fmt.Sprintf("%d kept, %.1f MiB |", MaxKept, float64(MaxKept*RecordSize)/MiB),
		fmt.Sprintf("%d in all; %d kept, %.1f MiB |", ForwardedASecond, MaxForwarded, float64(MaxForwarded*RecordSize)/MiB),
	} {
		if !strings.Contains(string(doc), says) {
			t.Errorf("docs/architecture.md does not say %q", says)
		}
	}
}
