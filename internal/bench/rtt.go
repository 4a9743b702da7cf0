package main

import (
	"fmt"
	"slices"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"
)

const (
	echoData = 56 // bytes, as ping(8) sends
	echoID   = 4711
)

// roundTrips pings the other workload, one at a time, and returns the sorted
// times. The socket blocks, as Go's poller would add a wake-up to each.
func roundTrips(from *side, n int, timeout time.Duration) (times []time.Duration, err error) {
	fd := -1
	if err := from.guest.Do(func() (err error) {
		fd, err = unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_ICMP)
		return err
	}); err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	limit := unix.NsecToTimeval(timeout.Nanoseconds())
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit); err != nil {
		return nil, err
	}
	to := &unix.SockaddrInet4{Addr: from.peer.address.Addr().As4()}
	for seq := range n {
		start := time.Now()
		if err := echo(fd, to, seq); err != nil {
			return nil, fmt.Errorf("echo request %d: %w", seq, err)
		}
		times = append(times, time.Since(start))
	}
	slices.Sort(times)
	return times, nil
}

func echo(fd int, to unix.Sockaddr, seq int) error {
	m := icmp.Message{Type: ipv4.ICMPTypeEcho, Body: &icmp.Echo{ID: echoID, Seq: seq, Data: make([]byte, echoData)}}
	b, err := m.Marshal(nil)
	if err != nil {
		return err
	}
	if err := unix.Sendto(fd, b, 0, to); err != nil {
		return err
	}
	for buf := make([]byte, 1500); ; {
		k, _, err := unix.Recvfrom(fd, buf, 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		if k < 20 {
			continue
		}
		m, err := icmp.ParseMessage(1, buf[20:k]) // our own requests carry no IP options
		if err != nil || m.Type != ipv4.ICMPTypeEchoReply {
			continue
		}
		if e, ok := m.Body.(*icmp.Echo); ok && e.ID == echoID && e.Seq == seq {
			return nil
		}
	}
}
