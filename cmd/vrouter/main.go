// Command vrouter is a router in user space that shows every step a packet takes.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/vrouter/vrouter/internal/cni"
	"github.com/vrouter/vrouter/internal/config"
	"github.com/vrouter/vrouter/internal/control"
	"github.com/vrouter/vrouter/internal/lab"
)

// version is set by the build: -ldflags "-X main.version=v1.2.3".
var version = ""

func buildVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "devel"
}

// usageError is a command whose words were wrong: exit status 2.
type usageError struct{ error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// The first thread does nothing but wait: one that a goroutine leaves in a workload's namespace ends with it,
// but for this one, by which /proc and `ip netns identify` tell where the program is.
func init() { runtime.LockOSThread() }

func main() {
	if cni.Asked() {
		os.Exit(cni.Main(buildVersion()))
	}
	os.Exit(run(os.Args[1:]))
}

func run(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := newRoot()
	root.SetArgs(args)
	started := false
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		if err := cmd.ValidateRequiredFlags(); err != nil {
			return usagef("%s: %w", cmd.CommandPath(), err)
		}
		if f := cmd.Flag("color"); f != nil && !slices.Contains(colorWords, f.Value.String()) {
			return usagef("--color %s: there is %s", f.Value, strings.Join(colorWords, ", "))
		}
		started = true
		return nil
	}
	err := execute(ctx, root)
	var usage usageError
	switch {
	case err == nil:
		return 0
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		return 130 // interrupted, as a shell says it
	}
	fmt.Fprintln(os.Stderr, "vrouter: "+strings.ReplaceAll(err.Error(), "\n", "; ")+inLab(err))
	if errors.As(err, &usage) || !started {
		return 2
	}
	return 1
}

// colorWords are those of --color.
var colorWords = []string{"auto", "always", "never"}

// inLab says where the lab's routers are, if a command has looked for one on this machine while a lab is up.
func inLab(err error) string {
	if !strings.Contains(err.Error(), "no router answers at "+config.DefaultControlSocket) {
		return ""
	}
	l, err := lab.Load()
	if err != nil {
		return ""
	}
	var names []string
	for _, h := range l.Hosts {
		names = append(names, h.Name)
	}
	return fmt.Sprintf("; the lab that is up has the hosts %s: `vrouter lab exec %s -- vrouter …`", strings.Join(names, ", "), names[0])
}

// grace is how long a command that was interrupted may take to end by itself.
const grace = 300 * time.Millisecond

// tidying is set while a command has something to finish, however long that takes.
type tidying struct{}

// tidies says that this command has.
func tidies(ctx context.Context) {
	if t, ok := ctx.Value(tidying{}).(*atomic.Bool); ok {
		t.Store(true)
	}
}

// execute runs a command until it ends or, as it may wait for somebody to type or to write, until it is interrupted.
func execute(ctx context.Context, root *cobra.Command) error {
	finishes := &atomic.Bool{}
	ended := make(chan error, 1)
	go func() { ended <- root.ExecuteContext(context.WithValue(ctx, tidying{}, finishes)) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	for {
		select {
		case err := <-ended:
			return err
		case <-time.After(grace):
			if !finishes.Load() {
				return ctx.Err()
			}
		}
	}
}

// cli is what commands share.
type cli struct {
	socket string
	output string // text, json
	color  string // auto, always, never
}

func newRoot() *cobra.Command {
	c := &cli{}
	var version bool
	root := &cobra.Command{
		Use:   "vrouter",
		Short: "A router in user space that shows every step a packet takes",
		Long: "vrouter does, in the open, what Calico's networking does inside the Linux kernel: it answers ARP\n" +
			"for the gateway 169.254.1.1, finds the longest prefix, and forwards over raw sockets. Every step is\n" +
			"counted, and can be traced. `vrouter demo` shows it all on this machine.",
		SilenceUsage: true, SilenceErrors: true,
		Args: func(root *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef("unknown command %q; `vrouter help` lists them%s", args[0], suggestion(root, args[0]))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			if version {
				printVersion(cmd)
				return nil
			}
			return cmd.Help()
		},
	}
	root.Flags().BoolVarP(&version, "version", "V", false, "the version of vrouter")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usagef("%w; `%s --help` lists what it takes", err, cmd.CommandPath())
	})
	root.PersistentFlags().StringVar(&c.color, "color", "auto", "auto: on a terminal, unless NO_COLOR is set or TERM is dumb; always; never")
	_ = root.RegisterFlagCompletionFunc("color", cobra.FixedCompletions(colorWords, cobra.ShellCompDirectiveNoFileComp))
	root.PersistentFlags().StringVar(&c.socket, "socket", defaultSocket(), "control socket of the router to talk to")
	root.AddCommand(
		newDemo(), newLab(c), newRun(), newReload(c), newPlan(c), newDown(), newDoctor(c), newTrace(c), newTop(c), newExplain(c), newWhy(c), newWeb(c), newReplay(c), newRoute(c), newWorkload(c), newShow(c), newVersion(c),
	)
	root.AddCommand(nouns(c)...)
	return root
}

// defaultSocket is the usual one, or the one that `lab exec` chose.
func defaultSocket() string {
	if s := os.Getenv("VROUTER_SOCKET"); s != "" {
		return s
	}
	return config.DefaultControlSocket
}

// get asks the router for a path.
func (c *cli) get(cmd *cobra.Command, path string, v any) error {
	client := control.NewClient(c.socket)
	defer client.Close()
	return client.Get(cmd.Context(), path, v)
}

// outputFlag adds -o, and refuses other words before the command asks anybody. more
// are the forms that there are besides text and json.
func (c *cli) outputFlag(cmd *cobra.Command, more ...string) {
	forms := append([]string{"text", "json"}, more...)
	last := len(forms) - 1
	there := strings.Join(forms[:last], ", ")
	cmd.Flags().StringVarP(&c.output, "output", "o", "text", there+" or "+forms[last])
	cmd.PreRunE = func(*cobra.Command, []string) error {
		if !slices.Contains(forms, c.output) {
			return usagef("-o %s: there is %s and %s", c.output, there, forms[last])
		}
		return nil
	}
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(forms, cobra.ShellCompDirectiveNoFileComp))
}
