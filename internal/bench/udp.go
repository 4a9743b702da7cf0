package main

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	smallPayload = 18 // bytes of a small datagram: the least that an Ethernet frame holds without padding
	batch        = 64 // small datagrams of one system call
	maxBehind    = 512

	// A message of segments is what QUIC sends by one system call (UDP_SEGMENT): they fit into a tunnel.
	segmentPayload = 1400
	segments       = 44
	segmentBatch   = 4

	receiveBuffer = 64 << 20 // bytes: the receiver may be late, but loses nothing
	receiveEvery  = 300 * time.Microsecond
)

// udpFlow is datagrams from one workload to the other: sent by one thread with sendmmsg(2), and taken by another one that
// looks for them by the clock: being woken for each would cost more than they do.
type udpFlow struct {
	in, out  int
	payload  int // bytes of a datagram
	each     int // datagrams of a message
	sent     atomic.Uint64
	received atomic.Uint64
	stop     atomic.Bool
	done     chan struct{}
	messages messages
}

// messages are what one sendmmsg(2) or recvmmsg(2) takes.
type messages struct {
	data  [][]byte
	iovs  []unix.Iovec
	heads []mmsghdr
}

// mmsghdr is struct mmsghdr of recvmmsg(2).
type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
	_   [4]byte
}

func newMessages(n, bytes int) messages {
	m := messages{make([][]byte, n), make([]unix.Iovec, n), make([]mmsghdr, n)}
	for i := range m.heads {
		m.data[i] = make([]byte, bytes)
		m.iovs[i].Base = &m.data[i][0]
		m.iovs[i].SetLen(bytes)
		m.heads[i].hdr.Iov = &m.iovs[i]
		m.heads[i].hdr.SetIovlen(1)
	}
	return m
}

// call is sendmmsg(2) or recvmmsg(2) for n messages.
func (m *messages) call(trap uintptr, fd, n, flags int) (int, error) {
	k, _, errno := unix.Syscall6(trap, uintptr(fd), uintptr(unsafe.Pointer(&m.heads[0])), uintptr(n), uintptr(flags), 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(k), nil
}

// openFlow makes a flow of small datagrams by a family, or of messages that are datagrams in a row.
func openFlow(b *bed, six, segmented bool) (f *udpFlow, err error) {
	f = &udpFlow{in: -1, out: -1, payload: smallPayload, each: 1, done: make(chan struct{}), messages: newMessages(batch, smallPayload)}
	if segmented {
		f.payload, f.each, f.messages = segmentPayload, segments, newMessages(segmentBatch, segmentPayload*segments)
	}
	from, to := b.sides[0], b.sides[1]
	family := unix.AF_INET
	if six {
		family = unix.AF_INET6
	}
	var at unix.Sockaddr
	if err = to.guest.Do(func() (err error) {
		if f.in, err = unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0); err != nil {
			return err
		}
		if err := unix.SetsockoptInt(f.in, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer); err != nil {
			_ = unix.SetsockoptInt(f.in, unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer)
		}
		if segmented {
			if err := unix.SetsockoptInt(f.in, unix.SOL_UDP, unix.UDP_GRO, 1); err != nil {
				return err
			}
		}
		if err := unix.Bind(f.in, sockaddr(netip.AddrPortFrom(to.of(six), 0))); err != nil {
			return err
		}
		at, err = unix.Getsockname(f.in)
		return err
	}); err != nil {
		f.closeSockets()
		return nil, err
	}
	if err = from.guest.Do(func() (err error) {
		if f.out, err = unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0); err != nil {
			return err
		}
		if segmented {
			if err := unix.SetsockoptInt(f.out, unix.SOL_UDP, unix.UDP_SEGMENT, segmentPayload); err != nil {
				return err
			}
		}
		return unix.Connect(f.out, at)
	}); err != nil {
		f.closeSockets()
		return nil, err
	}
	go f.receive()
	return f, nil
}

func (f *udpFlow) close() {
	f.stop.Store(true)
	<-f.done
	f.closeSockets()
}

func (f *udpFlow) closeSockets() {
	for _, fd := range []int{f.in, f.out} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
}

// receive counts datagrams, those that come as one (UDP_GRO) by their bytes.
func (f *udpFlow) receive() {
	defer close(f.done)
	m := newMessages(batch, max(f.payload, 1<<16*min(1, f.each-1)))
	for !f.stop.Load() {
		n, err := m.call(unix.SYS_RECVMMSG, f.in, len(m.heads), unix.MSG_DONTWAIT)
		if err != nil {
			pause(receiveEvery)
			continue
		}
		datagrams := 0
		for i := range n {
			datagrams += max(1, int(m.heads[i].len)/f.payload)
		}
		f.received.Add(uint64(datagrams))
	}
}

// send sends at a rate of datagrams a second, 0 for all it can, and tells how many it sent.
func (f *udpFlow) send(d time.Duration, rate float64) (sent int, err error) {
	start, skipped := time.Now(), 0
	most := len(f.messages.heads)
	for {
		elapsed := time.Since(start)
		if elapsed >= d {
			return sent, nil
		}
		n := most
		if rate > 0 {
			due := int(rate*elapsed.Seconds()) - sent - skipped
			if due <= 0 {
				pause(time.Duration(float64(most) / 4 / rate * float64(time.Second)))
				continue
			}
			if due > maxBehind { // we were not scheduled: no flood to make up for it
				skipped += due - maxBehind
			}
			n = min(due, most)
		}
		binary.NativeEndian.PutUint64(f.messages.data[0], uint64(sent))
		k, err := f.messages.call(unix.SYS_SENDMMSG, f.out, n, 0)
		if err != nil && !errors.Is(err, unix.ENOBUFS) {
			return sent, err
		}
		sent += k * f.each
		f.sent.Add(uint64(k * f.each))
	}
}

// pause sleeps for less than a millisecond, which Go's own timers do not.
func pause(d time.Duration) {
	ts := unix.NsecToTimespec(max(20*time.Microsecond, min(d, time.Millisecond)).Nanoseconds())
	_ = unix.Nanosleep(&ts, nil)
}
