package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/vrouter/vrouter/internal/workload"
)

const (
	stopTimeout = 3 * time.Second
	// ticksPerSecond is USER_HZ, in which proc_pid_stat(5) counts.
	ticksPerSecond = 100
)

// process is a router, or what a router needs.
type process struct {
	cmd   *exec.Cmd
	log   string
	ended <-chan struct{}
}

// start runs a command in a host's namespace. It dies with the thread that
// started it, which therefore waits for it.
func start(ns workload.Namespace, env []string, args ...string) (*process, error) {
	log, err := os.CreateTemp(scratch, "log-")
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	ended, err := ns.Start(cmd)
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", args[0], err)
	}
	return &process{cmd: cmd, log: log.Name(), ended: ended}, nil
}

func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(stopTimeout):
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
}

// hasEnded says with which last words a process has ended; nil: it runs.
func (p *process) hasEnded() error {
	select {
	case <-p.ended:
		b, _ := os.ReadFile(p.log)
		return fmt.Errorf("%s ended: %s", p.cmd.Path, bytes.TrimSpace(b))
	default:
		return nil
	}
}

// cpuSeconds is the time that all processes together have used so far.
func cpuSeconds(all []*process) (float64, error) {
	sum := 0.0
	for _, p := range all {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
		if err != nil {
			return 0, errors.Join(err, p.hasEnded())
		}
		// Fields count from behind the name in parentheses, which may hold anything.
		fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
		for _, f := range fields[11:13] { // utime, stime
			ticks, err := strconv.ParseFloat(f, 64)
			if err != nil {
				return 0, err
			}
			sum += ticks / ticksPerSecond
		}
	}
	return sum, nil
}

// memory is a field of proc_pid_status(5) of the process that has most of it, in MB.
func memory(all []*process, field string) float64 {
	most := 0.0
	for _, p := range all {
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
		_, rest, _ := strings.Cut(string(b), field+":")
		if f := strings.Fields(rest); len(f) > 0 {
			kb, _ := strconv.ParseFloat(f[0], 64)
			most = max(most, kb/1024)
		}
	}
	return most
}
