//go:build peer

package peer_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/workload"
)

// sniffer reads what passes on host A's uplink, in both directions.
type sniffer struct {
	file      *os.File
	mu        sync.Mutex
	behind    int                // frames in the socket's queue
	missed    int                // frames that found it full
	tunnelled map[netip.Addr]int // IP-in-IP by its sender
	fragments map[netip.Addr]int // of it
	tos       map[byte]int       // of A's outer headers
	errors    map[string]int     // of ICMP about outer packets, as "from > to type/code"
	faults    []string
}

// sniff starts one, which ends with the test.
func sniff(t *testing.T, n workload.Namespace, link string) *sniffer {
	t.Helper()
	s := &sniffer{tunnelled: map[netip.Addr]int{}, fragments: map[netip.Addr]int{}, tos: map[byte]int{}, errors: map[string]int{}}
	must(t, n.Do(func() (err error) {
		s.file, err = openSniffer(link)
		return err
	}))
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.read()
	}()
	t.Cleanup(func() {
		s.file.Close()
		<-done
	})
	return s
}

// openSniffer opens a packet socket that can be closed under a reader.
func openSniffer(link string) (*os.File, error) {
	l, err := netlink.LinkByName(link)
	if err != nil {
		return nil, err
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 64<<20)
	all := binary.NativeEndian.Uint16([]byte{0, unix.ETH_P_ALL})
	return os.NewFile(uintptr(fd), link), unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: l.Attrs().Index})
}

// read looks at frames until the file is closed. The headers are enough.
func (s *sniffer) read() {
	buf := make([]byte, 256)
	for {
		n, err := s.file.Read(buf)
		if errors.Is(err, unix.ENETDOWN) {
			continue // and may come up again
		}
		if err != nil {
			return
		}
		s.take(buf[:n])
	}
}

// look lets f look at what was on the wire up to now.
func (s *sniffer) look(t *testing.T, f func()) {
	t.Helper()
	deadline := time.Now().Add(callTimeout)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for ; time.Now().Before(deadline); <-tick.C {
		if s.lookNow(t, f) {
			return
		}
	}
	t.Fatal("the sniffer does not keep up")
}

// lookNow does so if no frame waits in the socket's queue.
func (s *sniffer) lookNow(t *testing.T, f func()) bool {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	must(t, s.count())
	if s.behind > 0 {
		return false
	}
	f()
	return true
}

// count adds what has come into the socket's queue since it was asked last.
func (s *sniffer) count() error {
	raw, err := s.file.SyscallConn()
	if err != nil {
		return err
	}
	var stats *unix.TpacketStats
	cerr := raw.Control(func(fd uintptr) {
		stats, err = unix.GetsockoptTpacketStats(int(fd), unix.SOL_PACKET, unix.PACKET_STATISTICS)
	})
	if err := errors.Join(cerr, err); err != nil {
		return err
	}
	s.missed += int(stats.Drops)
	s.behind += int(stats.Packets - stats.Drops)
	return nil
}

// take looks at one frame.
func (s *sniffer) take(b []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.behind--
	kind := binary.BigEndian.Uint16(b[12:])
	if kind == packet.EtherTypeARP {
		return
	}
	ip := packet.IPv4(b[packet.EthernetLen:])
	switch {
	case kind != packet.EtherTypeIPv4:
		s.fault("ether type %04x", kind)
	case ip.Protocol() == packet.ProtocolIPIP:
		s.takeTunnelled(ip)
	case ip.Protocol() == packet.ProtocolICMP && quotesIPIP(ip.Payload()):
		icmp := ip.Payload()
		s.errors[fmt.Sprintf("%s > %s %d/%d", ip.Src(), ip.Dst(), icmp[0], icmp[1])]++
	default:
		s.fault("protocol %d from %s to %s: %x", ip.Protocol(), ip.Src(), ip.Dst(), []byte(ip))
	}
}

// quotesIPIP says whether an ICMP error is about an outer packet.
func quotesIPIP(icmp []byte) bool {
	return len(icmp) >= packet.ICMPHeaderLen+packet.IPv4MinLen && packet.IPv4(icmp[packet.ICMPHeaderLen:]).Protocol() == packet.ProtocolIPIP
}

// takeTunnelled checks T1 and T2 of what A sends.
func (s *sniffer) takeTunnelled(ip packet.IPv4) {
	s.tunnelled[ip.Src()]++
	if ip.IsFragment() {
		s.fragments[ip.Src()]++
	}
	if ip.Src() != hostA {
		return
	}
	s.tos[ip.TOS()]++
	inner := packet.IPv4(ip[packet.IPv4MinLen:])
	switch {
	case ip.HeaderLen() != packet.IPv4MinLen:
		s.fault("outer header with options")
	case ip.TTL() != 64:
		s.fault("outer ttl %d", ip.TTL())
	case packet.Checksum(ip[:packet.IPv4MinLen]) != 0:
		s.fault("outer checksum")
	case ip.IsFragment():
		s.fault("A fragments the outer packet")
	case ip.DF() != inner.DF():
		s.fault("outer DF %v, inner %v", ip.DF(), inner.DF())
	case ip.TOS() != inner.TOS():
		s.fault("outer TOS %02x, inner %02x", ip.TOS(), inner.TOS())
	}
}

func (s *sniffer) fault(format string, args ...any) {
	if len(s.faults) < 10 {
		s.faults = append(s.faults, fmt.Sprintf(format, args...))
	}
}
