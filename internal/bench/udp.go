package main

import (
	"errors"
	"net"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"
)

const (
	payload   = 64 // bytes of a small datagram
	batch     = 64 // datagrams of one system call
	maxBehind = 512
	allowed   = 0.001 // share that may be lost
	reached   = 0.95  // share of the wanted rate that has to be sent
	tries     = 2     // of a rate
	steps     = 8     // of the bisection

	receiveBuffer = 32 << 20 // bytes: the receiver may be late, but loses nothing
)

// udpFlow is small datagrams from one workload to the other.
type udpFlow struct {
	sent     atomic.Uint64
	received atomic.Uint64
	in, out  *net.UDPConn
	conn     *ipv4.PacketConn
	messages [batch]ipv4.Message
}

func openUDP(b *bed) (*udpFlow, error) {
	f := &udpFlow{}
	from, to := b.sides[0], b.sides[1]
	err := to.guest.Do(func() (err error) {
		f.in, err = net.ListenUDP("udp4", &net.UDPAddr{IP: to.address.Addr().AsSlice()})
		return err
	})
	if err != nil {
		return nil, err
	}
	if err := from.guest.Do(func() (err error) {
		f.out, err = net.DialUDP("udp4", nil, f.in.LocalAddr().(*net.UDPAddr))
		return err
	}); err != nil {
		f.in.Close()
		return nil, err
	}
	f.conn = ipv4.NewPacketConn(f.out)
	for i := range f.messages {
		f.messages[i].Buffers = [][]byte{make([]byte, payload)}
	}
	go f.receive()
	return f, nil
}

func (f *udpFlow) close() {
	f.out.Close()
	f.in.Close()
}

// mmsghdr is struct mmsghdr of recvmmsg(2).
type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
	_   [4]byte
}

// receive counts. Package ipv4 would make an address of each datagram's source.
func (f *udpFlow) receive() {
	raw, err := f.in.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		if unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer) != nil {
			_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer)
		}
	})
	var data [batch][payload]byte
	var iovs [batch]unix.Iovec
	var msgs [batch]mmsghdr
	for i := range msgs {
		iovs[i].Base = &data[i][0]
		iovs[i].SetLen(payload)
		msgs[i].hdr.Iov = &iovs[i]
		msgs[i].hdr.SetIovlen(1)
	}
	take := func(fd uintptr) bool {
		n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&msgs[0])), batch, unix.MSG_DONTWAIT, 0, 0)
		if errno == 0 {
			f.received.Add(uint64(n))
		}
		return errno != unix.EAGAIN
	}
	for raw.Read(take) == nil {
	}
}

// sendFor sends at a rate, 0 for all it can, and tells how many it sent.
func (f *udpFlow) sendFor(d time.Duration, rate float64) (sent int, err error) {
	start, skipped := time.Now(), 0
	for {
		elapsed := time.Since(start)
		if elapsed >= d {
			return sent, nil
		}
		n := batch
		if rate > 0 {
			due := int(rate*elapsed.Seconds()) - sent - skipped
			if due <= 0 {
				pause(time.Duration(batch / 4 / rate * float64(time.Second)))
				continue
			}
			if due > maxBehind { // we were not scheduled: no flood to make up for it
				skipped += due - maxBehind
			}
			n = min(due, batch)
		}
		k, err := f.conn.WriteBatch(f.messages[:n], 0)
		if err != nil && !errors.Is(err, unix.ENOBUFS) {
			return sent, err
		}
		sent += max(0, k)
		f.sent.Add(uint64(max(0, k)))
	}
}

// pause sleeps for less than a millisecond, which Go's own timers do not.
func pause(d time.Duration) {
	ts := unix.NsecToTimespec(max(20*time.Microsecond, min(d, time.Millisecond)).Nanoseconds())
	_ = unix.Nanosleep(&ts, nil)
}

// settle waits until nothing more comes, and tells how many came since before.
func (f *udpFlow) settle(before uint64) int {
	last := f.received.Load()
	for range 50 {
		time.Sleep(20 * time.Millisecond)
		now := f.received.Load()
		if now == last {
			break
		}
		last = now
	}
	return int(last - before)
}

// overload sends all it can: packets a second that were sent, and that arrived.
func (f *udpFlow) overload(d time.Duration) (sent, received float64, err error) {
	warm := d / 5
	done := make(chan error, 1)
	go func() {
		_, err := f.sendFor(warm+d, 0)
		done <- err
	}()
	time.Sleep(warm)
	start, out, in := time.Now(), f.sent.Load(), f.received.Load()
	err = <-done
	seconds := time.Since(start).Seconds()
	sent, received = float64(f.sent.Load()-out)/seconds, float64(f.received.Load()-in)/seconds
	f.settle(0)
	return sent, received, err
}

// lossless finds the highest rate, in packets a second, that arrives.
func (f *udpFlow) lossless(d time.Duration, most float64) (best float64, err error) {
	bisect(0, most, steps, func(rate float64) bool {
		got, ok, serr := f.arrives(d, rate)
		best, err = max(best, got), errors.Join(err, serr)
		return ok
	})
	return best, err
}

// arrives tries a rate, a second time if it fails: a neighbour on the machine
// should not decide. If the sender is too slow for it but nothing is lost, the
// rate passes for the one that was sent. best is what did arrive without loss.
func (f *udpFlow) arrives(d time.Duration, rate float64) (best float64, ok bool, err error) {
	tooSlow := 0
	for range tries {
		before := f.received.Load()
		sent, err := f.sendFor(d, rate)
		if err != nil {
			return best, false, err
		}
		got := f.settle(before)
		if float64(sent-got) > allowed*float64(sent) {
			continue
		}
		best = max(best, float64(got)/d.Seconds())
		if float64(sent) >= reached*rate*d.Seconds() {
			return best, true, nil
		}
		tooSlow++
	}
	return best, tooSlow == tries, nil
}
