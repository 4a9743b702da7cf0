// Package service tells the service manager how the router is, by the protocol of
// sd_notify(3). Where no manager has started the router, it says nothing.
package service

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// Manager is who started the router, if he listens.
type Manager struct{ log *slog.Logger }

// New takes the manager from the environment: NOTIFY_SOCKET.
func New(log *slog.Logger) Manager { return Manager{log} }

// Ready says that the router forwards, and in one line what else there is to say.
func (m Manager) Ready(status string) {
	m.notify(daemon.SdNotifyReady + "\nSTATUS=" + strings.ReplaceAll(status, "\n", "; "))
}

// Reloading says that a reload is under way; Ready ends it.
func (m Manager) Reloading() {
	m.notify(daemon.SdNotifyReloading + "\n" + daemon.SdNotifyMonotonicUsec())
}

// Stopping says that the router ends because it was asked to.
func (m Manager) Stopping() { m.notify(daemon.SdNotifyStopping) }

func (m Manager) notify(state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		m.log.Warn("telling the service manager", "error", err)
	}
}

// Watchdog tells the manager that the router is alive, until ctx ends: twice in the time
// after which he would restart it, and only when alive says so in a quarter of that time.
func (m Manager) Watchdog(ctx context.Context, alive func(context.Context) error) error {
	limit, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		return fmt.Errorf("watchdog: %w", err)
	}
	if limit == 0 {
		return nil
	}
	tick := time.NewTicker(limit / 2)
	defer tick.Stop()
	for {
		if err := ask(ctx, limit/4, alive); err == nil {
			m.notify(daemon.SdNotifyWatchdog)
		} else if ctx.Err() == nil {
			m.log.Error("the router does not answer itself; the service manager will restart it", "error", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

func ask(ctx context.Context, limit time.Duration, alive func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return alive(ctx)
}
