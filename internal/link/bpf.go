package link

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"github.com/vrouter/vrouter/internal/packet"
)

const (
	wholeFrame = 0x100000
	vlanID     = 0x0fff // in a tag
)

// ownTraffic is the classic BPF program that keeps the host's own traffic away
// from the router: IP to an own address, unless it is a packet in a packet, or VXLAN, or an ICMP
// error, which may be about a tunnel; or of Neighbor Discovery, which the router has
// asked with the host's own address, and learns from. Frames of a VLAN belong to another
// interface; those that have a tag for its priority alone do not (IEEE 802.1Q 6.9.1). What
// the host sends is no concern of the router's: it is asked for here, as a fanout group
// takes no notice of its sockets' PACKET_IGNORE_OUTGOING. Everything else the router
// sees, and judges.
func ownTraffic(own []netip.Addr, vxlan uint16) []bpf.Instruction {
	v4 := ownIPv4(own, vxlan)
	return slices.Concat([]bpf.Instruction{
		bpf.LoadExtension{Num: bpf.ExtType},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.PACKET_OUTGOING, SkipTrue: 1},
		bpf.RetConstant{Val: 0},
		bpf.LoadExtension{Num: bpf.ExtVLANTagPresent},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: 0, SkipTrue: 4},
		bpf.LoadExtension{Num: bpf.ExtVLANTag},
		bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: vlanID},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: 0, SkipTrue: 1},
		bpf.RetConstant{Val: 0},
		// A load beyond the end would refuse the frame; what is too short is the
		// router's to judge, and to count.
		bpf.LoadExtension{Num: bpf.ExtLen},
		bpf.JumpIf{Cond: bpf.JumpGreaterOrEqual, Val: packet.EthernetLen + packet.IPv4MinLen, SkipTrue: 1},
		bpf.RetConstant{Val: wholeFrame},
		bpf.LoadAbsolute{Off: 12, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: packet.EtherTypeIPv4, SkipTrue: 1},
		bpf.Jump{Skip: uint32(len(v4))},
	}, v4, ownIPv6(own, vxlan))
}

// ownIPv4 judges a frame of IPv4. VXLAN may be cut into fragments, of which the first alone
// says that it is.
func ownIPv4(own []netip.Addr, vxlan uint16) []bpf.Instruction {
	own = ofFamily(own, netip.Addr.Is4)
	accept := []bpf.Instruction{bpf.LoadAbsolute{Off: 30, Size: 4}}
	for i, a := range own {
		a4 := a.As4()
		accept = append(accept, bpf.JumpIf{
			Cond: bpf.JumpEqual, Val: binary.BigEndian.Uint32(a4[:]), SkipTrue: uint8(len(own) - i),
		})
	}
	accept = append(accept, bpf.RetConstant{Val: wholeFrame}, bpf.LoadAbsolute{Off: 23, Size: 1})
	var udp []bpf.Instruction
	if vxlan != 0 {
		const moreOrOffset = 0x3fff
		accept = append(accept, bpf.JumpIf{Cond: bpf.JumpEqual, Val: packet.ProtocolUDP, SkipTrue: 10})
		udp = []bpf.Instruction{
			bpf.LoadAbsolute{Off: 20, Size: 2},
			bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: moreOrOffset, SkipTrue: 4},
			bpf.LoadMemShift{Off: 14},
			bpf.LoadIndirect{Off: 16, Size: 2},
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(vxlan), SkipTrue: 1},
			bpf.RetConstant{Val: 0},
			bpf.RetConstant{Val: wholeFrame},
		}
	}
	return append(append(accept,
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: packet.ProtocolIPIP, SkipTrue: 8},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: packet.ProtocolIPv6, SkipTrue: 7},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: packet.ProtocolICMP, SkipTrue: 5},
		bpf.LoadMemShift{Off: 14}, // the IPv4 header's length
		bpf.LoadIndirect{Off: 14, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: packet.ICMPUnreachable, SkipTrue: 3},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: packet.ICMPTimeExceeded, SkipTrue: 2},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: packet.ICMPParameterProblem, SkipTrue: 1},
		bpf.RetConstant{Val: 0},
		bpf.RetConstant{Val: wholeFrame},
	), udp...)
}

// ownIPv6 judges a frame that is not of IPv4, whose Ethernet type is loaded. A packet in
// a packet may stand behind options for its destination, as Linux puts the limit of
// encapsulations there (RFC 2473 5.1), and both may be in a fragment. Where the host has no
// address that the router would speak by, all of IPv6 is the host's.
func ownIPv6(own []netip.Addr, vxlan uint16) []bpf.Instruction {
	const destination, inside = packet.EthernetLen + 24, packet.EthernetLen + packet.IPv6MinLen
	accept := []bpf.Instruction{
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: packet.EtherTypeIPv6, SkipTrue: 1},
		bpf.RetConstant{Val: wholeFrame},
	}
	if own = ofFamily(own, netip.Addr.Is6); len(own) == 0 {
		return append(accept, bpf.RetConstant{Val: 0})
	}
	accept = append(accept,
		bpf.LoadExtension{Num: bpf.ExtLen},
		bpf.JumpIf{Cond: bpf.JumpGreaterOrEqual, Val: inside, SkipTrue: 1},
		bpf.RetConstant{Val: wholeFrame},
	)
	for i, a := range own {
		a16 := a.As16()
		for word := range uint32(4) { // from the end, which differs most
			at := 12 - 4*word
			accept = append(accept, bpf.LoadAbsolute{Off: destination + at, Size: 4},
				bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: binary.BigEndian.Uint32(a16[at:]), SkipTrue: uint8(7 - 2*word)})
		}
		accept = append(accept, bpf.Jump{Skip: uint32(9*(len(own)-1-i) + 1)})
	}
	accept = append(accept, bpf.RetConstant{Val: wholeFrame}, bpf.LoadAbsolute{Off: packet.EthernetLen + 6, Size: 1})
	var fragment, udp []bpf.Instruction
	if vxlan != 0 {
		accept = append(accept, bpf.JumpIf{Cond: bpf.JumpEqual, Val: packet.ProtocolUDP, SkipTrue: 17})
		fragment = []bpf.Instruction{bpf.JumpIf{Cond: bpf.JumpEqual, Val: packet.ProtocolUDP, SkipTrue: 9}}
		udp = []bpf.Instruction{
			bpf.LoadAbsolute{Off: inside + 2, Size: 2},
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(vxlan), SkipTrue: 1},
			bpf.RetConstant{Val: 0},
			bpf.RetConstant{Val: wholeFrame},
		}
	}
	more := uint8(len(fragment))
	return slices.Concat(accept, []bpf.Instruction{
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: packet.ProtocolIPIP, SkipTrue: 14 + more},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: packet.ProtocolIPv6, SkipTrue: 13 + more},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: packet.ProtocolICMPv6, SkipTrue: 7 + more},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: packet.HeaderDestination, SkipTrue: 1},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: packet.HeaderFragment, SkipTrue: 9 + more},
		bpf.LoadAbsolute{Off: inside, Size: 1},
	}, fragment, []bpf.Instruction{
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: packet.ProtocolIPIP, SkipTrue: 8},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: packet.ProtocolIPv6, SkipTrue: 7},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: packet.HeaderDestination, SkipTrue: 6},
		bpf.RetConstant{Val: 0},
		bpf.LoadAbsolute{Off: inside, Size: 1}, // the type of ICMPv6
		bpf.JumpIf{Cond: bpf.JumpLessOrEqual, Val: packet.ICMPv6ParameterProblem, SkipTrue: 3},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: packet.ICMPv6NeighborSolicitation, SkipTrue: 2},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: packet.ICMPv6NeighborAdvertisement, SkipTrue: 1},
		bpf.RetConstant{Val: 0},
		bpf.RetConstant{Val: wholeFrame},
	}, udp)
}

// maxOwn is how many addresses of a family the filter takes: a jump of classic BPF skips
// at most 255 instructions, and a program has at most 4,096. What is for the others the
// router reads, and drops.
const maxOwn = 200

// ofFamily is those of the addresses that are of a family, maxOwn at the most.
func ofFamily(own []netip.Addr, is func(netip.Addr) bool) (all []netip.Addr) {
	for _, a := range own {
		if is(a) && len(all) < maxOwn {
			all = append(all, a)
		}
	}
	return all
}

// nothing is the program that no frame passes.
var nothing = []bpf.Instruction{bpf.RetConstant{Val: 0}}

func attachFilter(fd int, own []netip.Addr, vxlan uint16) error {
	return setFilter(fd, ownTraffic(own, vxlan))
}

func setFilter(fd int, program []bpf.Instruction) error {
	raw, err := bpf.Assemble(program)
	if err != nil {
		return fmt.Errorf("packet socket filter: %w", err)
	}
	prog := unix.SockFprog{Len: uint16(len(raw)), Filter: (*unix.SockFilter)(unsafe.Pointer(&raw[0]))}
	if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &prog); err != nil {
		return fmt.Errorf("packet socket filter: %w", err)
	}
	return nil
}
