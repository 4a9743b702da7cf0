package rib

import (
	"fmt"
	"math"
	"os"
	"strings"
	"testing"
	"unsafe"
)

// There may be a million routes: a field more costs each of them.
func TestRouteSize(t *testing.T) {
	if math.MaxInt == math.MaxInt32 {
		t.Skip("sizes are those of 64 bits")
	}
	source, err := os.ReadFile("route.go")
	if err != nil {
		t.Fatal(err)
	}
	if says := fmt.Sprintf("keeps it at %d bytes", unsafe.Sizeof(Route{})); !strings.Contains(string(source), says) {
		t.Errorf("route.go does not say %q", says)
	}
}
