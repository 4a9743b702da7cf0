package node

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// told is a log that says that something was logged.
type told struct {
	slog.Handler
	line chan string
}

func (h told) Enabled(context.Context, slog.Level) bool { return true }

func (h told) Handle(_ context.Context, r slog.Record) error {
	h.line <- r.Message
	return nil
}

// Without a descriptor for the kernel's news the node says so, and follows the host as soon
// as there is one.
func TestFollowsWhenThereIsADescriptor(t *testing.T) {
	var was unix.Rlimit
	if err := unix.Prlimit(0, unix.RLIMIT_NOFILE, nil, &was); err != nil {
		t.Fatal(err)
	}
	if err := unix.Prlimit(0, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 1, Max: was.Max}, nil); err != nil {
		t.Fatal(err)
	}
	restore := func() {
		if err := unix.Prlimit(0, unix.RLIMIT_NOFILE, &was, nil); err != nil {
			t.Error(err)
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	line := make(chan string, 8)
	f := (&Node{log: slog.New(told{slog.DiscardHandler, line})}).follow(ctx)
	select {
	case <-line:
	case <-f.arrived:
		t.Error("it follows without a descriptor")
	case <-time.After(10 * time.Second):
		t.Error("nothing is said")
	}
	restore()
	select {
	case <-f.arrived:
	case <-time.After(10 * time.Second):
		t.Error("it does not follow the host")
	}
	if w := f.take(); !w.all || w.Links == nil {
		t.Errorf("it has not looked at everything: %+v", w)
	}
}
