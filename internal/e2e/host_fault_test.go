package e2e

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vrouter/vrouter/internal/workload"
)

// A trace whose file is full ends and says so; the router, its forwarding and another trace
// go on as if nothing had happened.
func TestTraceOnAFullDisk(t *testing.T) {
	h := labUp(t, "")[0]
	disk := t.TempDir()
	if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size=64k"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(disk, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	f, err := os.Create(filepath.Join(disk, "trace.pcapng"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	other := start(t, command(t, "--socket", h.Socket, "trace", "-o", "json", "-c", "2000"), outsideOfAll)
	eventually(t, "the other trace is on", func() bool {
		echo(t, h.ns1, there, 100*time.Millisecond)
		return read(t, other.out) != ""
	})
	full := command(t, "--socket", h.Socket, "trace", "-o", "pcapng")
	full.Stdout = f
	filling := start(t, full, outsideOfAll)
	stop := floods(t, h.ns1, there)
	eventually(t, "the trace on the full disk ends", filling.hasEnded)
	stop()
	ended := filling.wait(t)
	lines := strings.SplitAfter(ended.err, "\n") // before the last one it may say what it could not keep up with
	ended.err = lines[max(0, len(lines)-2)]
	ended.wantError(t, 1, "no space left on device")
	if out := other.wait(t).wantOK(t); strings.Count(out, "\n") < 2000 {
		t.Errorf("the other trace has %d lines", strings.Count(out, "\n"))
	}
}

// A router without a descriptor left forwards as before, whatever it hears of the host
// meanwhile, lets clients wait, and answers them when it has some again.
func TestDescriptorsRunOut(t *testing.T) {
	h := labUp(t, "")[0]
	wantEcho(t, h.ns1, there, 62)
	var was unix.Rlimit
	if err := unix.Prlimit(h.Router.PID, unix.RLIMIT_NOFILE, nil, &was); err != nil {
		t.Fatal(err)
	}
	files, _ := h.held(t)
	if err := unix.Prlimit(h.Router.PID, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: uint64(files), Max: was.Max}, nil); err != nil {
		t.Fatal(err)
	}
	stop := floods(t, h.ns1, there)
	for range files { // in case there are gaps in the numbers
		h.raw(t, "")
	}
	in(t, h.ns, func() error { return up(h.Uplink, "192.168.0.99/32") }) // which the router cannot look at now
	waiting := h.raw(t, request("GET", "/v1/ports", 0, ""))
	answered := answer(waiting, time.Second)
	stop()
	if answered {
		t.Error("a client was answered by a router that has no descriptor for it")
	}
	if err := unix.Prlimit(h.Router.PID, unix.RLIMIT_NOFILE, &was, nil); err != nil {
		t.Fatal(err)
	}
	if !answer(waiting, hostileTime) {
		t.Error("the client that waited was not answered")
	}
	h.ask(t, "show", "ports").wantOK(t)
	wantEcho(t, h.ns1, there, 62)
}

// answer says whether a byte comes in time.
func answer(c net.Conn, in time.Duration) bool {
	if err := c.SetReadDeadline(time.Now().Add(in)); err != nil {
		return false
	}
	_, err := io.ReadFull(c, make([]byte, 1))
	return err == nil
}

// While a workload's namespace is deleted and made again, the others lose nothing.
func TestNamespaceMadeAgainUnderTraffic(t *testing.T) {
	leavesNothing(t)
	host, gone := newHost(t), newNamespace(t)
	a, b := newNamespace(t), newNamespace(t)
	config := `node: host1
uplink: {interface: ens160}
workloads:
  - {name: gone, namespace: ` + string(gone) + `, address: 10.70.1.1/24}
  - {name: a, namespace: ` + string(a) + `, address: 10.70.1.2/24}
  - {name: b, namespace: ` + string(b) + `, address: 10.70.1.3/24}
`
	startRouter(t, host, "/run/vrouter/vrouter.sock", config)
	wantEcho(t, a, "10.70.1.3", 63)
	stop := floods(t, a, "10.70.1.3")
	for range 5 {
		if err := gone.Delete(); err != nil {
			t.Fatal(err)
		}
		routeOf(t, "10.70.1.1/32", false)
		if _, err := workload.Create(filepath.Base(string(gone))); err != nil {
			t.Fatal(err)
		}
		routeOf(t, "10.70.1.1/32", true)
	}
	stop()
	wantEcho(t, a, "10.70.1.1", 63)
}

// routeOf waits until there is a route to a prefix, or none any more.
func routeOf(t *testing.T, prefix string, there bool) {
	t.Helper()
	eventually(t, "the route to "+prefix+" is as it should be", func() bool {
		return strings.Contains(vrouter(t, "route", "list").wantOK(t), prefix) == there
	})
}
