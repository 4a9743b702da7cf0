package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vrouter/vrouter/internal/control"
	"github.com/vrouter/vrouter/internal/workload"
)

const (
	readyTimeout = 10 * time.Second
	stopTimeout  = 3 * time.Second
	pollEvery    = 5 * time.Millisecond
)

// process is a router's, told from any later process of the same number by the
// time it started.
type process struct {
	PID    int             `json:"pid"`
	Start  string          `json:"start"` // clock ticks since boot, proc_pid_stat(5) field 22
	exited <-chan struct{} // closed when it ended, where it is this process's child
}

// start runs a vrouter in the host's namespace. The thread that starts it stays
// there until it ends: a temporary router dies with that thread.
func (h *Host) start(temporary bool) error {
	dir := filepath.Dir(h.Socket)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	file := filepath.Join(dir, "config.yaml")
	y, err := h.config.YAML()
	if err != nil {
		return err
	}
	if err := os.WriteFile(file, y, 0o644); err != nil {
		return err
	}
	if h.Router, err = startProcess(workload.Named(h.Namespace), h.Log, temporary, "run", "--config", file); err != nil {
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
	p.Start, _ = startTime(p.PID)
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
func (p *process) Running() bool {
	if p == nil || p.PID == 0 {
		return false
	}
	start, err := startTime(p.PID)
	return err == nil && start == p.Start
}

// stop ends the process: with a signal it can act on, then with one it can't.
func (p *process) stop() error {
	if !p.Running() {
		return nil
	}
	fd, err := unix.PidfdOpen(p.PID, 0)
	if err != nil {
		return nil // it ended just now
	}
	defer unix.Close(fd)
	if !p.Running() {
		return nil // and the number was another's
	}
	for _, sig := range []unix.Signal{unix.SIGTERM, unix.SIGKILL} {
		if err := unix.PidfdSendSignal(fd, sig, nil, 0); err != nil {
			return nil
		}
		if waitPidfd(fd) {
			return nil
		}
	}
	return fmt.Errorf("process %d does not end", p.PID)
}

// waitPidfd says whether the process ended in time.
func waitPidfd(fd int) bool {
	deadline := time.Now().Add(stopTimeout)
	for {
		left := time.Until(deadline)
		if left <= 0 {
			return false
		}
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(left.Milliseconds())+1)
		if n > 0 || err != nil && !errors.Is(err, unix.EINTR) {
			return n > 0
		}
	}
}

// startTime is field 22 of /proc/PID/stat, which counts from behind the name in
// parentheses: a name may hold anything. A zombie has ended.
func startTime(pid int) (string, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", err
	}
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	if len(fields) < 20 || fields[0] == "Z" {
		return "", os.ErrProcessDone
	}
	return fields[19], nil
}
