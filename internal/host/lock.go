package host

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Busy is the error about an uplink that a router has.
type Busy struct {
	Uplink string
	PID    int // 0: it is just starting or stopping
}

func (b *Busy) Error() string {
	if b.PID == 0 {
		return fmt.Sprintf("uplink %s: another vrouter is starting or stopping on it: try again", b.Uplink)
	}
	return fmt.Sprintf("uplink %s: another vrouter, process %d, forwards by it", b.Uplink, b.PID)
}

// lock makes this process the only one that changes the host for an interface: two routers would each
// forward every packet. The lock is the name of an abstract socket, which the network namespace has once,
// and which the kernel frees when its process ends, however it ends. Other users may take that name too;
// theirs does not count. The error is a *Busy where somebody has it.
func lock(uplink string, log *slog.Logger) (net.Listener, error) {
	socket := "@vrouter/uplink/" + uplink
	l, err := net.Listen("unix", socket)
	if err == nil {
		go answer(l)
		return l, nil
	}
	if !errors.Is(err, unix.EADDRINUSE) {
		return nil, fmt.Errorf("uplink %s: asking for other routers: %w", uplink, err)
	}
	who, err := whoListens(socket)
	if err != nil {
		return nil, &Busy{Uplink: uplink}
	}
	if !counts(who) {
		log.Warn("another user holds the name by which routers find each other; a second router on this uplink would not be noticed",
			"socket", socket, "process", who.Pid, "user", who.Uid)
		return nil, nil
	}
	return nil, &Busy{Uplink: uplink, PID: int(who.Pid)}
}

// answer lets go of those who ask whose the lock is: their queue would be full some day.
func answer(l net.Listener) {
	for {
		c, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(time.Second) // for want of a descriptor, say
			continue
		}
		c.Close()
	}
}

func counts(who *unix.Ucred) bool { return who.Uid == 0 || int(who.Uid) == os.Geteuid() }

// Holder is the process that has the lock on an uplink; not held if none has it.
func Holder(uplink string) (pid int, held bool) {
	who, err := whoListens("@vrouter/uplink/" + uplink)
	switch {
	case errors.Is(err, unix.ECONNREFUSED):
		return 0, false
	case err != nil:
		return 0, true // a queue that is full is no sign of death
	case !counts(who):
		return 0, false
	}
	return int(who.Pid), true
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
	err = raw.Control(func(fd uintptr) { who, failed = PeerOf(int(fd)) })
	return who, errors.Join(err, failed)
}

// PeerOf is who is at the other end of a unix socket, as the kernel knows him (SO_PEERCRED, unix(7)).
func PeerOf(fd int) (*unix.Ucred, error) {
	return unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
}

// Listens says whether a process listens at a unix socket. One that has as many who wait as it may have, or that a
// debugger holds, is no less alive.
func Listens(socket string) bool {
	c, err := net.DialTimeout("unix", socket, time.Second)
	if err == nil {
		c.Close()
		return true
	}
	var timeout net.Error
	return errors.Is(err, unix.EAGAIN) || errors.As(err, &timeout) && timeout.Timeout()
}
