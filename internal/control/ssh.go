package control

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/vrouter/vrouter/internal/config"
)

// tunnel is the system's ssh(1), which forwards a socket of ours to that of a router on
// another host. Whom to be there, with which key, and whom to believe is for ssh and its
// configuration.
type tunnel struct {
	address string // as it was given
	args    []string
	remote  string

	mu     sync.Mutex
	dir    string // with the socket; "": it has not been started
	cancel context.CancelFunc
	ended  chan struct{}
	errors lastLine
}

// sshPatience is how long ssh may take until it forwards: people may have to type.
const sshPatience = 60 * time.Second

func openSSH(address string, u *url.URL) (*Client, error) {
	where := u.Hostname()
	if _, secret := u.User.Password(); secret {
		return nil, fmt.Errorf("%s: no password in an address, which others can see: ssh asks for it, or takes a key", address)
	}
	if u.User.Username() != "" {
		where = u.User.Username() + "@" + where
	}
	if strings.HasPrefix(where, "-") {
		return nil, fmt.Errorf("%s: no host is called %s", address, where)
	}
	t := &tunnel{address: address, remote: socketOf(u.Path, config.DefaultControlSocket)}
	if strings.Contains(t.remote, ":") {
		return nil, fmt.Errorf("%s: ssh forwards to no socket with a colon in its path", address)
	}
	if u.Port() != "" {
		t.args = append(t.args, "-p", u.Port())
	}
	t.args = append(t.args, "--", where)
	c := &Client{socket: address, base: "http://vrouter", tunnel: t}
	c.http.Transport = &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return t.dial(ctx) }}
	return c, nil
}

// dial starts ssh, if it has not been, and connects through it.
func (t *tunnel) dial(ctx context.Context) (net.Conn, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.dir == "" {
		if err := t.start(); err != nil {
			return nil, err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, sshPatience)
	defer cancel()
	for {
		conn, err := net.Dial("unix", t.socket())
		if err == nil {
			return conn, nil
		}
		select {
		case <-t.ended:
			return nil, errors.New("ssh has ended")
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func (t *tunnel) socket() string { return filepath.Join(t.dir, "vrouter.sock") }

// start runs ssh until close. It ends with the thread that started it, and so with this
// program, whatever becomes of that.
func (t *tunnel) start() (err error) {
	if t.dir, err = os.MkdirTemp("", "vrouter-ssh-"); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	args := append([]string{"-N", "-T", "-o", "ExitOnForwardFailure=yes", "-L", t.socket() + ":" + t.remote}, t.args...)
	cmd := exec.CommandContext(ctx, "ssh", args...)
	cmd.Stderr = &t.errors // what it asks for, it asks for on the terminal
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	t.cancel, t.ended = cancel, make(chan struct{})
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer close(t.ended)
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("%w: install Debian's openssh-client", err)
	}
	return nil
}

func (t *tunnel) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.dir == "" {
		return
	}
	t.cancel()
	<-t.ended
	os.RemoveAll(t.dir)
}

// explain has what ssh itself said, if it said something.
func (t *tunnel) explain(err error) error {
	var network *url.Error
	if errors.As(err, &network) {
		err = network.Err
	}
	said := t.errors.wait(time.Second)
	if said == "" {
		return fmt.Errorf("asking the router at %s: %w", t.address, err)
	}
	return fmt.Errorf("asking the router at %s: ssh says: %s; see that `ssh %s` works, and that the router's socket there is %s", t.address, said, t.args[len(t.args)-1], t.remote)
}

// lastLine keeps the last line that was written to it.
type lastLine struct {
	mu   sync.Mutex
	rest []byte
	line string
}

func (l *lastLine) Write(b []byte) (int, error) {
	const longest = 1 << 10
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rest = append(l.rest, b...)
	for {
		line, more, found := bytes.Cut(l.rest, []byte("\n"))
		if !found {
			break
		}
		if text := strings.TrimSpace(string(line)); text != "" {
			l.line = text
		}
		l.rest = more
	}
	if len(l.rest) > longest {
		l.rest = l.rest[len(l.rest)-longest:]
	}
	return len(b), nil
}

// wait is the last line, which may be a little later than what it is about; "" if there
// is none.
func (l *lastLine) wait(most time.Duration) string {
	for deadline := time.Now().Add(most); ; time.Sleep(10 * time.Millisecond) {
		l.mu.Lock()
		line := l.line
		l.mu.Unlock()
		if line != "" || time.Now().After(deadline) {
			return line
		}
	}
}
