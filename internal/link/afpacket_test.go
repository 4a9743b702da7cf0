package link

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vrouter/vrouter/internal/packet"
)

// patience is how long something may take that is due at once.
const patience = 5 * time.Second

// wire is an interface with a packet socket on it, for whose receiving side a test
// writes frames with any virtio header: the far end is a TAP.
type wire struct {
	t      *testing.T
	far    *TAP
	socket *AFPacket
	poller Poller
	datas  []int // where the data of superframes has begun in the buffers of those that were read
}

func newWire(t *testing.T) *wire {
	t.Helper()
	const name = "wire"
	if err := os.WriteFile("/proc/sys/net/ipv6/conf/default/disable_ipv6", []byte("1"), 0o644); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	draft, err := NewTAP(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := draft.Keep(); err != nil {
		t.Fatal(err)
	}
	far, err := OpenTAP(name, draft.Index, true)
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{t: t, far: far}
	l, err := netlink.LinkByName(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		far.Close()
		if err := netlink.LinkDel(l); err != nil {
			t.Error(err)
		}
	})
	if err := netlink.LinkSetUp(l); err != nil {
		t.Fatal(err)
	}
	w.socket = open(t, l)
	if w.poller, err = NewPoller(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.poller.Close() })
	if err := w.poller.Add(0, w.socket); err != nil {
		t.Fatal(err)
	}
	return w
}

func open(t *testing.T, l netlink.Link) *AFPacket {
	t.Helper()
	all, err := OpenAFPacket(l.Attrs().Index, 1, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { all[0].Close() })
	return all[0]
}

func (w *wire) write(frames ...*packet.Frame) {
	w.t.Helper()
	if n, err := w.far.Write(frames); n != len(frames) {
		w.t.Fatalf("frame %d: %v", n, err)
	}
}

// read takes so many frames, and tells of errors meanwhile.
func (w *wire) read(n int) (all []*packet.Frame, failed []error) {
	w.t.Helper()
	late := time.AfterFunc(patience, w.poller.Wake)
	defer late.Stop()
	for len(all) < n {
		frames, _, err := w.poller.Read()
		if frames == nil && err == nil {
			w.t.Fatalf("%d frames were read, want %d; errors: %v", len(all), n, failed)
		}
		if err != nil {
			failed = append(failed, err.Err)
		}
		for i := range frames {
			all = append(all, frames[i].Clone())
			w.datas = append(w.datas, frames[i].Off+frames[i].DataAt())
		}
	}
	return all, failed
}

// datagram is UDP of a size in one frame, told apart by a number.
func datagram(number byte, size int) *packet.Frame {
	f := packet.FrameOf(make([]byte, packet.EthernetLen+packet.IPv4MinLen+8+size))
	f.SetEthernet(packet.MAC{2, 9}, packet.MAC{2, 8}, packet.EtherTypeIPv4)
	packet.PutIPv4(f.Payload(), &packet.Header{
		TotalLen: f.Len - packet.EthernetLen, TTL: 9, Protocol: packet.ProtocolUDP,
		Src: packet.IPv4Addr([]byte{10, 0, 0, 1}), Dst: packet.IPv4Addr([]byte{10, 0, 0, 2}),
	})
	udp := f.Payload()[packet.IPv4MinLen:]
	binary.BigEndian.PutUint16(udp[4:], uint16(len(udp)))
	udp[8] = number
	return f
}

func number(f *packet.Frame) byte { return f.Payload()[packet.IPv4MinLen+8] }

// untold is a superframe that a virtio header can tell of when it is written, and not
// when it is read: of a datagram to be fragmented (UFO).
func untold() *packet.Frame {
	f := datagram(0, 4000)
	f.Offload = packet.Offload{Flags: 1, GSOType: 3, GSOSize: 1000, CsumStart: 34, CsumOffset: 6}
	return f
}

// What cannot be read is counted and told, and holds nothing up: neither the frames of
// the same read, nor those behind it, for which no event comes any more.
func TestLostFrames(t *testing.T) {
	w := newWire(t)
	const rounds = 8
	for round := range byte(rounds) {
		w.write(datagram(4*round, 20), datagram(4*round+1, 20), untold(), datagram(4*round+2, 20), untold(), untold(), datagram(4*round+3, 20))
	}
	all, failed := w.read(4 * rounds)
	for i, f := range all {
		if int(number(f)) != i {
			t.Errorf("frame %d is number %d", i, number(f))
		}
	}
	if len(failed) != 3*rounds || failed[0] != ErrFrameLost || w.socket.Lost() != 3*rounds {
		t.Errorf("%d errors (%v), %d frames lost; want %d", len(failed), failed, w.socket.Lost(), 3*rounds)
	}
}

// A superframe of BIG TCP comes in pieces that an IP header can speak of, in order
// with what came before and behind it.
func TestBigTCP(t *testing.T) {
	const size, segments = 1000, 150
	big := func() *packet.Frame {
		f := datagram(0, size*segments+12)
		ip := packet.IPv4(f.Payload())
		ip[2], ip[3], ip[9] = 0, 0, packet.ProtocolTCP
		ip.SetChecksum()
		tcp := ip[packet.IPv4MinLen:]
		clear(tcp[:20])
		tcp[12], tcp[13] = 5<<4, 0x10
		for i := range tcp[20:] {
			tcp[20+i] = byte(i * 7 >> 3)
		}
		f.Offload = packet.Offload{Flags: 1, GSOType: packet.GSOTCPv4, GSOSize: size, CsumStart: 34, CsumOffset: 16, HeaderLen: 54}
		return f
	}
	w := newWire(t)
	w.write(datagram(1, 20), big(), datagram(2, 20), big(), big(), datagram(3, 20))
	const pieces = 3
	all, failed := w.read(3 + 3*pieces)
	if failed != nil || w.socket.Lost() != 0 {
		t.Fatalf("errors: %v, lost: %d", failed, w.socket.Lost())
	}
	take := func() (f *packet.Frame) { f, all = all[0], all[1:]; return f }
	plain := func(want byte) {
		if f := take(); f.Offload.IsGSO() || number(f) != want {
			t.Errorf("got %+v, number %d, want %d", f.Offload, number(f), want)
		}
	}
	superframe := func() {
		var data []byte
		for range pieces {
			f := take()
			ip := packet.IPv4(f.Payload())
			if !f.Admit() || f.Offload.GSOSize != size || ip.TotalLen() != len(ip) || int(binary.BigEndian.Uint32(ip[24:])) != len(data) || int(ip.ID()) != len(data)/size {
				t.Fatalf("a piece of %d bytes, offload %+v, header % x", len(ip), f.Offload, []byte(ip[:40]))
			}
			data = append(data, ip[40:]...)
		}
		if want := big().Bytes()[54:]; !bytes.Equal(data, want) {
			t.Errorf("%d bytes of data, want %d", len(data), len(want))
		}
	}
	plain(1)
	superframe()
	plain(2)
	superframe()
	superframe()
	plain(3)
}

// A priority-tagged frame is an untagged one; a frame of a VLAN is another interface's.
func TestTags(t *testing.T) {
	w := newWire(t)
	tagged := func(number byte, tci uint16) *packet.Frame {
		f := datagram(number, 100)
		b := binary.BigEndian.AppendUint16(append(bytes.Clone(f.Bytes()[:12]), 0x81, 0), tci)
		return packet.FrameOf(append(b, f.Bytes()[12:]...))
	}
	w.write(tagged(1, 5<<13), tagged(2, 7), tagged(3, 0), tagged(4, 0xffff), tagged(5, 3<<13|1<<12), datagram(6, 100))
	var got []byte
	all, _ := w.read(4)
	for _, f := range all {
		if got = append(got, number(f)); !bytes.Equal(f.Bytes(), datagram(number(f), 100).Bytes()) {
			t.Errorf("% x", f.Bytes())
		}
	}
	if !bytes.Equal(got, []byte{1, 3, 5, 6}) {
		t.Errorf("frames %v are read", got)
	}
}

// veth is both ends of a wire.
func veth(t *testing.T) (near, far netlink.Link) {
	t.Helper()
	v := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "near", MTU: 1500}, PeerName: "far"}
	if err := netlink.LinkAdd(v); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { netlink.LinkDel(v) })
	far, err := netlink.LinkByName("far")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(netlink.LinkSetUp(v), netlink.LinkSetUp(far)); err != nil {
		t.Fatal(err)
	}
	for start := time.Now(); ; { // until then the kernel throws away what is sent
		l, err := netlink.LinkByName("near")
		if err != nil || time.Since(start) > patience {
			t.Fatalf("the link does not come up: %v", err)
		}
		if l.Attrs().OperState == netlink.OperUp {
			return l, far
		}
	}
}

// A frame that is refused is no sign of a full queue, and the other way round.
func TestRefusedFrames(t *testing.T) {
	near, far := veth(t)
	socket := open(t, near)
	write := func(size int) error {
		_, err := socket.Write([]*packet.Frame{datagram(0, size)})
		return err
	}
	if err := netlink.LinkSetMTU(far, 1000); err != nil {
		t.Fatal(err)
	}
	if err := write(500); err != nil {
		t.Errorf("a frame that fits: %v", err)
	}
	if err := write(1200); err == nil || err == ErrQueueFull {
		t.Errorf("a frame that is too big for the far end: %v", err)
	}
	if err := write(1600); err != unix.EMSGSIZE {
		t.Errorf("a frame that is too big for the interface: %v", err)
	}
	tunnel := datagram(0, 1200)
	tunnel.Payload()[9] = packet.ProtocolGRE
	tunnel.Offload = packet.Offload{Flags: 1, GSOType: packet.GSOTCPv4, GSOSize: 100, CsumStart: 58, CsumOffset: 16}
	if _, err := socket.Write([]*packet.Frame{tunnel}); err == nil || err == ErrQueueFull {
		t.Errorf("a superframe that the kernel cannot cut: %v", err)
	}
	slow := &netlink.Tbf{QdiscAttrs: netlink.QdiscAttrs{LinkIndex: near.Attrs().Index, Handle: netlink.MakeHandle(1, 0), Parent: netlink.HANDLE_ROOT}, Rate: 125000, Limit: 20000, Buffer: 375000}
	if err := errors.Join(netlink.LinkSetMTU(far, 1500), netlink.QdiscAdd(slow)); err != nil {
		t.Fatal(err)
	}
	var err error
	for n := 0; n < 100 && err == nil; n++ {
		err = write(900)
	}
	if err != ErrQueueFull {
		t.Errorf("a queue of 20 KB that takes 125 KB a second: %v", err)
	}
}

// A call takes several messages, on 32 bits too: GOARCH=386.
func TestMessages(t *testing.T) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pair[0])
	defer unix.Close(pair[1])
	const n = 5
	var msgs [2][n + 1]mmsghdr
	var iovs [2][n + 1]unix.Iovec
	var in [n + 1][10]byte
	for i := range n {
		setMsg(&msgs[0][i], iovs[0][i:i+1], bytes.Repeat([]byte{byte(i)}, i+1))
	}
	for i := range n + 1 {
		setMsg(&msgs[1][i], iovs[1][i:i+1], in[i][:])
	}
	if sent, err := mmsg(unix.SYS_SENDMMSG, pair[0], msgs[0][:n]); sent != n || err != nil {
		t.Fatalf("%d messages are sent: %v", sent, err)
	}
	if got, err := mmsg(unix.SYS_RECVMMSG, pair[1], msgs[1][:]); got != n || err != nil {
		t.Fatalf("%d messages are received: %v", got, err)
	}
	for i := range n {
		if m := in[i][:msgs[1][i].len]; !bytes.Equal(m, bytes.Repeat([]byte{byte(i)}, i+1)) {
			t.Errorf("message %d: % x", i, m)
		}
	}
}

// Superframes of IPv4 that are longer than their header can say, by however little, are cut into such as are not.
func TestLongSuperframes(t *testing.T) {
	for _, n := range []int{packet.IPv4MaxLen, packet.IPv4MaxLen + 1, packet.IPv4MaxLen + 2} {
		p := &AFPacket{}
		frames := make([]packet.Frame, 4)
		for i := range frames {
			frames[i] = packet.NewFrame()
		}
		if err := p.prepare(frames); err != nil {
			t.Fatal(err)
		}
		b := frames[0].Buf[p.off:]
		clear(b[:packet.EthernetLen+packet.IPv4MinLen+packet.TCPMinLen])
		b[12], b[13] = 8, 0
		ip := packet.IPv4(b[packet.EthernetLen:])
		ip[0], ip[8], ip[9] = 0x45, 64, packet.ProtocolTCP
		if n <= packet.IPv4MaxLen { // else 0, as Linux has it
			ip[2], ip[3] = byte(n>>8), byte(n)
		}
		copy(ip[12:], []byte{10, 70, 2, 1, 10, 70, 1, 1})
		ip.SetChecksum()
		ip[packet.IPv4MinLen+12], ip[packet.IPv4MinLen+13] = 0x50, 0x10
		o := packet.Offload{Flags: 1, GSOType: packet.GSOTCPv4, GSOSize: 1448, CsumStart: 34, CsumOffset: 16, HeaderLen: 54}
		o.Put(frames[0].Buf[p.off-packet.VnetLen:])
		p.msgs[0].len = uint32(packet.VnetLen + packet.EthernetLen + n)
		carried := 0
		for i := range p.took(frames, 0, 1) {
			ip := packet.IPv4(frames[i].Payload())
			if ip.TotalLen() != len(ip) {
				t.Errorf("of %d bytes: a frame with %d bytes of IP says %d", n, len(ip), ip.TotalLen())
			}
			carried += len(ip) - packet.IPv4MinLen - packet.TCPMinLen
		}
		if want := n - packet.IPv4MinLen - packet.TCPMinLen; carried != want {
			t.Errorf("of %d bytes of data %d came", want, carried)
		}
		_ = unix.Munmap(p.tails)
	}
}
