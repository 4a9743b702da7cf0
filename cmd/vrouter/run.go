package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/vrouter/vrouter/internal/config"
	"github.com/vrouter/vrouter/internal/control"
	"github.com/vrouter/vrouter/internal/host"
	"github.com/vrouter/vrouter/internal/lab"
	"github.com/vrouter/vrouter/internal/node"
	"github.com/vrouter/vrouter/internal/rights"
	"github.com/vrouter/vrouter/internal/service"
	"github.com/vrouter/vrouter/internal/share"
	"github.com/vrouter/vrouter/internal/workload"
	"github.com/vrouter/vrouter/metrics"
)

func newRun() *cobra.Command {
	var file, name string
	cmd := &cobra.Command{
		Use: "run --config FILE [--node NAME]", Short: "Be the router of this host", Args: noArgs,
		Example: "  vrouter run --config /etc/vrouter/vrouter.yaml\n  vrouter run --config cluster.yaml --node k8s-master-1",
		Long: "Runs in the foreground and logs to stderr. On SIGINT or SIGTERM it stops forwarding; workloads keep\n" +
			"their interface, address, routes and connections, and the next start takes them over.\n" +
			"`vrouter down` removes them. Of the capabilities it has it keeps CAP_NET_ADMIN, CAP_NET_RAW and\n" +
			"CAP_SYS_ADMIN. It tells a service manager how it is, by sd_notify(3). With --node the file is one of all\n" +
			"hosts, as `vrouter lab up -f` takes it, and this is the host of that name.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := surface(file); err != nil {
				return err
			}
			load := func() (*config.Host, error) { return loadHost(file, name) }
			c, err := load()
			if err != nil {
				return err
			}
			tidies(cmd.Context())
			return runRouter(cmd.Context(), file, load, c)
		},
	}
	configFlag(cmd, &file)
	nodeFlag(cmd, &name)
	return cmd
}

func nodeFlag(cmd *cobra.Command, name *string) {
	cmd.Flags().StringVar(name, "node", "", "which of the hosts in FILE this one is")
	_ = cmd.RegisterFlagCompletionFunc("node", completeNode)
}

func configFlag(cmd *cobra.Command, file *string) {
	cmd.Flags().StringVarP(file, "config", "c", "", "configuration file")
	_ = cmd.MarkFlagRequired("config")
	_ = cmd.MarkFlagFilename("config", "yaml", "yml")
}

// loadHost reads a host file or, of a file of several, the host of that name. Where this host is one of a lab, its
// namespaces are the lab's.
func loadHost(file, name string) (c *config.Host, err error) {
	if c, err = config.LoadNode(file, name); err == nil {
		c.Lab = lab.Prefix()
	}
	return c, err
}

// surface has a router that was started with mounts of its own, as `ip netns exec` gives them, begin anew with those of
// the machine: else nobody would see the namespaces that it makes. Where it cannot, it says so when it has to
// make one.
func surface(file string) error {
	path, err := filepath.Abs(file)
	if err != nil {
		return err
	}
	if workload.Hidden() && workload.SameFile(path, "/proc/1/root"+path) { // else the file is of these mounts too
		_ = workload.Surface()
	}
	return nil
}

// runRouter wires the parts together: sockets first, as somebody else may have
// them, and they may need rights that the rest does not; then the router; and all of
// it ends when ctx does.
func runRouter(ctx context.Context, file string, load func() (*config.Host, error), c *config.Host) error {
	// Forwarding allocates nothing, so to collect garbage twice as often costs next to nothing, and
	// a large table takes less memory.
	debug.SetGCPercent(50)
	output := &switchable{}
	output.set(c.Log)
	log := slog.New(output)
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
	var remote *control.Remote
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
	n, err := node.New(c, log)
	if err != nil {
		return err
	}
	if err := rights.Drop(); err != nil {
		return err
	}
	if err := n.Start(); err != nil {
		return err
	}
	n.Follow(ctx)
	manager := service.New(log)
	r := &reloader{node: n, file: file, load: load, manager: manager, log: log, output: output}
	reload := r.reload
	go onHangup(ctx, hangup, reload)
	looks := share.New()
	s := control.NewServer(n, reload, socket, control.Version{
		Version: buildVersion(), GoVersion: runtime.Version(), Node: c.Node, PID: os.Getpid(),
		Gateway: c.Gateway.Address.String(), Gateway6: c.Gateway.Address6.String(),
	}, looks, log)
	defer s.Close()
	go logError(log, "control socket", s.Serve)
	if remote != nil {
		go logError(log, "control.listen", func() error { return s.ServeRemote(remote) })
	}
	if scrape != nil {
		collector := &metrics.Collector{Router: n.Router, RIB: n.RIB, Looks: looks, Version: buildVersion(), Ports: n.Ports, Repairs: n.Repairs}
		go logError(log, "metrics", func() error { return scrape.Serve(collector) })
	}
	log.Info("forwarding", "node", c.Node, "uplink", c.Uplink.Interface, "socket", c.Control.Socket, "metrics", c.Metrics.Listen)
	manager.Ready("forwarding, uplink " + c.Uplink.Interface)
	context.AfterFunc(ctx, manager.Stopping)
	go logError(log, "watchdog", func() error { return manager.Watchdog(ctx, answers(s.Self())) })
	debug.FreeOSMemory() // what it took to read the file
	err = n.Run(ctx)
	log.Info("stopped", "node", c.Node)
	return err
}

// answers asks the router as a user would, but by a way of its own. The answer needs the ledger
// of every worker, which a worker that hangs in a batch does not give away.
func answers(client *control.Client) func(context.Context) error {
	return func(ctx context.Context) error { return client.Get(ctx, "/v1/ports", &[]control.Port{}) }
}

// reloader applies the configuration file, one reload at a time: each reads the file when its turn comes, so that
// the last one asked for is the one in force.
type reloader struct {
	turn    sync.Mutex
	node    *node.Node
	file    string
	load    func() (*config.Host, error)
	manager service.Manager
	log     *slog.Logger
	output  *switchable
}

// reload applies the file as it is now, and logs what came of it.
func (r *reloader) reload() (waiting []string, err error) {
	r.turn.Lock()
	defer r.turn.Unlock()
	defer func() { go debug.FreeOSMemory() }() // of a million routes the old ones and the file are as much as what stays
	r.manager.Reloading()
	c, err := r.load()
	if err == nil {
		c.Lab = r.node.Config().Lab
		waiting, err = r.node.Reload(c)
	}
	var unfinished *node.Unfinished
	if err != nil && !errors.As(err, &unfinished) {
		r.log.Error("reload failed", "error", err)
		r.manager.Ready("forwarding; the last reload failed: " + err.Error())
		return nil, err
	}
	r.output.set(c.Log)
	if unfinished != nil {
		r.log.Error("reloaded, but not all of it could be done, and is tried again", "file", r.file, "what", unfinished.What)
	} else {
		r.log.Info("reloaded", "file", r.file)
	}
	r.manager.Ready("forwarding, reloaded " + r.file)
	return waiting, err
}

// onHangup reloads on each SIGHUP.
func onHangup(ctx context.Context, hangup <-chan os.Signal, reload func() ([]string, error)) {
	for {
		select {
		case <-hangup:
			_, _ = reload() // it has logged the error
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

// switchable writes the log as it was last set.
type switchable struct{ now atomic.Pointer[slog.Handler] }

func (s *switchable) set(c config.Log) {
	var level slog.Level
	_ = level.UnmarshalText([]byte(c.Level)) // checked by config
	o := &slog.HandlerOptions{Level: level}
	var h slog.Handler = slog.NewTextHandler(os.Stderr, o)
	if c.Format == config.LogJSON {
		h = slog.NewJSONHandler(os.Stderr, o)
	}
	s.now.Store(&h)
}

func (s *switchable) handler() slog.Handler { return *s.now.Load() }

// Enabled implements slog.Handler.
func (s *switchable) Enabled(ctx context.Context, l slog.Level) bool {
	return s.handler().Enabled(ctx, l)
}

// Handle implements slog.Handler.
func (s *switchable) Handle(ctx context.Context, r slog.Record) error {
	return s.handler().Handle(ctx, r)
}

// WithAttrs implements slog.Handler; nobody here uses it.
func (s *switchable) WithAttrs(a []slog.Attr) slog.Handler { return s.handler().WithAttrs(a) }

// WithGroup implements slog.Handler; nobody here uses it.
func (s *switchable) WithGroup(name string) slog.Handler { return s.handler().WithGroup(name) }

func newReload(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use: "reload", Short: "Let the running router apply its changed configuration file", Args: noArgs,
		Example: "  vrouter reload",
		Long: "The file is applied as a whole or, if anything in it is wrong, not at all. What did not change loses no\n" +
			"packet, and what commands changed stays so. SIGHUP does the same.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			client := control.NewClient(c.socket)
			defer client.Close()
			var done control.Reloaded
			if err := client.Post(cmd.Context(), "/v1/reload", struct{}{}, &done); err != nil {
				return err
			}
			if c.output == "json" {
				return c.print(cmd, done.Waiting, nil)
			}
			for _, w := range done.Waiting {
				fmt.Fprintln(cmd.OutOrStdout(), "waits: "+w)
			}
			return nil
		},
	}
	c.outputFlag(cmd)
	return asks(cmd)
}

func newDown() *cobra.Command {
	var file, name string
	cmd := &cobra.Command{
		Use: "down --config FILE [--node NAME]", Short: "Take back what a router has left on this host", Args: noArgs,
		Example: "  vrouter down --config /etc/vrouter/vrouter.yaml",
		Long: "It removes what the router with this uplink has made, as its record in " + host.Directory + " says: interfaces,\n" +
			"namespaces, the guard, routes; and puts back what it has replaced. What the record does not name stays.\n" +
			"It refuses while the router runs.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := loadHost(file, name)
			if err != nil {
				return err
			}
			tidies(cmd.Context())
			n, err := host.TakeBack(c.Uplink.Interface, func(*host.Entry) bool { return true }, slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), nil)))
			if busy := (*host.Busy)(nil); errors.As(err, &busy) {
				return fmt.Errorf("%w; stop it first", err)
			}
			if n == 0 && err == nil {
				fmt.Fprintf(cmd.OutOrStdout(), "nothing is recorded of a router by %s\n", c.Uplink.Interface)
			}
			return err
		},
	}
	configFlag(cmd, &file)
	nodeFlag(cmd, &name)
	return cmd
}
