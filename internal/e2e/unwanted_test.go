package e2e

import (
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/vrouter/vrouter/internal/workload"
)

// readTAP has somebody in a namespace read a TAP of it, until the test ends.
func readTAP(t *testing.T, ns workload.Namespace, name string) {
	t.Helper()
	in(t, ns, func() error {
		fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		t.Cleanup(func() { unix.Close(fd) })
		ifr, err := unix.NewIfreq(name)
		if err != nil {
			return err
		}
		ifr.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
		return unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr)
	})
}

// A workload that is not wanted any more, and whose interface cannot be taken away as it reads that itself, keeps the router
// from nothing that is about others: not from starting, nor from taking another workload.
func TestUnwantedWorkloadStopsNobody(t *testing.T) {
	ns := newHost(t)
	startRouter(t, ns, defaultSocket, twoWorkloads).signal(t, syscall.SIGKILL)
	readTAP(t, workload.Named("w2"), "eth0")
	startRouter(t, ns, defaultSocket, hostConfig) // without w2
	wantEcho(t, workload.Named("w1"), "169.254.1.1", 64)
	vrouter(t, "workload", "add", "w3", "address", "10.70.1.3/24").wantOK(t)
	wantEcho(t, workload.Named("w3"), "169.254.1.1", 64)
	vrouter(t, "reload").wantOK(t)
}
