// Command bench measures vrouter, with the Linux kernel and Open vSwitch in its
// place for comparison, on the tutorial's two hosts. It builds everything in
// namespaces of its own, which go when it ends.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/vrouter/vrouter/internal/sandbox"
)

const (
	// scratch is the directory for the binary, sockets and logs, inside the sandbox.
	scratch = "/run/bench"
	program = scratch + "/vrouter"
	// builtAt names the environment variable with the directory that it was built in.
	builtAt = "VROUTER_BENCH_BUILD"
)

type options struct {
	rounds  int
	measure time.Duration
	only    []contender
	json    string
	scale   bool
}

func main() {
	o, err := parse()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(2)
	}
	status := 0
	if sandbox.Inside() {
		err = inside(o)
	} else {
		status, err = outside()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		status = 1
	}
	os.Exit(status)
}

func parse() (o options, err error) {
	flag.IntVar(&o.rounds, "rounds", 3, "how often everything is measured")
	seconds := flag.Float64("seconds", 3, "length of each measurement")
	only := flag.String("only", "", "contenders, separated by commas: "+strings.Join(names(contenders), ", "))
	flag.StringVar(&o.json, "json", "", "write all samples to this file")
	flag.BoolVar(&o.scale, "scale", false, "measure how vrouter's cost grows with workloads, routes and flows")
	flag.Parse()
	o.measure = time.Duration(*seconds * float64(time.Second))
	if flag.NArg() > 0 || o.rounds < 1 || o.measure < 100*time.Millisecond {
		return o, errors.New("it takes no arguments, -rounds from 1 and -seconds from 0.1; -h lists the flags")
	}
	if *only == "" {
		o.only = contenders
		return o, nil
	}
	for name := range strings.SplitSeq(*only, ",") {
		i := slices.Index(names(contenders), strings.TrimSpace(name))
		if i < 0 {
			return o, fmt.Errorf("no contender %q; there are: %s", name, strings.Join(names(contenders), ", "))
		}
		o.only = append(o.only, contenders[i])
	}
	return o, nil
}

// outside builds the binary, as Go's caches may not be within reach from inside.
func outside() (int, error) {
	if err := sandbox.CheckTUN(); err != nil {
		return 1, err
	}
	dir, err := os.MkdirTemp("", "vrouter-bench-")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	build := exec.Command("go", "build", "-o", dir, "github.com/vrouter/vrouter/cmd/vrouter")
	build.Stderr = os.Stderr
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if err := build.Run(); err != nil {
		return 1, fmt.Errorf("building vrouter: %w", err)
	}
	if err := os.Setenv(builtAt, dir); err != nil {
		return 1, err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return sandbox.Run(ctx)
}

func inside(o options) error {
	if err := sandbox.Enter(); err != nil {
		return err
	}
	if err := takeProgram(os.Getenv(builtAt)); err != nil {
		return err
	}
	if o.scale {
		return measureScale(o, os.Stdout)
	}
	r := newReport(o)
	failed := r.measureAll(o)
	r.print(os.Stdout)
	if o.json != "" {
		if err := r.writeJSON(o.json); err != nil {
			return err
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of the runs failed, see above", failed)
	}
	return nil
}

// takeProgram moves the binary into the sandbox, so that nothing of it stays
// outside should somebody kill us.
func takeProgram(dir string) error {
	b, err := os.ReadFile(filepath.Join(dir, filepath.Base(program)))
	if err != nil {
		return err
	}
	if err := os.MkdirAll(scratch, 0o755); err != nil {
		return err
	}
	return errors.Join(os.WriteFile(program, b, 0o755), os.RemoveAll(dir))
}
