//go:build peer

package peer_test

import (
"os"
	"encoding/binary"
	"fmt"
	"net/netip"
	"sync"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/workload"
)

// sniffer reads what passes on host A's uplink, in both directions.
type sniffer struct {
	mu        sync.Mutex
	tunnelled map[netip.Addr]int // IP-in-IP by its sender
	fragments map[netip.Addr]int // of it
	tos       map[byte]int       // of A's outer headers
	errors    []string           // of ICMP about outer packets, as type/code
	faults    []string
}

// sniff starts one, which ends with the test.
func sniff(t *testing.T, n workload.Namespace, link string) *sniffer {
	s := &sniffer{tunnelled: map[netip.Addr]int{}, fragments: map[netip.Addr]int{}, tos: map[byte]int{}}
	var fd int
	err := n.Do(func() (err error) {
		fd, err = openSniffer(link)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 256)
		for {
			n, err := unix.Read(fd, buf)
			if err == unix.EINTR || err == unix.ENETDOWN {
				continue
			}
			if err != nil || n == 0 {
				return
			}
			s.take(buf[:n])
		}
	}()
	t.Cleanup(func() {
		_ = unix.Shutdown(fd, unix.SHUT_RD)
		unix.Close(fd)
	})
	return s
}

func openSniffer(link string) (int, error) {
	l, err := netlink.LinkByName(link)
	if err != nil {
		return 0, err
	}
	all := binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, unix.ETH_P_ALL))
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, int(all))
	if err != nil {
		return 0, err
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 64<<20)
	return fd, unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: l.Attrs().Index})
}

// take looks at one frame.
func (s *sniffer) take(b []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
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
	case ip.Protocol() == packet.ProtocolICMP && ip.Dst() == hostA && quotesIPIP(ip.Payload()):
		icmp := ip.Payload()
		s.errors = append(s.errors, fmt.Sprintf("%d/%d", icmp[0], icmp[1]))
		if icmp[0] == packet.ICMPUnreachable && icmp[1] == 2 {
			s.fault("Protocol Unreachable from %s", ip.Src())
		}
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
	if os.Getenv("DBG")!="" { fmt.Println(ip.Src(), ip.TotalLen(), ip.IsFragment(), ip.DF(), packet.IPv4(ip[20:]).TotalLen(), packet.IPv4(ip[20:]).IsFragment()) }
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
