package link

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/vrouter/vrouter/internal/packet"
)

const (
	// receiveBuffer in bytes is what may wait in the kernel while the router is
	// busy: some hundred superframes of 64 KB, as the kernel accounts them.
	receiveBuffer = 16 << 20
	sendBuffer    = 16 << 20
	// sendBatch is how many frames one sendmmsg(2) takes.
	sendBatch = 64
)

// AFPacket is the uplink's port: a packet socket that sees every frame of the
// interface before the host's own stack, or any ingress filter, does.
type AFPacket struct {
	file *os.File
	raw  syscall.RawConn
	lost atomic.Uint64

	msgs   []mmsghdr // of Read, one for each frame
	iovs   []unix.Iovec
	frames []packet.Frame
	n      int
	err    error
	ready  func(fd uintptr) bool
	// senders are what Write needs for one call; several workers write at once.
	senders sync.Pool
}

// OpenAFPacket opens the interface with the given index in the calling thread's
// network namespace. own lists the addresses that the host itself answers for.
func OpenAFPacket(index int, own []netip.Addr) (*AFPacket, error) {
	// Protocol 0 receives nothing until bind, when the filter is in place.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("packet socket: %w (run as root, or with CAP_NET_RAW)", err)
	}
	if err := setUp(fd, index, own); err != nil {
		unix.Close(fd)
		return nil, err
	}
	p := &AFPacket{file: os.NewFile(uintptr(fd), "packet socket")}
	p.ready = p.readReady
	p.senders.New = func() any { return newSender() }
	p.raw, err = p.file.SyscallConn()
	return p, err
}

func setUp(fd, index int, own []netip.Addr) error {
	for _, o := range []struct {
		level, name, value int
		what               string
	}{
		{unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1, "virtio headers"},
		{unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1, "ignoring what we send"},
	} {
		if err := unix.SetsockoptInt(fd, o.level, o.name, o.value); err != nil {
			return fmt.Errorf("packet socket: %s: %w", o.what, err)
		}
	}
	setBuffer(fd, unix.SO_RCVBUFFORCE, unix.SO_RCVBUF, receiveBuffer)
	setBuffer(fd, unix.SO_SNDBUFFORCE, unix.SO_SNDBUF, sendBuffer)
	if err := attachFilter(fd, own); err != nil {
		return err
	}
	addr := &unix.SockaddrLinklayer{Protocol: htons(unix.ETH_P_ALL), Ifindex: index}
	if err := unix.Bind(fd, addr); err != nil {
		return fmt.Errorf("packet socket: bind to interface %d: %w", index, err)
	}
	return nil
}

// setBuffer asks for more than the system's limit where it may, else for what it can get.
func setBuffer(fd, force, plain, bytes int) {
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, force, bytes) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, plain, bytes)
	}
}

func htons(v uint16) uint16 {
	return binary.NativeEndian.Uint16([]byte{byte(v >> 8), byte(v)})
}

// SetOwn replaces the addresses that the host itself answers for.
func (p *AFPacket) SetOwn(own []netip.Addr) error {
	var ferr error
	if err := p.raw.Control(func(fd uintptr) { ferr = attachFilter(int(fd), own) }); err != nil {
		return err
	}
	return ferr
}

// Read implements Port.
func (p *AFPacket) Read(frames []packet.Frame) (int, error) {
	p.frames, p.n, p.err = frames, 0, nil
	if len(p.msgs) < len(frames) {
		p.msgs, p.iovs = make([]mmsghdr, len(frames)), make([]unix.Iovec, len(frames))
	}
	if p.raw.Read(p.ready) != nil {
		return 0, os.ErrClosed // the one error that waiting can end with
	}
	return p.n, p.err
}

func (p *AFPacket) readReady(fd uintptr) bool {
	for i := range p.frames {
		b := p.frames[i].Buf[packet.Headroom-packet.VnetLen:]
		setMsg(&p.msgs[i], &p.iovs[i], b)
	}
	n, err := mmsg(unix.SYS_RECVMMSG, int(fd), p.msgs[:len(p.frames)])
	if err == unix.EAGAIN {
		return false
	}
	p.n, p.err = n, err
	for i := range p.frames[:n] {
		f := &p.frames[i]
		f.Off = packet.Headroom
		f.Len = max(0, int(p.msgs[i].len)-packet.VnetLen)
		f.Offload = packet.ParseOffload(f.Buf[f.Off-packet.VnetLen:])
	}
	return true
}

func setMsg(m *mmsghdr, iov *unix.Iovec, b []byte) {
	iov.Base = &b[0]
	iov.SetLen(len(b))
	m.hdr.Iov = iov
	m.hdr.SetIovlen(1)
}

// sender is one call of Write under way.
type sender struct {
	msgs   [sendBatch]mmsghdr
	iovs   [sendBatch]unix.Iovec
	frames []*packet.Frame
	sent   int
	err    error
	send   func(fd uintptr) // bound once: a new closure a call would allocate
}

func newSender() *sender {
	s := &sender{}
	s.send = s.sendAll
	return s
}

// Write implements Port.
func (p *AFPacket) Write(frames []*packet.Frame) (int, error) {
	s := p.senders.Get().(*sender)
	s.frames, s.sent, s.err = frames, 0, nil
	if err := p.raw.Control(s.send); err != nil {
		s.err = err
	}
	sent, err := s.sent, s.err
	s.frames = nil
	p.senders.Put(s)
	return sent, writeError(err)
}

func (s *sender) sendAll(fd uintptr) {
	for s.sent < len(s.frames) {
		batch := s.frames[s.sent:min(s.sent+sendBatch, len(s.frames))]
		for i, f := range batch {
			f.Offload.Put(f.Buf[f.Off-packet.VnetLen:])
			setMsg(&s.msgs[i], &s.iovs[i], f.Buf[f.Off-packet.VnetLen:f.Off+f.Len])
		}
		n, err := mmsg(unix.SYS_SENDMMSG, int(fd), s.msgs[:len(batch)])
		if err != nil {
			s.err = err
			return
		}
		s.sent += n
	}
}

// Lost implements Port: what did not fit into the socket's buffer. The kernel's
// count starts again at every look.
func (p *AFPacket) Lost() uint64 {
	_ = p.raw.Control(func(fd uintptr) {
		if s, err := unix.GetsockoptTpacketStats(int(fd), unix.SOL_PACKET, unix.PACKET_STATISTICS); err == nil {
			p.lost.Add(uint64(s.Drops))
		}
	})
	return p.lost.Load()
}

// CanOffload implements Port.
func (p *AFPacket) CanOffload() bool { return true }

// Close implements Port.
func (p *AFPacket) Close() error { return p.file.Close() }
