// Command vrouter is a router in user space that shows every step a packet takes.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/vrouter/vrouter/internal/cni"
	"github.com/vrouter/vrouter/internal/config"
	"github.com/vrouter/vrouter/internal/lab"
)

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
	check := root.PersistentPreRunE
	root.PersistentPreRunE = func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return err
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
	output string // text, json, and what a command has besides
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
		Example:      "  vrouter demo\n  vrouter lab up\n  vrouter lab explain \"icmp 10.70.1.1 > 10.70.2.1\"",
		SilenceUsage: true, SilenceErrors: true,
		Args: func(root *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef("unknown command %q; `vrouter help` lists them%s", args[0], suggestion(root, args[0]))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			if version {
				return c.printVersion(cmd)
			}
			return cmd.Help()
		},
	}
	root.Flags().BoolVarP(&version, "version", "V", false, "the version of vrouter")
	root.PersistentPreRunE = checkFlags
	root.SetFlagErrorFunc(badFlag)
	root.PersistentFlags().StringVar(&c.color, "color", "auto", "auto: on a terminal, unless NO_COLOR is set or TERM is dumb; always; never")
	_ = root.RegisterFlagCompletionFunc("color", cobra.FixedCompletions(colorWords, cobra.ShellCompDirectiveNoFileComp))
	root.PersistentFlags().StringVar(&c.socket, "socket", defaultSocket(), "control socket of the router to ask")
	root.SetUsageFunc(usage(root.UsageFunc()))
	root.AddCommand(
		newDemo(), newLab(c), newRun(), newReload(c), newPlan(c), newDown(), newDoctor(c), newTrace(c), newTop(c), newExplain(c), newWhy(c), newWeb(c), newReplay(c), newRoute(c), newWorkload(c), newShow(c), newVersion(c),
	)
	root.AddCommand(nouns(c)...)
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd(root.Name())
	describeCompletion(root)
	completeNoFiles(root)
	return root
}

// defaultSocket is the usual one, or the one that `lab exec` chose.
func defaultSocket() string {
	if s := os.Getenv("VROUTER_SOCKET"); s != "" {
		return s
	}
	return config.DefaultControlSocket
}
