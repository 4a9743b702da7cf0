//go:build peer

package peer_test

import (
	"context"
	"fmt"
	"os"
	"testing"

	"github.com/vrouter/vrouter/internal/peer"
	"github.com/vrouter/vrouter/internal/sandbox"
)

// This program is run three times: by go test, by itself in namespaces of its
// own, where the tests are, and by the guest's kernel as init.
func TestMain(m *testing.M) {
	if peer.InGuest() {
		peer.Guest()
		return
	}
	status, err := 0, error(nil)
	if !sandbox.Inside() {
		status, err = sandbox.Run(context.Background())
	} else if err = sandbox.Enter(); err == nil {
		err = sandbox.CheckTUN()
		if err == nil {
			status = m.Run()
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		status = 1
	}
	os.Exit(status)
}
