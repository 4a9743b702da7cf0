package link

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/vrouter/vrouter/internal/packet"
)

const (
	// receiveBuffer in bytes is what may wait in the kernel while the router is
	// busy, half of what the kernel accounts: some two thousand superframes of 64 KB.
	// With a quarter of that 16 TCP streams lost some, each a loss of 44 packets.
	receiveBuffer = 64 << 20
	sendBuffer    = 16 << 20
	// sendBatch is how many frames one sendmmsg(2) takes.
	sendBatch = 64
	// tailLen is what a superframe of BIG TCP has beyond the largest IP packet, rounded
	// up to pages (GSO_MAX_SIZE is 8 times 65,535). The memory is not there before such
	// a frame comes.
	tailLen = 8<<16 - 1<<16
	// maxSpare is how many frames are kept for the next one of those.
	maxSpare = 16
)

// AFPacket is the uplink's port: a packet socket that sees every frame of the
// interface before the host's own stack, or any ingress filter, does.
type AFPacket struct {
	handle
	place place
	off   int // where the frames begin that Read has prepared
	lost  atomic.Uint64
	msgs  []mmsghdr // of Read, one for each frame
	iovs  []unix.Iovec
	tails []byte        // one for each frame
	big                 // what is longer than a frame may be, or to be taken apart
	vxlan atomic.Uint32 // the port of VXLAN; 0: there is none
	// senders are what Write needs for one call; several workers write at once.
	senders sync.Pool
	carrier atomic.Pointer[carrier] // of superframes in tunnels; nil: there is none
}

// OpenAFPacket opens the interface with the given index in the calling thread's
// network namespace, with as many sockets as there are to be readers. The kernel
// spreads what comes in over them, all packets of a flow to the same one. own lists
// the addresses that the host itself answers for, but by the port of VXLAN; 0: by every port.
func OpenAFPacket(index, sockets int, own []netip.Addr, vxlan uint16) (all []*AFPacket, err error) {
	defer func() {
		if err != nil {
			for _, p := range all {
				p.Close()
			}
			all = nil
		}
	}()
	group := newGroup
	for range sockets {
		p, err := openSocket(index)
		if err != nil {
			return all, err
		}
		all = append(all, p)
		if sockets > 1 {
			if group, err = joinFanout(p.fd, group); err != nil {
				return all, fmt.Errorf("packet socket: fanout: %w (try `workers: 1`)", err)
			}
		}
	}
	// Only now is each frame read once: a socket that is bound and not yet in its
	// group gets all frames.
	for _, p := range all {
		if err := p.SetOwn(own, vxlan); err != nil {
			return all, err
		}
	}
	return all, nil
}

// openSocket makes one that receives nothing until it gets its filter.
func openSocket(index int) (*AFPacket, error) {
	// Protocol 0 receives nothing until bind, when the filter is in place.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("packet socket: %w (run as root, or with CAP_NET_RAW)", err)
	}
	if err := setUp(fd, index); err != nil {
		unix.Close(fd)
		return nil, err
	}
	p := &AFPacket{handle: handle{fd: fd}}
	p.senders.New = func() any { return new(sender) }
	return p, nil
}

func setUp(fd, index int) error {
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
	if err := setFilter(fd, nothing); err != nil {
		return err
	}
	addr := &unix.SockaddrLinklayer{Protocol: htons(unix.ETH_P_ALL), Ifindex: index}
	if err := unix.Bind(fd, addr); err != nil {
		return fmt.Errorf("packet socket: bind to interface %d: %w", index, err)
	}
	return nil
}

// newGroup asks joinFanout for a group of its own; 0 is a group like any other.
const newGroup = -1

// joinFanout makes a socket a member of a group, or of a new one, and returns the
// group. Fragments go by their addresses, so they stay together. A kernel before 6.2
// takes no notice of the flag, and copies for the filter what the host sends.
func joinFanout(fd, group int) (int, error) {
	const byFlow = (unix.PACKET_FANOUT_HASH | unix.PACKET_FANOUT_FLAG_IGNORE_OUTGOING) << 16
	if group != newGroup {
		return group, unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_FANOUT, group|byFlow)
	}
	const unique = unix.PACKET_FANOUT_FLAG_UNIQUEID << 16
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_FANOUT, byFlow|unique); err != nil {
		return 0, err
	}
	v, err := unix.GetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_FANOUT)
	return v & 0xffff, err
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

// SetOwn replaces the addresses that the host itself answers for, and the port of VXLAN, by
// which it does not.
func (p *AFPacket) SetOwn(own []netip.Addr, vxlan uint16) error {
	fd, err := p.acquire()
	if err != nil {
		return err
	}
	defer p.release()
	p.vxlan.Store(uint32(vxlan))
	return attachFilter(fd, own, vxlan)
}

// Read implements Port. recvmmsg(2) keeps an error that follows frames for the next
// call, so fewer frames than there is room for do not mean that there are no more.
func (p *AFPacket) Read(frames []packet.Frame) (n int, err error) {
	fd, err := p.acquire()
	if err != nil {
		return 0, err
	}
	defer p.release()
	if n = p.handOver(frames); n == len(frames) {
		return n, nil
	}
	if err := p.prepare(frames); err != nil {
		return n, err
	}
	for n < len(frames) {
		k, err := mmsg(unix.SYS_RECVMMSG, fd, p.msgs[n:len(frames)])
		switch {
		case err == unix.EAGAIN:
			return n, nil
		case err == unix.EINVAL:
			p.lost.Add(1)
			return n, ErrFrameLost
		case err != nil:
			return n, err
		}
		n = p.took(frames, n, n+k)
	}
	return n, nil
}

// prepare has the kernel write each frame into its buffer, and what is too long for
// that into a tail.
func (p *AFPacket) prepare(frames []packet.Frame) (err error) {
	if p.tails == nil {
		if p.tails, err = mapMemory(BatchSize * tailLen); err != nil {
			return fmt.Errorf("memory for frames: %w", err)
		}
		p.msgs, p.iovs = make([]mmsghdr, BatchSize), make([]unix.Iovec, 2*BatchSize)
	}
	p.off = p.place.off()
	for i := range frames {
		setMsg(&p.msgs[i], p.iovs[2*i:2*i+2], frames[i].Buf[p.off-packet.VnetLen:p.off+packet.MaxFrameLen], p.tails[i*tailLen:(i+1)*tailLen])
	}
	return nil
}

// took makes frames of the messages from one to another, and says where those end
// that the caller gets.
func (p *AFPacket) took(frames []packet.Frame, from, to int) int {
	for i := from; i < to; i++ {
		if p.parse(&frames[i], i); frames[i].Len >= packet.MaxFrameLen || p.joins(&frames[i]) {
			p.hold(frames, i, to)
			return i + p.handOver(frames[i:])
		}
	}
	return to
}

func (p *AFPacket) parse(f *packet.Frame, i int) {
	f.Off = p.off
	f.Len = max(0, int(p.msgs[i].len)-packet.VnetLen)
	f.Offload = packet.ParseOffload(f.Buf[f.Off-packet.VnetLen:])
	p.place.learn(f)
}

func setMsg(m *mmsghdr, iovs []unix.Iovec, parts ...[]byte) {
	for i, b := range parts {
		iovs[i].Base = &b[0]
		iovs[i].SetLen(len(b))
	}
	m.hdr.Iov = &iovs[0]
	m.hdr.SetIovlen(len(iovs))
}

// sender is what one call of sendmmsg(2) needs.
type sender struct {
	msgs [sendBatch]mmsghdr
	iovs [sendBatch]unix.Iovec
}

// Write implements Port.
func (p *AFPacket) Write(frames []*packet.Frame) (sent int, err error) {
	fd, err := p.acquire()
	if err != nil {
		return 0, err
	}
	defer p.release()
	s := p.senders.Get().(*sender)
	defer p.senders.Put(s)
	for sent < len(frames) {
		batch := frames[sent:min(sent+sendBatch, len(frames))]
		carrier := p.carrier.Load()
		if batch = carrier.accepts(batch); len(batch) == 0 {
			return sent, ErrNotCarried
		}
		seen := carrier.seen()
		n, err := s.send(fd, batch)
		carrier.check(batch, n, err, seen)
		if err == unix.ENOBUFS && nothingWaits(fd) {
			return sent, err
		}
		if err != nil {
			return sent, writeError(err)
		}
		sent += n
	}
	return sent, nil
}

func (s *sender) send(fd int, batch []*packet.Frame) (int, error) {
	for i, f := range batch {
		f.Offload.Put(f.Buf[f.Off-packet.VnetLen:])
		setMsg(&s.msgs[i], s.iovs[i:i+1], f.Buf[f.Off-packet.VnetLen:f.Off+f.Len])
	}
	return mmsg(unix.SYS_SENDMMSG, fd, s.msgs[:len(batch)])
}

// nothingWaits says whether all that was sent by a socket is on its way: then it is
// no queue that has no room, but the device, or the far end of its link, that refused
// the frame. A veth pair does so whose far end has a smaller MTU.
func nothingWaits(fd int) bool {
	bytes, err := unix.IoctlGetInt(fd, unix.SIOCOUTQ)
	return err == nil && bytes == 0
}

// Lost implements Port: what did not fit into the socket's buffer. The kernel's
// count starts again at every look.
func (p *AFPacket) Lost() uint64 {
	if fd, err := p.acquire(); err == nil {
		defer p.release()
		if s, err := unix.GetsockoptTpacketStats(fd, unix.SOL_PACKET, unix.PACKET_STATISTICS); err == nil {
			p.lost.Add(uint64(s.Drops))
		}
	}
	return p.lost.Load()
}

// CanOffload implements Port.
func (p *AFPacket) CanOffload() bool { return true }

// Close implements Port.
func (p *AFPacket) Close() error {
	err := p.handle.Close()
	if err == nil && p.tails != nil {
		err = unix.Munmap(p.tails)
	}
	return err
}
