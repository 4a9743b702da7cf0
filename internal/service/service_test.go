package service

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// manager is a service manager: what it is told, message by message.
func manager(t *testing.T) (told func() string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	t.Setenv("NOTIFY_SOCKET", path)
	return func() string {
		t.Helper()
		b := make([]byte, 4096)
		if err := c.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		n, err := c.Read(b)
		if err != nil {
			t.Fatalf("the manager was told nothing: %v", err)
		}
		return string(b[:n])
	}
}

func TestMessages(t *testing.T) {
	told := manager(t)
	m := New(slog.New(slog.DiscardHandler))
	m.Ready("two\nlines")
	if got, want := told(), "READY=1\nSTATUS=two; lines"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	m.Reloading()
	if got := told(); !strings.HasPrefix(got, "RELOADING=1\nMONOTONIC_USEC=") {
		t.Errorf("%q", got)
	}
	m.Stopping()
	if got := told(); got != "STOPPING=1" {
		t.Errorf("%q", got)
	}
}

// A router that does not answer says nothing, and one that answers again does.
func TestWatchdogIsHonest(t *testing.T) {
	told := manager(t)
	t.Setenv("WATCHDOG_USEC", "40000")
	ctx, stop := context.WithCancel(t.Context())
	calls, answered := 0, make(chan int, 1)
	ended := make(chan error)
	go func() {
		ended <- New(slog.New(slog.DiscardHandler)).Watchdog(ctx, func(ctx context.Context) error {
			calls++
			switch calls {
			case 1:
				return errors.New("no")
			case 2: // a worker that hangs
				<-ctx.Done()
				return ctx.Err()
			case 3:
				answered <- calls
			}
			return nil
		})
	}()
	if got := told(); got != "WATCHDOG=1" {
		t.Errorf("%q", got)
	}
	select {
	case <-answered:
	default:
		t.Error("the manager was told that the router lives, and it had not answered")
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestNoManager(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	t.Setenv("WATCHDOG_USEC", "")
	err := New(slog.Default()).Watchdog(t.Context(), func(context.Context) error {
		t.Error("nobody wants to know")
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
