package link

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// The numbers in docs/architecture.md are those of the code.
func TestNumbersInDocs(t *testing.T) {
	doc, err := os.ReadFile("../../docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	const KiB, MiB = 1 << 10, 1 << 20
	for _, says := range []string{
		fmt.Sprintf("receives into a buffer of %d MiB and sends from one of %d MiB", receiveBuffer/MiB, sendBuffer/MiB),
		fmt.Sprintf("a batch of up to %d frames", BatchSize),
		fmt.Sprintf("up to %d KB, so", batchBytes/KiB),
		fmt.Sprintf("for up to %d µs", maxSpin.Microseconds()),
		fmt.Sprintf("| addresses of the host that the uplink's socket filter leaves to it | %d |", maxOwn),
	} {
		if !strings.Contains(string(doc), says) {
			t.Errorf("docs/architecture.md does not say %q", says)
		}
	}
}
