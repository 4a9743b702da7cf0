package link

import (
	"errors"

	"golang.org/x/sys/unix"
)

// ErrGone says that a port's device was removed: nothing will be read from it again.
var ErrGone = errors.New("the device is gone")

// ErrFrameLost says that a frame was lost as a virtio header cannot tell what it is: a
// superframe of SCTP, of a fragmented datagram, …
var ErrFrameLost = errors.New("a superframe that is neither TCP nor UDP could not be read, and is lost (ethtool -k shows what the interface joins)")

// ErrQueueFull says that the port's queue in the kernel has no room for a frame.
var ErrQueueFull = errors.New("the port's queue is full")

// ErrNotCarried says that a superframe in a tunnel cannot leave whole any more.
var ErrNotCarried = errors.New("the program that superframes in tunnels need at the uplink is gone")

// ReadError says by which port a Poller could not read, and why.
type ReadError struct {
	ID  int
	Err error
}

func (e *ReadError) Error() string { return e.Err.Error() }
func (e *ReadError) Unwrap() error { return e.Err }

// readError puts the kernel's answer into the words of the interface Port.
func readError(err error) error {
	switch err {
	case unix.EBADFD, unix.ENODEV, unix.ENXIO:
		return ErrGone
	case unix.EINVAL:
		return ErrFrameLost
	}
	return err
}

func writeError(err error) error {
	if err == unix.EAGAIN || err == unix.ENOBUFS {
		return ErrQueueFull
	}
	return err
}
