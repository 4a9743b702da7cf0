package e2e

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/workload"
)

// party is what a hostile workload does until it is stopped, with little traffic of its own.
type party struct {
	name  string
	slow  int // the host, from 1 on, whose w1 has a slow stack; 0: none
	start func(t *testing.T, f *field) (stop func())
}

var parties = []party{
	{"400 superframes a second of one-byte segments", 0, func(t *testing.T, f *field) func() {
		return f.drip(t, 400, superframe(4096, 1), f.address(1, 0))
	}},
	{"eight TCP streams of small segments", 0, func(t *testing.T, f *field) func() {
		s, err := newStreams(f.w[0][0], f.w[1][0], f.address(1, 0), 8, 88)
		if err != nil {
			t.Fatal(err)
		}
		return s.close
	}},
	{"2,000 datagrams a second into a slow stack of its own", 1, func(t *testing.T, f *field) func() {
		lift := burden(t, f.w[0][0])
		return both(f.drip(t, 2000, (*attacker).plain, f.address(0, 0)), lift)
	}},
	{"2,000 datagrams a second into the other host's slow stack", 2, func(t *testing.T, f *field) func() {
		lift := burden(t, f.w[1][0])
		return both(f.drip(t, 2000, (*attacker).plain, f.address(1, 0)), lift)
	}},
}

func both(first, then func()) func() {
	return func() {
		first()
		then()
	}
}

// plain is a small datagram, without a virtio header's wishes.
func (x *attacker) plain(to string) []byte {
	return append(make([]byte, packet.VnetLen), x.udp(x.own, to)...)
}

// superframe is TCP of which each segment is to carry size bytes.
func superframe(data, size int) func(x *attacker, to string) []byte {
	return func(x *attacker, to string) []byte {
		segment := make([]byte, packet.TCPMinLen+data)
		binary.BigEndian.PutUint16(segment, 7001)
		binary.BigEndian.PutUint16(segment[2:], 7001)
		segment[12] = packet.TCPMinLen / 4 << 4
		segment[13] = 0x10 // ACK
		f := x.ip(x.own, to, packet.ProtocolTCP, segment, nil)
		b := make([]byte, packet.VnetLen, packet.VnetLen+len(f))
		o := packet.Offload{
			Flags: 1, GSOType: packet.GSOTCPv4, GSOSize: uint16(size), HeaderLen: packet.EthernetLen + packet.IPv4MinLen + packet.TCPMinLen,
			CsumStart: packet.EthernetLen + packet.IPv4MinLen, CsumOffset: 16,
		}
		o.Put(b)
		return append(b, f...)
	}
}

// drip sends a frame so often a second from the first workload, until stop is called.
func (f *field) drip(t *testing.T, rate int, frame func(x *attacker, to string) []byte, to string) (stop func()) {
	t.Helper()
	x := &attacker{Rand: rand.New(rand.NewPCG(1, 2)), from: packet.MAC(macOf(t, f.w[0][0], "eth0")), to: gatewayMAC, own: f.address(0, 0)}
	b := frame(x, to)
	var fd int
	var at *unix.SockaddrLinklayer
	in(t, f.w[0][0], func() (err error) {
		if fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
			return err
		}
		if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1); err != nil {
			return err
		}
		return withLink("eth0", func(l netlink.Link) error {
			at = &unix.SockaddrLinklayer{Ifindex: l.Attrs().Index}
			return netlink.LinkSetMTU(l, 9000)
		})
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for start, sent := time.Now(), 0; ctx.Err() == nil; <-tick.C {
			for ; ctx.Err() == nil && sent < int(time.Since(start).Seconds()*float64(rate)); sent++ {
				if err := unix.Sendto(fd, b, unix.MSG_DONTWAIT, at); err != nil && err != unix.ENOBUFS && err != unix.EAGAIN {
					done <- err
					return
				}
			}
		}
		done <- nil
	}()
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("sending: %v", err)
		}
		unix.Close(fd)
	}
}

// burden has a workload's own stack work for milliseconds on each packet that it gets,
// until the function that it returns is called: many packet sockets, each with a filter
// as long as one may be. A hundred thousand nftables rules do the same, but take longer to make.
func burden(t *testing.T, ns workload.Namespace) (lift func()) {
	t.Helper()
	const sockets, instructions = 512, 4096
	filter := make([]unix.SockFilter, instructions)
	for i := range filter {
		filter[i] = unix.SockFilter{Code: unix.BPF_ALU | unix.BPF_MUL | unix.BPF_K, K: 3}
	}
	filter[0] = unix.SockFilter{Code: unix.BPF_LD | unix.BPF_IMM, K: 1}
	filter[instructions-1] = unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K}
	program := unix.SockFprog{Len: instructions, Filter: &filter[0]}
	var all []int
	in(t, ns, func() error {
		for range sockets {
			fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				return err
			}
			all = append(all, fd)
			if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &program); err != nil {
				return err
			}
			if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: 0x0008 /* ETH_P_IP: what comes in, alone */}); err != nil {
				return err
			}
		}
		return nil
	})
	return func() {
		for _, fd := range all {
			unix.Close(fd)
		}
	}
}

// withMSS has a socket send segments of no more than that, and ask for no larger ones.
func withMSS(mss int) func(_, _ string, c syscall.RawConn) error {
	return func(_, _ string, c syscall.RawConn) (err error) {
		if mss == 0 {
			return nil
		}
		if cerr := c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_MAXSEG, mss) }); cerr != nil {
			return cerr
		}
		return err
	}
}

func listenMSS(address string, mss int) (net.Listener, error) {
	c := net.ListenConfig{Control: withMSS(mss)}
	return c.Listen(context.Background(), "tcp4", net.JoinHostPort(address, "0"))
}

func dialMSS(address string, mss int) (net.Conn, error) {
	d := net.Dialer{Timeout: patience, Control: withMSS(mss)}
	return d.Dial("tcp4", address)
}
