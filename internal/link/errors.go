package link

import (
	"errors"

	"golang.org/x/sys/unix"
)

// ErrGone says that a port's device was removed: nothing will be read from it again.
var ErrGone = errors.New("the device is gone")

// ErrQueueFull says that the port's queue in the kernel has no room for a frame.
var ErrQueueFull = errors.New("the port's queue is full")

// ReadError says by which port a Poller could not read, and why.
type ReadError struct {
	ID  int
	Err error
}

func (e *ReadError) Error() string { return e.Err.Error() }
func (e *ReadError) Unwrap() error { return e.Err }

// readError puts the kernel's answer into the words of the interface Port.
func readError(err error) error {
	if err == unix.EBADFD || err == unix.ENODEV || err == unix.ENXIO {
		return ErrGone
	}
	return err
}

func writeError(err error) error {
	if err == unix.EAGAIN || err == unix.ENOBUFS || err == unix.ENOMEM {
		return ErrQueueFull
	}
	return err
}
