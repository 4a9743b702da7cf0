package conformance

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vrouter/vrouter/internal/ethtool"
)

const listTTL = "Linux lowers the TTL of the first packet of a list alone"

var joinedRow = row{
	id: "X5", rule: "a superframe that came joined with its checksum complete is as good as one that is pending",
	source: "virtio 1.2 5.1.6.1, linux segmentation-offloads", options: options{joins: true},
	cases: []testCase{
		{name: "datagrams of UDP", differs: listTTL, test: func(b *Bench) { b.joined(joinedPackets(protoUDP), gsoUDPL4, 28, 6) }},
		{name: "segments of TCP", differs: listTTL, test: func(b *Bench) { b.joined(joinedPackets(protoTCP), gsoTCPv4, 40, 16) }},
	},
}

// The virtio header of a packet socket (linux/virtio_net.h).
const (
	needsSum     = 1
	gsoTCPv4     = 1
	gsoUDPL4     = 5
	joinedSize   = 1000
	joinedNumber = 20
)

// join has the host's uplink join what it receives and keep the checksums as they
// came, and the far end cut what it sends, and make its checksums.
func (b *Bench) join() error {
	sends := []string{"tx-tcp-segmentation", "tx-tcp-ecn-segmentation", "tx-tcp-mangleid-segmentation", "tx-tcp6-segmentation", "tx-udp-segmentation"}
	return errors.Join(
		b.wire.Do(func() error { return ethtool.Set("far", false, append(sends, "tx-checksum-ip-generic")...) }),
		b.host.Do(func() error {
			err := ethtool.Set("ens160", true, "rx-gro", "rx-gro-list")
			if b.linux { // so that the workload's end shows packets, as vrouter's does without offload
				err = errors.Join(err, ethtool.Set("veth1", false, append(sends, "tx-gso-list", "tx-checksum-ip-generic")...))
			}
			return err
		}),
	)
}

// joinedPackets are consecutive ones of a flow to ns1, as a wire carries them.
func joinedPackets(proto byte) (all [][]byte) {
	for i := range joinedNumber {
		data := bytes.Repeat([]byte{byte(i), 0x5a}, joinedSize/2)
		l4, sumAt := udp(40000, 40001, data), 6
		if proto == protoTCP {
			l4, sumAt = append(tcpSYN(40000, 40001), data...), 16
			binary.BigEndian.PutUint32(l4[4:], uint32(1000+i*joinedSize))
			l4[13] = 0x10 // ACK
		}
		pseudo := append(append(ip4(farIP), ip4(ns1IP)...), 0, proto, byte(len(l4)>>8), byte(len(l4)))
		binary.BigEndian.PutUint16(l4[sumAt:], inetSum(append(pseudo, l4...)))
		all = append(all, ipPacket{src: farIP, dst: ns1IP, id: uint16(500 + i), flags: 2, proto: proto, data: l4}.bytes())
	}
	return all
}

// joined sends packets so that the uplink's kernel joins them, and wants each.
func (b *Bench) joined(packets [][]byte, kind byte, headers, sumAt int) {
	far, err := b.openSuper(b.wire.Do, "far")
	b.must(err)
	defer unix.Close(far)
	near, err := b.openSuper(b.host.Do, "ens160")
	b.must(err)
	defer unix.Close(near)
	super := bytes.Clone(packets[0])
	for _, p := range packets[1:] {
		super = append(super, p[headers:]...)
	}
	binary.BigEndian.PutUint16(super[2:], uint16(len(super)))
	if seal(super); kind == gsoUDPL4 {
		binary.BigEndian.PutUint16(super[24:], uint16(len(super)-20))
	}
	pseudo := append(bytes.Clone(super[12:20]), 0, super[9], byte((len(super)-20)>>8), byte(len(super)-20))
	binary.BigEndian.PutUint16(super[20+sumAt:], ^inetSum(pseudo))
	h := []byte{needsSum, kind}
	for _, v := range []int{14 + headers, joinedSize, 34, sumAt} {
		h = binary.NativeEndian.AppendUint16(h, uint16(v))
	}
	_, err = unix.Write(far, append(h, b.up.to(super)...))
	b.must(err)
	var wants []want
	for _, p := range packets {
		wants = append(wants, routed(b.ns1, p))
	}
	b.settle(b.up, wants...)
	got := make([]byte, 1<<16)
	n, err := unix.Read(near, got)
	b.must(err)
	if n < 10*joinedSize || got[1] != kind || got[0]&needsSum != 0 {
		b.fatalf("the uplink's kernel hands over %d bytes, kind %d, flags %d: this is not what is to be tried", n, got[1], got[0])
	}
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
