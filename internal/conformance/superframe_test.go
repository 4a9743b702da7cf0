package conformance

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vrouter/vrouter/internal/ethtool"
)

// superRows are superframes of IPv6, as a workload's stack or a device makes them.
var superRows = []row{
	{
		id: "V11", rule: "superframes (TSO6) cross whole", source: "virtio 1.2 5.1.6.1, linux segmentation-offloads", options: options{six: true},
		cases: []testCase{
			{name: "workload to uplink, TCP", test: func(b *Bench) { b.whole(b.ns1, b.up, protoTCP) }},
			{name: "workload to workload, TCP", test: func(b *Bench) { b.whole(b.ns1, b.ns2, protoTCP) }},
			{name: "uplink to workload, TCP", test: func(b *Bench) { b.whole(b.up, b.ns1, protoTCP) }},
			{name: "workload to workload, UDP", test: func(b *Bench) { b.whole(b.ns1, b.ns2, protoUDP) }},
			{name: "segments that are too big: one Packet Too Big", test: func(b *Bench) {
				f := flow{proto: protoTCP, six: true, src: ns1IP6, dst: farIP6, size: 1500}
				b.sendSuper(b.ns[0].Do, "eth0", b.ns1, f)
				b.settle(b.ns1, icmp6About(b.ns1, 2, 0, 1500, f.super()))
				b.tolerate(dropSeries(b.ns1, "mtu_exceeded"))
			}},
		},
	},
	{
		id: "V11a", rule: "superframes that are cut here: each segment has its lengths and checksum", source: "RFC 8200 3, RFC 9293 3.1", options: options{
			six: true, cuts: true, tunnels: []route{{to: "fd00:71::/48", via: peerIP}},
		},
		cases: []testCase{
			{name: "TCP to a workload", test: func(b *Bench) { b.cut(flow{proto: protoTCP, six: true, src: farIP6, dst: ns1IP6}) }},
			{name: "UDP to a workload", test: func(b *Bench) { b.cut(flow{proto: protoUDP, six: true, src: farIP6, dst: ns1IP6}) }},
			{name: "TCP with FIN and PSH: the last segment has them", test: func(b *Bench) { b.cut(flow{proto: protoTCP, six: true, src: farIP6, dst: ns1IP6, flags: 0x19}) }},
			{name: "TCP into a tunnel", notHere: noSit, test: func(b *Bench) {
				f := flow{proto: protoTCP, six: true, src: farIP6, dst: tunnelIP6}
				b.sendSuper(b.wire.Do, "far", b.up, f)
				var wants []want
				for _, p := range f.packets() {
					wants = append(wants, b.inIPv4(forwarded6(p), 0))
				}
				b.settle(b.up, wants...)
			}},
		},
	},
}

// The virtio header of a packet socket (linux/virtio_net.h).
const (
	needsSum = 1
	gsoTCPv4 = 1
	gsoTCPv6 = 4
	gsoUDPL4 = 5

	segmentSize   = 1000
	segmentNumber = 20
)

// flow is consecutive packets of one, which one superframe stands for.
type flow struct {
	proto    byte
	six      bool
	src, dst string
	flags    byte // TCP's; 0: ACK
	size     int  // bytes of data in each; 0: segmentSize
}

func (f flow) segment() int {
	if f.size == 0 {
		return segmentSize
	}
	return f.size
}

// gso is what a virtio header calls it.
func (f flow) gso() byte {
	switch {
	case f.proto == protoUDP:
		return gsoUDPL4
	case f.six:
		return gsoTCPv6
	}
	return gsoTCPv4
}

// header is how long the IP header is; behind is the transport header's length, with its
// checksum at sumAt.
func (f flow) header() int {
	if f.six {
		return 40
	}
	return 20
}

func (f flow) transport() (behind, sumAt int) {
	if f.proto == protoUDP {
		return 8, 6
	}
	return 20, 16
}

// packets are those that are on the wire.
func (f flow) packets() (all [][]byte) {
	for i := range segmentNumber {
		all = append(all, f.packet(i, bytes.Repeat([]byte{byte(i), 0x5a}, f.segment()/2), i == segmentNumber-1))
	}
	return all
}

func (f flow) packet(i int, data []byte, last bool) []byte {
	l4 := udp(40000, 40001, data)
	if f.proto == protoTCP {
		l4 = append(tcpSYN(40000, 40001), data...)
		binary.BigEndian.PutUint32(l4[4:], uint32(1000+i*f.segment()))
		if l4[13] = f.flags | 0x10; !last {
			l4[13] &^= 0x09 // FIN, PSH
		}
	}
	_, sumAt := f.transport()
	binary.BigEndian.PutUint16(l4[sumAt:], 0)
	binary.BigEndian.PutUint16(l4[sumAt:], inetSum(append(f.pseudo(len(l4)), l4...)))
	if f.six {
		return ip6Packet{src: f.src, dst: f.dst, flow: 0x12345, next: int(f.proto), data: l4}.bytes()
	}
	return ipPacket{src: f.src, dst: f.dst, id: uint16(500 + i), flags: 2, proto: f.proto, data: l4}.bytes()
}

// pseudo is the pseudo-header of so much.
func (f flow) pseudo(length int) []byte {
	if f.six {
		return slices.Concat(ip6(f.src), ip6(f.dst), binary.BigEndian.AppendUint32(nil, uint32(length)), []byte{0, 0, 0, f.proto})
	}
	return slices.Concat(ip4(f.src), ip4(f.dst), []byte{0, f.proto, byte(length >> 8), byte(length)})
}

// super is the superframe's packet: its checksum is the pseudo-header's sum, to which whoever cuts it
// adds the rest.
func (f flow) super() []byte {
	var data []byte
	behind, sumAt := f.transport()
	for _, p := range f.packets() {
		data = append(data, p[f.header()+behind:]...)
	}
	super := f.packet(0, data, true)
	l4 := super[f.header():]
	binary.BigEndian.PutUint16(l4[sumAt:], ^inetSum(f.pseudo(len(l4))))
	return super
}

// wants are its packets one hop on, at a workload.
func (f flow) wants(at *port) (wants []want) {
	for _, p := range f.packets() {
		if f.six {
			wants = append(wants, routed6(at, p))
		} else {
			wants = append(wants, routed(at, p))
		}
	}
	return wants
}

// vnet is the virtio header of the superframe.
func (f flow) vnet() []byte {
	behind, sumAt := f.transport()
	h := []byte{needsSum, f.gso()}
	for _, v := range []int{14 + f.header() + behind, f.segment(), 14 + f.header(), sumAt} {
		h = binary.NativeEndian.AppendUint16(h, uint16(v))
	}
	return h
}

// sendSuper sends a superframe by the interface that is a port's.
func (b *Bench) sendSuper(in func(func() error) error, ifname string, at *port, f flow) {
	fd, err := b.openSuper(in, ifname)
	b.must(err)
	defer unix.Close(fd)
	frame := at.to(f.super())
	if f.six {
		frame = at.to6(f.super())
	}
	_, err = unix.Write(fd, append(f.vnet(), frame...))
	b.must(err)
}

// at is where a port's interface is.
func (b *Bench) at(p *port) (in func(func() error) error, ifname string) {
	switch p {
	case b.ns1:
		return b.ns[0].Do, "eth0"
	case b.ns2:
		return b.ns[1].Do, "eth0"
	}
	return b.wire.Do, "far"
}

// whole sends a superframe from one port to another, and wants it there as it was.
func (b *Bench) whole(in, out *port, proto byte) {
	f := flow{proto: proto, six: true, src: in.ip6Of(), dst: out.ip6Of()}
	where, ifname := b.at(out)
	fd, err := b.openSuper(where, ifname)
	b.must(err)
	defer unix.Close(fd)
	where, ifname = b.at(in)
	b.sendSuper(where, ifname, in, f)
	b.settle(in, routed6(out, f.super()))
	got := b.readSuper(fd, len(f.super()))
	if h := f.vnet(); got[0] != needsSum || !bytes.Equal(got[1:2], h[1:2]) || !bytes.Equal(got[4:10], h[4:]) {
		b.fatalf("the offload header is % x, and was % x", got[:10], h)
	}
}

// readSuper is a frame with so many bytes or more, behind its virtio header. A kernel may ask a neighbour before.
func (b *Bench) readSuper(fd, least int) []byte {
	got := make([]byte, 1<<16)
	for {
		switch n, err := unix.Read(fd, got); {
		case err != nil:
			b.fatalf("no superframe of %d bytes or more has come: %v", least, err)
		case n >= least:
			return got[:n]
		}
	}
}

// cut sends a superframe to a workload that is to see packets.
func (b *Bench) cut(f flow) {
	b.sendSuper(b.wire.Do, "far", b.up, f)
	b.settle(b.up, f.wants(b.ns1)...)
}

// show has the workload's end show packets, as vrouter's does without offload.
func (b *Bench) show() error {
	if !b.linux {
		return nil
	}
	return b.host.Do(func() error {
		return ethtool.Set("veth1", false, append(offloads, "tx-gso-list", "tx-checksum-ip-generic")...)
	})
}

// openSuper opens a socket with virtio headers on an interface.
func (b *Bench) openSuper(in func(func() error) error, ifname string) (fd int, err error) {
	err = in(func() error {
		l, err := netlink.LinkByName(ifname)
		if err != nil {
			return fmt.Errorf("%s: %w", ifname, err)
		}
		if fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0); err != nil {
			return err
		}
		return errors.Join(
			unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1),
			unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1),
			unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: binary.NativeEndian.Uint16([]byte{0, unix.ETH_P_ALL}), Ifindex: l.Attrs().Index}),
		)
	})
	return fd, err
}
