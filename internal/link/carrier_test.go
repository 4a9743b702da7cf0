package link

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/vrouter/vrouter/internal/ethtool"
	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/tunnelgso"
)

var etherTypes = map[int]uint16{4: packet.EtherTypeIPv4, 6: packet.EtherTypeIPv6}

const segments, segmentLen, lastLen = 20, 1000, 777

// ipHeader is an IP header without options in front of what it carries.
func ipHeader(version int, protocol byte, inside []byte) []byte {
	b := make([]byte, 40, 40+len(inside))
	if version == 4 {
		b = b[:20]
		copy(b, []byte{0x45, 0, 0, 0, 0xff, 0xf0, 0x40, 0, 64, protocol, 0, 0, 192, 168, 0, 11, 192, 168, 0, 12}) // its number passes 65,535
		binary.BigEndian.PutUint16(b[2:], uint16(20+len(inside)))
		packet.IPv4(b).SetChecksum()
	} else {
		copy(b, []byte{0x60, 0, 0, 0, 0, 0, protocol, 64, 0xfd, 23: 11, 24: 0xfd, 39: 12})
		binary.BigEndian.PutUint16(b[4:], uint16(len(inside)))
	}
	return append(b, inside...)
}

// vxlan stands for the headers of VXLAN among IP headers.
const vxlan, vxlanLen = 0, 8 + 8 + 14

// vxlanHeader are UDP, VXLAN and Ethernet in front of what they carry.
func vxlanHeader(etherType uint16, inside []byte) []byte {
	b := []byte{0xc0, 1, 0x12, 0xb5, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0x10, 0, 0, 2, 0, 0, 0, 0, 4, 2, 0, 0, 0, 0, 3, byte(etherType >> 8), byte(etherType)}
	binary.BigEndian.PutUint16(b[4:], uint16(len(b)+len(inside)))
	return append(b, inside...)
}

// tunnelled is a superframe with these IP headers, the outermost first.
func tunnelled(t *testing.T, tcp bool, versions ...int) *packet.Frame {
	t.Helper()
	protocol, l4 := byte(packet.ProtocolUDP), []byte{4, 0, 5, 0, 0, 0, 0, 0}
	if tcp {
		protocol, l4 = packet.ProtocolTCP, []byte{4, 0, 5, 0, 0xff, 0xff, 0xff, 0, 0, 0, 0, 1, 0x50, 0x18, 16, 0, 0, 0, 0, 0}
	}
	b := l4
	for i := range (segments-1)*segmentLen + lastLen {
		b = append(b, byte(i*7>>3))
	}
	if !tcp {
		binary.BigEndian.PutUint16(b[4:], uint16(len(b)))
	}
	inner, transport := versions[len(versions)-1], packet.EthernetLen
	for _, v := range slices.Backward(versions) {
		if v == vxlan {
			protocol, b = packet.ProtocolUDP, vxlanHeader(etherTypes[inner], b)
			transport += vxlanLen
			continue
		}
		b = ipHeader(v, protocol, b)
		transport += map[int]int{4: 20, 6: 40}[v]
		protocol = map[int]byte{4: packet.ProtocolIPIP, 6: packet.ProtocolIPv6}[v]
	}
	ether := []byte{2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0}
	if versions[0] == 6 {
		ether[12], ether[13] = 0x86, 0xdd
	}
	f := packet.FrameOf(append(ether, b...))
	kind, sum := uint8(packet.GSOUDPL4), uint16(6)
	if tcp {
		kind, sum = map[int]uint8{4: packet.GSOTCPv4, 6: packet.GSOTCPv6}[inner], 16
	}
	f.Offload = packet.Offload{Flags: 1, GSOType: kind, GSOSize: segmentLen, HeaderLen: 200, CsumStart: uint16(transport), CsumOffset: sum}
	if !f.Admit() || !f.Offload.IsGSO() {
		t.Fatalf("no superframe: %+v", f.Offload)
	}
	return f
}

// onWire are the packets that a frame stands for, without what numbers outer headers.
func onWire(f *packet.Frame) (all [][]byte) {
	var cut []*packet.Frame
	if f.Offload.IsGSO() {
		packet.Segment(f, func() *packet.Frame { s := &packet.Frame{}; cut = append(cut, s); return s })
	} else {
		f.FinishChecksum()
		cut = []*packet.Frame{f}
	}
	for _, s := range cut {
		all = append(all, unnumbered(s.Bytes()))
	}
	return all
}

// unnumbered is a frame without what numbers its first header.
func unnumbered(b []byte) []byte {
	b = bytes.Clone(b)
	if b[12] == 8 && b[13] == 0 {
		copy(b[packet.EthernetLen+4:], []byte{0, 0}) // identification
		copy(b[packet.EthernetLen+10:], []byte{0, 0})
	}
	return b
}

// openBoth is a socket that takes IPv6, too.
func openBoth(t *testing.T, index int) *AFPacket {
	t.Helper()
	all, err := OpenAFPacket(index, 1, []netip.Addr{netip.MustParseAddr("fd00:12::99")}, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { all[0].Close() })
	return all[0]
}

// pair is a veth with a socket at each end.
func pair(t *testing.T) (near, far *AFPacket, index int) {
	t.Helper()
	v := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "near"}, PeerName: "far"}
	if err := netlink.LinkAdd(v); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = netlink.LinkDel(v) })
	sockets := map[string]*AFPacket{}
	for _, name := range []string{"near", "far"} {
		l, err := netlink.LinkByName(name)
		if err == nil {
			err = netlink.LinkSetUp(l)
		}
		if err != nil {
			t.Fatal(err)
		}
		sockets[name] = openBoth(t, l.Attrs().Index)
		if name == "near" {
			index = l.Attrs().Index
		}
	}
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) { // before that, what is sent goes nowhere
		if l, err := netlink.LinkByIndex(index); err != nil || l.Attrs().OperState == netlink.OperUp {
			break
		} else if time.Now().After(end) {
			t.Fatal("the link does not come up")
		}
	}
	return sockets["near"], sockets["far"], index
}

func attach(t *testing.T, index int, p *AFPacket) *tunnelgso.Program {
	t.Helper()
	cookie, err := p.Cookie()
	if err != nil {
		t.Fatal(err)
	}
	program, err := tunnelgso.Attach(index, []uint64{1, cookie})
	if err != nil {
		t.Skip("no program at the egress here: ", err)
	}
	t.Cleanup(func() { program.Close() })
	p.Carry(program, 1)
	return program
}

// arrive reads what comes at a socket, as so many packets on the wire; and how many frames that were.
func arrive(t *testing.T, p *AFPacket, n int) (all [][]byte, frames int) {
	t.Helper()
	buf := []packet.Frame{packet.NewFrame()}
	for end := time.Now().Add(patience); len(all) < n; {
		k, err := p.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		if k == 0 {
			if time.Now().After(end) {
				t.Fatalf("%d packets of %d have come", len(all), n)
			}
			time.Sleep(time.Millisecond)
			continue
		}
		if f := &buf[0]; f.Len > 500 {
			if !f.Admit() {
				t.Fatalf("a frame came that lies: %+v", f.Offload)
			}
			all, frames = append(all, onWire(f)...), frames+1
		}
	}
	return all, frames
}

// Whatever the device can do, what leaves as a superframe in a tunnel is on the wire what the router would have cut,
// but for the outer identification.
func TestSuperframesInTunnels(t *testing.T) {
	ipxip := []string{"tx-udp_tnl-segmentation", "tx-ipxip4-segmentation", "tx-ipxip6-segmentation"}
	l4 := []string{"tx-tcp-segmentation", "tx-tcp-ecn-segmentation", "tx-tcp-mangleid-segmentation", "tx-tcp6-segmentation", "tx-udp-segmentation"}
	for _, device := range []struct {
		name  string
		off   []string
		whole bool
	}{
		{"veth", nil, true},
		{"no segmentation of tunnels", ipxip, false},
		{"no segmentation", append(ipxip, l4...), false},
		{"nothing", append(append(ipxip, l4...), "tx-checksum-ip-generic", "tx-generic-segmentation", "tx-scatter-gather"), false},
	} {
		t.Run(device.name, func(t *testing.T) {
			near, far, index := pair(t)
			if err := ethtool.Set("near", false, device.off...); err != nil {
				t.Fatal(err)
			}
			attach(t, index, near)
			for _, versions := range [][]int{{4, 4}, {4, 6}, {6, 4}, {6, 6}, {4, vxlan, 4}, {4, vxlan, 6}} {
				for _, tcp := range []bool{true, false} {
					t.Run(fmt.Sprint(versions, " TCP: ", tcp), func(t *testing.T) {
						want := onWire(tunnelled(t, tcp, versions...))
						if len(want) != segments {
							t.Fatalf("%d segments", len(want))
						}
						if n, err := near.Write([]*packet.Frame{tunnelled(t, tcp, versions...)}); n != 1 || err != nil {
							t.Fatal(n, err)
						}
						got, frames := arrive(t, far, segments)
						if (frames == 1) != device.whole {
							t.Errorf("%d frames came", frames)
						}
						for i := range want {
							if !bytes.Equal(got[i], want[i]) {
								t.Fatalf("packet %d is\n%x\nwant\n%x", i, got[i], want[i])
							}
						}
					})
				}
			}
		})
	}
}

// A kernel's vxlan at the other end takes out what was inside.
func TestSuperframesToKernelVXLAN(t *testing.T) {
	for _, device := range []struct {
		name  string
		off   []string
		whole bool
	}{
		{"veth", nil, true},
		{"no segmentation of tunnels", []string{"tx-udp_tnl-segmentation"}, false},
		{"nothing", []string{"tx-generic-segmentation", "tx-checksum-ip-generic", "tx-scatter-gather"}, false},
	} {
		t.Run(device.name, func(t *testing.T) {
			near, _, index := pair(t)
			attach(t, index, near)
			if err := ethtool.Set("near", false, device.off...); err != nil {
				t.Fatal(err)
			}
			far, err := netlink.LinkByName("far")
			if err == nil {
				err = errors.Join(netlink.LinkSetHardwareAddr(far, net.HardwareAddr{2, 0, 0, 0, 0, 2}),
					netlink.AddrAdd(far, &netlink.Addr{IPNet: netlink.NewIPNet(net.IPv4(192, 168, 0, 12))}))
			}
			if err != nil {
				t.Fatal(err)
			}
			inner := &netlink.Vxlan{
				LinkAttrs: netlink.LinkAttrs{Name: "vxlan0", HardwareAddr: net.HardwareAddr{2, 0, 0, 0, 0, 4}},
				VxlanId:   4096, Port: 4789, VtepDevIndex: far.Attrs().Index, SrcAddr: net.IPv4(192, 168, 0, 12),
			}
			if err := errors.Join(netlink.LinkAdd(inner), netlink.LinkSetUp(inner)); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = netlink.LinkDel(inner) })
			out := openBoth(t, inner.Index)
			for _, tcp := range []bool{true, false} {
				for _, version := range []int{4, 6} {
					f := tunnelled(t, tcp, 4, vxlan, version)
					want := onWire(tunnelled(t, tcp, 4, vxlan, version))
					if n, err := near.Write([]*packet.Frame{f}); n != 1 || err != nil {
						t.Fatal(n, err)
					}
					got, frames := arrive(t, out, segments)
					if (frames == 1) != device.whole {
						t.Errorf("%d frames came", frames)
					}
					for i := range want {
						if w := want[i][packet.EthernetLen+packet.IPv4MinLen+8+8:]; !bytes.Equal(unnumbered(got[i]), unnumbered(w)) {
							t.Fatalf("IPv%d, TCP: %v: packet %d is\n%x\nwant\n%x", version, tcp, i, got[i], w)
						}
					}
				}
			}
		})
	}
}

// A superframe of datagrams to the port of VXLAN, with what could be VXLAN in it, is none of the router's tunnels.
func TestSuperframeThatLooksLikeVXLAN(t *testing.T) {
	near, far, index := pair(t)
	program := attach(t, index, near)
	datagrams := func() *packet.Frame {
		f := tunnelled(t, false, 4, vxlan, 4)
		f.Offload.CsumStart = packet.EthernetLen + packet.IPv4MinLen
		if !f.Admit() {
			t.Fatal("no superframe")
		}
		return f
	}
	if n, err := near.Write([]*packet.Frame{datagrams()}); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	want := onWire(datagrams())
	if got, _ := arrive(t, far, len(want)); !slices.EqualFunc(got, want, bytes.Equal) {
		t.Error("other packets have come")
	}
	if n := program.Took(1); n != 0 {
		t.Errorf("%d were taken for a tunnel's", n)
	}
}

// Datagrams of VXLAN that the interface has joined come as what they are, each with a checksum that is right; others, and those
// to another port, in one frame.
func TestJoinedVXLAN(t *testing.T) {
	near, far, _ := pair(t)
	datagrams := func() *packet.Frame {
		f := tunnelled(t, false, 4, vxlan, 4)
		f.Offload.CsumStart = packet.EthernetLen + packet.IPv4MinLen
		if !f.Admit() {
			t.Fatal("no superframe")
		}
		return f
	}
	want := onWire(datagrams())
	for port, frames := range map[uint16]int{0: 1, packet.VXLANPort + 1: 1, packet.VXLANPort: len(want)} {
		if err := far.SetOwn(nil, port); err != nil {
			t.Fatal(err)
		}
		if n, err := near.Write([]*packet.Frame{datagrams()}); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		if got, n := arrive(t, far, len(want)); n != frames || !slices.EqualFunc(got, want, bytes.Equal) {
			t.Errorf("port %d: %d frames, other packets than were sent: %v", port, n, !slices.EqualFunc(got, want, bytes.Equal))
		}
	}
}

// What others send by the interface is none of the program's business, not even a superframe in a tunnel.
func TestSuperframesOfOthers(t *testing.T) {
	near, _, index := pair(t)
	program := attach(t, index, near)
	l, err := netlink.LinkByIndex(index)
	if err != nil {
		t.Fatal(err)
	}
	other := open(t, l)
	other.Carry(program, 0)
	if _, err := other.Write([]*packet.Frame{tunnelled(t, true, 4, 4)}); err == nil {
		t.Error("it was sent")
	}
	if program.Took(0) != 0 || program.Took(1) != 0 {
		t.Error("it has been taken for one of the router's")
	}
}

// A program that was taken away is missed by the first superframe, which is said; none leaves after it.
func TestProgramTakenAway(t *testing.T) {
	for _, headers := range [][]int{{4, 4}, {4, vxlan, 6}} {
		t.Run(fmt.Sprint(headers), func(t *testing.T) { programTakenAway(t, headers...) })
	}
}

func programTakenAway(t *testing.T, headers ...int) {
	near, _, index := pair(t)
	program := attach(t, index, near)
	if fault := program.Fault(); fault != "" {
		t.Error(fault)
	}
	send := func() error {
		_, err := near.Write([]*packet.Frame{tunnelled(t, true, headers...)})
		return err
	}
	if err := send(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-program.Missed:
		t.Fatal("it is missed")
	default:
	}
	if err := program.Detach(); err != nil {
		t.Fatal(err)
	}
	if program.Fault() == "" {
		t.Error("it is still attached")
	}
	if err := send(); err == nil {
		t.Error("it was sent as something else")
	}
	<-program.Missed
	if err := send(); !errors.Is(err, ErrNotCarried) {
		t.Errorf("the next one: %v", err)
	}
	if n, err := near.Write([]*packet.Frame{tunnelled(t, true, 4), tunnelled(t, true, headers...)}); n != 1 || !errors.Is(err, ErrNotCarried) {
		t.Errorf("a plain one, and one in a tunnel: %d, %v", n, err)
	}
	near.Carry(attach(t, index, near), 1)
	if err := send(); err != nil {
		t.Error(err)
	}
}
