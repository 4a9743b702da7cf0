package compare

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vrouter/vrouter/internal/packet"
)

const (
	// errorBurst and errorRate are those of a router's ICMP errors about what comes by one port: no more is sent than may all
	// be answered.
	errorBurst = 200
	errorRate  = 1000
	// volleySize is how many packets go at once.
	volleySize = 100
)

// frame is one that came out.
type frame struct {
	at      *place
	bytes   []byte
	pending bool // its transport checksum is still to be made, by a device
	ip      packet.IP
	when    int64 // it came, in ns
}

// shot is a packet to be sent.
type shot struct {
	from  string // HOST/WORKLOAD
	frame []byte // its stations are filled in
	ip    packet.IP
}

func newShot(from string, frame []byte) *shot {
	return &shot{from: from, frame: frame, ip: ipOf(frame)}
}

// of is the frame as a station sends it.
func (s *shot) of(mac packet.MAC) []byte {
	b := slices.Clone(s.frame)
	copy(b[6:12], mac[:])
	const sender, option = packet.EthernetLen + 8, packet.IPv6MinLen + 24
	switch {
	case s.ip == nil && len(b) >= sender+6 && binary.BigEndian.Uint16(b[12:]) == packet.EtherTypeARP:
		copy(b[sender:], mac[:])
	case s.ip != nil && isND(s.ip) && len(s.ip) >= option+8 && s.ip[option] == 1: // RFC 4861 4.6.1
		ip := packet.IPv6(b[packet.EthernetLen:])
		copy(ip[option+2:], mac[:])
		packet.SetICMPv6Checksum(ip, packet.IPv6MinLen)
	}
	return b
}

// ipOf is the IP packet in a frame; nil where there is none.
func ipOf(frame []byte) packet.IP {
	if len(frame) <= packet.EthernetLen {
		return nil
	}
	ip := whole(frame[packet.EthernetLen:])
	if ip == nil || binary.BigEndian.Uint16(frame[12:]) != typeOf(ip.Version()) {
		return nil
	}
	return ip
}

func typeOf(version int) uint16 {
	if version == 6 {
		return packet.EtherTypeIPv6
	}
	return packet.EtherTypeIPv4
}

// whole is an IP packet of which there is a whole header; nil else.
func whole(b []byte) packet.IP {
	switch {
	case len(b) >= packet.IPv4MinLen && b[0]>>4 == 4 && int(b[0]&15)*4 >= packet.IPv4MinLen && int(b[0]&15)*4 <= len(b),
		len(b) >= packet.IPv6MinLen && b[0]>>4 == 6:
		return b
	}
	return nil
}

// send sends packets, and returns what came out because of each, until nothing more has come for a while.
func (s *side) send(ctx context.Context, shots []*shot, quiet time.Duration) ([][]frame, error) {
	s.drain()
	for _, x := range shots {
		p := s.byOrigin[x.from]
		if err := p.send(x.of(p.mac)); err != nil {
			return nil, err
		}
	}
	out := make([][]frame, len(shots))
	deadline := time.Now().Add(quiet)
	for {
		n, err := unix.Poll(s.fds, int(max(1, time.Until(deadline)/time.Millisecond)))
		if err != nil && !errors.Is(err, unix.EINTR) {
			return nil, err
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if n <= 0 {
			if time.Now().Before(deadline) {
				continue
			}
			return inOrder(out), nil
		}
		for i := range s.fds {
			if s.fds[i].Revents == 0 {
				continue
			}
			for {
				f, err := s.places[i].receive()
				if err != nil {
					return nil, err
				}
				if f == nil {
					break
				}
				if at := whose(shots, f); at >= 0 {
					out[at] = append(out[at], *f)
					deadline = time.Now().Add(quiet)
				}
			}
		}
		if time.Now().After(deadline) {
			return inOrder(out), nil
		}
	}
}

// inOrder puts what came out because of each packet into the order in which it came.
func inOrder(out [][]frame) [][]frame {
	for _, list := range out {
		slices.SortStableFunc(list, func(f, g frame) int { return cmp.Compare(f.when, g.when) })
	}
	return out
}

func (s *side) drain() {
	for _, p := range s.places {
		for {
			if f, err := p.receive(); f == nil || err != nil {
				break
			}
		}
	}
}

func (p *place) send(b []byte) error {
	for {
		_, err := unix.Write(p.fd, b)
		switch {
		case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.ENOBUFS):
			if _, err := unix.Poll([]unix.PollFd{{Fd: int32(p.fd), Events: unix.POLLOUT}}, 100); err != nil && !errors.Is(err, unix.EINTR) {
				return err
			}
		case errors.Is(err, unix.EMSGSIZE):
			return fmt.Errorf("%d bytes are more than %s sends at once, %d: make it shorter", len(b)-packet.EthernetLen, p.name, p.mtu)
		default:
			return err
		}
	}
}

// receive is the next frame that was sent to the place; nil if there is none.
func (p *place) receive() (*frame, error) {
	for {
		b, oob := make([]byte, 1<<16), make([]byte, unix.CmsgSpace(32)+unix.CmsgSpace(16))
		n, oobn, _, from, err := unix.Recvmsg(p.fd, b, oob, unix.MSG_DONTWAIT)
		switch {
		case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.ENETDOWN):
			return nil, nil
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return nil, fmt.Errorf("%s: %w", p.name, err)
		}
		ll, ok := from.(*unix.SockaddrLinklayer)
		if !ok || ll.Pkttype == unix.PACKET_OUTGOING || ll.Pkttype == unix.PACKET_OTHERHOST || n < packet.EthernetLen {
			continue
		}
		pending, when := auxiliary(oob[:oobn])
		return &frame{p, b[:n:n], pending, trimmed(ipOf(b[:n])), when}, nil
	}
}

// auxiliary is what the kernel says of a packet: whether its checksum is still to be made, and when it came.
func auxiliary(oob []byte) (pending bool, when int64) {
	list, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return false, 0
	}
	for _, m := range list {
		switch {
		case m.Header.Level == unix.SOL_PACKET && m.Header.Type == unix.PACKET_AUXDATA && len(m.Data) >= 4:
			pending = binary.NativeEndian.Uint32(m.Data)&unix.TP_STATUS_CSUMNOTREADY != 0
		case m.Header.Level == unix.SOL_SOCKET && m.Header.Type == unix.SCM_TIMESTAMPNS && len(m.Data) >= 16:
			when = int64(binary.NativeEndian.Uint64(m.Data))*int64(time.Second) + int64(binary.NativeEndian.Uint64(m.Data[8:]))
		}
	}
	return pending, when
}

// trimmed is a packet without what is behind its end.
func trimmed(ip packet.IP) packet.IP {
	if ip == nil || ip.Len() < packet.IPv4MinLen || ip.Len() > len(ip) {
		return ip
	}
	return ip[:ip.Len()]
}

// pace waits until each of n packets from a workload may be told of by an ICMP error.
func (a *Arena) pace(from string, n int) {
	if full := time.Now().Add(time.Duration(errorBurst-n) * time.Second / errorRate); a.paid[from].After(full) {
		time.Sleep(a.paid[from].Sub(full))
	}
	if now := time.Now(); a.paid[from].Before(now) {
		a.paid[from] = now
	}
	a.paid[from] = a.paid[from].Add(time.Duration(n) * time.Second / errorRate)
}
