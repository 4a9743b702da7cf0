package host

import (
	"context"
	"fmt"
	"os"
	"testing"

	"github.com/vrouter/vrouter/internal/sandbox"
)

// The tests change a host: one that nobody else has, and that goes with them.
func TestMain(m *testing.M) {
	switch {
	case !sandbox.Inside():
		status, err := sandbox.Run(context.Background())
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			status = 1
		}
		os.Exit(status)
	case os.Getenv(mortal) != "":
		os.Exit(live())
	}
	if err := sandbox.Enter(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}
