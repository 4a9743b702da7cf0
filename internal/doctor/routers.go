package doctor

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// otherRouters are the vrouters that read the uplink but are not the one at the socket.
func otherRouters(h *Host) (found []Finding, err error) {
	if _, err := h.link(); err != nil {
		return nil, err
	}
	pids, err := routersOn(h.Config.Uplink.Interface)
	for _, pid := range pids {
		if h.Router != nil && h.Router.PID == pid {
			continue
		}
		found = append(found, Finding{
			State: Fail, Means: fmt.Sprintf("process %d is another vrouter that reads %s, and does not answer at %s: what both have a route for is sent twice", pid, h.Config.Uplink.Interface, h.Socket),
			Mend: fmt.Sprintf("kill %d", pid), fix: func() error { return terminate(pid) },
		})
	}
	return found, err
}

// routersOn are the processes called vrouter that have a packet socket on an interface.
func routersOn(ifname string) (pids []int, err error) {
	sockets, err := packetSockets(ifname)
	if err != nil || len(sockets) == 0 {
		return nil, err
	}
	processes, err := filepath.Glob("/proc/[0-9]*")
	for _, dir := range processes {
		name, rerr := os.ReadFile(filepath.Join(dir, "comm"))
		pid, _ := strconv.Atoi(filepath.Base(dir))
		if rerr == nil && strings.TrimSpace(string(name)) == "vrouter" && pid != os.Getpid() && holds(dir, sockets) {
			pids = append(pids, pid)
		}
	}
	return pids, err
}

// packetSockets are the inodes of those on an interface, in the calling thread's
// network namespace.
func packetSockets(ifname string) (inodes []string, err error) {
	l, err := netlink.LinkByName(ifname)
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	f, err := os.Open("/proc/thread-self/net/packet")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	const iface, inode = 4, 8 // columns
	for s := bufio.NewScanner(f); s.Scan(); {
		words := strings.Fields(s.Text())
		if len(words) > inode && words[iface] == strconv.Itoa(l.Attrs().Index) {
			inodes = append(inodes, words[inode])
		}
	}
	return inodes, nil
}

// holds says whether a process has one of these sockets.
func holds(dir string, inodes []string) bool {
	fds, _ := os.ReadDir(filepath.Join(dir, "fd"))
	for _, fd := range fds {
		to, err := os.Readlink(filepath.Join(dir, "fd", fd.Name()))
		if inode, ok := strings.CutPrefix(to, "socket:["); err == nil && ok && slices.Contains(inodes, strings.TrimSuffix(inode, "]")) {
			return true
		}
	}
	return false
}

// patience is how long a router may take to end.
const patience = 5 * time.Second

func terminate(pid int) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.PidfdSendSignal(fd, unix.SIGTERM, nil, 0); err != nil {
		return err
	}
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(patience.Milliseconds()))
	if err == nil && n == 0 {
		return fmt.Errorf("process %d has not ended within %v", pid, patience)
	}
	return err
}
