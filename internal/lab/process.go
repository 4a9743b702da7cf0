package lab

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/vrouter/vrouter/internal/control"
	"github.com/vrouter/vrouter/internal/host"
	"github.com/vrouter/vrouter/internal/workload"
)

const (
	readyTimeout = 10 * time.Second
	stopTimeout  = 3 * time.Second
	askTimeout   = time.Second
	pollEvery    = 5 * time.Millisecond
)

// process is a router's, told from any later process of the same number by the
// time it started.
type process struct {
	PID    int             `json:"pid"`
	Start  string          `json:"start"` // clock ticks since boot, proc_pid_stat(5) field 22
	exited <-chan struct{} // closed when it ended, where it is this process's child
}

// start writes the router's file, and runs it.
func (h *Host) start(temporary bool) error {
	if err := os.MkdirAll(filepath.Dir(h.Socket), 0o755); err != nil {
		return err
	}
	y, err := h.config.YAML()
	if err != nil {
		return err
	}
	if err := os.WriteFile(h.file(), y, 0o644); err != nil {
		return err
	}
	return h.launch(temporary)
}

// file is the configuration of the host's router.
func (h *Host) file() string { return filepath.Join(filepath.Dir(h.Socket), "config.yaml") }

// launch runs a vrouter in the host's namespace. The thread that starts it stays
// there until it ends: a temporary router dies with that thread.
func (h *Host) launch(temporary bool) (err error) {
	if h.Router, err = startProcess(workload.Named(h.Namespace), h.Log, temporary, "run", "--config", h.file()); err != nil {
		return fmt.Errorf("starting the router of %s: %w", h.Name, err)
	}
	return nil
}

// startProcess runs this very program in a namespace; what it says goes to a file.
func startProcess(ns workload.Namespace, logFile string, temporary bool, args ...string) (*process, error) {
	log, err := os.OpenFile(logFile, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command(self(), args...)
	cmd.Args[0] = "vrouter"
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if temporary {
		cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	}
	ended, err := ns.Start(cmd)
	if err != nil {
		return nil, err
	}
	p := &process{exited: ended}
	p.PID = cmd.Process.Pid
	p.Start, _ = host.StartTime(p.PID)
	return p, nil
}

// self is this very program. By its path, ps(1) shows its name; where the file is
// gone, as after `go run`, there is still the running image.
func self() string {
	if path, err := os.Executable(); err == nil {
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	return "/proc/self/exe"
}

// ready waits until the router answers.
func (h *Host) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	client := control.NewClient(h.Socket)
	defer client.Close()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		var v control.Version
		if client.Get(ctx, "/v1/version", &v) == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-h.Router.exited:
			return fmt.Errorf("the router of %s ended: %s", h.Name, h.lastLog())
		case <-ctx.Done():
			return fmt.Errorf("the router of %s is not ready: %w; its log: %s", h.Name, ctx.Err(), h.lastLog())
		}
	}
}

// lastLog is the last line the router wrote.
func (h *Host) lastLog() string { return lastLine(h.Log) }

func lastLine(file string) string {
	b, _ := os.ReadFile(file)
	lines := bytes.Split(bytes.TrimSpace(b), []byte("\n"))
	return string(lines[len(lines)-1])
}

// Running says whether the process is there.
func (p *process) Running() bool { return p != nil && host.Alive(p.PID, p.Start) }

// stop ends the process.
func (p *process) stop() error {
	if p == nil {
		return nil
	}
	return host.End(p.PID, p.Start, stopTimeout)
}
