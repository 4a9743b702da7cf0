package guard

import (
	"context"
	"fmt"
	"os"
	"testing"

	"github.com/vrouter/vrouter/internal/sandbox"
)

// The tests change nftables: those of a namespace of their own.
func TestMain(m *testing.M) {
	if !sandbox.Inside() {
		status, err := sandbox.Run(context.Background())
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			status = 1
		}
		os.Exit(status)
	}
	if err := sandbox.Enter(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}
