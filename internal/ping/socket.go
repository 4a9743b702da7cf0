package ping

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync/atomic"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
)

// socket is for the ICMP of one family.
type socket struct {
	net.PacketConn
	protocol       int // IANA's number
	request, reply icmp.Type
	id             int // of this run's requests, and of no other's of this process (RFC 792)
	read           func([]byte) (n, ttl int, from net.Addr, err error)
}

// runs counts those of this process.
var runs atomic.Uint32

func nextID() int { return (os.Getpid() + int(runs.Add(1))) & 0xffff }

func open(to netip.Addr) (s socket, err error) {
	s.id = nextID()
	network, any := "ip4:icmp", "0.0.0.0"
	if to.Is6() {
		network, any = "ip6:ipv6-icmp", "::"
	}
	if s.PacketConn, err = net.ListenPacket(network, any); err != nil {
		return s, fmt.Errorf("%w (run as root, or with CAP_NET_RAW)", err)
	}
	if to.Is4() {
		p := ipv4.NewPacketConn(s.PacketConn)
		s.protocol, s.request, s.reply = 1, ipv4.ICMPTypeEcho, ipv4.ICMPTypeEchoReply
		s.read = func(b []byte) (n, ttl int, from net.Addr, err error) {
			n, cm, from, err := p.ReadFrom(b)
			if cm != nil {
				ttl = cm.TTL
			}
			return n, ttl, from, err
		}
		err = p.SetControlMessage(ipv4.FlagTTL, true)
	} else {
		p := ipv6.NewPacketConn(s.PacketConn)
		s.protocol, s.request, s.reply = 58, ipv6.ICMPTypeEchoRequest, ipv6.ICMPTypeEchoReply
		s.read = func(b []byte) (n, ttl int, from net.Addr, err error) {
			n, cm, from, err := p.ReadFrom(b)
			if cm != nil {
				ttl = cm.HopLimit
			}
			return n, ttl, from, err
		}
		err = p.SetControlMessage(ipv6.FlagHopLimit, true)
	}
	if err != nil {
		s.Close()
	}
	return s, err
}

// keepWhole has what is sent carry Don't Fragment, in IPv6 that it is not cut here, whatever the kernel knows of the path.
func (s *socket) keepWhole(to netip.Addr) error {
	conn, err := s.PacketConn.(*net.IPConn).SyscallConn()
	if err != nil {
		return err
	}
	level, option := unix.IPPROTO_IP, unix.IP_MTU_DISCOVER
	if to.Is6() {
		level, option = unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER
	}
	var failed error
	err = conn.Control(func(fd uintptr) { failed = unix.SetsockoptInt(int(fd), level, option, unix.IP_PMTUDISC_PROBE) })
	return errors.Join(err, failed)
}
