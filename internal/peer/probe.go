package peer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"
)

const (
	ipLen   = 20
	echoLen = 8
)

// Probe is an ICMP echo request.
type Probe struct {
	To   netip.Addr
	Size int // bytes of the IPv4 packet; 0: 84, as ping(8)
	TTL  int // 0: 64
	TOS  int
	DF   bool
	Wait time.Duration // for an answer; 0: two seconds
}

// Answer is what came back for a probe.
type Answer struct {
	Lost bool // nothing came
	From netip.Addr
	Type int // of ICMP
	Code int
	TTL  int
	TOS  int
	MTU  int // of a Fragmentation Needed
}

var sequence atomic.Uint32

// Send sends the probe from the calling thread's network namespace.
func (p Probe) Send() (Answer, error) {
	if p.Size == 0 {
		p.Size = 84
	}
	if p.TTL == 0 {
		p.TTL = 64
	}
	if p.Wait == 0 {
		p.Wait = 2 * time.Second
	}
	conn, err := net.ListenPacket("ip4:icmp", "0.0.0.0")
	if err != nil {
		return Answer{}, err
	}
	defer conn.Close()
	if err := p.setOptions(conn.(*net.IPConn)); err != nil {
		return Answer{}, err
	}
	seq := int(uint16(sequence.Add(1)))
	id := os.Getpid() & 0xffff
	request := icmp.Message{Type: ipv4.ICMPTypeEcho, Body: &icmp.Echo{ID: id, Seq: seq, Data: make([]byte, p.Size-ipLen-echoLen)}}
	b, err := request.Marshal(nil)
	if err != nil {
		return Answer{}, err
	}
	if _, err := conn.WriteTo(b, &net.IPAddr{IP: p.To.AsSlice()}); err != nil {
		return Answer{}, fmt.Errorf("%+v: %w", p, err)
	}
	return p.await(conn.(*net.IPConn), id, seq)
}

// setOptions lets Don't Fragment be set without regard to what the stack has
// learnt of the path: the answer shall be the network's.
func (p Probe) setOptions(conn *net.IPConn) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	discover := unix.IP_PMTUDISC_DONT
	if p.DF {
		discover = unix.IP_PMTUDISC_PROBE
	}
	var serr error
	err = raw.Control(func(fd uintptr) {
		serr = errors.Join(
			unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, discover),
			unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_TTL, p.TTL),
			unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_TOS, p.TOS),
		)
	})
	return errors.Join(err, serr)
}

// await reads until an answer to the probe comes. A raw socket gives the header
// too, and every ICMP packet that this namespace receives.
func (p Probe) await(conn *net.IPConn, id, seq int) (Answer, error) {
	raw, err := ipv4.NewRawConn(conn)
	if err != nil {
		return Answer{}, err
	}
	if err := raw.SetReadDeadline(time.Now().Add(p.Wait)); err != nil {
		return Answer{}, err
	}
	buf := make([]byte, 2048)
	for {
		h, b, _, err := raw.ReadFrom(buf)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return Answer{Lost: true}, nil
		}
		if err != nil {
			return Answer{}, err
		}
		if len(b) < echoLen || !p.answers(b, id, seq) {
			continue
		}
		from, _ := netip.AddrFromSlice(h.Src.To4())
		a := Answer{From: from, Type: int(b[0]), Code: int(b[1]), TTL: h.TTL, TOS: h.TOS}
		if a.Type == int(ipv4.ICMPTypeDestinationUnreachable) && a.Code == 4 {
			a.MTU = int(binary.BigEndian.Uint16(b[6:]))
		}
		return a, nil
	}
}

// answers says whether an ICMP message is the reply to the probe, whole, or an
// error that quotes it.
func (p Probe) answers(b []byte, id, seq int) bool {
	whole := b
	switch ipv4.ICMPType(b[0]) {
	case ipv4.ICMPTypeEchoReply:
	case ipv4.ICMPTypeDestinationUnreachable, ipv4.ICMPTypeTimeExceeded:
		if len(b) < echoLen+ipLen+echoLen || netip.AddrFrom4([4]byte(b[echoLen+16:])) != p.To {
			return false
		}
		whole, b = nil, b[echoLen+ipLen:]
	default:
		return false
	}
	return int(binary.BigEndian.Uint16(b[4:])) == id && int(binary.BigEndian.Uint16(b[6:])) == seq &&
		(whole == nil || len(whole) == p.Size-ipLen)
}
