package peer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/rpc"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vrouter/vrouter/internal/workload"
)

const (
	program = "linux.uml" // of Debian's package user-mode-linux
	marker  = "VROUTER_PEER"
	ready   = 'R' // the guest's first byte: from now on the line is raw
	line    = "/dev/ttyS0"
)

// Options of a guest.
type Options struct {
	Namespace workload.Namespace
	Interface string // in the namespace; what the guest's eth0 sends leaves by it
	Dir       string // for the guest's memory, its sockets and console.log
}

// UML is a running guest.
type UML struct {
	*rpc.Client // of its Agent
	cmd         *exec.Cmd
	log         string
	exited      chan struct{}
}

// Boot starts a guest and waits until it can be asked. Stop must be called.
func Boot(ctx context.Context, o Options) (*UML, error) {
	path, err := exec.LookPath(program)
	if err != nil {
		return nil, fmt.Errorf("%w; install Debian's package user-mode-linux", err)
	}
	conn, guestEnd, err := socketPair()
	if err != nil {
		return nil, err
	}
	defer guestEnd.Close()
	u := &UML{log: filepath.Join(o.Dir, "console.log"), exited: make(chan struct{})}
	if u.cmd, err = command(path, o); err != nil {
		conn.Close()
		return nil, err
	}
	u.cmd.ExtraFiles = []*os.File{guestEnd} // number 3
	if err := u.start(o); err != nil {
		conn.Close()
		return nil, err
	}
	if err := u.awaitReady(ctx, conn); err != nil {
		conn.Close()
		return nil, errors.Join(fmt.Errorf("the guest does not boot: %w; it said: %s", err, u.lastWords()), u.kill())
	}
	u.Client = rpc.NewClient(conn)
	return u, nil
}

// command is the kernel with its command line. What it does not know there it
// gives to init: the marker as an environment variable. What is preloaded into this
// program is preloaded into the kernel, too, behind xstate.c.
func command(path string, o Options) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	preload := filepath.Join(o.Dir, "xstate.so")
	if err := compilePreload(xstate, preload); err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(o.Dir, "console.log"))
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(path, "mem=256M", "quiet",
		"root=/dev/root", "rootfstype=hostfs", "rootflags=/", "ro", "init="+self, marker+"=1",
		"con=null", "con0=null,fd:1", "ssl=null", "ssl0=fd:3",
		"uml_dir="+o.Dir, "umid=uml", "vec0:transport=raw,ifname="+o.Interface)
	cmd.Env = []string{"TMPDIR=" + o.Dir, "PATH=" + os.Getenv("PATH"), "LD_PRELOAD=" + preload + ":" + os.Getenv("LD_PRELOAD")}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID, Pdeathsig: syscall.SIGKILL}
	return cmd, nil
}

// start runs the kernel in its namespace. The thread that starts it waits for it
// to end, as it would die with that thread.
func (u *UML) start(o Options) error {
	defer u.cmd.Stdout.(*os.File).Close()
	started := make(chan error, 2)
	go func() {
		defer close(u.exited)
		started <- o.Namespace.Do(func() error {
			err := u.cmd.Start()
			started <- err
			if err == nil {
				_ = u.cmd.Wait()
			}
			return nil
		})
	}()
	return <-started
}

// awaitReady reads the guest's first byte.
func (u *UML) awaitReady(ctx context.Context, conn net.Conn) error {
	got := make(chan error, 1)
	go func() {
		var b [1]byte
		_, err := io.ReadFull(conn, b[:])
		if err == nil && b[0] != ready {
			err = fmt.Errorf("it began with %q", b)
		}
		got <- err
	}()
	select {
	case err := <-got:
		return err
	case <-u.exited:
		return fmt.Errorf("it ended: %v", u.cmd.ProcessState)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Stop ends the guest, all of it.
func (u *UML) Stop() error {
	_ = u.Close()
	return u.kill()
}

func (u *UML) kill() error {
	if err := u.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-u.exited:
		return nil
	case <-time.After(5 * time.Second):
		return fmt.Errorf("process %d does not end", u.cmd.Process.Pid)
	}
}

// lastWords is the end of what the guest's console said.
func (u *UML) lastWords() string {
	b, err := os.ReadFile(u.log)
	if err != nil {
		return err.Error()
	}
	b = bytes.TrimSpace(b)
	return string(b[max(0, len(b)-2000):])
}

// socketPair is the line between this process and the guest's serial port.
func socketPair() (net.Conn, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	mine, theirs := os.NewFile(uintptr(fds[0]), "line"), os.NewFile(uintptr(fds[1]), "guest's line")
	defer mine.Close()
	conn, err := net.FileConn(mine)
	if err != nil {
		theirs.Close()
		return nil, nil, err
	}
	return conn, theirs, nil
}
