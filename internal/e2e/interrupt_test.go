package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Ctrl-C and SIGTERM end every command, also one that waits for what nobody types or writes.
func TestInterruptEndsEveryCommand(t *testing.T) {
	startRouter(t, newHost(t), defaultSocket, hostConfig)
	for _, words := range [][]string{
		{"replay", "-"}, {"replay", "FIFO"}, {"explain", "--hex", "-"}, {"explain", "--pcap", "FIFO"}, {"route", "add", "-f", "-"}, {"route", "add", "-f", "FIFO"},
		{"run", "--config", "FIFO"}, {"down", "--config", "FIFO"}, {"plan", "--config", "FIFO"}, {"doctor", "--config", "FIFO"}, {"lab", "up", "-f", "FIFO"},
	} {
		for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
			fifo := filepath.Join(t.TempDir(), "fifo")
			if err := unix.Mkfifo(fifo, 0o644); err != nil {
				t.Fatal(err)
			}
			args := slices.Clone(words)
			cmd := command(t, args...)
			if last := len(args) - 1; args[last] == "FIFO" {
				cmd.Args[len(cmd.Args)-1] = fifo
			} else {
				in, err := os.OpenFile(fifo, os.O_RDWR, 0) // so that it does not wait here
				if err != nil {
					t.Fatal(err)
				}
				defer in.Close()
				cmd.Stdin = in
			}
			r := start(t, cmd, outsideOfAll)
			fd := -1
			eventually(t, "it reads", func() bool {
				if fd < 0 {
					fd, _ = unix.Open(fifo, unix.O_WRONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
					_, _ = unix.Write(fd, []byte("\n"))
				}
				left, err := unix.IoctlGetInt(fd, unix.TIOCINQ)
				return r.hasEnded() || err == nil && left == 0
			})
			if r.hasEnded() {
				t.Fatalf("%q has ended: %+v", words, r.wait(t))
			}
			took := r.signal(t, sig)
			unix.Close(fd)
			if status := r.wait(t).status; status != 130 || took > 2*time.Second {
				t.Errorf("%q: status %d after %v of %v", words, status, took, sig)
			}
		}
	}
}
