package main

import (
	"context"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/vrouter/vrouter/internal/config"
	"github.com/vrouter/vrouter/internal/control"
	"github.com/vrouter/vrouter/internal/node"
	"github.com/vrouter/vrouter/internal/rights"
	"github.com/vrouter/vrouter/internal/service"
	"github.com/vrouter/vrouter/metrics"
)

func newRun() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "run --config FILE", Short: "Be the router of this host", Args: noArgs,
		Long: "Runs in the foreground and logs to stderr. On SIGINT or SIGTERM it stops forwarding; workloads keep\n" +
			"their interface, address, routes and connections, and the next start takes them over.\n" +
			"`vrouter down` removes them. Of the capabilities it has it keeps CAP_NET_ADMIN, CAP_NET_RAW and\n" +
			"CAP_SYS_ADMIN. It tells a service manager how it is, by sd_notify(3).",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := config.Load(file)
			if err != nil {
				return err
			}
			return runRouter(cmd.Context(), file, c)
		},
	}
	configFlag(cmd, &file)
	return cmd
}

func configFlag(cmd *cobra.Command, file *string) {
	cmd.Flags().StringVarP(file, "config", "c", "", "configuration file")
	_ = cmd.MarkFlagRequired("config")
	_ = cmd.MarkFlagFilename("config", "yaml", "yml")
}

// runRouter wires the parts together: sockets first, as somebody else may have
// them, and they may need rights that the rest does not; then the router; and all of
// it ends when ctx does.
func runRouter(ctx context.Context, file string, c *config.Host) error {
	// Forwarding allocates nothing, so to collect garbage twice as often costs next to nothing, and
	// a large table takes less memory.
	debug.SetGCPercent(50)
	log := newLogger(c.Log)
	if err := rights.Require(len(c.Workloads) > 0); err != nil {
		return err
	}
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP) // from now on: it must not end a router that is starting
	defer signal.Stop(hangup)
	socket, err := control.Listen(c.Control.Socket)
	if err != nil {
		return err
	}
	defer socket.Close()
	if c.Control.Group != "" {
		if err := control.SetGroup(c.Control.Socket, c.Control.Group); err != nil {
			return err
		}
	}
	var remote net.Listener
	if c.Control.Listen != "" {
		if remote, err = control.ListenTLS(&c.Control); err != nil {
			return err
		}
		defer remote.Close()
	}
	var scrape *metrics.Server
	if c.Metrics.Listen != "" {
		if scrape, err = metrics.Listen(c.Metrics.Listen); err != nil {
			return err
		}
		defer scrape.Close()
	}
	if err := rights.Drop(); err != nil {
		return err
	}
	n, err := node.Start(c, log)
	if err != nil {
		return err
	}
	n.Follow(ctx)
	manager := service.New(log)
	reload := func() error { return reloadFile(n, file, manager, log) }
	go onHangup(ctx, hangup, reload)
	s := control.NewServer(n, reload, socket, control.Version{
		Version: buildVersion(), GoVersion: runtime.Version(), Node: c.Node, PID: os.Getpid(),
	}, log)
	defer s.Close()
	go logError(log, "control socket", s.Serve)
	if remote != nil {
		go logError(log, "control.listen", func() error { return s.ServeRemote(remote) })
	}
	if scrape != nil {
		collector := &metrics.Collector{Router: n.Router, RIB: n.RIB, Version: buildVersion(), Ports: n.Ports}
		go logError(log, "metrics", func() error { return scrape.Serve(collector) })
	}
	log.Info("forwarding", "node", c.Node, "uplink", c.Uplink.Interface, "socket", c.Control.Socket, "metrics", c.Metrics.Listen)
	manager.Ready("forwarding, uplink " + c.Uplink.Interface)
	context.AfterFunc(ctx, manager.Stopping)
	go logError(log, "watchdog", func() error { return manager.Watchdog(ctx, answers(c.Control.Socket)) })
	debug.FreeOSMemory() // what it took to read the file
	err = n.Run(ctx)
	log.Info("stopped", "node", c.Node)
	return err
}

// answers asks the router as a user would. The answer needs the ledger of every
// worker, which a worker that hangs in a batch does not give away.
func answers(socket string) func(context.Context) error {
	client := control.NewClient(socket)
	return func(ctx context.Context) error { return client.Get(ctx, "/v1/ports", &[]control.Port{}) }
}

// reloadFile applies the configuration file as it is now, and logs what came of it.
func reloadFile(n *node.Node, file string, manager service.Manager, log *slog.Logger) error {
	defer debug.FreeOSMemory() // of a million routes the old ones and the file are as much as what stays
	manager.Reloading()
	c, err := config.Load(file)
	if err == nil {
		err = n.Reload(c)
	}
	if err != nil {
		log.Error("reload failed", "error", err)
		manager.Ready("forwarding; the last reload failed: " + err.Error())
		return err
	}
	log.Info("reloaded", "file", file)
	manager.Ready("forwarding, reloaded " + file)
	return nil
}

// onHangup reloads on each SIGHUP.
func onHangup(ctx context.Context, hangup <-chan os.Signal, reload func() error) {
	for {
		select {
		case <-hangup:
			_ = reload() // it has logged the error
		case <-ctx.Done():
			return
		}
	}
}

func logError(log *slog.Logger, what string, f func() error) {
	if err := f(); err != nil {
		log.Error(what, "error", err)
	}
}

func newLogger(c config.Log) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(c.Level)) // checked by config
	o := &slog.HandlerOptions{Level: level}
	if c.Format == config.LogJSON {
		return slog.New(slog.NewJSONHandler(os.Stderr, o))
	}
	return slog.New(slog.NewTextHandler(os.Stderr, o))
}

func newReload(c *cli) *cobra.Command {
	return &cobra.Command{
		Use: "reload", Short: "Let the running router apply its changed configuration file", Args: noArgs,
		Long: "The file is applied as a whole or, if anything in it is wrong, not at all. What did not change loses no\n" +
			"packet, and what commands changed stays so. SIGHUP does the same.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			client := control.NewClient(c.socket)
			defer client.Close()
			return client.Post(cmd.Context(), "/v1/reload", struct{}{}, &struct{}{})
		},
	}
}

func newDown() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "down --config FILE", Short: "Remove the workloads' interfaces and namespaces that a router has left", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := config.Load(file)
			if err != nil {
				return err
			}
			socket, err := control.Listen(c.Control.Socket)
			if err != nil {
				return err // the router still runs
			}
			defer socket.Close()
			return node.Remove(c)
		},
	}
	configFlag(cmd, &file)
	return cmd
}
