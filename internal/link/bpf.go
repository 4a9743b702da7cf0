package link

import (
	"encoding/binary"
	"fmt"
	"net/netip"
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
// from the router: IPv4 to an own address, unless it is IP-in-IP, or an ICMP
// error, which may be about a tunnel. Frames of a VLAN belong to another interface;
// those that have a tag for its priority alone do not (IEEE 802.1Q 6.9.1). What the
// host sends is no concern of the router's: it is asked for here, as a fanout group
// takes no notice of its sockets' PACKET_IGNORE_OUTGOING. Everything else the router
// sees, and judges.
func ownTraffic(own []netip.Addr) []bpf.Instruction {
	accept := []bpf.Instruction{
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
		bpf.RetConstant{Val: wholeFrame},
		bpf.LoadAbsolute{Off: 30, Size: 4},
	}
	for i, a := range own {
		a4 := a.As4()
		accept = append(accept, bpf.JumpIf{
			Cond: bpf.JumpEqual, Val: binary.BigEndian.Uint32(a4[:]), SkipTrue: uint8(len(own) - i),
		})
	}
	return append(accept,
		bpf.RetConstant{Val: wholeFrame},
		bpf.LoadAbsolute{Off: 23, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: packet.ProtocolIPIP, SkipTrue: 7},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: packet.ProtocolICMP, SkipTrue: 5},
		bpf.LoadMemShift{Off: 14}, // the IPv4 header's length
		bpf.LoadIndirect{Off: 14, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: packet.ICMPUnreachable, SkipTrue: 3},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: packet.ICMPTimeExceeded, SkipTrue: 2},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: packet.ICMPParameterProblem, SkipTrue: 1},
		bpf.RetConstant{Val: 0},
		bpf.RetConstant{Val: wholeFrame},
	)
}

// maxOwn is how many addresses the filter takes: a jump of classic BPF skips at
// most 255 instructions. What is for the others the router reads, and drops.
const maxOwn = 200

// nothing is the program that no frame passes.
var nothing = []bpf.Instruction{bpf.RetConstant{Val: 0}}

func attachFilter(fd int, own []netip.Addr) error {
	return setFilter(fd, ownTraffic(own[:min(len(own), maxOwn)]))
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
