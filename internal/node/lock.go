package node

import (
	"errors"
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// lockUplink makes this router the only one on an interface: two would each
// forward every packet. The lock is the name of an abstract socket, which the
// network namespace has once, and which the kernel frees when its process ends,
// however it ends. Other users may take that name too; theirs does not count.
func (n *Node) lockUplink() error {
	name := n.config.Uplink.Interface
	socket := "@vrouter/uplink/" + name
	l, err := net.Listen("unix", socket)
	if err == nil {
		n.lock = l
		return nil
	}
	if !errors.Is(err, unix.EADDRINUSE) {
		return fmt.Errorf("uplink %s: asking for other routers: %w", name, err)
	}
	holder, err := whoListens(socket)
	if err != nil {
		return fmt.Errorf("uplink %s: another vrouter is starting or stopping on it: try again (%w)", name, err)
	}
	if int(holder.Uid) != os.Geteuid() {
		n.log.Warn("another user holds the name by which routers find each other; a second router on this uplink would not be noticed",
			"socket", socket, "process", holder.Pid, "user", holder.Uid)
		return nil
	}
	return fmt.Errorf("uplink %s: another vrouter, process %d, forwards by it: each packet would be sent twice; stop that one first, or let it be", name, holder.Pid)
}

func whoListens(socket string) (*unix.Ucred, error) {
	c, err := net.Dial("unix", socket)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	raw, err := c.(*net.UnixConn).SyscallConn()
	if err != nil {
		return nil, err
	}
	var who *unix.Ucred
	var failed error
	err = raw.Control(func(fd uintptr) { who, failed = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	return who, errors.Join(err, failed)
}
