package conformance

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/vrouter/vrouter/internal/workload"
)

const (
	readyTimeout = 10 * time.Second
	stopTimeout  = 5 * time.Second
)

// routerProcess is a running `vrouter run`.
type routerProcess struct {
	cmd    *exec.Cmd
	log    logBuffer
	dir    string
	done   chan struct{}
	err    error
	socket http.Client // to the control socket
	scrape http.Client // to the metrics, inside the host's namespace
}

// logBuffer keeps what the router wrote, for the report of a failure.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// startVrouter writes a configuration and starts the real program with it.
func (b *Bench) startVrouter() error {
	if err := b.host.Do(func() error { return addRoutes(b.options.kernelRoutes) }); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("/run", b.prefix)
	if err != nil {
		return err
	}
	file := filepath.Join(dir, "config.yaml")
	if err := os.WriteFile(file, []byte(b.config(dir)), 0o644); err != nil {
		return err
	}
	r := &routerProcess{dir: dir, done: make(chan struct{}), cmd: exec.Command(os.Getenv(binaryEnv), "run", "--config", file)}
	r.cmd.Stdout, r.cmd.Stderr = &r.log, &r.log
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	r.socket.Transport = &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", filepath.Join(dir, "vrouter.sock"))
	}}
	r.scrape.Transport = &http.Transport{DialContext: dialIn(b.host)}
	b.router = r
	if err := r.start(b.host); err != nil {
		return err
	}
	return r.ready()
}

func dialIn(ns workload.Namespace) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (c net.Conn, err error) {
		err = ns.Do(func() (err error) {
			var d net.Dialer
			c, err = d.DialContext(ctx, network, address)
			return err
		})
		return c, err
	}
}

func (b *Bench) config(dir string) string {
	var y strings.Builder
	fmt.Fprintf(&y, "node: conformance\nuplink: {interface: ens160}\nworkloads:\n")
	mtus := []int{b.options.ns1MTU, b.options.ns2MTU}
	for i, address := range []string{ns1IP, ns2IP} {
		addresses := "address: " + address + "/24"
		if b.options.six {
			addresses = fmt.Sprintf("addresses: [%s/24, \"%s/128\"]", address, []string{ns1IP6, ns2IP6}[i])
		}
		fmt.Fprintf(&y, "  - {name: ns%d, namespace: %s, %s, mtu: %d}\n", i+1, b.ns[i], addresses, orDefault(mtus[i]))
	}
	fmt.Fprintf(&y, "routes:\n")
	routes := append(append([]route{}, baseRoutes...), b.options.routes...)
	if b.options.six {
		routes = append(routes, baseRoutes6...)
	}
	for _, r := range routes {
		if r.kind != "" {
			fmt.Fprintf(&y, "  - {to: %q, type: %s}\n", r.to, r.kind)
		} else {
			fmt.Fprintf(&y, "  - {to: %q, via: %q, metric: %d}\n", r.to, r.via, r.metric)
		}
	}
	for _, r := range b.options.tunnels {
		fmt.Fprintf(&y, "  - {to: %q, via: %q, encap: %s}\n", r.to, r.via, cmp.Or(r.encap, "ipip"))
	}
	if len(b.options.kernelRoutes) > 0 {
		fmt.Fprintf(&y, "kernel: {import: [static]}\n")
	}
	if b.options.cuts {
		fmt.Fprintf(&y, "offload: false\n") // a workload's end is to show packets
	}
	fmt.Fprintf(&y, "control: {socket: %s/vrouter.sock}\n", dir)
	return y.String()
}

// start runs the program on a thread of its own, with which it would die.
func (r *routerProcess) start(ns workload.Namespace) error {
	started := make(chan error, 1)
	go func() {
		r.err = ns.Do(func() error {
			err := r.cmd.Start()
			started <- err
			if err != nil {
				return err
			}
			return r.cmd.Wait()
		})
		close(r.done)
	}()
	select {
	case err := <-started:
		return err
	case <-r.done:
		return r.err
	}
}

// ready waits until the router answers.
func (r *routerProcess) ready() error {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(readyTimeout)
	var v struct{}
	for {
		if r.get("/v1/version", &v) == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-r.done:
			return fmt.Errorf("vrouter ended: %w\n%s", r.err, r.log.String())
		case <-deadline:
			return fmt.Errorf("vrouter is not ready:\n%s", r.log.String())
		}
	}
}

// stop asks the router to end, and says if it did not do so well.
func (r *routerProcess) stop() error {
	defer os.RemoveAll(r.dir)
	r.socket.CloseIdleConnections()
	r.scrape.CloseIdleConnections()
	if r.cmd.Process == nil {
		return nil
	}
	_ = r.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-r.done:
	case <-time.After(stopTimeout):
		_ = r.cmd.Process.Kill()
		<-r.done
		return errors.New("vrouter had to be killed")
	}
	if r.err != nil {
		return fmt.Errorf("vrouter ended with: %w\n%s", r.err, r.log.String())
	}
	return nil
}

// get asks the control socket.
func (r *routerProcess) get(path string, v any) error {
	resp, err := r.socket.Get("http://vrouter" + path)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", path, resp.Status)
	}
	return json.NewDecoder(resp.Body).Decode(v)
}

// metrics reads every series of vrouter's.
func (r *routerProcess) metrics() (map[string]float64, error) {
	resp, err := r.scrape.Get("http://127.0.0.1:9473/metrics")
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	all := map[string]float64{}
	for scan := bufio.NewScanner(io.LimitReader(resp.Body, 1<<20)); scan.Scan(); {
		series, value, ok := strings.Cut(scan.Text(), " ")
		if !ok || !strings.HasPrefix(series, "vrouter_") {
			continue
		}
		if all[series], err = strconv.ParseFloat(value, 64); err != nil {
			return nil, fmt.Errorf("metrics: %s: %w", scan.Text(), err)
		}
	}
	return all, nil
}

// neighbors are those whose hardware address is known, by address.
func (b *Bench) neighbors() map[string]string {
	if b.linux {
		return b.linuxNeighbors()
	}
	var list []struct{ Address, MAC string }
	b.must(b.router.get("/v1/neighbors", &list))
	known := map[string]string{}
	for _, n := range list {
		if n.MAC != "" {
			known[n.Address] = strings.ReplaceAll(n.MAC, ":", "")
		}
	}
	return known
}
