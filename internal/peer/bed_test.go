//go:build peer

package peer_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/vrouter/vrouter/internal/control"
	"github.com/vrouter/vrouter/internal/peer"
	"github.com/vrouter/vrouter/internal/workload"
)

var (
	hostA = netip.MustParseAddr("192.168.0.11")
	ns1   = netip.MustParseAddr("10.70.1.1") // as the tutorial has it
	wide  = netip.MustParseAddr("10.70.1.2") // with an MTU that the tunnel has not
	ns1B  = netip.MustParseAddr("10.70.2.1") // the guest's workload
)

const (
	tunnelMTU = 1480
	uplinkA   = "ens160"

	// Where probes and data come from, besides A's workloads.
	workloadB = "B's ns1"
	hostB     = "B"

	bootTimeout     = 30 * time.Second
	transferTimeout = 40 * time.Second
	callTimeout     = time.Minute

	config = `node: host-a
uplink: {interface: ens160}
workloads:
  - {name: ns1, address: 10.70.1.1/24}
  - {name: wide, address: 10.70.1.2/24, mtu: 1500}
routes:
  - {to: 10.70.2.0/26, via: PEER}
ipip: {mode: MODE}
metrics: {listen: ""}
control: {socket: SOCKET}
`
)

// bed is vrouter as host A, a Linux kernel as host B, and the wire between them.
type bed struct {
	*testing.T
	guest  *peer.UML
	router *control.Client
	wire   *sniffer
}

// newBed starts both, A in the namespace host-a, with an ipip.mode, and B at eth0
// of host-b.
func newBed(t *testing.T, mode string, b peer.Setup) *bed { return newBedOf(t, config, mode, b) }

func newBedOf(t *testing.T, config, mode string, b peer.Setup) *bed {
	program, err := build()
	must(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), bootTimeout)
	defer cancel()
	bed := &bed{T: t, wire: sniff(t, workload.Named("host-a"), uplinkA)}
	bed.startRouter(ctx, program, config, mode, b.Address.Addr())
	bed.startGuest(ctx, b)
	for _, name := range []string{"ns1", "wide"} {
		n := workload.Named(name)
		bed.must(n.Do(func() error {
			l, err := peer.Serve()
			if err == nil {
				t.Cleanup(func() { l.Close() })
			}
			return err
		}))
	}
	return bed
}

func (b *bed) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

func (b *bed) startGuest(ctx context.Context, s peer.Setup) {
	// In the sandbox's /run all of it goes with the sandbox, and the path is
	// short enough for a socket.
	dir, err := os.MkdirTemp("/run", "peer")
	b.must(err)
	b.guest, err = peer.Boot(ctx, peer.Options{Namespace: workload.Named("host-b"), Interface: "eth0", Dir: dir})
	b.must(err)
	b.Cleanup(func() {
		b.must(b.guest.Stop())
		if left := processesOf(dir); left != "" {
			b.Errorf("the guest left processes behind: %s", left)
		}
	})
	b.must(b.call("Setup", s, nil))
}

// processesOf lists those with dir in their command line.
func processesOf(dir string) string {
	var left []string
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, f := range files {
		if text, err := os.ReadFile(f); err == nil && strings.Contains(string(text), dir) {
			left = append(left, f)
		}
	}
	return strings.Join(left, " ")
}

// build makes the program once.
var build = sync.OnceValues(func() (string, error) {
	const path = "/run/bin/vrouter"
	cmd := exec.Command("go", "build", "-o", path, "../../cmd/vrouter")
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return path, cmd.Run()
})

func (b *bed) startRouter(ctx context.Context, program, config, mode string, peer netip.Addr) {
	dir := b.TempDir()
	file, socket, logName := filepath.Join(dir, "a.yaml"), filepath.Join(dir, "s"), filepath.Join(dir, "log")
	text := strings.NewReplacer("PEER", peer.String(), "MODE", mode, "SOCKET", socket).Replace(config)
	b.must(os.WriteFile(file, []byte(text), 0o600))
	log, err := os.Create(logName)
	b.must(err)
	defer log.Close()
	cmd := exec.Command(program, "run", "--config", file)
	cmd.Stderr = log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	exited := b.start(cmd)
	b.Cleanup(func() {
		if text, err := os.ReadFile(logName); err == nil && b.Failed() {
			b.Logf("vrouter's log:\n%s", text)
		}
	})
	b.router = control.NewClient(socket)
	b.Cleanup(b.router.Close)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		var v control.Version
		if err = b.router.Get(ctx, "/v1/version", &v); err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-exited:
			b.Fatal("vrouter ended")
		case <-ctx.Done():
			b.Fatal(err)
		}
	}
}

// start runs a command in host-a until the test ends. The thread that starts it
// waits for it, as it would die with that thread.
func (b *bed) start(cmd *exec.Cmd) <-chan struct{} {
	started, exited := make(chan error, 2), make(chan struct{})
	go func() {
		defer close(exited)
		started <- workload.Named("host-a").Do(func() error {
			err := cmd.Start()
			started <- err
			if err == nil {
				_ = cmd.Wait()
			}
			return nil
		})
	}()
	b.must(<-started)
	b.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-exited:
		case <-time.After(5 * time.Second):
			b.Error("vrouter does not stop")
			_ = cmd.Process.Kill()
		}
	})
	return exited
}

// call asks B's agent.
func (b *bed) call(method string, args, reply any) error {
	call := b.guest.Go("Agent."+method, args, reply, nil)
	select {
	case <-call.Done:
		return call.Error
	case <-time.After(callTimeout):
		return fmt.Errorf("%s: no answer from the guest within %s", method, callTimeout)
	}
}

// probeFrom sends one from a workload of A, by name, from B's, or from B itself.
func (b *bed) probeFrom(where string, p peer.Probe) (a peer.Answer) {
	b.Helper()
	switch where {
	case workloadB:
		b.must(b.call("Probe", p, &a))
		return a
	case hostB:
		b.must(b.call("ProbeFromHost", p, &a))
		return a
	}
	b.must(workload.Named(where).Do(func() (err error) {
		a, err = p.Send()
		return err
	}))
	return a
}

// transfer sends mebibytes from there to an address.
func (b *bed) transfer(from string, to netip.Addr, mebibytes int64) {
	b.Helper()
	tr := peer.Transfer{To: netip.AddrPortFrom(to, peer.Port), Bytes: mebibytes << 20, Timeout: transferTimeout}
	start := time.Now()
	var err error
	if from == workloadB {
		err = b.call("Transfer", tr, nil)
	} else {
		err = workload.Named(from).Do(tr.Send)
	}
	if err != nil {
		b.Errorf("%d MiB from %s to %s: %v", mebibytes, from, to, err)
		return
	}
	took := time.Since(start)
	b.Logf("%d MiB from %s to %s: %.1f s, %.0f Mbit/s", mebibytes, from, to, took.Seconds(), float64(mebibytes)*8.39/took.Seconds())
}

// readFile reads a file of the guest.
func (b *bed) readFile(path string) (text string) {
	b.Helper()
	b.must(b.call("ReadFile", path, &text))
	return text
}

// drops are those of the router by reason.
func (b *bed) drops() map[string]uint64 {
	var list []control.Drop
	b.must(b.router.Get(b.Context(), "/v1/drops", &list))
	m := map[string]uint64{}
	for _, d := range list {
		if d.Packets > 0 {
			m[d.Reason] = d.Packets
		}
	}
	return m
}

func (b *bed) tunnel() (c control.Tunnel) {
	var list []control.Tunnel
	b.must(b.router.Get(b.Context(), "/v1/tunnels", &list))
	if len(list) != 1 {
		text, _ := json.Marshal(list)
		b.Fatalf("tunnels: %s", text)
	}
	return list[0]
}
