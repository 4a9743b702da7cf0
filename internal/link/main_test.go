package link

import (
	"context"
	"fmt"
	"os"
	"testing"

	"github.com/vrouter/vrouter/internal/sandbox"
)

// TestMain runs the tests in namespaces of their own.
func TestMain(m *testing.M) {
	var status int
	var err error
	if sandbox.Inside() {
		if err = sandbox.CheckTUN(); err == nil {
			status = m.Run()
		}
	} else {
		status, err = sandbox.Run(context.Background())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "FAIL: these tests cannot run here:", err)
		status = 1
	}
	os.Exit(status)
}
