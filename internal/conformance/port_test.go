package conformance

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vrouter/vrouter/internal/workload"
)

// port is where the test meets the router: a raw socket on a workload's eth0, or
// on the far end of the host's ens160.
type port struct {
	name    string
	fd      int
	mac     mac    // the test's station here
	router  mac    // the router's
	ip      string // the workload's; "" on the uplink
	mtu     int
	at      time.Time      // when the last frame came
	answers map[string]mac // IPv6 stations that answer when they are asked for
}

// openPort opens a raw socket that sees all that comes in by an interface.
func openPort(ns workload.Namespace, ifname string) (*port, error) {
	p := &port{fd: -1}
	err := ns.Do(func() error {
		l, err := netlink.LinkByName(ifname)
		if err != nil {
			return fmt.Errorf("%s: %w", ifname, err)
		}
		p.mac, p.mtu = mac(l.Attrs().HardwareAddr), l.Attrs().MTU
		proto := binary.NativeEndian.Uint16([]byte{0, unix.ETH_P_ALL})
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		if err != nil {
			return fmt.Errorf("raw socket: %w", err)
		}
		p.fd = fd
		if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 16<<20) != nil {
			_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 16<<20) // as much as a user may
		}
		return errors.Join(
			unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1),
			unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS_NEW, 1),
			unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: proto, Ifindex: l.Attrs().Index}),
		)
	})
	return p, err
}

func (p *port) close() {
	if p != nil && p.fd >= 0 {
		unix.Close(p.fd)
	}
}

// isUplink says whether hosts are behind the port.
func (p *port) isUplink() bool { return p.ip == "" }

// to is a frame for the router with a packet in it.
func (p *port) to(ip []byte) []byte { return eth(p.router, p.station(), typeIPv4, ip) }

// from is the frame in which the router hands a packet over here.
func (p *port) from(ip []byte) []byte { return eth(p.station(), p.router, typeIPv4, ip) }

// station is who speaks here: on the uplink it is the other host.
func (p *port) station() mac {
	if p.isUplink() {
		return peerMAC
	}
	return p.mac
}

func (p *port) send(frame []byte) error {
	for {
		_, err := unix.Write(p.fd, frame)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.ENOBUFS):
			if _, err := unix.Poll([]unix.PollFd{{Fd: int32(p.fd), Events: unix.POLLOUT}}, 100); err != nil && !errors.Is(err, unix.EINTR) {
				return err
			}
			continue
		case err != nil:
			return fmt.Errorf("sending %d bytes by %s: %w", len(frame), p.name, err)
		}
		return nil
	}
}

// receive returns the next frame, or nil if none came before the deadline. When it came is
// the kernel's to say, as this program may have been late to read it.
func (p *port) receive(deadline time.Time) ([]byte, error) {
	buf, control := make([]byte, 70000), make([]byte, 64)
	for {
		n, length, _, _, err := unix.Recvmsg(p.fd, buf, control, 0)
		switch {
		case err == nil:
			m, err := unix.ParseSocketControlMessage(control[:length])
			if err != nil || len(m) != 1 || len(m[0].Data) != 16 {
				return nil, fmt.Errorf("reading %s: %d messages about the time (%w)", p.name, len(m), err)
			}
			p.at = time.Unix(int64(binary.NativeEndian.Uint64(m[0].Data)), int64(binary.NativeEndian.Uint64(m[0].Data[8:])))
			if p.passedOver(buf[:n]) {
				continue
			}
			return buf[:n:n], nil
		case errors.Is(err, unix.EINTR):
			continue
		case !errors.Is(err, unix.EAGAIN):
			return nil, fmt.Errorf("reading %s: %w", p.name, err)
		}
		left := time.Until(deadline)
		if left <= 0 {
			return nil, nil
		}
		if _, err := unix.Poll([]unix.PollFd{{Fd: int32(p.fd), Events: unix.POLLIN}}, int(left.Milliseconds())+1); err != nil && !errors.Is(err, unix.EINTR) {
			return nil, err
		}
	}
}
