package main

import (
	"fmt"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
)

const (
	echoData = 56 // bytes, as ping(8) sends
	echoID   = 4711
)

// pinger is a socket that sends echo requests of a family. It blocks, as Go's poller would add
// a wake-up to each.
type pinger struct {
	fd            int
	to            unix.Sockaddr
	request       icmp.Type
	reply         icmp.Type
	protocol, ihl int // of what comes; bytes of IP header in front of it
}

func newPinger(to netip.Addr) (p pinger, err error) {
	family, protocol := unix.AF_INET, unix.IPPROTO_ICMP
	p = pinger{request: ipv4.ICMPTypeEcho, reply: ipv4.ICMPTypeEchoReply, protocol: 1, ihl: 20} // our own requests carry no IP options
	if to.Is6() {
		family, protocol = unix.AF_INET6, unix.IPPROTO_ICMPV6
		p = pinger{request: ipv6.ICMPTypeEchoRequest, reply: ipv6.ICMPTypeEchoReply, protocol: unix.IPPROTO_ICMPV6}
	}
	p.to = sockaddr(netip.AddrPortFrom(to, 0))
	p.fd, err = unix.Socket(family, unix.SOCK_RAW|unix.SOCK_CLOEXEC, protocol)
	return p, err
}

// sockaddr is an address of either family.
func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is6() {
		return &unix.SockaddrInet6{Addr: a.Addr().As16(), Port: int(a.Port())}
	}
	return &unix.SockaddrInet4{Addr: a.Addr().As4(), Port: int(a.Port())}
}

// sequence numbers the requests of all pingers: pasta takes one of the number before for its own
// answer, and is silent.
var sequence atomic.Uint32

// roundTrips pings the other workload by a family, one at a time, and returns the sorted times.
func roundTrips(from *side, six bool, n int, timeout time.Duration) (times []time.Duration, err error) {
	var p pinger
	if err := from.guest.Do(func() (err error) {
		p, err = newPinger(from.peer.of(six))
		return err
	}); err != nil {
		return nil, err
	}
	defer unix.Close(p.fd)
	limit := unix.NsecToTimeval(timeout.Nanoseconds())
	if err := unix.SetsockoptTimeval(p.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit); err != nil {
		return nil, err
	}
	for i := range n {
		start := time.Now()
		if err := p.echo(int(sequence.Add(1) & 0xffff)); err != nil {
			return nil, fmt.Errorf("echo request %d: %w", i, err)
		}
		times = append(times, time.Since(start))
	}
	slices.Sort(times)
	return times, nil
}

func (p *pinger) echo(seq int) error {
	m := icmp.Message{Type: p.request, Body: &icmp.Echo{ID: echoID, Seq: seq, Data: make([]byte, echoData)}}
	b, err := m.Marshal(nil)
	if err != nil {
		return err
	}
	if err := unix.Sendto(p.fd, b, 0, p.to); err != nil {
		return err
	}
	for buf := make([]byte, 1500); ; {
		k, _, err := unix.Recvfrom(p.fd, buf, 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		if k < p.ihl {
			continue
		}
		m, err := icmp.ParseMessage(p.protocol, buf[p.ihl:k])
		if err != nil || m.Type != p.reply {
			continue
		}
		if e, ok := m.Body.(*icmp.Echo); ok && e.ID == echoID && e.Seq == seq {
			return nil
		}
	}
}
